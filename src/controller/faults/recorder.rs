//! What the owner asks the ratchet for, written down for the checker; and facts that are spoilt on the way there.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::core::evidence::Judgement;
use crate::core::ratchet::{Decision, Input};
use crate::core::{Guard, State};

/// A step that the owner asked the ratchet for.
#[derive(Clone)]
pub struct Decided {
    pub before: State,
    pub input: Input,
    pub guard: Guard,
    pub at: Duration,
    pub after: State,
    pub decision: Decision,
    /// The facts were spoilt.
    pub is_spoilt: bool,
}

/// What may be wrong with a tick's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    NoNumber,
    Missing,
    /// It was looked at long ago.
    OldLook,
    /// By chance it looks bad.
    Suspicious,
}

impl Spoilt {
    fn spoil(self, judgement: &mut Option<Judgement>, at: Duration) {
        match judgement {
            Some(_) if self == Spoilt::Missing => *judgement = None,
            Some(judgement) if self == Spoilt::NoNumber => judgement.wealth.all = f64::NAN,
            Some(judgement) if self == Spoilt::OldLook => judgement.looked = at.saturating_sub(Duration::from_secs(61)),
            // At 40 the ratchet holds or goes back by a step.
            Some(judgement) => judgement.wealth.all = judgement.wealth.all.max(40.0_f64.ln() + 1.1),
            None => {}
        }
    }
}

type Step = fn(State, &Input, &Guard, Duration) -> (State, Decision);

thread_local! {
    static STEP: Cell<Step> = const { Cell::new(crate::core::ratchet::step) };
    /// What is wrong with the facts of this tick.
    static SPOILT: Cell<Option<Spoilt>> = const { Cell::new(None) };
    static DECIDED: RefCell<Vec<Decided>> = const { RefCell::new(Vec::new()) };
}

/// The step that was settled on, written down.
pub fn step(before: State, input: &Input, guard: &Guard, at: Duration) -> (State, Decision) {
    let mut input = input.clone();
    if let (Input::Tick(facts), Some(spoilt)) = (&mut input, SPOILT.get()) {
        spoilt.spoil(&mut facts.judgement, at);
    }
    let (after, decision) = STEP.get()(before.clone(), &input, guard, at);
    let (guard, is_spoilt) = (guard.clone(), SPOILT.get().is_some());
    DECIDED
        .with_borrow_mut(|all| all.push(Decided { before, input, guard, at, after: after.clone(), decision: decision.clone(), is_spoilt }));
    (after, decision)
}

/// From now on this decides, on this thread.
pub fn decides_by(step: Step) {
    STEP.set(step);
}

/// From now on the facts of ticks are spoilt in this way, or not.
pub fn spoil(spoilt: Option<Spoilt>) {
    SPOILT.set(spoilt);
}

/// What was decided since the last time.
pub fn take() -> Vec<Decided> {
    DECIDED.take()
}
