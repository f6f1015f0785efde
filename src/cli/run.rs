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
        // Nothing is served yet, and the config is read below: until the reload listens, a SIGHUP has nothing to say.
        // SAFETY: no handler is called.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
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
        let _flushed = Flushed;
        app::run(config, &path, systemd)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// However it ends: what was said before belongs before the error.
struct Flushed;

impl Drop for Flushed {
    fn drop(&mut self) {
        telemetry::logs::flush();
    }
}
