//! Who is told, of what, and how to reach them: `[[notify]]`. The address of a chat's webhook is a secret by itself:
//! whoever knows it can write into the room.

use std::fmt;

/// One `[[notify]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifier {
    pub name: String,
    pub kind: NotifierKind,
    /// `https://…` or `http://…`.
    pub url: Hidden,
    pub on: Vec<Occasion>,
    /// Of these bots only; `None`: of all.
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

/// What one may want to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// A rollout waits for a human.
    Held,
    /// Somebody was taken off a release: by evidence, a limit, the breaker or an operator.
    Abort,
    /// Another release is stable.
    Promote,
    Start,
    /// The weight has changed.
    Step,
    /// The last drill is longer ago than `drill_every`.
    DrillDue,
    /// `undo_window` is over: the side before is free to tear down.
    Teardown,
}

impl Occasion {
    pub const ALL: [Occasion; 7] =
        [Occasion::Held, Occasion::Abort, Occasion::Promote, Occasion::Start, Occasion::Step, Occasion::DrillDue, Occasion::Teardown];
    /// What is told if the config says nothing else.
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

/// A text that no dump shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    pub fn new(text: impl Into<String>) -> Hidden {
        Hidden(text.into())
    }

    /// To be used, not to be shown.
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
