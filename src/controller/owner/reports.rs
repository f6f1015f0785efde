//! Later reports by a bot about its workspaces: failures after the answer 200, and whether people still use the bot.

use super::Owner;
use crate::controller::report::{Report, ReportKind, Reported};
use crate::controller::wish::ChangeError;
use crate::core::{Outcome, Sample, Workspace};
use crate::live::{Epoch, Names};

impl Owner {
    /// Counts each report as one more request of its workspace, on the workspace's current track. Only the owner writes to the control
    /// thread's shard.
    pub(super) fn report(&self, name: &str, reports: &[Report]) -> Result<Reported, ChangeError> {
        let number = self.known(name)?;
        let (bot, epoch) = (&self.config.bots[number], &self.pilots[number].epoch);
        let mut reported = Reported::default();
        for report in reports {
            let workspace = bot.extractor.workspace(&report.workspace);
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
