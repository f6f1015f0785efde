//! `serin status`: the bots of a running serin.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{AdminAddress, Client};
use super::terminal::{self, Tone, paint, wrap};
use crate::core::Weight;
use crate::summary::words::{clock, count, lasting, share};

#[derive(Debug, Args)]
pub struct Status {
    /// Show this bot only
    bot: Option<String>,
    /// Show the bots again every second until Ctrl-C; in a pipe, only after a change
    #[arg(short, long)]
    watch: bool,
    /// Print the API's JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

const EVERY: Duration = Duration::from_secs(1);
/// Moves the terminal's cursor to the first line and clears what is below. This does not flicker.
const HOME: &str = "\x1b[H\x1b[J";

impl Status {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.address)?;
        let mut before = String::new();
        loop {
            let document = match &self.bot {
                Some(bot) => client.get(&format!("/v1/bots/{bot}"))?,
                None => client.get("/v1/bots")?,
            };
            let text = match self.json {
                true => format!("{document}\n"),
                false => table(&document, terminal::width()),
            };
            if self.watch && !self.json && terminal::is_terminal() {
                print!("{HOME}");
                terminal::print(&text);
            } else if text != before {
                terminal::print(&text);
            }
            if !self.watch {
                return Ok(ExitCode::SUCCESS);
            }
            before = text;
            std::thread::sleep(EVERY);
        }
    }
}

/// Prints one bot's document as it is after a change.
pub fn print(document: &Value, json: bool) {
    match json {
        true => println!("{document}"),
        false => terminal::print(&table(document, terminal::width())),
    }
}

/// One bot's document, or the list of all, for people. Bots that need a human come first.
pub fn table(document: &Value, width: usize) -> String {
    let Some(bots) = document["bots"].as_array() else { return bot(document, width) };
    let mut bots: Vec<&Value> = bots.iter().collect();
    let urgency = |bot: &Value| ["act", "watch"].iter().position(|urgency| bot["summary"]["urgency"] == **urgency).unwrap_or(2);
    bots.sort_by_key(|bot| urgency(bot));
    bots.into_iter().map(|one| bot(one, width)).collect::<Vec<_>>().join("\n")
}

fn bot(bot: &Value, width: usize) -> String {
    let summary = &bot["summary"];
    let (mark, tone) = match summary["urgency"].as_str() {
        Some("act") => ("needs you", Tone::Bad),
        Some("watch") => ("under way", Tone::Watch),
        _ => ("rests", Tone::Good),
    };
    let head = format!("{}  {}  {}, {}", plain(&bot["bot"]), mark, plain(&bot["phase"]), percent(&bot["weight_percent"]));
    let painted = format!(
        "{}  {}  {}, {}",
        paint(Tone::Strong, &plain(&bot["bot"])),
        paint(tone, mark),
        plain(&bot["phase"]),
        percent(&bot["weight_percent"])
    );
    let revision = format!("revision {}", plain(&bot["revision"]));
    let mut text = match width.checked_sub(head.chars().count() + revision.chars().count() + 2) {
        Some(gap) => format!("{painted}{}{}\n", " ".repeat(gap + 2), paint(Tone::Soft, &revision)),
        None => format!("{painted}\n"),
    };
    for part in ["state", "customers", "next"] {
        text += &wrap(summary[part].as_str().unwrap_or(""), "  ", width);
    }
    text += &todo(bot, width);
    text += &tracks(bot, width);
    text + &more(bot, width)
}

/// What to do, with the command that does it.
fn todo(bot: &Value, width: usize) -> String {
    let summary = &bot["summary"];
    let (said, name) = (summary["todo"].as_str().unwrap_or(""), plain(&bot["bot"]));
    let command = match summary["action"].as_str() {
        None => String::new(),
        Some("weight") => format!(" (serin weight {name} 5%)"),
        Some(action) => format!(" (serin {action} {name})"),
    };
    let lines = wrap(&format!("{said}{command}"), "  ", width);
    if summary["urgency"] == "act" {
        lines.lines().map(|line| format!("  {}\n", paint(Tone::Bad, line.trim_start()))).collect()
    } else {
        lines
    }
}

/// A terminal with fewer columns has no room for a table.
const TABLE_WIDTH: usize = 97;
/// A longer release does not fit into the table.
const RELEASE_MOST: usize = 22;

fn tracks(bot: &Value, width: usize) -> String {
    let tracks: Vec<&str> = ["stable", "canary"].into_iter().filter(|track| !bot[*track].is_null()).collect();
    let mut text = String::new();
    let is_table = width >= TABLE_WIDTH && tracks.iter().all(|track| release(&bot[*track]).chars().count() <= RELEASE_MOST);
    if is_table {
        let head = format!(
            "  {:<7} {:<22} {:>9} {:>14} {:>14} {:>14} {:>9}",
            "track", "release", "requests", "errors", "late", "rejected", "typical"
        );
        text += &format!("{}\n", paint(Tone::Soft, head.trim_end()));
    }
    for track in tracks {
        let (counts, release) = (&bot["tracks"][track], release(&bot[track]));
        let requests = counts["requests"].as_u64().unwrap_or(0);
        let rate = |what: &str| {
            let number = counts[what].as_u64().unwrap_or(0);
            format!("{} ({})", count(number), share(number as f64, requests as f64))
        };
        let typical = counts["typical_ms"].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        let requests = count(requests);
        let (errors, late, rejected) = (rate("errors"), rate("late"), rate("rejected"));
        match is_table {
            true => {
                text += &format!("  {track:<7} {release:<22} {requests:>9} {errors:>14} {late:>14} {rejected:>14} {typical:>9}\n");
            }
            false => {
                text += &format!("  {track:<7} {release}\n");
                let counted = format!("{requests} requests, {errors} errors, {late} late, {rejected} rejected, typically {typical}");
                text += &wrap(&counted, "          ", width);
            }
        }
    }
    text
}

/// `v42 on green`.
pub fn release(release: &Value) -> String {
    let upstream = plain(&release["upstream"]);
    release["version"].as_str().map_or(upstream.clone(), |version| format!("{version} on {upstream}"))
}

/// The steps, and other details.
fn more(bot: &Value, width: usize) -> String {
    let (rollout, evidence) = (&bot["rollout"], &bot["evidence"]);
    let mut text = String::new();
    let mut line = |label: &str, said: String| text += &labelled(label, &said, width);
    if let (Some(steps), false) = (rollout["steps_percent"].as_array(), bot["step"].is_null()) {
        let current = rollout["step"].as_u64();
        let shown = steps.iter().enumerate().map(|(i, step)| match current == Some(i as u64) {
            true => format!("[{}]", percent(step)),
            false => percent(step),
        });
        line("steps", format!("{}, policy {}", shown.collect::<Vec<_>>().join(" "), plain(&rollout["policy"])));
    }
    if bot["durable"] == false && bot["history_error"].is_null() {
        line("history", "not kept: a restart forgets this".to_owned());
    }
    if let Some(frozen) = bot["frozen"].as_str() {
        line("frozen", frozen.to_owned());
    }
    let desired = &bot["desired"];
    if desired["effective"] == false {
        let held_by = desired["held_by"].as_str().map(|held| format!("held back by {}", held.replace('_', " ")));
        let why = desired["waits"].as_str().map(str::to_owned).or(held_by).unwrap_or_else(|| "about to start".to_owned());
        line("config", format!("wants {}: {why}", release(desired)));
    }
    if let Some(idle) = bot["previous"]["idle_seconds"].as_u64() {
        let idle = lasting(Duration::from_secs(idle));
        let free = if bot["previous"]["free"] == true { "free to tear down" } else { "there for an undo" };
        line("before", format!("{}, idle for {idle}, {free}", release(&bot["previous"])));
    }
    if let Some(warning) = bot["warning"].as_str() {
        line("warning", warning.to_owned());
    }
    let examined = |finding: &str| evidence["examinations"][finding].as_u64().unwrap_or(0);
    let (open, refuted, went_away) = (examined("open"), examined("refuted"), examined("went_away"));
    if open + refuted + went_away > 0 {
        line(
            "examined",
            format!("{open} buckets now; before that {refuted} failed on stable as well, and {went_away} recovered by themselves"),
        );
    }
    if let Some(at) = bot["drilled_at"].as_f64() {
        line("last drill", format!("went well, {}", clock(at, unix_now())));
    }
    for quarantined in bot["quarantine"].as_array().into_iter().flatten() {
        line("taken back", format!("{}: {}", release(quarantined), plain(&quarantined["why"])));
    }
    text
}

/// The time now, in Unix seconds.
fn unix_now() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1000.0
}

fn labelled(label: &str, said: &str, width: usize) -> String {
    const COLUMN: usize = 13;
    let lines = wrap(said, &" ".repeat(COLUMN), width);
    lines.replacen(&" ".repeat(COLUMN), &format!("  {}", paint(Tone::Soft, &format!("{label:<11}"))), 1)
}

/// For people: `5 %`, `12.5 %`.
pub fn percent(value: &Value) -> String {
    let weight = value.as_f64().and_then(|percent| Weight::from_percent((percent * 100.0).round() / 100.0).ok());
    weight.map_or_else(|| plain(value), crate::summary::words::weight)
}

pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        let counts =
            |requests: u64, errors: u64| json!({ "requests": requests, "errors": errors, "late": 0, "rejected": 0, "typical_ms": 12.4 });
        json!({
            "bot": "support", "phase": "held", "revision": 7, "weight_percent": 25.0, "step": 3, "durable": true,
            "stable": { "upstream": "blue", "version": "v41" }, "canary": { "upstream": "green", "version": "v42" },
            "rollout": { "steps_percent": [1.0, 5.0, 10.0, 25.0, 50.0, 98.0, 100.0], "step": 3, "policy": "automatic" },
            "summary": {
                "urgency": "act", "state": "v42 looks worse than v41: 3.3 % errors against 0 % (8 of 239, 0 of 610). It is held at 25 %, step 4 of 7.",
                "customers": "About 25 % of the workspaces are on v42, all others are safe on v41.",
                "next": "It goes back by itself at E = 150, now 67.", "todo": "Abort it if in doubt.", "action": "abort",
            },
            "tracks": { "stable": counts(610, 0), "canary": counts(239, 8) },
            "evidence": { "examinations": { "open": 1, "refuted": 2, "went_away": 0 } },
            "previous": { "upstream": "red", "version": "v40", "idle_seconds": 7_500, "free": false },
            "quarantine": [],
        })
    }

    fn visible(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn it_fits_the_terminal_and_says_which_command_helps() {
        for width in [40, 60, 96, 97, 120] {
            let text = visible(&table(&document(), width));
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width, "{longest} at {width}:\n{text}");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in ["8 (3.3 %)", "Abort it if in doubt. (serin abort support)", "idle for 2 h 5 min", "[25 %]", "needs you"] {
                assert!(words.contains(part), "{part:?} at {width}:\n{text}");
            }
        }
    }

    #[test]
    fn a_bot_that_waits_for_a_human_comes_first() {
        let (mut calm, mut watch) = (document(), document());
        (calm["bot"], calm["summary"]["urgency"]) = ("calm".into(), "none".into());
        (watch["bot"], watch["summary"]["urgency"]) = ("watch".into(), "watch".into());
        let text = visible(&table(&json!({ "bots": [calm, watch, document()] }), 100));
        let place = |name: &str| text.find(&format!("{name}  ")).unwrap();
        assert!(place("support") < place("watch") && place("watch") < place("calm"), "{text}");
    }
}
