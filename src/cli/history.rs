//! `serin history`: who changed what, when, and on what evidence.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{AdminAddress, Client};
use super::status::plain;
use super::terminal::{self, Tone, paint, wrap};
use crate::summary::words::{count, evidence, share};

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The bot
    bot: String,
    /// Show at most this many changes, the newest first
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print every stored change, the oldest first, as one JSON object per line
    #[arg(long)]
    export: bool,
    /// Print the API's JSON documents, one per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

/// The most changes that the API returns at once.
const PAGE: usize = 1_000;

impl HistoryArgs {
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
                false => terminal::print(&shown(change, terminal::width())),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What the change did, who made it and when, and below that why.
fn shown(change: &Value, width: usize) -> String {
    let kind = plain(&change["actor_kind"]);
    let who = match kind.as_str() {
        "operator" => format!("by {}", plain(&change["actor"])),
        "ratchet" => "by serin itself".to_owned(),
        other => format!("by the {other}"),
    };
    let bad = ["abort", "trip", "retreat", "undo"].iter().any(|decision| change["decision"] == *decision);
    let head = format!("{:>5}  {}  {who}", plain(&change["revision"]), plain(&change["at"]));
    let said = wrap(&plain(&change["text"]), "       ", width);
    let mut text = format!(
        "{}\n{}",
        paint(Tone::Soft, &head),
        if bad { said.lines().map(|line| paint(Tone::Bad, line) + "\n").collect() } else { said }
    );
    for (what, said) in [("why", &change["why"]), ("reason", &change["reason"])] {
        if let Some(said) = said.as_str() {
            text += &wrap(&format!("{what}: {said}"), "       ", width);
        }
    }
    // If the ratchet made the change, its reason has the rates already.
    if let Some(known) = change["evidence"].as_object().filter(|_| kind != "ratchet") {
        let number = |track: &str, what: &str| known[track][what].as_u64().unwrap_or(0);
        let rate = |track: &str| {
            let (errors, requests) = (number(track, "errors"), number(track, "requests"));
            format!("{track} {} errors ({} of {})", share(errors as f64, requests as f64), count(errors), count(requests))
        };
        let e = evidence(known["e_value"].as_f64().unwrap_or(f64::INFINITY));
        text += &wrap(&format!("seen: {}, {}; {e}, {}", rate("canary"), rate("stable"), plain(&known["verdict"])), "       ", width);
    }
    text
}
