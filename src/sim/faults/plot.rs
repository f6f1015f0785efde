//! One story: events one after the other, the checker after each; then the faults end, and it has to come to a good end.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use super::check::{Broken, Checker};
use super::events::{Event, Kinds, Reload, Sent};
use super::happened::{Arrived, Decided, Happened};
use super::shell::Shell;
use super::store::NotWritten;
use super::{Settings, Told, heal};
use crate::core::ratchet::{Because, Command, Decision, Input, Refusal};
use crate::core::{AbortReason, Hold, Phase, State, Weight};
use crate::sim::dice::Dice;

pub struct Plot<'a> {
    pub shell: Shell<'a>,
    checker: Checker,
    pub commands: VecDeque<Sent>,
    events: usize,
    decisions: Vec<(u64, Decision)>,
    story: Option<&'a mut Vec<String>>,
}

pub fn tell<'a>(seed: u64, settings: &'a Settings, story: Option<&'a mut Vec<String>>) -> Result<Told, Broken> {
    let mut shell = Shell::new(settings, Dice::new(seed, "faults"));
    let mut kinds = Kinds::new(&mut shell.dice);
    shell.prompt = !kinds.applies_late();
    let checker = Checker::new(&shell.controller.state);
    let mut plot = Plot { shell, checker, commands: VecDeque::new(), events: 0, decisions: Vec::new(), story };
    for worker in 0..plot.shell.live.workers.len() {
        let epoch = plot.shell.live.published.clone();
        plot.shell.happened.push(Happened::TookUp { worker, epoch });
    }
    for _ in 0..settings.events {
        let event = kinds.next(&mut plot.shell);
        plot.happens(event)?;
    }
    heal::heal(&mut plot)?;
    Ok(Told { events: plot.events, sometimes: plot.shell.sometimes, decisions: plot.decisions })
}

impl Plot<'_> {
    pub fn happens(&mut self, event: Event) -> Result<(), Broken> {
        let line = self.story.is_some().then(|| format!("{event:?}"));
        self.act(event);
        self.events += 1;
        let checked = self.checker.after(&self.shell);
        if let Some(line) = line {
            let line = self.line(&line);
            self.story.iter_mut().for_each(|story| story.push(line.clone()));
        }
        self.take_note();
        checked
    }

    fn act(&mut self, event: Event) {
        let shell = &mut self.shell;
        match event {
            Event::Tick(spoilt) => {
                shell.pass(Duration::from_secs(1));
                shell.tick(spoilt);
            }
            Event::Stall(time) => shell.pass(time),
            Event::Suspend(time) => {
                shell.clock.wall += time.as_secs() as i64;
                shell.sometimes.suspend_during_a_bake += u64::from(shell.controller.state.under_way().is_some());
            }
            Event::WallJump(secs) => {
                shell.clock.wall += if shell.settings.wall_jumps { secs } else { 0 };
                shell.sometimes.clock_jump_during_a_bake += u64::from(shell.controller.state.under_way().is_some());
            }
            Event::TakeUp(worker) => shell.take_up(worker),
            Event::LateAnswers => shell.answer_late(),
            Event::Send(sent) => self.commands.push_back(sent),
            Event::Deliver => self.deliver(),
            Event::Reload(reload) => self.reload(reload),
            Event::Restart(how) => shell.restart(how),
            Event::CrashAtWrite(at) => shell.crash = Some(at),
            Event::Ghost => shell.haunt(),
            Event::DiskIsWritable(writable) => {
                shell.store.writable = writable;
                shell.flush();
            }
            Event::Outage(outage) => shell.world.outage = outage,
            Event::CanaryRestarts(restarting) => shell.world.restarting = restarting,
        }
    }

    fn deliver(&mut self) {
        let Some(sent) = self.commands.pop_front() else { return };
        let Sent { number, again, based_on, .. } = sent;
        self.shell.obey(sent.command.clone(), Some(Arrived { number, again, based_on }));
        self.shell.sometimes.command_came_twice += u64::from(sent.again);
        if sent.twice {
            self.commands.push_back(Sent { twice: false, again: true, ..sent });
        }
    }

    fn reload(&mut self, reload: Reload) {
        let shell = &mut self.shell;
        match reload {
            Reload::Guard(guard) => {
                shell.guard = *guard;
                let State { weight, canary, .. } = shell.controller.state.clone();
                if let (true, Some(canary)) = (weight > shell.guard.max, canary) {
                    shell.obey(Command::SetWeight { weight: shell.guard.max, canary }, None);
                }
            }
            Reload::Pins { stable, canary } => {
                let (old, revision) = (shell.pinned, shell.controller.state.revision);
                shell.pinned = super::live::Pinned { stable: Some(stable), canary: Some(canary) };
                shell.obey(Command::Reassign { rule: 0, exposes: false }, None);
                if shell.controller.state.revision == revision {
                    shell.pinned = old;
                }
            }
            Reload::Adopt(stable) => shell.obey(Command::Adopt { stable }, None),
        }
    }

    /// What happened is told and counted; the next event begins with nothing.
    fn take_note(&mut self) {
        for one in std::mem::take(&mut self.shell.happened) {
            match one {
                Happened::Decided(decided) => self.count(&decided),
                Happened::NotWritten { why: NotWritten::Fenced, .. } => self.shell.sometimes.fenced_write += 1,
                Happened::NotWritten { why: NotWritten::Unwritable, .. } => {
                    let lowered = !self.shell.controller.unwritten.is_empty();
                    self.shell.sometimes.lowered_while_unwritable += u64::from(lowered);
                    self.shell.sometimes.raise_not_written += u64::from(!lowered);
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, decided: &Decided) {
        let Decided { before, after, input, decision, .. } = decided;
        if decision.commits() {
            self.decisions.push((after.revision, decision.clone()));
        }
        let rising = self.shell.live.workers.iter().any(|worker| worker.weight < before.weight);
        let outage = self.shell.world.outage;
        let some = &mut self.shell.sometimes;
        let by_hand = matches!(input, Input::Command { .. });
        match (decision, input) {
            (Decision::Trip { .. }, _) => some.brake_engaged += 1,
            (Decision::Abort { .. }, Input::Command { .. }) => {
                some.aborted_by_hand += 1;
                some.abort_during_a_raise += u64::from(rising);
            }
            (Decision::Abort { why: AbortReason::Evidence { .. }, .. }, _) => some.aborted_on_evidence += 1,
            (Decision::Abort { .. }, _) => some.aborted_on_a_limit += 1,
            (Decision::Retreat { .. }, _) => some.retreated += 1,
            (Decision::Advance { because: Because::Evidence, .. }, _) => some.raised_on_evidence += 1,
            (Decision::Advance { because: Because::Deadline, .. }, _) => some.raised_at_the_deadline += 1,
            (Decision::Advance { .. }, _) => some.raised_by_hand += 1,
            (Decision::Promote { .. }, _) => some.promoted_on_evidence += u64::from(!by_hand),
            (Decision::Pause, _) => some.paused += 1,
            (Decision::Start, Input::Command { command: Command::Start { retry: true, release, .. }, .. }) => {
                some.retried += u64::from(before.quarantine.iter().any(|quarantined| quarantined.release == *release));
            }
            (Decision::Refuse(Refusal::Stale { .. }), _) => some.stale_command_refused += 1,
            (Decision::Refuse(Refusal::Quarantined { .. }), _) => some.quarantine_refused += 1,
            (Decision::Hold, Input::Tick(facts)) => {
                let baked = before.under_way().is_some_and(|rollout| decided.now >= rollout.baked_at());
                let stale = matches!(after.hold, Some(Hold::StaleEvidence { .. })) && after.phase == Phase::Progressing;
                some.stale_evidence_refused += u64::from(baked && stale);
                let no_number = facts.judgement.is_some_and(|judgement| judgement.wealth.log_e().is_nan());
                some.no_number_refused += u64::from(baked && no_number);
                some.shared_cause += u64::from(outage && after.weight > Weight::ZERO);
                let gap = before.under_way().zip(after.under_way()).is_some_and(|(old, new)| new.step_began > old.step_began);
                some.gap_during_a_bake += u64::from(gap);
                some.failing_and_left_to_a_human += u64::from(after.under_way().is_some_and(|rollout| rollout.failing));
            }
            _ => {}
        }
    }

    /// Time, event, decisions and state.
    fn line(&self, event: &str) -> String {
        let shell = &self.shell;
        let mut line = format!("{:>5} {:>8.0?} {event}", self.events, shell.clock.mono);
        for one in &shell.happened {
            let _ = match one {
                Happened::Decided(decided) => write!(line, " ⇒ {:?}", decided.decision),
                Happened::Written(record) => write!(line, ", revision {} is durable", record.state.revision),
                Happened::NotWritten { token, why } => write!(line, ", writer {token}: {why:?}"),
                Happened::Torn => write!(line, ", torn"),
                Happened::TookUp { worker, epoch } => write!(line, ", worker {worker} serves {}", epoch.revision),
                Happened::Opened { window, split_id, .. } => write!(line, ", window {window} of split {split_id}"),
                Happened::Restarted(restarted) => write!(line, ", {} came back", restarted.after.0.revision),
                Happened::Published(_) | Happened::Routed { .. } | Happened::Answered { .. } | Happened::Refused => Ok(()),
            };
        }
        let state = &shell.controller.state;
        let hold = state.hold.as_ref().map_or(String::new(), |hold| format!(" ({})", hold.code()));
        let step = state.under_way().map_or(String::new(), |rollout| format!(" step {}", rollout.step));
        let _ = write!(line, " | r{} s{} {}{hold} {}{step}", state.revision, state.split_id, state.phase.name(), state.weight);
        if let Some(judged) = shell.happened.iter().find_map(judged) {
            let _ = write!(line, " {judged}");
        }
        line
    }
}

/// What a tick knew.
fn judged(one: &Happened) -> Option<String> {
    let Happened::Decided(decided) = one else { return None };
    let Input::Tick(facts) = &decided.input else { return None };
    let judgement = facts.judgement?;
    let [stable, canary] = [judgement.stable, judgement.canary].map(|exposure| exposure.tally.requests);
    Some(format!("facts of {}: E = {:.2}, {canary} : {stable}", facts.split_id, judgement.wealth.log_e().exp()))
}
