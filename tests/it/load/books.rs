//! The books: what the bots received of each webhook, held against what its client was told.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub struct Books(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    webhooks: HashMap<u64, Counts>,
    /// What was not as its client has sent it.
    changed: Vec<String>,
}

/// How often a bot has read the head of a webhook, and how often all of it.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    begun: u8,
    whole: u8,
}

/// What a client knows of its webhook in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Answered(u16),
    /// A success that is not the answer to this webhook, byte for byte.
    Wrong(Box<str>),
    Broken(Box<str>),
    /// The client left without waiting for the answer.
    Left,
}

/// The balance. Its `Display` is a table.
#[derive(Debug, Default)]
pub struct Balance {
    pub sent: usize,
    pub delivered: usize,
    /// How many were told what, and how many of these a bot has received whole.
    told: BTreeMap<String, (usize, usize)>,
    /// Why there was no whole answer, where no bot had received the webhook whole either.
    pub refused: BTreeMap<Box<str>, usize>,
    pub violations: Vec<String>,
}

impl Books {
    pub fn begins(&self, id: u64) {
        let mut received = self.0.lock().unwrap();
        let counts = received.webhooks.entry(id).or_default();
        counts.begun = counts.begun.saturating_add(1);
    }

    /// A bot has the whole webhook. `change` says what is not as it was sent.
    pub fn is_whole(&self, id: u64, change: Option<String>) {
        let mut received = self.0.lock().unwrap();
        let counts = received.webhooks.entry(id).or_default();
        counts.whole = counts.whole.saturating_add(1);
        received.changed.extend(change.map(|change| format!("{id}: {change}")));
    }

    /// A request that is no webhook of ours.
    pub fn is_strange(&self, what: String) {
        self.0.lock().unwrap().changed.push(what);
    }

    /// How many webhooks have reached a bot, at least their heads.
    pub fn begun(&self) -> usize {
        self.0.lock().unwrap().webhooks.values().map(|counts| usize::from(counts.begun)).sum()
    }

    /// What was answered with a success was delivered once; everything else at most once.
    pub fn balance<'t>(&self, told: impl Iterator<Item = &'t (u64, Told)>) -> Balance {
        let received = self.0.lock().unwrap();
        let mut balance = Balance { violations: received.changed.clone(), ..Balance::default() };
        let mut known = 0;
        for (id, told) in told {
            balance.sent += 1;
            let counts = received.webhooks.get(id).copied();
            known += usize::from(counts.is_some());
            let Counts { begun, whole } = counts.unwrap_or_default();
            let success = matches!(told, Told::Answered(200..300));
            balance.delivered += usize::from(success);
            let row = balance.told.entry(told.kind()).or_default();
            *row = (row.0 + 1, row.1 + usize::from(whole));
            if let (Told::Broken(why), 0) = (told, whole) {
                *balance.refused.entry(why.clone()).or_default() += 1;
            }
            let wrong = matches!(told, Told::Wrong(_)) || begun > 1 || whole > 1 || (success && (begun, whole) != (1, 1));
            if wrong {
                balance.violations.push(format!("{id} was told {told:?}, begun {begun} times and received {whole} times"));
            }
        }
        if known != received.webhooks.len() {
            balance.violations.push(format!("{} webhooks that no client has sent", received.webhooks.len() - known));
        }
        balance
    }
}

impl Told {
    fn kind(&self) -> String {
        match self {
            Told::Answered(status) => status.to_string(),
            Told::Wrong(_) => "another's answer".to_owned(),
            Told::Broken(_) => "no whole answer".to_owned(),
            Told::Left => "the client left".to_owned(),
        }
    }
}

impl Balance {
    #[track_caller]
    pub fn adds_up(&self) {
        let shown = &self.violations[..self.violations.len().min(10)];
        assert!(self.violations.is_empty(), "{} violations: {shown:#?}", self.violations.len());
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20}{:>12}{:>22}", "told", "webhooks", "received by a bot")?;
        for (told, (count, whole)) in &self.told {
            writeln!(f, "{told:<20}{count:>12}{whole:>22}")?;
        }
        write!(f, "{:<20}{:>12}", "all", self.sent)?;
        self.refused.iter().try_for_each(|(why, count)| write!(f, "\nneither answered nor received: {count}: {why}"))
    }
}

#[test]
fn books_find_what_is_lost_doubled_or_changed() {
    let told = |id, status| (id, Told::Answered(status));
    let violations = |received: &[(u64, u8)], told: &[(u64, Told)]| {
        let books = Books::default();
        for (id, times) in received {
            (0..*times).for_each(|_| (books.begins(*id), books.is_whole(*id, None)).0);
        }
        books.balance(told.iter()).violations.len()
    };
    assert_eq!(violations(&[(1, 1), (2, 1)], &[told(1, 200), told(2, 502), (3, Told::Left), told(4, 503)]), 0);
    assert_eq!(violations(&[], &[told(1, 200)]), 1, "lost");
    assert_eq!(violations(&[(1, 2)], &[told(1, 200)]), 1, "doubled");
    assert_eq!(violations(&[(1, 2)], &[told(1, 502)]), 1, "doubled, and not a success");
    assert_eq!(violations(&[(1, 1), (2, 1)], &[told(1, 200)]), 1, "from nowhere");
    assert_eq!(violations(&[(1, 1)], &[(1, Told::Wrong("".into()))]), 1, "another's answer");
    let books = Books::default();
    books.begins(1);
    assert_eq!(books.balance([told(1, 200)].iter()).violations.len(), 1, "in part");
    books.is_whole(1, Some("the body".to_owned()));
    assert_eq!(books.balance([told(1, 200)].iter()).violations, ["1: the body"]);
}
