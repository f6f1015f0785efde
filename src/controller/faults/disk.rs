//! A simulated history: the rows that are on the disk, and what the disk does to those that are to be.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::store::{Append, Checkpoint, Claim, Entry, Found, Health, Kept, NotDurable, Ticket, Unwritten, Written};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Works,
    /// Takes nothing, and says nothing.
    Hangs,
    /// Refuses everything.
    Full,
    /// Says that rows are on it, and loses them with the power.
    Lies,
}

#[derive(Default)]
pub struct Disk {
    /// By bot and revision.
    pub rows: BTreeMap<(String, u64), Entry>,
    /// Of these it only says so.
    cached: Vec<(String, u64)>,
    /// When the power last failed, some were lost.
    pub lied: bool,
    snapshots: HashMap<String, Checkpoint>,
    pasts: HashMap<String, Vec<u8>>,
    pub queue: VecDeque<Append>,
    /// Rows of what serves already, by bot.
    unwritten: BTreeMap<String, VecDeque<(Ticket, Entry)>>,
    rows_left: HashMap<Ticket, usize>,
    pub mode: Mode,
    /// A bot whose rows it never takes.
    pub bad: Option<&'static str>,
    pub health: Health,
}

impl Disk {
    /// Works on the next order; nothing if there is none, or the disk hangs.
    pub fn work(&mut self) -> Vec<Written> {
        if self.mode == Mode::Hangs {
            return Vec::new();
        }
        let mut answers = Vec::new();
        if let Some(Append { ticket, entries, unwritten }) = self.queue.pop_front() {
            match unwritten {
                Unwritten::Keep => {
                    self.rows_left.insert(ticket, entries.len());
                    entries.into_iter().for_each(|entry| self.unwritten.entry(entry.bot.clone()).or_default().push_back((ticket, entry)));
                }
                Unwritten::Drop(claim) => {
                    self.write_what_waits(&mut answers);
                    answers.push(Written { ticket, result: self.write_or_drop(entries, &claim) });
                }
            }
        }
        self.write_what_waits(&mut answers);
        answers
    }

    fn write_or_drop(&mut self, entries: Vec<Entry>, claim: &Claim) -> Result<(), NotDurable> {
        let why = if claim.is_given_up() { Some("given up".to_owned()) } else { entries.iter().find_map(|entry| self.refuses(&entry.bot)) };
        if let Some(why) = why.or_else(|| entries.iter().find(|entry| self.unwritten.contains_key(&entry.bot)).map(|_| "behind".to_owned()))
        {
            return Err(NotDurable(why));
        }
        if !claim.written() {
            return Err(NotDurable("given up".to_owned()));
        }
        entries.into_iter().for_each(|entry| self.insert(entry));
        Ok(())
    }

    fn refuses(&mut self, bot: &str) -> Option<String> {
        let full = (self.mode == Mode::Full).then(|| "the disk is full".to_owned());
        let bad = (self.bad == Some(bot)).then(|| "a bad row".to_owned());
        self.health.failing = full.clone();
        if let Some(bad) = &bad {
            self.health.bots.insert(bot.to_owned(), bad.clone());
        }
        full.or(bad)
    }

    fn write_what_waits(&mut self, answers: &mut Vec<Written>) {
        for bot in self.unwritten.keys().cloned().collect::<Vec<_>>() {
            if self.refuses(&bot).is_some() {
                continue;
            }
            self.health.bots.remove(&bot);
            for (ticket, entry) in self.unwritten.remove(&bot).into_iter().flatten() {
                self.insert(entry);
                let left = self.rows_left.entry(ticket).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.rows_left.remove(&ticket);
                    answers.push(Written { ticket, result: Ok(()) });
                }
            }
        }
        if self.mode != Mode::Full {
            self.health.failing = None;
        }
        let unwritten = &self.unwritten;
        self.health.bots.retain(|bot, _| unwritten.contains_key(bot));
    }

    fn insert(&mut self, entry: Entry) {
        let key = (entry.bot.clone(), entry.state.revision);
        if self.mode == Mode::Lies {
            self.cached.push(key.clone());
        }
        self.rows.insert(key, entry);
    }

    pub fn snapshot(&mut self, snapshots: Vec<Checkpoint>) {
        for snapshot in snapshots {
            if let Some(past) = &snapshot.past {
                self.pasts.insert(snapshot.bot.clone(), past.clone());
            }
            self.snapshots.insert(snapshot.bot.clone(), snapshot);
        }
    }

    /// The process is killed: what was still to be written is lost, but for an order that a disk that hangs had begun with, perhaps.
    pub fn process_dies(&mut self, begun_is_written: bool) {
        if let Some(Append { entries, unwritten, .. }) = self.queue.pop_front()
            && begun_is_written
            && self.mode == Mode::Hangs
            && !matches!(&unwritten, Unwritten::Drop(claim) if claim.is_given_up())
            && entries.iter().all(|entry| !self.unwritten.contains_key(&entry.bot))
        {
            entries.into_iter().for_each(|entry| self.insert(entry));
        }
        self.lied = false;
        self.queue.clear();
        self.unwritten.clear();
        self.rows_left.clear();
        self.health = Health::default();
    }

    /// What a disk that lies has only said. Snapshots are lost with it, or not.
    pub fn power_fails(&mut self) {
        self.lied = !self.cached.is_empty();
        for key in std::mem::take(&mut self.cached) {
            self.rows.remove(&key);
        }
    }

    /// What was written without waiting for the disk.
    pub fn loses_snapshots(&mut self) {
        self.snapshots.clear();
    }

    /// The last row of a bot.
    pub fn last(&self, bot: &str) -> Option<&Entry> {
        self.rows.range((bot.to_owned(), 0)..=(bot.to_owned(), u64::MAX)).next_back().map(|(_, entry)| entry)
    }

    pub fn has(&self, bot: &str, revision: u64) -> bool {
        self.rows.contains_key(&(bot.to_owned(), revision))
    }

    /// Is something ordered that is not on it?
    pub fn is_behind(&self) -> bool {
        !self.queue.is_empty() || !self.unwritten.is_empty()
    }

    /// What the next process finds.
    pub fn found(&self) -> Found {
        let mut found = Found::default();
        for bot in ["a", "b", "c"] {
            let Some(last) = self.last(bot) else { continue };
            let mut kept = Kept {
                state: last.state.clone(),
                at: last.at,
                evidence: None,
                past: self.pasts.get(bot).cloned(),
                landmarks: Default::default(),
            };
            if let Some(known) = self.snapshots.get(bot).filter(|known| known.state.revision == kept.state.revision && known.at >= kept.at)
            {
                (kept.state, kept.at, kept.evidence) = (known.state.clone(), known.at, known.evidence.clone());
            }
            found.bots.insert(bot.to_owned(), kept);
        }
        found
    }
}
