//! The invariants, looked at after every event by code that has nothing in common with the controller's. It is told what happened,
//! keeps books of its own for each bot, and says which invariant was broken, by its number.

mod keep;
mod lower;
mod raise;
mod replay;
mod serve;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use super::machine::{CameBack, Happened, Machine, WORKERS};
use super::recorder::Decided;
use crate::core::ratchet::{Because, Decision, Input, Refusal};
use crate::core::{AbortReason, Hold, Phase, State, Weight};
use crate::live::Snapshot;

use keep::Kept;
use lower::Lower;
use raise::Raise;
use serve::Serve;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub invariant: u8,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} is broken: {}", self.invariant, self.what)
    }
}

pub type Checked = Result<(), Broken>;

/// `what` says what is the case instead.
pub fn must(holds: bool, invariant: u8, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken { invariant, what: what() }) }
}

#[derive(Default)]
pub struct Books {
    bots: HashMap<String, BotBooks>,
    /// What each worker serves, by sequence.
    workers: [u64; WORKERS],
    published: Option<Arc<Snapshot>>,
    /// Those that a worker may still serve.
    snapshots: BTreeMap<u64, Arc<Snapshot>>,
}

#[derive(Default)]
pub struct BotBooks {
    raise: Raise,
    lower: Lower,
    kept: Kept,
    serve: Serve,
}

/// The bot that a state is of: its upstreams' names begin with it.
pub fn bot_of(state: &State) -> String {
    state.stable.upstream.split('-').next().unwrap_or_default().to_owned()
}

impl Books {
    pub fn after(&mut self, machine: &mut Machine<'_>, happened: &[Happened]) -> Checked {
        for one in happened {
            match one {
                Happened::Decided(decided) => {
                    let name = bot_of(&decided.before);
                    let serves = self.splits(&name);
                    let bot = self.bots.entry(name.clone()).or_default();
                    count(&mut machine.sometimes, decided, machine.world.outage);
                    bot.raise.steps_are_taken_one_by_one(decided)?;
                    bot.raise.it_has_baked(decided)?;
                    bot.raise.it_rests_on_good_evidence(decided, &serves)?;
                    bot.lower.a_fail_lowers(decided)?;
                    let newest =
                        self.published.as_ref().is_some_and(|published| self.workers.iter().all(|served| *served == published.sequence));
                    bot.lower.what_serves_has_evidence(decided, newest && serves.iter().all(|split| *split == decided.before.split_id))?;
                    bot.lower.a_start_begins_at_the_first_step(decided)?;
                    bot.lower.quarantine_holds(decided)?;
                    bot.lower.an_abort_stays(decided)?;
                    bot.lower.each_hold_says_why(decided)?;
                    bot.kept.revisions_rise_by_one(decided)?;
                    bot.kept.what_is_stale_is_refused(decided)?;
                    bot.serve.nobody_is_exposed_in_a_freeze(machine, &name, decided)?;
                    bot.serve.what_is_counted_was_routed(decided)?;
                    keep::no_other_bot_holds_it_up(machine, &name, decided)?;
                }
                Happened::Ordered(entries) => {
                    for entry in entries {
                        self.bots.entry(entry.bot.clone()).or_default().kept.ordered(entry)?;
                    }
                }
                Happened::Durable(entry) => self.bots.entry(entry.bot.clone()).or_default().kept.durable(entry)?,
                Happened::Published(snapshot) => {
                    for (config, epoch) in snapshot.config.bots.iter().zip(&snapshot.epochs) {
                        let bot = self.bots.entry(config.name.to_string()).or_default();
                        bot.serve.published(machine, config, epoch, &bot.kept)?;
                    }
                    let sequence = self.published.as_ref().map_or(0, |old| old.sequence);
                    must(snapshot.sequence > sequence, 11, || format!("{} is published after {sequence}", snapshot.sequence))?;
                    self.published = Some(snapshot.clone());
                    self.snapshots.insert(snapshot.sequence, snapshot.clone());
                }
                Happened::TookUp { worker, sequence } => {
                    let old = std::mem::replace(&mut self.workers[*worker], *sequence);
                    must(*sequence >= old, 11, || format!("worker {worker} went from {old} back to {sequence}"))?;
                    let newest = self.published.as_ref().map_or(0, |published| published.sequence);
                    let oldest = self.workers.iter().copied().min().unwrap_or(0);
                    self.snapshots.retain(|sequence, _| *sequence >= oldest);
                    must(*sequence <= newest, 11, || format!("worker {worker} serves {sequence}, {newest} is published"))?;
                }
                Happened::Counted { bot, split_id, canary } => self.bots.entry(bot.clone()).or_default().serve.counted(*split_id, *canary),
                Happened::Answered { bot, revision, change } => self.answered(machine, bot, *revision, change)?,
                Happened::Restarted { bots, lied } => self.restarted(bots, *lied)?,
            }
        }
        self.stands(machine, happened)
    }

    /// The split that each worker serves of a bot.
    fn splits(&self, name: &str) -> [u64; WORKERS] {
        let split =
            |snapshot: &Arc<Snapshot>| snapshot.bot(name).and_then(|number| snapshot.epochs.get(number)).map(|epoch| epoch.split_id);
        self.workers.map(|sequence| self.snapshots.get(&sequence).and_then(split).unwrap_or(0))
    }

    /// What holds once everything that an event led to has happened.
    fn stands(&mut self, machine: &mut Machine<'_>, happened: &[Happened]) -> Checked {
        must(machine.published.sequence == machine.owner.current().sequence, 16, || "what was decided is not in force".to_owned())?;
        let now = machine.now();
        for (pilot, epoch) in machine.owner.pilots.iter().zip(&machine.published.epochs) {
            let bot = self.bots.entry(pilot.name.to_string()).or_default();
            must(epoch.revision == pilot.state.revision, 16, || format!("{} is decided, {} serves", pilot.state.revision, epoch.revision))?;
            bot.raise.stands(&pilot.state, pilot.now(now));
            bot.lower.stands(&pilot.state);
            bot.kept.stands(pilot.name.as_str(), &pilot.state)?;
        }
        for decided in happened.iter().filter_map(|one| if let Happened::Decided(decided) = one { Some(decided) } else { None }) {
            let name = bot_of(&decided.before);
            let Some(number) = machine.owner.number(&name) else { continue };
            let weight = machine.owner.pilots[number].state.weight;
            lower::what_lowers_is_in_force(decided, weight)?;
        }
        let patience = std::time::Duration::from_secs(30);
        let late = machine.checks.is_empty() && self.workers.iter().all(|served| *served == machine.published.sequence);
        let waits = machine.clients.iter().find(|client| late && machine.clock.mono > client.asked + patience + patience);
        // A stall is one long event: who asked before it is answered by the next alarm.
        must(waits.is_none() || machine.owner.alarm().is_some(), 7, || "somebody waits for ever".to_owned())
    }

    fn answered(
        &mut self,
        machine: &mut Machine<'_>,
        name: &str,
        revision: u64,
        change: &Result<Arc<Snapshot>, super::machine::ChangeError>,
    ) -> Checked {
        use super::machine::ChangeError;
        let some = &mut machine.sometimes;
        match change {
            Err(ChangeError::Overtaken { .. }) => some.raise_overtaken += 1,
            Err(ChangeError::NotDurable(_)) => some.raise_not_kept += 1,
            Err(_) => {}
            Ok(snapshot) => {
                let Some(epoch) = snapshot.bot(name).map(|number| snapshot.epochs[number].clone()) else { return Ok(()) };
                let of = |snapshot: &Arc<Snapshot>| {
                    snapshot.bot(name).and_then(|number| snapshot.epochs.get(number)).map(|epoch| epoch.revision)
                };
                let serves = |sequence: &u64| self.snapshots.get(sequence).and_then(of).is_some_and(|served| served > revision);
                let all = epoch.revision == revision || self.workers.iter().all(serves);
                must(all, 7, || format!("answered with {}, the workers serve {:?}", snapshot.sequence, self.workers))?;
                let says = epoch.status().durability.durable;
                let is = machine.disk.has(name, epoch.revision);
                some.answered_before_it_was_durable += u64::from(!says);
                must(is || !says, 17, || format!("revision {} is not on the disk, and called durable", epoch.revision))?;
            }
        }
        Ok(())
    }

    fn restarted(&mut self, bots: &[CameBack], lied: bool) -> Checked {
        self.workers = [0; WORKERS];
        self.published = None;
        self.snapshots.clear();
        self.bots.values_mut().for_each(|bot| bot.serve = Serve::default());
        for came_back in bots {
            let bot = self.bots.entry(came_back.name.clone()).or_default();
            let (state, at) = &came_back.after;
            bot.kept.comes_back(came_back, lied)?;
            bot.raise.restarted(state, *at, came_back.before.as_ref().map(|(state, _)| state));
            bot.lower.restarted(state);
        }
        Ok(())
    }

    /// What was ordered from the history by an event.
    pub fn orders(happened: &[Happened]) -> impl Iterator<Item = (String, u64, &'static str)> + '_ {
        let entries = happened.iter().filter_map(|one| if let Happened::Ordered(entries) = one { Some(entries) } else { None });
        entries.flatten().map(|entry| (entry.bot.clone(), entry.state.revision, entry.decision))
    }

    /// Time, event, decisions and states.
    pub fn line(&self, machine: &Machine<'_>, happened: &[Happened], number: usize, event: &str) -> String {
        let mut line = format!("{number:>5} {:>8.0?} {event}", machine.clock.mono);
        for one in happened {
            let _ = match one {
                Happened::Decided(decided) if decided.decision == Decision::Hold => Ok(()),
                Happened::Decided(decided) => write!(line, " ⇒ {}: {:?}", bot_of(&decided.before), decided.decision),
                Happened::Ordered(entries) => {
                    entries.iter().try_for_each(|entry| write!(line, ", {} {} ordered", entry.bot, entry.state.revision))
                }
                Happened::Durable(entry) => write!(line, ", {} {} is durable", entry.bot, entry.state.revision),
                Happened::Published(snapshot) => write!(line, ", {} published", snapshot.sequence),
                Happened::TookUp { worker, sequence } => write!(line, ", worker {worker} serves {sequence}"),
                Happened::Answered { bot, change, .. } => match &**change {
                    Ok(snapshot) => write!(line, ", {bot} answered with {}", snapshot.sequence),
                    Err(error) => write!(line, ", {bot} answered: {error}"),
                },
                Happened::Restarted { .. } => write!(line, ", restarted"),
                Happened::Counted { .. } => Ok(()),
            };
        }
        let _ = write!(line, " | disk {:?}", machine.disk.mode);
        for pilot in &machine.owner.pilots {
            let state = &pilot.state;
            let hold = state.hold.as_ref().map_or(String::new(), |hold| format!(" ({})", hold.code()));
            let _ = write!(line, " | {} r{} s{} {}{hold} {}", pilot.name, state.revision, state.split_id, state.phase.name(), state.weight);
            if let Some(judged) = pilot.judged().filter(|_| pilot.judges()) {
                let of = |exposure: crate::core::evidence::Exposure| exposure.tally;
                let (stable, canary) = (of(judged.judgement.stable), of(judged.judgement.canary));
                let [stable, canary] = [stable, canary].map(|tally| format!("{}/{}/{}", tally.errors, tally.late, tally.requests));
                let _ = write!(line, " E {:.1} of {canary}, stable {stable}", judged.judgement.wealth.log_e().exp());
            }
        }
        line
    }
}

fn count(some: &mut super::Sometimes, decided: &Decided, outage: bool) {
    let Decided { before, after, input, decision, guard, at, .. } = decided;
    match (decision, input) {
        (Decision::Trip { .. }, _) => some.brake_engaged += 1,
        (Decision::Abort { .. }, Input::Command { .. }) => some.aborted_by_hand += 1,
        (Decision::Abort { why: AbortReason::Evidence { .. }, .. }, _) => some.aborted_on_evidence += 1,
        (Decision::Abort { .. }, _) => some.aborted_on_a_limit += 1,
        (Decision::Retreat { .. }, _) => some.retreated += 1,
        (Decision::Undo { .. }, _) => some.undone += 1,
        (Decision::Switch, _) => some.switched += 1,
        (Decision::Advance { because: Because::Evidence, .. }, _) => some.raised_on_evidence += 1,
        (Decision::Advance { because: Because::Deadline, .. }, _) => some.raised_at_the_deadline += 1,
        (Decision::Advance { .. }, _) => some.raised_by_hand += 1,
        (Decision::Promote { .. }, Input::Tick(_)) => some.promoted_on_evidence += 1,
        (Decision::Pause, _) => some.paused += 1,
        (Decision::Refuse(Refusal::Stale { .. }), _) => some.stale_command_refused += 1,
        (Decision::Refuse(Refusal::Quarantined { .. }), _) => some.quarantine_refused += 1,
        (Decision::Refuse(Refusal::Frozen(_)), _) => some.frozen += 1,
        (Decision::Hold, Input::Tick(facts)) => {
            let baked = before.under_way().is_some_and(|rollout| *at >= rollout.baked_at());
            let stale = matches!(after.hold, Some(Hold::StaleEvidence { .. })) && after.phase == Phase::Progressing;
            some.stale_evidence_refused += u64::from(baked && stale);
            some.shared_cause += u64::from(outage && after.weight > Weight::ZERO);
            let gap = before.under_way().zip(after.under_way()).is_some_and(|(old, new)| new.step_began > old.step_began);
            some.gap_during_a_bake += u64::from(gap);
            some.failing_and_left_to_a_human += u64::from(after.under_way().is_some_and(|rollout| rollout.failing));
            some.examined += u64::from(facts.judgement.is_some_and(|judgement| judgement.wealth.examinations != 0.0));
        }
        _ => {}
    }
    let lowers = after.weight < before.weight && decision.commits();
    some.lowered_while_the_disk_hangs +=
        u64::from(lowers && guard.frozen.as_ref().is_some_and(|frozen| frozen.to_string().contains("no answer")));
}
