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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::{Mixed, Plan};

    #[test]
    fn every_preset_makes_a_plan() {
        for preset in all() {
            let plan = Plan::new(Vec::new(), Some(preset), Mixed::Stable).unwrap();
            assert_eq!(plan.sources().len(), preset.sources.len(), "{}", preset.name);
            assert!(!preset.about.is_empty() && preset.sources.iter().all(|source| !source.starts_with("json:")));
            assert!(find(preset.name).is_some_and(|found| std::ptr::eq(found, preset)));
        }
        assert!(find("").is_none());
    }

    /// The table is for people; this keeps it true.
    #[test]
    fn the_documented_table_is_the_code() {
        let page = include_str!("../../../docs/identify.md");
        let documented: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.contains("MiB")).collect();
        let row = |preset: &&Preset| {
            let deadline = preset.deadline.map_or("none".to_owned(), |deadline| format!("{} s", deadline.as_secs()));
            let only = preset.only_ok.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            let success = if only.is_empty() { "2xx".to_owned() } else { only };
            let mark = if preset.experimental { " (experimental)" } else { "" };
            let mib = preset.body_cap / MIB;
            format!("| `{}`{mark} | {} | {deadline} | {mib} MiB | {success} |", preset.name, preset.about)
        };
        assert_eq!(documented, ALL.iter().map(row).collect::<Vec<_>>());
    }
}
