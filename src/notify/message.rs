//! The content of a message, in words and numbers. `shape` turns it into each platform's format.

use super::evidence::Evidence;
use super::link::Act;
use crate::config::{Bot, Occasion};
use crate::core::{Release, Waits};
use crate::live::Status;
use crate::store::Row;
use crate::summary::{self, Summary};

/// The text of the link to the dashboard.
pub const OPEN: &str = "Open the page";

/// One message to one notifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Identifies the news. It stays the same when the message is sent again, so that receivers can discard duplicates.
    pub id: String,
    pub about: About,
    pub bot: String,
    /// RFC 3339, UTC.
    pub at: String,
    pub headline: String,
    pub facts: Vec<Fact>,
    pub links: Vec<Link>,
    /// The bot's address on the dashboard, if the config has a `public_url`.
    pub page: Option<String>,
    /// The change that the message is about, if any.
    pub change: Option<Row>,
    /// Why the weight stays: the hold's code and text.
    pub hold: Option<(&'static str, String)>,
    pub evidence: Option<Evidence>,
    /// How many messages before this one were dropped unsent.
    pub dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Occasion(Occasion),
    Test,
}

/// Decides a message's colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Asks,
    Bad,
    Good,
    Plain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub label: &'static str,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub act: Act,
    pub label: String,
    pub url: String,
    /// In Unix seconds.
    pub expires: u64,
}

impl About {
    pub fn name(self) -> &'static str {
        match self {
            About::Occasion(occasion) => occasion.name(),
            About::Test => "test",
        }
    }

    pub fn mood(self) -> Mood {
        match self {
            About::Occasion(Occasion::Held | Occasion::DrillDue) => Mood::Asks,
            About::Occasion(Occasion::Abort) => Mood::Bad,
            About::Occasion(Occasion::Promote) => Mood::Good,
            About::Occasion(Occasion::Start | Occasion::Step | Occasion::Teardown) | About::Test => Mood::Plain,
        }
    }
}

/// The occasion of a change; `None` if no occasion covers it. The decision is read as a string, because rows may be older than the
/// running serin.
pub fn occasion(row: &Row) -> Option<Occasion> {
    match row.decision.as_str() {
        "withdraw" if row.rehearsal => None,
        "abort" | "trip" | "retreat" | "undo" | "withdraw" => Some(Occasion::Abort),
        "promote" | "switch" => Some(Occasion::Promote),
        "start" => Some(Occasion::Start),
        "advance" => Some(Occasion::Step),
        "set_weight" | "resume" if row.from_percent != row.to_percent => Some(Occasion::Step),
        _ => None,
    }
}

/// The actions to offer with the message about a change.
pub fn offers(row: &Row) -> &'static [Act] {
    match row.decision.as_str() {
        "trip" | "retreat" if row.phase == "paused" => &[Act::Resume, Act::Abort],
        "start" | "advance" | "retreat" | "resume" | "set_weight" if row.to_percent > 0.0 => &[Act::Abort],
        "promote" | "switch" => &[Act::Undo],
        _ => &[],
    }
}

/// The message about a change.
pub fn of_change(instance: &str, row: &Row, occasion: Occasion, links: Vec<Link>, page: Option<String>) -> Message {
    let evidence = Evidence::of_row(row);
    let mut facts = Vec::new();
    fact(&mut facts, "Why", row.why.clone());
    let by = match row.actor_kind.as_str() {
        "ratchet" => "serin itself".to_owned(),
        "config" => "the config".to_owned(),
        _ => row.actor.clone(),
    };
    fact(&mut facts, "By", Some(by));
    fact(&mut facts, "Reason", row.reason.clone());
    // If the evidence decided, `why` contains the rates already.
    if row.actor_kind != "ratchet" || row.why.is_none() {
        facts.extend(evidence_fact(evidence.as_ref()));
    }
    fact(&mut facts, "To do", Some(summary::todo_after(row)));
    Message {
        id: format!("{instance}.{}.{}", row.bot, row.revision),
        about: About::Occasion(occasion),
        bot: row.bot.clone(),
        at: row.at.clone(),
        headline: format!("{}: {}", row.bot, summary::happened(row)),
        facts,
        links,
        page,
        change: Some(row.clone()),
        hold: None,
        evidence,
        dropped: 0,
    }
}

/// The message about a bot that waits for a human: its summary.
pub fn of_hold(
    instance: &str,
    bot: &str,
    status: &Status,
    waits: &Waits<'_>,
    at: String,
    links: Vec<Link>,
    page: Option<String>,
) -> Message {
    let state = &status.state;
    let summary = Summary::of(status);
    let (first, rest) = summary.state.split_once(". ").unwrap_or((summary.state.trim_end_matches('.'), ""));
    let mut facts = Vec::new();
    fact(&mut facts, "Stands", Some(rest.to_owned()));
    fact(&mut facts, "Customers", Some(summary.customers.clone()));
    fact(&mut facts, "Next", Some(summary.next.clone()));
    fact(&mut facts, "To do", Some(summary.todo.clone()));
    Message {
        id: format!("{instance}.{bot}.{}.held.{}", state.revision, waits.code()),
        about: About::Occasion(Occasion::Held),
        bot: bot.to_owned(),
        at,
        headline: format!("{bot} needs you: {first}"),
        facts,
        links,
        page,
        change: None,
        hold: Some((waits.code(), waits.to_string())),
        evidence: Evidence::of_status(status).filter(|_| state.under_way().is_some()),
        dropped: 0,
    }
}

/// The message about a config's release that cannot be started.
pub fn config_waits(instance: &str, bot: &Bot, status: &Status, wanted: &Release, why: &str, at: String, page: Option<String>) -> Message {
    let facts = vec![
        Fact { label: "Why", text: why.to_owned() },
        Fact { label: "Customers", text: format!("Everybody stays where they are; stable is {}.", status.state.stable) },
        Fact { label: "Next", text: "serin tries again every 10 s.".to_owned() },
        Fact { label: "To do", text: "Mend the release, or name another one in the config.".to_owned() },
    ];
    let id = format!("{instance}.{}.{}.config_waits", bot.name, status.state.revision);
    Message { page, ..plain(id, Occasion::Held, bot, at, &format!("the config's release {wanted} cannot be started"), facts) }
}

pub fn drill_due(instance: &str, bot: &Bot, last: i64, at: String) -> Message {
    let last_text = match jiff::Timestamp::from_second(last) {
        Ok(then) if last > 0 => then.to_string(),
        Ok(_) | Err(_) => "never".to_owned(),
    };
    let every = bot.drill_every.map_or(String::new(), crate::config::show_duration);
    let facts = vec![
        Fact { label: "Last drill", text: last_text },
        Fact { label: "Wanted every", text: every },
        Fact { label: "To do", text: format!("Run serin drill {}.", bot.name) },
    ];
    plain(format!("{instance}.{}.drill_due.{last}", bot.name), Occasion::DrillDue, bot, at, "a drill of the way back is due", facts)
}

pub fn teardown(instance: &str, bot: &Bot, status: &Status, mark: i64, at: String) -> Message {
    let former = status.state.previous.as_ref().map_or(String::new(), |former| former.release.to_string());
    let idle =
        status.previous.map_or(String::new(), |(idle, _)| crate::config::show_duration(std::time::Duration::from_secs(idle.as_secs())));
    let facts = vec![
        Fact { label: "Stable", text: status.state.stable.to_string() },
        Fact { label: "Idle for", text: idle },
        Fact { label: "To do", text: "Tear it down, or leave it: without it there is no undo.".to_owned() },
    ];
    let headline = format!("{former} is free to tear down");
    plain(format!("{instance}.{}.teardown.{mark}", bot.name), Occasion::Teardown, bot, at, &headline, facts)
}

fn plain(id: String, occasion: Occasion, bot: &Bot, at: String, headline: &str, facts: Vec<Fact>) -> Message {
    Message {
        id,
        about: About::Occasion(occasion),
        bot: bot.name.to_string(),
        at,
        headline: format!("{}: {headline}", bot.name),
        facts,
        links: Vec::new(),
        page: None,
        change: None,
        hold: None,
        evidence: None,
        dropped: 0,
    }
}

/// A message by which an operator tests a notifier.
pub fn test(instance: &str, notifier: &str, at: String, unique: &str) -> Message {
    Message {
        id: format!("{instance}.test.{unique}"),
        about: About::Test,
        bot: String::new(),
        at,
        headline: "serin: this is a test".to_owned(),
        facts: vec![Fact { label: "Notifier", text: notifier.to_owned() }],
        links: Vec::new(),
        page: None,
        change: None,
        hold: None,
        evidence: None,
        dropped: 0,
    }
}

/// The evidence as one fact, if there is any.
fn evidence_fact(evidence: Option<&Evidence>) -> Vec<Fact> {
    evidence.map(|evidence| Fact { label: "Seen", text: evidence.text() }).into_iter().collect()
}

fn fact(facts: &mut Vec<Fact>, label: &'static str, text: Option<String>) {
    facts.extend(text.filter(|text| !text.is_empty()).map(|text| Fact { label, text }));
}

impl Message {
    /// The message as plain text: the headline, then one fact per line.
    pub fn text(&self) -> String {
        let lines = self.lines().into_iter().map(|fact| format!("{}: {}", fact.label, fact.text));
        std::iter::once(self.headline.clone()).chain(lines).collect::<Vec<_>>().join("\n")
    }

    /// The facts, with one about dropped messages if there were any.
    pub fn lines(&self) -> Vec<Fact> {
        let mut facts = self.facts.clone();
        if self.dropped > 0 {
            facts.push(Fact { label: "Not told", text: format!("{} earlier messages were dropped; the history has them", self.dropped) });
        }
        facts
    }
}
