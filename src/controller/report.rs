//! What a bot reports later about its workspaces: failures after the answer 200, and whether people still use the bot.

/// One report about one workspace.
#[derive(Clone, Debug)]
pub struct Report {
    /// `namespace:id`, or only an id, which then is in the namespace of the bot's first source.
    pub workspace: String,
    pub ok: bool,
    pub kind: ReportKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// `ok: false` counts as an error.
    Outcome,
    /// `ok: false` counts as a rejected request: only a deviation from the usual rate says something about the canary.
    Engagement,
}

/// The numbers of reports of a batch that were counted and that were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    pub counted: usize,
    /// Not counted, because a pinned workspace was not assigned by chance and is no evidence.
    pub pinned: usize,
}
