//! The marks of one notifier: up to which point it was sent each topic of each bot, or has it in the queue. So nothing is sent twice.

use std::collections::HashMap;

use crate::store::Mark;

/// The topic of all changes. Its mark is the revision of the last change.
pub const CHANGE: &str = "change";

#[derive(Debug, Default)]
pub struct Marks(HashMap<(String, String), i64>);

impl Marks {
    /// The marks of one notifier among those that the history has stored.
    pub fn of(marks: &[Mark], notifier: &str) -> Marks {
        let own = marks.iter().filter(|mark| mark.notifier == notifier);
        Marks(own.map(|mark| ((mark.bot.clone(), mark.topic.clone()), mark.at)).collect())
    }

    pub fn at(&self, bot: &str, topic: &str) -> Option<i64> {
        self.0.get(&(bot.to_owned(), topic.to_owned())).copied()
    }

    pub fn set(&mut self, bot: &str, topic: &str, at: i64) {
        self.0.insert((bot.to_owned(), topic.to_owned()), at);
    }

    /// Records the mark and returns whether it is new for its topic. A change is new if its revision is higher; any other topic is new
    /// if the mark differs.
    pub fn advance(&mut self, bot: &str, topic: &str, at: i64) -> bool {
        let known = self.at(bot, topic);
        let news = if topic == CHANGE { known.is_none_or(|known| at > known) } else { known != Some(at) };
        if news {
            self.set(bot, topic, at);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_rise_and_a_hold_is_marked_once_in_each_revision() {
        let mut marks = Marks::default();
        assert!(marks.advance("a", CHANGE, 3));
        assert!(!marks.advance("a", CHANGE, 3) && !marks.advance("a", CHANGE, 2));
        assert!(marks.advance("b", CHANGE, 3) && marks.advance("a", CHANGE, 5));
        assert!(marks.advance("a", "held:marginal", 5) && !marks.advance("a", "held:marginal", 5));
        assert!(marks.advance("a", "held:deadline", 5), "another reason");
        assert!(!marks.advance("a", "held:marginal", 5), "after another reason");
        assert!(marks.advance("a", "held:marginal", 6));
    }

    #[test]
    fn each_notifier_has_its_own_marks() {
        let mark = |notifier: &str, at| Mark { notifier: notifier.to_owned(), bot: "a".to_owned(), topic: CHANGE.to_owned(), at };
        let marks = [mark("ops", 7), mark("dev", 9)];
        assert_eq!((Marks::of(&marks, "ops").at("a", CHANGE), Marks::of(&marks, "x").at("a", CHANGE)), (Some(7), None));
    }
}
