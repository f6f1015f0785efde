//! What is simulated: the scenarios by name or from a file, and the policy from a config.

use std::path::Path;

use anyhow::bail;

use crate::config;
use crate::sim::rules::{Judge, SerinSettings};
use crate::sim::scenario::{self, Scenario};

pub fn judge(text: &str) -> Result<Judge, String> {
    let names = || Judge::ALL.map(Judge::name);
    Judge::ALL.into_iter().find(|judge| judge.name() == text).ok_or_else(|| match config::nearest(text, names()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("write one or more of {}", names().join(", ")),
    })
}

/// Scenarios by name, `all`, or from a file. A name in the library goes before a path.
pub fn scenarios(text: &str) -> anyhow::Result<Vec<Scenario>> {
    let library = scenario::library();
    if text == "all" {
        return Ok(library);
    }
    if let Some(one) = library.iter().find(|scenario| scenario.name == text) {
        return Ok(vec![one.clone()]);
    }
    if Path::new(text).exists() || text.ends_with(".toml") || text.contains('/') {
        return Ok(scenario::load(Path::new(text))?);
    }
    let names: Vec<&str> = library.iter().map(|scenario| scenario.name.as_str()).collect();
    match config::nearest(text, names.iter().copied()) {
        Some(near) => bail!("there is no scenario {text}: did you mean {near}?"),
        None => bail!("there is no scenario {text}, neither a file: write all, a file, or one of {}", names.join(", ")),
    }
}

/// The plan and the guard of a bot in the config, or the defaults without a config. Only this function passes a config to the
/// simulation.
pub fn settings(file: Option<&Path>, bot: Option<&str>) -> anyhow::Result<SerinSettings> {
    let Some(file) = file else { return Ok(SerinSettings::default()) };
    let config = config::load(file)?;
    let names: Vec<String> = config.bots.iter().map(|bot| bot.name.to_string()).collect();
    let found = match bot {
        Some(name) => config.bots.iter().find(|bot| bot.name.to_string() == name),
        None if config.bots.len() == 1 => config.bots.first(),
        None => bail!("{} has several bots: choose one with --bot, of {}", file.display(), names.join(", ")),
    };
    let Some(bot) = found else { bail!("{} has no bot {}, but {}", file.display(), bot.unwrap_or(""), names.join(", ")) };
    Ok(SerinSettings { plan: bot.rollout.clone(), guard: bot.guard.clone(), ..SerinSettings::default() })
}
