//! The texts of a summary. The other files of this module write them, and [`Summary::of`] chooses the file.

use std::fmt;

use super::action::Action;

/// Each text is one or two whole sentences, or empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub urgency: Urgency,
    /// What happens and why, with both tracks' rates.
    pub state: String,
    /// How many workspaces are on each track, and whether they are safe.
    pub customers: String,
    /// What comes next, and when at the latest.
    pub next: String,
    pub todo: String,
    /// The action that an operator most likely wants, if there is one.
    pub action: Option<Action>,
}

/// Whether a human must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A human should look now.
    Act,
    /// Something is under way, and goes on without a human.
    Watch,
    None,
}

impl Urgency {
    pub fn name(self) -> &'static str {
        match self {
            Urgency::Act => "act",
            Urgency::Watch => "watch",
            Urgency::None => "none",
        }
    }
}

pub(super) const NOTHING_TO_DO: &str = "Nothing to do.";

impl Summary {
    pub(super) fn add_next(&mut self, sentence: &str) {
        if !self.next.is_empty() {
            self.next.push(' ');
        }
        self.next.push_str(sentence);
    }

    /// All texts in one line.
    pub fn text(&self) -> String {
        let parts = [&self.state, &self.customers, &self.next, &self.todo].into_iter().filter(|part| !part.is_empty());
        parts.map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
