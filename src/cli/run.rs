//! `serin run`: serves.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::config_file::ConfigFile;
use crate::{app, config, logs};

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Take over from the serin that is running with the same history, without losing a webhook; if none is running, start as usual
    #[arg(long)]
    take_over: bool,
}

impl Run {
    #[allow(unsafe_code, reason = "`take` can be called only where there is one thread and no open file, and that is here")]
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        // Nothing is served yet, and the config is read below.
        app::signals::survive_early_signals();
        // SAFETY: nothing was started or opened yet.
        let systemd = unsafe { app::systemd::take() }?;
        let path = self.file.config;
        let config = match config::load(&path) {
            Ok(config) => config,
            Err(error) => {
                eprintln!("{error}");
                if !path.exists() {
                    eprintln!("\nA config to begin with (config/serin.toml explains every key):\n\n{}", config::MINIMAL);
                }
                return Ok(ExitCode::from(2));
            }
        };
        logs::init(&config.log).context("cannot start the log")?;
        let _flushed = Flushed;
        let start = if self.take_over { app::Start::TakeOver } else { app::Start::Alone };
        app::run(config, &path, systemd, start)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the log's remaining lines at any end, so that they come before the error.
struct Flushed;

impl Drop for Flushed {
    fn drop(&mut self) {
        logs::flush();
    }
}
