//! Load: clients of all protocols (`Clients`), bots that check what they get and can fail (`Bot`), serins that follow one another
//! (`Succession`), clients that mean ill (`Crowd`, `Handshakes`), and books of what became of each webhook (`Books`). Each webhook follows from its number (`Webhook`), so that both
//! ends know every byte of it.

mod books;
mod bot;
mod clients;
mod crowd;
mod front;
mod http1;
mod http2;
mod pipe;
mod succession;
mod vitals;
mod webhook;

pub use books::{Books, Told};
pub use bot::{Bot, TIMEOUT};
pub use clients::{Clients, Sent, per_mille};
pub use crowd::{Crowd, Habit, Handshakes};
pub use front::Place;
pub use succession::Succession;
pub use vitals::{Sample, Vitals, per_minute};
pub use webhook::scatter;

use crate::harness::Config;

/// What webhooks are like, and what goes wrong. Clients and bots of one test have the same.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Bodies of up to 300 kB and answers of up to 40 kB, some with `Expect: 100-continue`. Else up to 2 kB and 100 bytes.
    pub long: bool,
    /// Clients that break off, of 1,000.
    pub leave_per_mille: u64,
    /// Webhooks at which the bot fails, of 1,000.
    pub faults_per_mille: u64,
}

impl Mix {
    /// Short webhooks, and nothing fails.
    pub const SHORT: Mix = Mix { long: false, leave_per_mille: 0, faults_per_mille: 0 };
    pub const ALL: Mix = Mix { long: true, leave_per_mille: 20, faults_per_mille: 40 };
}

/// The bot `support` with these two, with its workspace in a header or in the body.
pub fn split(blue: &Bot, green: &Bot) -> Config {
    Config::identified("workspace = [\"header:X-Workspace\", \"json:/team_id\"]", blue.address, green.address).drain("25s")
}
