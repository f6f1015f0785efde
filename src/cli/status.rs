//! `serin status`: the bots of a running serin.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::AdminAddress;
use super::client::Client;
use crate::core::Weight;

#[derive(Debug, Args)]
pub struct Status {
    /// Only this bot
    bot: Option<String>,
    /// Again every second, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// The API's own document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

const EVERY: Duration = Duration::from_secs(1);

impl Status {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.address)?;
        loop {
            let document = match &self.bot {
                Some(bot) => client.get(&format!("/v1/bots/{bot}"))?,
                None => client.get("/v1/bots")?,
            };
            if self.watch && !self.json {
                // Home, and clear what is below: no flicker.
                print!("\x1b[H\x1b[J");
            }
            match self.json {
                true => println!("{document}"),
                false => print!("{}", table(&document)),
            }
            if !self.watch {
                return Ok(ExitCode::SUCCESS);
            }
            std::thread::sleep(EVERY);
        }
    }
}

/// One bot's document, or the list of all, as people read it.
pub fn table(document: &Value) -> String {
    match document["bots"].as_array() {
        Some(bots) => bots.iter().map(bot).collect::<Vec<_>>().join("\n"),
        None => bot(document),
    }
}

fn bot(bot: &Value) -> String {
    let mut text = format!(
        "{}  {}  canary {} of buckets (really {})  revision {}\n",
        plain(&bot["bot"]),
        plain(&bot["phase"]),
        percent(&bot["weight_percent"]),
        percent(&bot["actual_percent"]),
        plain(&bot["revision"])
    );
    text += &format!(
        "  {:<7} {:<10} {:<8} {:>9} {:>7} {:>6} {:>9} {:>8} {:>9}\n",
        "track", "upstream", "version", "requests", "errors", "late", "rejected", "buckets", "typical"
    );
    for track in ["stable", "canary"] {
        if bot[track].is_null() {
            continue;
        }
        let (upstream, counts) = (&bot[track], &bot["tracks"][track]);
        let typical = counts["typical_ms"].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        text += &format!(
            "  {track:<7} {:<10} {:<8} {:>9} {:>7} {:>6} {:>9} {:>8} {typical:>9}\n",
            plain(&upstream["upstream"]),
            plain(&upstream["version"]),
            plain(&counts["requests"]),
            plain(&counts["errors"]),
            plain(&counts["late"]),
            plain(&counts["rejected"]),
            plain(&counts["active_buckets"]),
        );
    }
    text + &rollout(bot)
}

/// Where the rollout stands, what it waits for, and what is known against the canary.
fn rollout(bot: &Value) -> String {
    let (rollout, evidence) = (&bot["rollout"], &bot["evidence"]);
    let mut text = String::new();
    if let (Some(steps), false) = (rollout["steps_percent"].as_array(), bot["step"].is_null()) {
        let current = rollout["step"].as_u64();
        let shown = steps.iter().enumerate().map(|(i, step)| match current == Some(i as u64) {
            true => format!("[{}]", percent(step)),
            false => percent(step),
        });
        text += &format!("  steps    {}  (policy {})\n", shown.collect::<Vec<_>>().join(" "), plain(&rollout["policy"]));
    }
    if bot["durable"] == false {
        let why = bot["history_error"].as_str().unwrap_or("a restart forgets it");
        text += &format!("  ALARM    not durable: {why}\n");
    }
    if let Some(frozen) = bot["frozen"].as_str() {
        text += &format!("  frozen   {frozen}\n");
    }
    let desired = &bot["desired"];
    if desired["effective"] == false {
        let why = desired["waits"].as_str().map(str::to_owned).or(desired["held_by"].as_str().map(|held| format!("held by {held}")));
        let (upstream, version) = (plain(&desired["upstream"]), plain(&desired["version"]));
        text += &format!("  desired  {version} on {upstream}: {}\n", why.unwrap_or_else(|| "about to start".to_owned()));
    }
    let previous = &bot["previous"];
    if let Some(idle) = previous["idle_seconds"].as_u64() {
        let (upstream, version) = (plain(&previous["upstream"]), plain(&previous["version"]));
        let free = if previous["free"] == true { "; free to tear down" } else { "; there for undo" };
        text += &format!("  before   {version} on {upstream}, idle for {idle} s{free}\n");
    }
    if let Some(warning) = bot["warning"].as_str() {
        text += &format!("  warning  {warning}\n");
    }
    if let Some(asked) = bot["waits_for_human"]["text"].as_str() {
        text += &format!("  waits    for a human: {asked}\n");
    } else if let Some(hold) = bot["hold_text"].as_str() {
        text += &format!("  waits    {hold}\n");
    }
    if let Some(against) = evidence["text"].as_str() {
        let against = against.strip_prefix("evidence ").unwrap_or(against);
        text += &format!("  evidence {against}; worst: {}\n", plain(&evidence["leading"]));
    }
    let examined = |finding: &str| evidence["examinations"][finding].as_u64().unwrap_or(0);
    let (open, refuted, went_away) = (examined("open"), examined("refuted"), examined("went_away"));
    if open + refuted + went_away > 0 {
        text += &format!("  examined {open} buckets now; {refuted} had trouble of their own, {went_away} recovered\n");
    }
    for quarantined in bot["quarantine"].as_array().into_iter().flatten() {
        let (upstream, version, why) = (plain(&quarantined["upstream"]), plain(&quarantined["version"]), plain(&quarantined["why"]));
        text += &format!("  taken back: {version} on {upstream}: {why}\n");
    }
    text
}

/// As a weight is written: `5%`, `12.5%`.
pub fn percent(value: &Value) -> String {
    let weight = value.as_f64().and_then(|percent| Weight::from_percent((percent * 100.0).round() / 100.0).ok());
    weight.map_or_else(|| plain(value), |weight| weight.to_string())
}

pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
