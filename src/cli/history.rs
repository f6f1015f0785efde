//! `serin history`: who changed what, when, and on what evidence.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::AdminAddress;
use super::client::Client;
use super::status::{percent, plain};

#[derive(Debug, Args)]
pub struct History {
    /// The bot
    bot: String,
    /// How many changes, the newest first
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Every change that is kept, the oldest first, one JSON object a line
    #[arg(long)]
    export: bool,
    /// The API's own documents, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

/// The API gives so many at once.
const PAGE: usize = 1_000;

impl History {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.address)?;
        let most = if self.export { usize::MAX } else { usize::from(self.limit) };
        let mut changes = Vec::new();
        let mut before = None;
        while changes.len() < most {
            let limit = PAGE.min(most - changes.len());
            let below = before.map_or(String::new(), |revision: u64| format!("&before={revision}"));
            let page = client.get(&format!("/v1/bots/{}/history?limit={limit}{below}", self.bot))?;
            changes.extend(page["changes"].as_array().cloned().unwrap_or_default());
            before = page["before"].as_u64();
            if before.is_none() {
                break;
            }
        }
        if self.export {
            changes.reverse();
        }
        for change in &changes {
            match self.export || self.json {
                true => println!("{change}"),
                false => print!("{}", shown(change)),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Who, what, and below it why.
fn shown(change: &Value) -> String {
    let moved = match change["decision"].as_str() {
        Some("promote" | "switch") => "-> everyone".to_owned(),
        _ if change["from_percent"] == change["to_percent"] => percent(&change["to_percent"]),
        _ => format!("{} -> {}", percent(&change["from_percent"]), percent(&change["to_percent"])),
    };
    let kind = plain(&change["actor_kind"]);
    let who = if kind == "operator" { plain(&change["actor"]) } else { kind };
    let canary = change["canary"].as_str().map_or(String::new(), |canary| format!(", canary {canary}"));
    let mut text = format!(
        "{:>5}  {}  {:<10} {:<12} {moved:<14} stable {}{canary}\n",
        plain(&change["revision"]),
        plain(&change["at"]),
        who,
        plain(&change["decision"]),
        plain(&change["stable"]),
    );
    for (what, said) in [("why", &change["why"]), ("reason", &change["reason"])] {
        if let Some(said) = said.as_str() {
            text += &format!("       {what}: {said}\n");
        }
    }
    if let Some(known) = change["evidence"].as_object() {
        let of = |track: &str, what: &str| plain(&known[track][what]);
        let e = known["e_value"].as_f64().map_or("-".to_owned(), |e| format!("{e:.2}"));
        text += &format!(
            "       evidence: E = {e}, {}; canary {} errors of {}, stable {} of {}\n",
            plain(&known["verdict"]),
            of("canary", "errors"),
            of("canary", "requests"),
            of("stable", "errors"),
            of("stable", "requests"),
        );
    }
    text
}
