//! `serin notify --test`: sends a test message and prints whether it arrived.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::client::{AdminAddress, Client};
use super::status::plain;

#[derive(Debug, Args)]
pub struct Notify {
    /// Send a test message through the notifier NAME; without NAME, through all notifiers
    #[arg(long, required = true, num_args = 0..=1, value_name = "NAME")]
    test: Option<Option<String>>,
    /// Print the API's JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

/// Each receiver has 10 s, and serin sends to all of them at once.
const PATIENCE_SECS: u64 = 30;

impl Notify {
    /// Returns exit code 1 if a message did not arrive.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let body = json!({ "notifier": self.test.flatten() });
        let document = Client::new(&self.address)?.patient(PATIENCE_SECS).post("/v1/notifications/test", &body, None)?;
        let tests = document["tests"].as_array().cloned().unwrap_or_default();
        if self.json {
            println!("{document}");
        } else if tests.is_empty() {
            println!("the config has no [[notify]]");
        }
        for test in tests.iter().filter(|_| !self.json) {
            let said = test["answer"].as_str().filter(|said| !said.is_empty()).map_or(String::new(), |said| format!(": {said}"));
            let how = if test["sent"] == true { "sent" } else { "NOT sent" };
            println!("{}: {how}, {}{said}", plain(&test["notifier"]), plain(&test["outcome"]));
        }
        Ok(if tests.iter().all(|test| test["sent"] == true) { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}
