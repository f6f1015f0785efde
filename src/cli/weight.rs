//! `serin weight`: sets the canary's share by hand.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::actions::{DRY_RUN, print_result};
use super::client::{AdminAddress, Client};
use crate::core::Weight;

#[derive(Debug, Args)]
pub struct WeightArgs {
    /// The bot
    bot: String,
    /// The canary's share of the buckets: 0% to 100%, in steps of 0.01%
    weight: Weight,
    /// Do it only if the bot still has this revision
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
    /// Why you do it: one line of at most 256 characters, which the history keeps
    #[arg(long)]
    reason: Option<String>,
    /// Do it also in a freeze (with --reason)
    #[arg(long)]
    force: bool,
    /// Change nothing; print what the command would do, or why serin would refuse it
    #[arg(long)]
    dry_run: bool,
    /// Print the API's JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

impl WeightArgs {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.address)?;
        let document = client.put(
            &format!("/v1/bots/{}/weight{}", self.bot, if self.dry_run { DRY_RUN } else { "" }),
            &json!({ "percent": self.weight.percent(), "reason": self.reason, "force": self.force }),
            self.if_match,
        )?;
        print_result(&document, self.json);
        Ok(ExitCode::SUCCESS)
    }
}
