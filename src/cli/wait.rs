//! `serin wait`: makes a pipeline wait. Exit codes: 0 reached, 3 taken back, 4 not in time, 5 a human is asked.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::client::{AdminAddress, Client};
use super::status::{percent, plain, release};
use crate::config::parse_duration;
use crate::core::Weight;
use crate::summary::words::lasting;

#[derive(Debug, Args)]
pub struct Wait {
    /// The bot
    bot: String,
    /// The version of the release to wait for
    #[arg(long, required_unless_present = "drill_younger_than")]
    version: Option<String>,
    /// The state to wait for: promoted, aborted, or step:25% (this weight or more)
    #[arg(long, default_value = "promoted", value_name = "WHAT")]
    until: Until,
    /// The longest time to wait, such as 30m; after it, the exit code is 4
    #[arg(long, default_value = "1h", value_parser = parse_duration)]
    timeout: Duration,
    /// End with exit code 5 once the rollout has waited this long for a human
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    held_for: Duration,
    /// End with exit code 1 once serin has not answered for this long, such as in a restart; --timeout is not checked meanwhile
    #[arg(long, default_value = "1m", value_parser = parse_duration)]
    away_for: Duration,
    /// Do not wait: only check that a drill succeeded within this time, such as 30d
    #[arg(long, value_parser = parse_duration, value_name = "AGE", conflicts_with = "version")]
    drill_younger_than: Option<Duration>,
    #[command(flatten)]
    address: AdminAddress,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    Promoted,
    Aborted,
    Step(Weight),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Until, String> {
        match text {
            "promoted" => Ok(Until::Promoted),
            "aborted" => Ok(Until::Aborted),
            other => match other.strip_prefix("step:").map(str::parse) {
                Some(Ok(weight)) => Ok(Until::Step(weight)),
                Some(Err(error)) => Err(format!("{error}; write step:25%")),
                None => Err("write promoted, aborted or step:25%".to_owned()),
            },
        }
    }
}

/// What the bot's document says about the awaited release.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Reached,
    TakenBack,
    /// The release was under way and was not taken back, but another one has replaced it.
    GivenUp,
    Held,
    OnItsWay,
    NotYet,
}

const EVERY: Duration = Duration::from_secs(1);
const TAKEN_BACK: u8 = 3;
const NOT_IN_TIME: u8 = 4;
const HELD: u8 = 5;

/// The state that was printed last.
#[derive(Default)]
struct LastPrinted(String);

impl LastPrinted {
    /// Prints the bot's state to standard error, if its phase or its weight has changed.
    fn print_if_changed(&mut self, bot: &Value) {
        let now = format!("{} at {}", plain(&bot["phase"]), percent(&bot["weight_percent"]));
        if now != self.0 {
            eprintln!("{}: {now}. {}", plain(&bot["bot"]), plain(&bot["summary"]["state"]));
            self.0 = now;
        }
    }
}

impl Wait {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.address)?;
        let path = format!("/v1/bots/{}", self.bot);
        if let Some(age) = self.drill_younger_than {
            return drilled(&client.get(&path)?, age);
        }
        let version = self.version.as_deref().unwrap_or("");
        let (began, mut away, mut held, mut begun) = (Instant::now(), None::<Instant>, None::<Instant>, false);
        let mut printed = LastPrinted::default();
        loop {
            let bot = match client.get(&path) {
                Ok(bot) => bot,
                // A restart of serin during a rollout must not fail a pipeline.
                Err(error) if error.to_string().starts_with("no serin answers") => {
                    if away.get_or_insert_with(Instant::now).elapsed() >= self.away_for {
                        return Err(error);
                    }
                    std::thread::sleep(EVERY.min(self.away_for));
                    continue;
                }
                Err(error) => return Err(error),
            };
            away = None;
            let progress = progress(&bot, version, self.until, begun);
            printed.print_if_changed(&bot);
            begun |= matches!(progress, Progress::Held | Progress::OnItsWay);
            match progress {
                Progress::Reached => {
                    println!("{version}: {}", plain(&bot["summary"]["state"]));
                    return Ok(ExitCode::SUCCESS);
                }
                Progress::TakenBack => {
                    eprintln!("serin: {version} was taken back: {}", why(&bot, version));
                    return Ok(ExitCode::from(TAKEN_BACK));
                }
                Progress::GivenUp => {
                    let now = if bot["step"].is_null() { &bot["stable"] } else { &bot["canary"] };
                    eprintln!("serin: {version} is not rolled out any more: {} has its place", release(now));
                    return Ok(ExitCode::from(TAKEN_BACK));
                }
                Progress::Held => {
                    if held.get_or_insert_with(Instant::now).elapsed() >= self.held_for {
                        eprintln!("serin: {version} waits for a human: {}", plain(&bot["summary"]["text"]));
                        return Ok(ExitCode::from(HELD));
                    }
                }
                Progress::OnItsWay | Progress::NotYet => held = None,
            }
            if began.elapsed() >= self.timeout {
                let waited = crate::config::show_duration(self.timeout);
                eprintln!("serin: {version} is not there after {waited}: {}", plain(&bot["summary"]["text"]));
                return Ok(ExitCode::from(NOT_IN_TIME));
            }
            std::thread::sleep(EVERY.min(self.timeout));
        }
    }
}

/// `begun` says that the release was under way before. What serves goes before the quarantine, because a version may have been
/// taken back from one upstream and serve on another.
fn progress(bot: &Value, version: &str, until: Until, begun: bool) -> Progress {
    let is = |of: &Value| of["version"] == version;
    let taken_back = bot["quarantine"].as_array().into_iter().flatten().any(|one| one["version"] == version);
    let (stable, under_way) = (is(&bot["stable"]), is(&bot["canary"]) && !bot["step"].is_null());
    let weight = bot["weight_percent"].as_f64().unwrap_or(0.0);
    match until {
        Until::Promoted | Until::Step(_) if stable => Progress::Reached,
        Until::Step(least) if under_way && weight >= least.percent() => Progress::Reached,
        _ if under_way && !bot["waits_for_human"].is_null() => Progress::Held,
        _ if under_way => Progress::OnItsWay,
        Until::Aborted if taken_back => Progress::Reached,
        Until::Promoted | Until::Step(_) if taken_back => Progress::TakenBack,
        _ if begun && !stable => Progress::GivenUp,
        _ => Progress::NotYet,
    }
}

fn why(bot: &Value, version: &str) -> String {
    let found = bot["quarantine"].as_array().into_iter().flatten().find(|one| one["version"] == version);
    found.map_or("-".to_owned(), |one| plain(&one["why"]))
}

fn drilled(bot: &Value, age: Duration) -> anyhow::Result<ExitCode> {
    let Some(at) = bot["drilled_at"].as_f64() else { bail!("no drill has gone well yet: serin drill {}", plain(&bot["bot"])) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    let seconds = (now - at).max(0.0);
    if seconds > age.as_secs_f64() {
        bail!("the last drill is {} old: serin drill {}", lasting(Duration::from_secs_f64(seconds)), plain(&bot["bot"]));
    }
    println!("the last drill went well {} ago", lasting(Duration::from_secs_f64(seconds)));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_look_says_where_a_version_is() {
        let bot = |phase: &str, stable: &str, canary: &str, weight: f64, taken_back: &str| {
            let asked = ["held", "paused"].contains(&phase).then(|| json!({ "reason": "marginal", "text": "E = 31" }));
            json!({
                "phase": phase, "stable": { "version": stable }, "canary": { "version": canary }, "step": 1, "weight_percent": weight,
                "quarantine": [{ "version": taken_back, "why": "E = 211" }],
                "waits_for_human": asked,
            })
        };
        let step = Until::Step("25%".parse().unwrap());
        let first = |bot: &Value, until| progress(bot, "v2", until, false);
        assert_eq!(first(&bot("progressing", "v1", "v2", 10.0, ""), step), Progress::OnItsWay);
        assert_eq!(first(&bot("progressing", "v1", "v2", 50.0, ""), step), Progress::Reached);
        assert_eq!(first(&bot("held", "v1", "v2", 10.0, ""), Until::Promoted), Progress::Held);
        assert_eq!(first(&bot("paused", "v1", "v2", 0.0, ""), step), Progress::Held, "the breaker took it to nobody");
        assert_eq!(first(&bot("promoted", "v2", "", 0.0, ""), Until::Promoted), Progress::Reached);
        assert_eq!(first(&bot("aborted", "v1", "", 0.0, "v2"), Until::Promoted), Progress::TakenBack);
        assert_eq!(first(&bot("aborted", "v1", "", 0.0, "v2"), Until::Aborted), Progress::Reached);
        assert_eq!(first(&bot("held", "v1", "v3", 10.0, ""), Until::Promoted), Progress::NotYet, "it is another one that waits");
        assert_eq!(first(&bot("promoted", "v2", "", 0.0, "v2"), Until::Promoted), Progress::Reached, "once on another upstream");
        assert_eq!(first(&bot("progressing", "v1", "v2", 10.0, "v2"), Until::Promoted), Progress::OnItsWay, "the same");
        assert_eq!(progress(&bot("progressing", "v1", "v3", 10.0, ""), "v2", Until::Promoted, true), Progress::GivenUp, "replaced");
    }

    #[test]
    fn what_to_wait_for_is_one_of_three() {
        assert!(matches!("step:12.5%".parse(), Ok(Until::Step(_))));
        for text in ["", "step:", "step:200%", "Promoted"] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
    }
}
