//! What is known of each platform, as tables: where the id is, how the platform verifies a URL, how it marks what it
//! sends again, what it takes for a success. A family of platforms has a file. What nobody could check against the
//! vendor's own words is marked `experimental`.

mod chat;
mod commerce;
mod discord;
mod github;
mod slack;

use std::time::Duration;

use super::marks::{Mark, RetryMark};

#[derive(Debug)]
pub struct Preset {
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Its id row is from memory, not checked against the vendor: said by `serin check`.
    pub experimental: bool,
    pub sources: &'static [&'static str],
    /// The platform gives up waiting for the first byte then.
    pub deadline: Option<Duration>,
    /// Bodies up to this are looked into, in bytes.
    pub body_cap: usize,
    /// Statuses besides 2xx that the platform takes for a success.
    pub also_ok: &'static [u16],
    /// Where only these are a success, instead of 2xx.
    pub only_ok: &'static [u16],
    /// What the platform writes where there is no id.
    pub(super) never: &'static [&'static str],
    pub(super) handshakes: &'static [Mark],
    pub(super) retry: Option<RetryMark>,
}

const MIB: usize = 1 << 20;

/// What holds where a platform says nothing else.
const PLAIN: Preset = Preset {
    name: "",
    about: "",
    experimental: false,
    sources: &[],
    deadline: None,
    body_cap: MIB,
    also_ok: &[],
    only_ok: &[],
    never: &[],
    handshakes: &[],
    retry: None,
};

/// In the order in which people read of them.
static ALL: [&Preset; 13] = [
    &slack::SLACK,
    &slack::SLACK_ENTERPRISE,
    &discord::INTERACTIONS,
    &discord::EVENTS,
    &chat::TELEGRAM,
    &chat::TEAMS,
    &github::APP,
    &github::APP_INSTALLATION,
    &chat::META,
    &chat::LINE,
    &commerce::TWILIO,
    &commerce::STRIPE,
    &commerce::SHOPIFY,
];

pub fn find(name: &str) -> Option<&'static Preset> {
    all().find(|preset| preset.name == name)
}

pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|preset| preset.name)
}

/// Every preset, for tables.
pub fn all() -> impl Iterator<Item = &'static Preset> {
    ALL.into_iter()
}

const fn secs(secs: u64) -> Option<Duration> {
    Some(Duration::from_secs(secs))
}
