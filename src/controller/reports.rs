//! Later reports by a bot about its workspaces: failures after the answer 200, and whether people still use the bot.

use super::owner::Owner;
use super::wish::ChangeError;
use crate::core::{Outcome, Sample, Workspace};
use crate::live::{Epoch, Names};

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

impl Owner {
    /// Counts each report as one more request of its workspace, on the workspace's current track. Only the owner writes to the control
    /// thread's shard.
    pub(super) fn report(&self, name: &str, reports: &[Report]) -> Result<Reported, ChangeError> {
        let number = self.known(name)?;
        let (bot, epoch) = (&self.config.bots[number], &self.pilots[number].epoch);
        let mut reported = Reported::default();
        for report in reports {
            let workspace = bot.plan.workspace(&report.workspace);
            match count(epoch, &workspace, report) {
                true => reported.counted += 1,
                false => reported.pinned += 1,
            }
        }
        Ok(reported)
    }
}

fn count(epoch: &Epoch, workspace: &Workspace<'_>, report: &Report) -> bool {
    let assignment = epoch.split.assign(workspace);
    let (Some(bucket), true) = (assignment.bucket, assignment.reason.is_evidence()) else { return false };
    let outcome = match (report.ok, report.kind) {
        (true, _) => Outcome::Ok,
        (false, ReportKind::Outcome) => Outcome::Error,
        (false, ReportKind::Engagement) => Outcome::Rejected,
    };
    let (shard, sample) = (epoch.ledger.own_shard(), Sample { outcome, latency_micros: None });
    if let Some(names) = &epoch.names {
        names.note_own(bucket, &Names::name(workspace), outcome);
    }
    shard.record(bucket, assignment.is_set_aside(), assignment.track, sample);
    if let Some(turn) = assignment.examined_in() {
        shard.examined(bucket, turn, sample);
    }
    true
}
