//! `serin run`: serve.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::ConfigFile;
use crate::{app, config, telemetry};

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    file: ConfigFile,
}

impl Run {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
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
        telemetry::logs::init(&config.log).context("cannot start the log")?;
        let ended = app::run(config, &path, systemd);
        // Also where it failed: what was said before belongs before the error.
        telemetry::logs::flush();
        ended?;
        Ok(ExitCode::SUCCESS)
    }
}
