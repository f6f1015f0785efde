//! `[[notify]]`: who gets notifications, of what, and how to reach them. The URL of a chat's webhook is itself a secret: a person
//! who knows it can write to the chat.

use std::fmt;

/// One `[[notify]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifier {
    pub name: String,
    pub kind: NotifierKind,
    /// `https://…` or `http://…`.
    pub url: Hidden,
    pub on: Vec<Occasion>,
    /// The bots whose notifications it gets; `None`: all.
    pub bots: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifierKind {
    Slack,
    Discord,
    Teams,
    /// Any receiver that checks a signature made with this secret.
    Webhook {
        signing: Hidden,
    },
}

/// The occasions that a notifier may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// A rollout waits for a human.
    Held,
    /// A release was taken back: by evidence, a limit, the breaker or an operator.
    Abort,
    /// Another release is stable.
    Promote,
    Start,
    /// The weight has changed.
    Step,
    /// The last drill is older than `drill_every`.
    DrillDue,
    /// `undo_window` is over: the side before may be torn down.
    Teardown,
}

impl Occasion {
    pub const ALL: [Occasion; 7] =
        [Occasion::Held, Occasion::Abort, Occasion::Promote, Occasion::Start, Occasion::Step, Occasion::DrillDue, Occasion::Teardown];
    /// The occasions if the config names none.
    pub const USUAL: [Occasion; 3] = [Occasion::Held, Occasion::Abort, Occasion::Promote];

    pub fn name(self) -> &'static str {
        match self {
            Occasion::Held => "held",
            Occasion::Abort => "abort",
            Occasion::Promote => "promote",
            Occasion::Start => "start",
            Occasion::Step => "step",
            Occasion::DrillDue => "drill_due",
            Occasion::Teardown => "teardown",
        }
    }
}

impl Notifier {
    pub fn tells_of(&self, bot: &str, occasion: Occasion) -> bool {
        self.on.contains(&occasion) && self.bots.as_ref().is_none_or(|bots| bots.iter().any(|name| name == bot))
    }
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    pub fn new(text: impl Into<String>) -> Hidden {
        Hidden(text.into())
    }

    /// The text itself, which must not be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_dump_of_a_config_tells_where_messages_go() {
        let signing = Hidden::new("hush-hush");
        let kind = NotifierKind::Webhook { signing };
        let notifier = Notifier { name: "ops".to_owned(), kind, url: Hidden::new("https://chat/T0/secret"), on: Vec::new(), bots: None };
        let dump = format!("{notifier:?}");
        assert!(dump.contains("ops") && !dump.contains("chat") && !dump.contains("hush"), "{dump}");
    }
}
