//! The option that names the config, for the commands that read one.

use std::path::PathBuf;

use clap::Args;

/// Where the config is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The config file
    #[arg(short, long, env = "SERIN_CONFIG", default_value = "serin.toml", value_name = "FILE")]
    pub config: PathBuf,
}
