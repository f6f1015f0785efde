//! What one notifier has been told, or has queued, so that nothing is sent twice.

use std::collections::HashMap;

use crate::store::Mark;

/// The topic of all changes. Its mark is the revision of the last change.
pub const CHANGE: &str = "change";

#[derive(Debug, Default)]
pub struct Told(HashMap<(String, String), i64>);

impl Told {
    /// The marks of one notifier among those that the history has stored.
    pub fn of(marks: &[Mark], notifier: &str) -> Told {
        let own = marks.iter().filter(|mark| mark.notifier == notifier);
        Told(own.map(|mark| ((mark.bot.clone(), mark.topic.clone()), mark.at)).collect())
    }

    pub fn at(&self, bot: &str, topic: &str) -> Option<i64> {
        self.0.get(&(bot.to_owned(), topic.to_owned())).copied()
    }

    pub fn is(&mut self, bot: &str, topic: &str, at: i64) {
        self.0.insert((bot.to_owned(), topic.to_owned()), at);
    }

    /// Whether the mark is new for its topic. Records it, so that the same mark is not new again.
    pub fn is_news(&mut self, bot: &str, topic: &str, at: i64) -> bool {
        let known = self.at(bot, topic);
        let news = if topic == CHANGE { known.is_none_or(|known| at > known) } else { known != Some(at) };
        if news {
            self.is(bot, topic, at);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_rise_and_a_hold_is_told_once_in_each_revision() {
        let mut told = Told::default();
        assert!(told.is_news("a", CHANGE, 3));
        assert!(!told.is_news("a", CHANGE, 3) && !told.is_news("a", CHANGE, 2));
        assert!(told.is_news("b", CHANGE, 3) && told.is_news("a", CHANGE, 5));
        assert!(told.is_news("a", "held:marginal", 5) && !told.is_news("a", "held:marginal", 5));
        assert!(told.is_news("a", "held:deadline", 5), "another reason");
        assert!(!told.is_news("a", "held:marginal", 5), "after another reason");
        assert!(told.is_news("a", "held:marginal", 6));
    }

    #[test]
    fn each_notifier_has_its_own_marks() {
        let mark = |notifier: &str, at| Mark { notifier: notifier.to_owned(), bot: "a".to_owned(), topic: CHANGE.to_owned(), at };
        let marks = [mark("ops", 7), mark("dev", 9)];
        assert_eq!((Told::of(&marks, "ops").at("a", CHANGE), Told::of(&marks, "x").at("a", CHANGE)), (Some(7), None));
    }
}
