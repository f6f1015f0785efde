//! `serin drill`: a rehearsed rollback on the live system.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::client::{AdminAddress, Client};
use super::status::{percent, plain};
use crate::core::Weight;

#[derive(Debug, Args)]
pub struct Drill {
    /// The bot
    bot: String,
    /// The idle upstream; without this, the one that was stable before
    #[arg(long, value_name = "UPSTREAM")]
    to: Option<String>,
    /// Move this share of the buckets to the idle upstream and back, such as 1%
    #[arg(long, conflicts_with = "full")]
    share: Option<Weight>,
    /// Move all workspaces there and back
    #[arg(long)]
    full: bool,
    /// How long the moved workspaces stay there, in seconds: 1 to 300
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
    /// Move workspaces without asking for confirmation
    #[arg(long)]
    yes: bool,
    /// Print the API's JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

impl Drill {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let share = if self.full { Some(Weight::FULL) } else { self.share };
        if let Some(share) = share.filter(|_| !self.yes) {
            self.confirm(share)?;
        }
        let body = json!({ "upstream": self.to, "share_percent": share.map(Weight::percent), "seconds": self.seconds });
        let client = Client::new(&self.address)?.patient(self.seconds + 60);
        let went = client.post(&format!("/v1/bots/{}/drill", self.bot), &body, None)?;
        if self.json {
            println!("{went}");
            return Ok(ExitCode::SUCCESS);
        }
        let millis = |name: &str| went[name].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        println!("{}: the way back to {} works", plain(&went["bot"]), plain(&went["side"]));
        println!("  preflight {}", millis("preflight_ms"));
        let kept = went["durable_ms"].as_f64().map_or("not on the disk yet".to_owned(), |ms| format!("{ms:.1} ms until it was kept"));
        println!("  back      {} until all cores served it, {kept}", millis("back_ms"));
        println!("  moved     {} of the buckets", percent(&went["moved_percent"]));
        Ok(ExitCode::SUCCESS)
    }

    fn confirm(&self, share: Weight) -> anyhow::Result<()> {
        if !std::io::stdin().is_terminal() {
            bail!("this moves {share} of the customers of {} to the idle side for {} s: say --yes", self.bot, self.seconds);
        }
        print!("This moves {share} of the customers of {} to the idle side for {} s, and back. Type yes: ", self.bot, self.seconds);
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if answer.trim() != "yes" {
            bail!("nothing was moved");
        }
        Ok(())
    }
}
