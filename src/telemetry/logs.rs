//! Logs: human lines on a terminal, JSON elsewhere.

use std::io::IsTerminal;

use tracing::Level;

/// To standard error, so that a command's own output stays clean. `SERIN_LOG` sets the level: error, warn, info, debug.
pub fn init() {
    let level = std::env::var("SERIN_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_writer(std::io::stderr);
    // A second call (a test in the same process) finds a subscriber in place: that one stays.
    let _ = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().flatten_event(true).try_init() };
}
