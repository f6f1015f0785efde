//! What is known of each platform, as tables: where the id is, how the platform verifies a URL, how it marks a retry, and which
//! statuses it counts as a success. Each family of platforms has a file. A preset that could not be checked against the vendor's
//! documentation is marked `experimental`.

mod chat;
mod commerce;
mod discord;
mod entry;
mod github;
mod mark;
mod slack;

pub use entry::Preset;
pub(super) use mark::{Literal, Mark, RetryMark};

/// In the order of the documentation.
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

/// All presets, for tables.
pub fn all() -> impl Iterator<Item = &'static Preset> {
    ALL.into_iter()
}

#[cfg(test)]
mod tests {
    use super::entry::MIB;
    use super::*;
    use crate::identify::{Extractor, Mixed};

    #[test]
    fn every_preset_makes_a_plan() {
        for preset in all() {
            let extractor = Extractor::new(Vec::new(), Some(preset), Mixed::Stable).unwrap();
            assert_eq!(extractor.sources().len(), preset.sources.len(), "{}", preset.name);
            assert!(!preset.about.is_empty() && preset.sources.iter().all(|source| !source.starts_with("json:")));
            assert!(find(preset.name).is_some_and(|found| std::ptr::eq(found, preset)));
        }
        assert!(find("").is_none());
    }

    /// Compares the table in the documentation with the code.
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
