//! `serin start | advance | pause | resume | promote | abort`: what an operator does with a rollout. Each prints the bot as
//! it is afterwards, once that serves on every core.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::AdminAddress;
use super::client::Client;
use super::status::table;

/// What all of them take.
#[derive(Debug, Args)]
struct Common {
    /// The bot
    bot: String,
    /// Only if this revision still serves
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
    /// The API's own document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

impl Common {
    fn post(&self, action: &str, body: &Value) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.address)?;
        let document = client.post(&format!("/v1/bots/{}/{action}", self.bot), body, self.if_match)?;
        match self.json {
            true => println!("{document}"),
            false => print!("{}", table(&document)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    common: Common,
    /// The upstream that the release is on; may be left out where there is only one besides stable
    #[arg(long, value_name = "UPSTREAM")]
    to: Option<String>,
    /// The release's label
    #[arg(long)]
    version: Option<String>,
    /// Even if it was taken back before
    #[arg(long)]
    retry: bool,
}

impl Start {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.common.post("rollouts", &json!({ "upstream": self.to, "version": self.version, "retry": self.retry }))
    }
}

#[derive(Debug, Args)]
pub struct Advance {
    #[command(flatten)]
    common: Common,
    /// Even if the evidence says that the canary fails
    #[arg(long)]
    force: bool,
}

impl Advance {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.common.post("advance", &json!({ "force": self.force }))
    }
}

#[derive(Debug, Args)]
pub struct Promote {
    #[command(flatten)]
    common: Common,
    /// Even if the evidence says that the canary fails
    #[arg(long)]
    force: bool,
}

impl Promote {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.common.post("promote", &json!({ "force": self.force }))
    }
}

#[derive(Debug, Args)]
pub struct Pause {
    #[command(flatten)]
    common: Common,
}

impl Pause {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.common.post("pause", &json!({}))
    }
}

#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    common: Common,
}

impl Resume {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.common.post("resume", &json!({}))
    }
}

#[derive(Debug, Args)]
pub struct Abort {
    #[command(flatten)]
    common: Common,
}

impl Abort {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.common.post("abort", &json!({}))
    }
}
