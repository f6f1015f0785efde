//! What a change of the state, a restart and a policy do to the evidence of one bot, in simulated time.

use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::config;
use crate::controller::roles::release;
use crate::core::evidence::Finding;
use crate::core::ratchet::{self, Command, Decision, Input};
use crate::core::{Bucket, Outcome, Phase, Plan, Sample};
use crate::live::Failing;

const BUCKETS: usize = 60;

/// Whether a request of this bucket on this track fails.
type Fails = fn(&World, Bucket, Track) -> bool;

struct World {
    config: Config,
    pilot: Pilot,
    fails: Fails,
    secs: u64,
}

fn green() -> Release {
    Release { upstream: "green".into(), version: Some("v2".into()) }
}

fn half() -> Weight {
    Weight::from_bp(5_000).unwrap()
}

fn rollout(policy: Policy) -> Command {
    let mut plan = Plan { policy, ..Plan::usual() };
    plan.steps.retain(|step| step.weight >= half());
    Command::Start { release: green(), plan, retry: false }
}

fn set(bp: u16) -> Command {
    Command::SetWeight { weight: Weight::from_bp(bp).unwrap(), canary: green() }
}

/// The first active bucket that a split at 50 % puts on the canary: its workspace is the one that fails.
fn suspect(world: &World) -> Bucket {
    Bucket::all().take(BUCKETS).find(|bucket| world.pilot.epoch.split.track(*bucket) == Track::Canary).unwrap()
}

fn suspect_fails_on_the_canary(world: &World, bucket: Bucket, track: Track) -> bool {
    bucket == suspect(world) && track == Track::Canary
}

fn nobody_fails(_: &World, _: Bucket, _: Track) -> bool {
    false
}

impl World {
    fn new(fails: Fails, command: Command) -> World {
        let text = "[proxy]\nworkers = 1\n[[bot]]\nname = \"support\"\nworkspace = \"header:X\"\nstable = \"blue\"\n\
            upstreams = { blue = \"http://127.0.0.1:1\", green = \"http://127.0.0.1:2\" }\n";
        let config = config::parse(text, Path::new("serin.toml")).unwrap_or_else(|error| panic!("{error}"));
        let state = State::new(release(&config.bots[0].upstreams[0]));
        let pilot = Pilot::new(&config, &config.bots[0], state, Duration::ZERO, at(0));
        let mut world = World { config, pilot, fails, secs: 0 };
        world.serves();
        world.does(command);
        world
    }

    fn bot(&self) -> &Bot {
        &self.config.bots[0]
    }

    fn does(&mut self, command: Command) {
        let (now, guard) = (at(self.secs), self.bot().guard.clone());
        let input = Input::Command { command, based_on: None };
        let (after, decision) = ratchet::step(self.pilot.state.clone(), &input, &guard, self.pilot.now(now));
        assert!(!matches!(decision, Decision::Refuse(_)), "{decision:?}");
        self.pilot.change(&decision, after, now);
        self.serves();
    }

    /// Publishes what is due; every worker serves it at once.
    fn serves(&mut self) {
        self.pilot.is_published(&self.config, &self.config.bots[0], 1, at(self.secs));
        self.pilot.opens(&self.config.bots[0].guard, at(self.secs));
    }

    /// Two requests of each bucket, and then a tick.
    fn second(&mut self) -> Facts {
        let epoch = self.pilot.epoch.clone();
        for bucket in Bucket::all().take(BUCKETS).flat_map(|bucket| [bucket; 2]) {
            let set_aside = epoch.split.is_set_aside(bucket);
            let track = if set_aside { Track::Stable } else { epoch.split.track(bucket) };
            let outcome = if (self.fails)(self, bucket, track) { Outcome::Error } else { Outcome::Ok };
            let (shard, sample) = (epoch.ledger.shard(0), Sample { outcome, latency_micros: Some(1_000) });
            shard.record(bucket, set_aside, track, sample);
            if let Some(turn) = epoch.split.examined_in(bucket) {
                shard.examined(bucket, turn, sample);
            }
        }
        self.look()
    }

    fn look(&mut self) -> Facts {
        self.secs += 1;
        let (facts, moved) = self.pilot.gather(&self.config.bots[0].guard, at(self.secs));
        if moved {
            self.serves();
        }
        facts
    }

    /// Runs seconds with traffic until the condition is true.
    fn until(&mut self, what: &str, so: impl Fn(&World) -> bool) {
        for _ in 0..300 {
            if so(self) {
                return;
            }
            self.second();
        }
        panic!("not within 300 s: {what}");
    }

    /// The same world after a restart: a new process that reads what was stored.
    fn restarted(&mut self) -> World {
        let kept = self.pilot.checkpoint(at(self.secs)).expect("there is something to keep");
        let Checkpoint { state, at: kept_at, evidence, past, .. } = kept;
        let mut pilot = Pilot::new(&self.config, self.bot(), state.clone(), kept_at, at(self.secs));
        pilot.remember(self.bot(), Kept { state, at: kept_at, evidence, past, landmarks: Landmarks::default() }, false, at(self.secs));
        let config = self.config.clone();
        let mut world = World { config, pilot, fails: self.fails, secs: self.secs };
        world.serves();
        world
    }

    fn examinations(&self) -> Vec<Examination> {
        self.pilot.examined().cloned().collect()
    }
}

fn at(secs: u64) -> Now {
    let running = Duration::from_secs(secs);
    Now { running, wall: SystemTime::UNIX_EPOCH + running }
}

fn log_e(facts: &Facts) -> f64 {
    facts.judgement.expect("a split is judged").wealth.log_e()
}

#[test]
fn a_weight_by_hand_without_a_rollout_begins_fresh_evidence() {
    for bp in [6_000, 4_000, 5_000] {
        let mut world = World::new(|_, _, track| track == Track::Canary, set(5_000));
        world
            .until("evidence against the canary", |world| world.pilot.judged().is_some_and(|judged| judged.judgement.wealth.log_e() > 1.0));
        world.does(set(bp));
        world.fails = nobody_fails;
        let facts = world.look();
        let judgement = facts.judgement.unwrap();
        assert_eq!((judgement.wealth, judgement.canary.tally.requests), (Default::default(), 0), "at {bp}");
        assert!(log_e(&facts).abs() < 1e-9);
        for _ in 0..60 {
            assert!(log_e(&world.second()) < 1.0, "nothing of before comes back, at {bp}");
        }
    }
}

#[test]
fn a_weight_by_hand_in_a_rollout_closes_the_window_and_keeps_the_wealth() {
    for bp in [6_000, 4_000] {
        // Many fail on the canary, and one alone is examined.
        let mut world = World::new(|_, bucket, track| bucket.index() % 3 == 0 && track == Track::Canary, rollout(Policy::Automatic));
        world.until("an examination", |world| world.examinations().iter().any(|exam| exam.blocks > 3 && exam.log_wealth != 0.0));
        // A bucket's reports of the last second are counted in the step that ends.
        world.look();
        let before = world.pilot.judged().unwrap().judgement;
        let examined = world.examinations();
        let wealth = before.wealth;
        assert!(wealth.all > 1.0 && wealth.cohorts > 1.0 && wealth.urn > 1.0 && wealth.examinations != 0.0, "{wealth:?}");
        world.does(set(bp));
        let facts = world.look();
        let after = facts.judgement.unwrap();
        let kept = crate::core::evidence::Wealth { all: 0.0, ..wealth };
        assert_eq!((after.wealth, after.canary.tally.requests, after.stable.tally.requests), (kept, 0, 0), "at {bp}");
        assert_eq!(world.pilot.state.phase, Phase::Paused);
        let which = |exams: &[Examination]| exams.iter().map(|exam| (exam.bucket, exam.finding)).collect::<Vec<_>>();
        assert_eq!(which(&world.examinations()), which(&examined));
    }
}

/// The coins of an examination are made from its seed and the number of the block, and both are stored.
#[test]
fn an_examination_goes_on_after_a_restart_in_the_same_block() {
    let mut world = World::new(suspect_fails_on_the_canary, rollout(Policy::Automatic));
    world.until("three blocks", |world| world.examinations().iter().any(|exam| exam.blocks >= 3));
    let mut again = world.restarted();
    assert_eq!(again.examinations(), world.examinations());
    assert_eq!(again.pilot.epoch.split, world.pilot.epoch.split, "who is set aside stays so");
    let (mut coins, bucket) = (0, suspect(&world));
    for _ in 0..60 {
        let before = world.pilot.epoch.split.examined_in(bucket);
        let (told, same) = (world.second(), again.second());
        assert_eq!((again.examinations(), again.pilot.epoch.split.clone()), (world.examinations(), world.pilot.epoch.split.clone()));
        assert_eq!(told.judgement.unwrap().wealth.examinations, same.judgement.unwrap().wealth.examinations);
        coins += usize::from(world.pilot.epoch.split.examined_in(bucket) != before);
    }
    assert!(coins >= 5, "{coins}");
}

#[test]
fn the_policy_manual_moves_no_workspace_by_a_coin() {
    let mut world = World::new(suspect_fails_on_the_canary, rollout(Policy::Manual));
    for _ in 0..120 {
        world.second();
        assert_eq!((world.examinations(), world.pilot.epoch.split.examined_in(suspect(&world))), (Vec::new(), None));
    }
    // A split by hand has the policy of the config.
    let mut world = World::new(suspect_fails_on_the_canary, set(5_000));
    world.config.bots[0].guard.by_hand = Policy::Manual;
    for _ in 0..120 {
        world.second();
        assert_eq!(world.examinations(), Vec::new());
    }
}

#[test]
fn at_a_hundred_percent_by_hand_no_bucket_stays_set_aside() {
    let mut world = World::new(suspect_fails_on_the_canary, rollout(Policy::Automatic));
    let bucket = suspect(&world);
    world.until("stable answers for the suspect", |world| world.pilot.epoch.split.is_set_aside(bucket));
    world.does(set(10_000));
    for _ in 0..60 {
        let split = &world.pilot.epoch.split;
        assert!(Bucket::all().all(|bucket| split.track(bucket) == Track::Canary && !split.is_set_aside(bucket)));
        assert_eq!(split.examined_in(bucket), None);
        world.second();
    }
}

/// Before the rollout all buckets of one parity fail; during it only the suspect does, on the canary.
fn noisy(world: &World, bucket: Bucket, track: Track, odd: bool) -> bool {
    match world.pilot.epoch.split.weight() == Weight::ZERO {
        true => bucket.index().is_multiple_of(2) != odd,
        false => suspect_fails_on_the_canary(world, bucket, track),
    }
}

#[test]
fn a_concentration_names_the_bucket_and_what_it_did_on_stable() {
    let even: Fails = |world, bucket, track| noisy(world, bucket, track, false);
    let odd: Fails = |world, bucket, track| noisy(world, bucket, track, true);
    let mut told = Vec::new();
    for fails in [even, odd] {
        let mut world = World::new(fails, set(0));
        for _ in 0..30 {
            world.second();
        }
        world.does(rollout(Policy::Guarded));
        let bucket = suspect(&world);
        world.until("a concentration", |world| world.pilot.failures.concentration.is_some());
        let found = world.pilot.failures.concentration.unwrap();
        assert_eq!((found.failing, found.bucket, found.of, found.over), (Failing::Errors, bucket.index(), found.in_bucket, false));
        assert!(found.in_bucket >= 5 && (found.workspaces_per_bucket - 1.0).abs() < 0.01, "{found:?}");
        told.push(found.fails_on_stable);
        // What stable answers during the examination says more than the past.
        world.until("stable has answered for it", |world| world.pilot.reading.set_aside(bucket).requests > 10);
        world.second();
        assert_eq!(world.pilot.failures.concentration.unwrap().fails_on_stable, Some(false));
        assert_eq!(world.pilot.failing().iter().map(|one| (one.bucket, one.track)).collect::<Vec<_>>(), [(bucket, Track::Canary)]);
        world.does(Command::Abort);
        world.second();
        let last = world.pilot.failures.concentration.unwrap();
        assert!(last.over && last.text().contains("came from"), "what was counted last is still to be seen");
        world.does(set(5_000));
        assert_eq!(world.pilot.failures.concentration, None);
    }
    told.sort();
    assert_eq!(told, [Some(false), Some(true)]);
}

#[test]
fn a_workspace_that_fails_anywhere_has_its_own_trouble() {
    let mut world = World::new(|world, bucket, _| bucket == suspect_of_halves(world), rollout(Policy::Guarded));
    world.until("a finding", |world| world.examinations().iter().any(|exam| exam.finding == Finding::Refuted));
    world.second();
    let failing = world.pilot.failing();
    assert_eq!(failing.iter().map(|one| (one.bucket, one.fails_on_stable)).collect::<Vec<_>>(), [(suspect(&world), Some(true))]);
    assert_eq!(world.pilot.failures.concentration, None, "the canary had too few of its failures");
}

/// As [`suspect`], but at any weight.
fn suspect_of_halves(world: &World) -> Bucket {
    let split = world.pilot.epoch.split.with_weight(half());
    Bucket::all().take(BUCKETS).find(|bucket| split.track(*bucket) == Track::Canary).unwrap()
}

#[test]
fn another_step_begins_to_count_anew() {
    let mut world = World::new(suspect_fails_on_the_canary, rollout(Policy::Guarded));
    world.until("a concentration", |world| world.pilot.failures.concentration.is_some());
    world.fails = nobody_fails;
    world.does(set(6_000));
    assert_eq!(world.pilot.failures.concentration, None);
    world.second();
    assert_eq!((world.pilot.failures.concentration, world.pilot.failing().len()), (None, 0));
}

#[test]
fn names_end_with_their_split_and_are_kept_only_if_configured() {
    let mut world = World::new(nobody_fails, set(5_000));
    assert!(world.pilot.epoch.names.is_none());
    world.config.admin.show_workspaces = true;
    world.serves();
    let first = world.pilot.epoch.names.clone().expect("they are wanted");
    world.serves();
    assert!(Arc::ptr_eq(&first, world.pilot.epoch.names.as_ref().unwrap()), "the same split");
    world.does(set(6_000));
    assert!(!Arc::ptr_eq(&first, world.pilot.epoch.names.as_ref().unwrap()), "another one");
    assert_eq!(Arc::strong_count(&first), 1, "nobody keeps those of the split before");
    world.config.admin.show_workspaces = false;
    world.serves();
    assert!(world.pilot.epoch.names.is_none() && world.pilot.observed.names.is_none());
}
