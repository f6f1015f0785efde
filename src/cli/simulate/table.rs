//! The results for people: a row for each scenario, a column for each rule.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::sim::rules::Judge;
use crate::sim::runs::{Record, RuleSummary, Study, upper_bound};

const NAME_WIDTH: usize = 20;
const CELL_WIDTH: usize = 17;

pub struct Table {
    head: String,
    /// The title of each volume's rows, which is printed once.
    volumes: Vec<(String, String)>,
    /// By rule: the number of good releases, and how many of them were rolled back.
    good: Vec<(Judge, u32, u32)>,
    /// The reasons why serin held rollouts.
    holds: BTreeMap<&'static str, u32>,
}

impl Table {
    pub fn new(study: &Study) -> Table {
        let mut head = format!("{:NAME_WIDTH$}", "");
        for judge in &study.judges {
            let _ = write!(head, "{:>CELL_WIDTH$}", judge.name());
        }
        let volume = |volume: &crate::sim::world::Volume| (volume.name.clone(), format!("{volume}, {} rollouts each", study.seeds));
        Table {
            head,
            volumes: study.volumes.iter().map(volume).collect(),
            good: study.judges.iter().map(|judge| (*judge, 0, 0)).collect(),
            holds: BTreeMap::new(),
        }
    }

    /// The rows of one scenario, with all rules.
    pub fn rows(&mut self, summaries: &[RuleSummary]) -> String {
        let mut text = String::new();
        let Some(first) = summaries.first() else { return text };
        if let Some(place) = self.volumes.iter().position(|(name, _)| *name == first.volume) {
            let (_, title) = self.volumes.remove(place);
            let _ = writeln!(text, "\n{title}\n{}", self.head);
        }
        let _ = write!(text, "{:NAME_WIDTH$}", first.scenario);
        for (summary, (_, releases, back)) in summaries.iter().zip(&mut self.good) {
            let _ = write!(text, "{:>CELL_WIDTH$}", cell(summary));
            summary.holds.iter().for_each(|(hold, times)| *self.holds.entry(hold).or_default() += times);
            if !summary.harmful {
                *releases += summary.seeds;
                *back += summary.rolled_back;
            }
        }
        text.push('\n');
        text
    }

    pub fn foot(&self) -> String {
        let mut text = "\nA good release (AA_, G_): how many were rolled back, and the median minutes until everybody had it.\n\
             A bad one: how many were caught, and the mean of the requests that it made bad; a miss counts 30 min at 100 %.\n\
             h: so many more were neither, but held at the end.\n"
            .to_owned();
        if !self.holds.is_empty() {
            let holds: Vec<String> = self.holds.iter().map(|(hold, times)| format!("{hold} {times}")).collect();
            let _ = writeln!(text, "Why they were held: {}.", holds.join(", "));
        }
        for (judge, releases, back) in self.good.iter().filter(|(_, releases, _)| *releases > 0) {
            let most = 100.0 * upper_bound(*back, *releases);
            let _ = writeln!(
                text,
                "{:12}{back} of {releases} good releases rolled back: at most {most:.2} % (95 %, Clopper–Pearson)",
                judge.name()
            );
        }
        text
    }
}

fn cell(summary: &RuleSummary) -> String {
    let held = if summary.held > 0 { format!(" {}h", summary.held) } else { String::new() };
    let of = format!("{}/{}{held}", summary.rolled_back, summary.seeds);
    match (summary.harmful, summary.minutes_to_full_median) {
        (true, _) => format!("{of} {:>6}", figure(summary.made_bad.mean)),
        (false, Some(minutes)) => format!("{of} {minutes:>4.0} min"),
        (false, None) => format!("{of}       –"),
    }
}

fn figure(value: f64) -> String {
    if value.abs() < 99.5 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// How a rollout ended.
pub fn ending(record: &Record) -> String {
    let minutes = |at: std::time::Duration| at.as_secs_f64() / 60.0;
    match (record.rolled_back, record.promoted) {
        (Some(at), _) => format!("rolled back from {} after {:.1} min, {} requests made bad", record.weight, minutes(at), record.made_bad),
        (None, Some(at)) => format!("everybody has it after {:.1} min, {} requests made bad", minutes(at), record.made_bad),
        (None, None) => {
            let why = record.hold.map_or(String::new(), |hold| format!(" ({hold})"));
            format!("held at {}{why}, {} requests made bad", record.weight, record.made_bad)
        }
    }
}
