//! `[bot.rollout]`: a rollout's steps, what each step waits for, and who may raise the weight.

use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;
use toml::de::DeValue;

use crate::config::raw::Table;
use crate::config::report::{Problem, Problems, Reported, all};
use crate::config::units::{self, UnitError, show_duration};
use crate::config::value::Measure;
use crate::core::{AtDeadline, OnTrouble, Plan, Policy, Step, Weight};

const POLICIES: [(&str, Policy); 3] = [("automatic", Policy::Automatic), ("guarded", Policy::Guarded), ("manual", Policy::Manual)];
const AT_DEADLINE: [(&str, AtDeadline); 4] =
    [("proceed", AtDeadline::Proceed), ("wait", AtDeadline::Wait), ("ask", AtDeadline::Ask), ("by_traffic", AtDeadline::ByTraffic)];
/// The bake of those steps of `Plan::usual` that have none of their own.
const BAKE: Duration = Duration::from_secs(10 * 60);
/// The ratchet ticks once a second.
const BAKE_LEAST: Duration = Duration::from_secs(1);
/// The limit of a bake, and of the deadline. A longer one is most likely a mistake.
const BAKE_MOST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most steps: one for each per cent.
const STEPS_MAX: usize = 100;
const EXAMPLE: &str = "[\"1%\", \"10%\", \"50%\", \"100%\"]";

/// A step as written.
struct Written {
    weight: Weight,
    /// `None`: the `bake` for all steps.
    bake: Option<Duration>,
}

/// `max` is the bot's, if it is written.
pub(super) fn rollout(mut table: Table<'_>, max: Option<&Spanned<Weight>>) -> Result<Plan, Reported> {
    let (problems, usual) = (table.problems(), Plan::usual());
    let steps = steps(&mut table);
    let bake = table.within("bake", BAKE_LEAST..=BAKE_MOST);
    let policy = table.choice_or("policy", &POLICIES, usual.policy);
    let deadline = table.within("deadline", BAKE_LEAST..=BAKE_MOST);
    let at_deadline = table.choice_or("at_deadline", &AT_DEADLINE, usual.at_deadline);
    let on_marginal = table.choice_or("on_marginal", &[("hold", OnTrouble::Usual), ("retreat", OnTrouble::Retreat)], usual.on_marginal);
    let on_limit = table.choice_or("on_limit", &[("abort", OnTrouble::Usual), ("retreat", OnTrouble::Retreat)], usual.on_limit);
    table.close();
    let (steps, bake, deadline) = (steps?.unwrap_or_else(|| as_written(&usual)), bake?, deadline?);
    let bake_at = bake.as_ref().map(Spanned::span);
    let bake = bake.map_or(BAKE, Spanned::into_inner);
    // If each step has a bake of its own, the common one has no effect.
    let shared = steps.iter().any(|step| step.bake.is_none() && step.weight < Weight::FULL);
    let deadline = deadline_after(if shared { bake } else { Duration::ZERO }, bake_at, deadline, problems);
    let steps: Vec<Step> = steps.into_iter().map(|step| step.held(bake)).collect();
    capped(&steps, max, problems);
    Ok(Plan { steps, policy: policy?, deadline: deadline?, at_deadline: at_deadline?, on_marginal: on_marginal?, on_limit: on_limit? })
}

impl Written {
    fn held(self, bake_of_all: Duration) -> Step {
        // At 100 % the rollout has ended.
        let otherwise = if self.weight == Weight::FULL { Duration::ZERO } else { bake_of_all };
        Step { weight: self.weight, bake: self.bake.unwrap_or(otherwise) }
    }
}

/// The steps of the usual plan as if they were written, so that another `bake` applies to them too.
fn as_written(plan: &Plan) -> Vec<Written> {
    let own = |step: &Step| (step.bake != BAKE && step.weight < Weight::FULL).then_some(step.bake);
    plan.steps.iter().map(|step| Written { weight: step.weight, bake: own(step) }).collect()
}

fn steps(table: &mut Table<'_>) -> Result<Option<Vec<Written>>, Reported> {
    let problems = table.problems();
    let Some(entry) = table.take("steps") else { return Ok(None) };
    let DeValue::Array(items) = entry.value else {
        return Err(problems.error(entry.at, "`steps` is not a list of steps", format!("write {EXAMPLE}")));
    };
    if items.is_empty() {
        return Err(problems.error(entry.at, "`steps` names no step", format!("write {EXAMPLE}, or leave it out")));
    }
    if items.len() > STEPS_MAX {
        return Err(problems.error(entry.at, format!("`steps` names {} steps", items.len()), format!("write {STEPS_MAX} or fewer")));
    }
    let read: Vec<_> = items.iter().map(|item| step(item, problems)).collect();
    let ordered = rising(&read, problems);
    let steps = all(read)?;
    ordered?;
    if steps[0].get_ref().weight == Weight::FULL {
        let sentence = "a rollout that begins at 100% leaves nobody to compare the canary with: it goes on only by hand";
        problems.warn(steps[0].span(), sentence);
    }
    Ok(Some(steps.into_iter().map(Spanned::into_inner).collect()))
}

/// `"5%"` or `"5% for 24h"`.
fn step(item: &Spanned<DeValue<'_>>, problems: &Problems<'_>) -> Result<Spanned<Written>, Reported> {
    let no_step = || {
        let title = "a step is a weight, with a bake of its own where it needs one";
        problems.error(item.span(), title, "write \"5%\" or \"5% for 24h\"")
    };
    let text = item.get_ref().as_str().ok_or_else(no_step)?;
    let (weight, bake) = text.split_once(" for ").map_or((text, None), |(weight, bake)| (weight, Some(bake.trim())));
    if !weight.trim_end().ends_with('%') {
        return Err(no_step());
    }
    let weight = step_weight(weight, item.span(), problems);
    let last = weight == Ok(Weight::FULL);
    let bake = bake.map(|bake| step_bake(bake, last, item.span(), problems)).transpose();
    Ok(Spanned::new(item.span(), Written { weight: weight?, bake: bake? }))
}

fn step_weight(text: &str, at: Range<usize>, problems: &Problems<'_>) -> Result<Weight, Reported> {
    match text.parse::<Weight>() {
        Ok(Weight::ZERO) => Err(problems.error(at, "a step of 0% sends nobody to the canary", "write \"0.01%\" or more, or take it out")),
        Ok(weight) => Ok(weight),
        Err(error) => Err(problems.error(at, "a step's weight is not a share from 0% to 100%", error.to_string())),
    }
}

/// A step's bake. Only the last step may have a bake of 0.
fn step_bake(text: &str, last: bool, at: Range<usize>, problems: &Problems<'_>) -> Result<Duration, Reported> {
    let bake = match units::duration(text) {
        Ok(bake) => bake,
        Err(UnitError(instead)) => return Err(problems.error(at, "a step's bake is not a duration", instead)),
    };
    match bake {
        Duration::ZERO if last => {}
        bake if bake < BAKE_LEAST => {
            let label = format!("write {} or more, up to {}", BAKE_LEAST.show(), BAKE_MOST.show());
            return Err(problems.error(at, "a step's bake is too little", label));
        }
        bake if bake > BAKE_MOST => {
            let label = format!("write {} or less, down to {}", BAKE_MOST.show(), BAKE_LEAST.show());
            return Err(problems.error(at, "a step's bake is too much", label));
        }
        _ if last => problems.warn(at, "nothing bakes at 100%: the rollout has ended there"),
        _ => {}
    }
    Ok(bake)
}

/// Reports steps that do not rise, and a last step below 100 %. Steps with errors are not compared.
fn rising(steps: &[Result<Spanned<Written>, Reported>], problems: &Problems<'_>) -> Result<(), Reported> {
    let readable: Vec<&Spanned<Written>> = steps.iter().flatten().collect();
    let mut result = Ok(());
    for pair in readable.windows(2) {
        let (before, this) = (pair[0].get_ref().weight, pair[1].get_ref().weight);
        if this <= before {
            let label = if before == Weight::FULL { "take it out".to_owned() } else { format!("write more than {before}, or take it out") };
            let problem = Problem::new(format!("the steps do not rise: {this} comes after {before}"));
            result = Err(problems.report(problem.at(pair[1].span(), label).at(pair[0].span(), "")));
        }
    }
    if let Some(Ok(last)) = steps.last()
        && readable.iter().all(|step| step.get_ref().weight < Weight::FULL)
    {
        let title = format!("a rollout ends at 100%, and the last step is {}", last.get_ref().weight);
        result = Err(problems.error(last.span(), title, "add \"100%\" behind it"));
    }
    result
}

/// The deadline, which must not be shorter than the common bake. A step whose own bake is longer than the deadline reaches its
/// deadline when that bake ends.
fn deadline_after(
    bake: Duration,
    bake_at: Option<Range<usize>>,
    written: Option<Spanned<Duration>>,
    problems: &Problems<'_>,
) -> Result<Duration, Reported> {
    let Some(deadline) = written else { return Ok(Plan::usual().deadline.max(bake)) };
    if *deadline.get_ref() >= bake {
        return Ok(deadline.into_inner());
    }
    let title = format!("`deadline` is shorter than `bake`: {} < {}", show_duration(*deadline.get_ref()), show_duration(bake));
    let problem = Problem::new(title).at(deadline.span(), format!("write {} or more, or a shorter `bake`", bake.show()));
    Err(problems.report(bake_at.into_iter().fold(problem, |problem, at| problem.at(at, "the bake"))))
}

/// Warns if `max` stops each rollout before 100 %. This is allowed, but an operator should know it before a rollout is under way.
fn capped(steps: &[Step], max: Option<&Spanned<Weight>>, problems: &Problems<'_>) {
    let Some(max) = max else { return };
    let Some(above) = steps.iter().position(|step| step.weight > *max.get_ref()) else { return };
    let (weight, max_shown) = (steps[above].weight, max.get_ref());
    match above {
        0 => problems.warn(max.span(), format!("no rollout can start: its first step is {weight}, and `max` is {max_shown}")),
        _ => {
            problems.warn(max.span(), format!("a rollout holds before its step of {weight}, and promote is refused: `max` is {max_shown}"))
        }
    }
}
