//! `serin demo`.

use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Demo {}

impl Demo {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}
