//! `serin completions` and `serin man`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell that the completions are for
    shell: Shell,
}

impl Completions {
    pub fn execute(self, mut serin: Command) -> anyhow::Result<ExitCode> {
        // Generated in memory first, because a pipe that is closed early is no error of serin.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut serin, "serin", &mut text);
        print(&text)
    }
}

#[derive(Debug, Args)]
pub struct Man {
    /// Write one page per command into this directory
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

impl Man {
    pub fn execute(self, serin: Command) -> anyhow::Result<ExitCode> {
        match self.out {
            Some(directory) => {
                std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
                clap_mangen::generate_to(serin, &directory).with_context(|| format!("cannot write to {}", directory.display()))?;
                Ok(ExitCode::SUCCESS)
            }
            None => {
                let mut text = Vec::new();
                clap_mangen::Man::new(serin).render(&mut text)?;
                print(&text)
            }
        }
    }
}

fn print(text: &[u8]) -> anyhow::Result<ExitCode> {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
