//! The option that names the config, for the commands that read one.

use std::path::PathBuf;

use clap::Args;

/// Where the config is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Read the config from this file
    #[arg(short, long, env = "SERIN_CONFIG", default_value = "serin.toml", value_name = "FILE")]
    pub config: PathBuf,
}
