//! `serin check`: read a config and say what is wrong with it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Bot, Config};

#[derive(Debug, Args)]
pub struct Check {
    /// The config file
    #[arg(env = "SERIN_CONFIG", default_value = "serin.toml")]
    file: PathBuf,
}

impl Check {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match config::load(&self.file) {
            Ok(config) => {
                print!("{}", summary(&config));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                eprintln!("{error}");
                Ok(ExitCode::from(2))
            }
        }
    }
}

fn summary(config: &Config) -> String {
    let mut text = format!("listen {}, admin {}, {} workers\n", config.proxy.listen, config.admin.listen, config.proxy.workers);
    for bot in &config.bots {
        text += &describe(bot);
    }
    for warning in &config.warnings {
        text += &format!("warning: {warning}\n");
    }
    text + "ok\n"
}

fn describe(bot: &Bot) -> String {
    let host = bot.matches.host.as_deref().unwrap_or("any host");
    let path = bot.matches.path_prefix.as_deref().unwrap_or("/");
    let name = |index: usize| bot.upstreams[index].name.to_string();
    let canary = bot.canary.map_or("none".to_owned(), name);
    let sources: Vec<_> = bot.plan.sources().iter().map(ToString::to_string).collect();
    let sources = match bot.preset {
        Some(preset) if sources == preset.sources => format!("preset {}", preset.name),
        Some(_) | None => sources.join(", "),
    };
    format!(
        "bot {}: {host} {path}; stable {}, canary {canary} at {}\n  workspace from {}\n",
        bot.name,
        name(bot.stable),
        bot.weight,
        sources
    )
}
