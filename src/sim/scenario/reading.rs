//! Reads scenarios: `[[scenario]]` and its `[[scenario.effect]]`s. It uses the config's reader, so that all errors are shown
//! together, with file, line and caret. docs/simulate.md explains the keys.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_spanned::Spanned;

use super::effect::{AffectedWorkspaces, EFFECTS_MAX, EffectChanges, On, Period, RateChange, Scenario, ScenarioEffect, Slowness, When};
use super::values::{Factor, FasterOrLater, Percent, Ranks};
use crate::config::{self, ConfigError, OneOrMany, Problem, Reported, Table};
use crate::core::{Ended, Outcome, OutcomeRules, classify};

/// Longer than any simulated rollout.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
const SECOND: Duration = Duration::from_secs(1);

pub fn parse(text: &str, path: &Path) -> Result<Vec<Scenario>, ConfigError> {
    config::read_tables(text, path, file)
}

fn file(root: &mut Table<'_>) -> Result<Vec<Scenario>, Reported> {
    let problems = root.problems();
    let mut names = BTreeSet::new();
    let mut scenarios = Vec::new();
    let mut failed = None;
    let tables = root.tables("scenario", "[[scenario]]");
    root.close();
    for table in tables? {
        match scenario(table, &mut names) {
            Ok(scenario) => scenarios.push(scenario),
            Err(reported) => failed = Some(reported),
        }
    }
    match failed {
        Some(reported) => Err(reported),
        None if scenarios.is_empty() => {
            problems.so_far()?;
            Err(problems.report(Problem::new("there is no scenario").note("add [[scenario]] with a name, and [[scenario.effect]]")))
        }
        None => Ok(scenarios),
    }
}

fn scenario(mut table: Table<'_>, names: &mut BTreeSet<String>) -> Result<Scenario, Reported> {
    let problems = table.problems();
    let name = match table.read::<String>("name") {
        Ok(Some(name)) => own_name(name, names, &table),
        Ok(None) => Err(problems.error(table.at(), "a scenario without a name", "add name = \"…\"")),
        Err(reported) => Err(reported),
    };
    let about = table.read_or("about", String::new());
    let first_step = table.read::<Ranks>("first_step");
    let effects = effects(&mut table);
    table.close();
    let first_step = first_step?.map(|ranks| ranks.into_inner().0);
    Ok(Scenario { name: name?, about: about?, first_step, effects: effects? })
}

/// Checks a scenario's name, which is used in tables and on the command line.
fn own_name(name: Spanned<String>, names: &mut BTreeSet<String>, table: &Table<'_>) -> Result<String, Reported> {
    let problems = table.problems();
    let written = name.get_ref();
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if written.is_empty() || written.len() > 40 || !written.chars().all(fits) || written == "all" {
        let title = format!("a scenario's name cannot be \"{}\"", written.escape_debug());
        return Err(problems.error(name.span(), title, "write 1 to 40 of a-z, A-Z, 0-9, -, _ and the dot; not \"all\""));
    }
    if !names.insert(written.clone()) {
        return Err(problems.error(name.span(), format!("two scenarios are called \"{written}\""), "choose another name"));
    }
    Ok(name.into_inner())
}

fn effects(table: &mut Table<'_>) -> Result<Vec<ScenarioEffect>, Reported> {
    let tables = table.tables("effect", "[[scenario.effect]]")?;
    if tables.len() > EFFECTS_MAX {
        let title = format!("{} effects are too many", tables.len());
        return Err(table.problems().error(tables[EFFECTS_MAX].at(), title, format!("at most {EFFECTS_MAX} for a scenario")));
    }
    // Reads all effects before it fails, so that each one's errors are reported.
    let read: Vec<Result<ScenarioEffect, Reported>> = tables.into_iter().map(effect).collect();
    read.into_iter().collect()
}

fn effect(mut table: Table<'_>) -> Result<ScenarioEffect, Reported> {
    let at = table.at();
    let problems = table.problems();
    let on = table.choice("track", &[("canary", On::Canary), ("stable", On::Stable), ("both", On::Both)]);
    let affected = affected(&mut table);
    let when = when(&mut table);
    let events = table.read::<Percent>("events");
    let changes = changes(&mut table);
    table.close();
    let (on, affected, when, events, changes) = (on?, affected?, when?, events?, changes?);
    if changes == EffectChanges::default() {
        let label = "add error, rejected, late, status, latency, latency_per_min or traffic";
        return Err(problems.error(at, "an effect that changes nothing", label));
    }
    let (on, on_at) = on.map_or((On::Canary, at), |on| (*on.get_ref(), on.span()));
    if when == When::Chronic && on != On::Both {
        return Err(problems.error(on_at, "what is chronic is met on both tracks", "write track = \"both\""));
    }
    Ok(ScenarioEffect { on, affected, when, events: events.map_or(1.0, |events| events.get_ref().0), changes })
}

fn affected(table: &mut Table<'_>) -> Result<AffectedWorkspaces, Reported> {
    let problems = table.problems();
    let (share, ranks) = (table.read::<Percent>("share"), table.read::<Ranks>("ranks"));
    let named = table.read::<OneOrMany>("workspaces");
    let (share, ranks, named) = (share?, ranks?, named?);
    let places = [share.as_ref().map(Spanned::span), ranks.as_ref().map(Spanned::span), named.as_ref().map(Spanned::span)];
    let mut given = places.into_iter().flatten();
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        let problem = Problem::new("one effect says twice whom it concerns").at(second, "take one of them out").at(first, "");
        return Err(problems.report(problem.note("`share`, `ranks` and `workspaces` exclude each other")));
    }
    Ok(match (share, ranks, named) {
        (Some(share), _, _) => AffectedWorkspaces::Share(share.get_ref().0),
        (_, Some(ranks), _) => AffectedWorkspaces::Ranks(ranks.into_inner().0),
        (_, _, Some(named)) => AffectedWorkspaces::Named(names(named.into_inner())),
        (None, None, None) => AffectedWorkspaces::All,
    })
}

fn names(written: OneOrMany) -> Vec<String> {
    match written {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names.into_iter().map(Spanned::into_inner).collect(),
    }
}

fn when(table: &mut Table<'_>) -> Result<When, Reported> {
    let problems = table.problems();
    let chronic = table.read::<bool>("chronic");
    let (from, to) = (table.within("from", Duration::ZERO..=LONGEST), table.within("to", SECOND..=LONGEST));
    let (every, lasting) = (table.within("every", SECOND..=LONGEST), table.within("for", SECOND..=LONGEST));
    let (chronic, from, to, every, lasting) = (chronic?, from?, to?, every?, lasting?);
    if let Some(chronic) = chronic.filter(|chronic| *chronic.get_ref()) {
        if from.is_none() && to.is_none() && every.is_none() && lasting.is_none() {
            return Ok(When::Chronic);
        }
        let label = "take it out, or from, to, every and for";
        return Err(problems.error(chronic.span(), "what is chronic has no beginning and no end", label));
    }
    let begins = from.as_ref().map_or(Duration::ZERO, |from| *from.get_ref());
    if let Some(to) = to.as_ref().filter(|to| *to.get_ref() <= begins) {
        return Err(problems.error(to.span(), "`to` is not after `from`", "write when it ends, counted from the rollout's start"));
    }
    let every = match (every, lasting) {
        (None, None) => None,
        (Some(every), Some(lasting)) if lasting.get_ref() < every.get_ref() => {
            Some(Period { every: every.into_inner(), lasting: lasting.into_inner() })
        }
        (Some(_), Some(lasting)) => {
            return Err(problems.error(lasting.span(), "`for` is not shorter than `every`", "write how much of each period it lasts"));
        }
        (Some(every), None) => return Err(problems.error(every.span(), "`every` without `for`", "add for = \"…\", how long it lasts")),
        (None, Some(lasting)) => {
            return Err(problems.error(lasting.span(), "`for` without `every`", "add every = \"…\", or write `to` instead"));
        }
    };
    Ok(When::During { from: begins, to: to.map(Spanned::into_inner), every })
}

fn changes(table: &mut Table<'_>) -> Result<EffectChanges, Reported> {
    let (error, rejected, late) = (change(table, "error"), change(table, "rejected"), change(table, "late"));
    let by_status = by_status(table);
    let latency = slowness(table);
    let traffic = table.read::<Factor>("traffic");
    let mut changes = EffectChanges { error: error?, rejected: rejected?, late: late?, latency: latency?, traffic: None };
    changes.traffic = traffic?.map(|factor| factor.get_ref().0);
    match by_status? {
        None => {}
        Some((Outcome::Error, change)) => changes.error = Some(change),
        Some((Outcome::Rejected | Outcome::Ok | Outcome::Late | Outcome::Aborted, change)) => changes.rejected = Some(change),
    }
    Ok(changes)
}

fn change(table: &mut Table<'_>, key: &'static str) -> Result<Option<RateChange>, Reported> {
    Ok(table.read::<RateChange>(key)?.map(Spanned::into_inner))
}

/// Reads `status = 401` and its `rate`. The core decides which outcome the status means.
fn by_status(table: &mut Table<'_>) -> Result<Option<(Outcome, RateChange)>, Reported> {
    let problems = table.problems();
    let (status, rate) = (table.within("status", 100..=599_usize), table.read::<RateChange>("rate"));
    let (status, rate) = (status?, rate?);
    let Some(status) = status else {
        return match rate {
            Some(rate) => Err(problems.error(rate.span(), "`rate` without `status`", "add status = 503, or write error = … instead")),
            None => Ok(None),
        };
    };
    let rules = OutcomeRules { deadline: None, also_ok: Vec::new(), only_ok: Vec::new() };
    let answered = Ended::Answered { status: *status.get_ref() as u16, first_byte: Duration::ZERO, said: None };
    match classify(answered, &rules) {
        outcome @ (Outcome::Error | Outcome::Rejected) => Ok(Some((outcome, rate.map_or(RateChange::AtLeast(1.0), Spanned::into_inner)))),
        Outcome::Ok | Outcome::Late | Outcome::Aborted => {
            let label = "write one that fails, such as 401 or 503";
            Err(problems.error(status.span(), format!("a status of {} is a success", status.get_ref()), label))
        }
    }
}

fn slowness(table: &mut Table<'_>) -> Result<Option<Slowness>, Reported> {
    let problems = table.problems();
    let (latency, per_min) = (table.read::<FasterOrLater>("latency"), table.read::<Factor>("latency_per_min"));
    let slowest = table.read::<Percent>("slowest");
    let (latency, per_min, slowest) = (latency?, per_min?, slowest?);
    if latency.is_none() && per_min.is_none() {
        return match slowest {
            Some(slowest) => Err(problems.error(slowest.span(), "`slowest` without `latency`", "add latency = \"x3\"")),
            None => Ok(None),
        };
    }
    let plain = Slowness { factor: 1.0, factor_per_min: 1.0, added: Duration::ZERO, slowest: 1.0 };
    let with = match latency.map(Spanned::into_inner) {
        Some(FasterOrLater::Factor(factor)) => Slowness { factor, ..plain },
        Some(FasterOrLater::Added(added)) => Slowness { added, ..plain },
        None => plain,
    };
    let factor_per_min = per_min.map_or(1.0, |factor| factor.get_ref().0);
    Ok(Some(Slowness { factor_per_min, slowest: slowest.map_or(1.0, |share| share.get_ref().0), ..with }))
}

#[cfg(test)]
mod tests;
