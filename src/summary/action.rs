//! The actions that an operator can request for a bot, by their names in the API.

/// The actions that an operator can request for a bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Advance,
    Pause,
    Resume,
    Abort,
    Undo,
    Promote,
    Start,
    Weight,
    Switch,
    Adopt,
    Drill,
    Freeze,
    Thaw,
}

impl Action {
    pub const ALL: [Action; 13] = [
        Action::Advance,
        Action::Pause,
        Action::Resume,
        Action::Abort,
        Action::Undo,
        Action::Promote,
        Action::Start,
        Action::Weight,
        Action::Switch,
        Action::Adopt,
        Action::Drill,
        Action::Freeze,
        Action::Thaw,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Action::Advance => "advance",
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::Abort => "abort",
            Action::Undo => "undo",
            Action::Promote => "promote",
            Action::Start => "start",
            Action::Weight => "weight",
            Action::Switch => "switch",
            Action::Adopt => "adopt",
            Action::Drill => "drill",
            Action::Freeze => "freeze",
            Action::Thaw => "thaw",
        }
    }

    /// Whether the action lowers the weight or stops it. Such an action is allowed in a freeze.
    pub fn takes_back(self) -> bool {
        matches!(self, Action::Abort | Action::Undo | Action::Pause | Action::Freeze)
    }
}
