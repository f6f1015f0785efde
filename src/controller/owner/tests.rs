//! Single events whose order matters. The fault simulator in `faults` tests whole sequences.

use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::config;
use crate::controller::event::{Event, Request};
use crate::controller::rehearsal::Drill;
use crate::controller::report::{Report, ReportKind};
use crate::controller::wish::{Actor, ChangeRequest, ReplyTo, Wish};
use crate::core::Weight;
use crate::store::{Append, Found, Unwritten, Written};
use tokio::sync::oneshot;

fn at(millis: u64) -> Now {
    Now { running: Duration::from_millis(millis), wall: SystemTime::UNIX_EPOCH }
}

/// An owner of one bot whose first snapshot is served by every worker.
fn owner() -> Owner {
    let text =
        "[[bot]]\nname = \"a\"\nworkspace = \"header:x\"\nupstreams = { blue = \"http://b\", green = \"http://g\" }\nstable = \"blue\"\n";
    let config = config::parse(text, Path::new("serin.toml")).unwrap();
    let (mut owner, _) = Owner::begin(config, Found::default(), true, at(0));
    owner.handle(Event::Alarm, Health::default(), at(0));
    let sequence = owner.current().sequence;
    owner.handle(Event::Serves { sequence }, Health::default(), at(1));
    owner
}

fn published(effects: &[Effect]) -> Vec<u64> {
    effects.iter().filter_map(|effect| if let Effect::Publish(snapshot) = effect { Some(snapshot.sequence) } else { None }).collect()
}

#[test]
fn snapshots_of_one_event_are_published_in_their_order() {
    let mut owner = owner();
    let (reply, _answer) = oneshot::channel();
    let drill = Drill { share: None, lasts: Duration::from_secs(1), upstream: None };
    let asked = Request::Drill { bot: "a".to_owned(), drill, actor: Actor::Config, reply };
    let effects = owner.handle(Event::Request(asked), Health::default(), at(2));
    let [Effect::Check { ticket, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    owner.handle(Event::Checked { ticket: *ticket, answer: Ok(()) }, Health::default(), at(3));
    // The bot is also due in the event in which the drill continues, so that event publishes twice.
    owner.pilots[0].due = true;
    let sequence = owner.current().sequence;
    let effects = owner.handle(Event::Serves { sequence }, Health::default(), at(4));
    assert_eq!(published(&effects), [sequence + 1, sequence + 2]);
    assert!(matches!(effects.first(), Some(Effect::Publish(_))), "before the rows");
}

#[test]
fn a_raise_that_the_disk_has_at_its_time_limit_is_in_force() {
    let mut owner = owner();
    let (reply, _answer) = oneshot::channel();
    let weight = Weight::from_percent(5.0).unwrap();
    let (wish, actor) = (Wish::SetWeight(weight), Actor::Operator("ana".into()));
    let request = ChangeRequest { bot: "a".to_owned(), wish, based_on: None, actor, force: false, reason: None };
    let effects = owner.handle(Event::Request(Request::Change { request, reply: ReplyTo::Change(reply) }), Health::default(), at(2));
    let [Effect::Append(Append { unwritten: Unwritten::Drop(claim), .. })] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(claim.written());
    let effects = owner.handle(Event::Alarm, Health::default(), at(3_002));
    assert_eq!((published(&effects).len(), owner.pilots[0].state.weight), (1, weight));
    assert!(owner.alarm().is_none_or(|alarm| alarm > Duration::from_millis(3_002)), "an alarm that has rung rings no more");
}

fn asked(wish: Wish) -> (Event, oneshot::Receiver<Result<Arc<Snapshot>, ChangeError>>) {
    let (reply, answer) = oneshot::channel();
    let actor = Actor::Operator("ana".into());
    let request = ChangeRequest { bot: "a".to_owned(), wish, based_on: None, actor, force: false, reason: None };
    (Event::Request(Request::Change { request, reply: ReplyTo::Change(reply) }), answer)
}

fn set_weight(percent: f64) -> Wish {
    Wish::SetWeight(Weight::from_percent(percent).unwrap())
}

fn handle(owner: &mut Owner, event: Event, millis: u64) -> Vec<Effect> {
    owner.handle(event, Health::default(), at(millis))
}

fn is_refused(mut answer: oneshot::Receiver<Result<Arc<Snapshot>, ChangeError>>) -> bool {
    matches!(answer.try_recv(), Ok(Err(ChangeError::TakesOver)))
}

#[test]
fn a_change_that_is_decided_is_finished_before_the_history_is_handed_over_and_later_ones_are_refused() {
    let mut owner = owner();
    let (raise, mut raised) = asked(set_weight(5.0));
    let effects = handle(&mut owner, raise, 2);
    let [Effect::Append(Append { ticket, .. })] = effects.as_slice() else { panic!("{effects:?}") };
    let (queued, waits) = asked(set_weight(7.0));
    assert!(handle(&mut owner, queued, 3).is_empty());
    assert!(handle(&mut owner, Event::HandOver, 4).is_empty());
    assert!(is_refused(waits), "it was not decided");
    assert!(!owner.is_idle(), "the disk has not answered");
    let (late, refused) = asked(Wish::Abort);
    assert!(handle(&mut owner, late, 5).is_empty());
    assert!(is_refused(refused));

    let effects = handle(&mut owner, Event::Written(Written { ticket: *ticket, result: Ok(()) }), 6);
    let [sequence] = published(&effects)[..] else { panic!("{effects:?}") };
    assert!(!owner.is_idle(), "the workers do not serve it yet");
    handle(&mut owner, Event::Serves { sequence }, 7);
    assert!(owner.is_idle() && raised.try_recv().unwrap().is_ok());
    let last = owner.last_checkpoints(at(8));
    let stored: Vec<_> = last.iter().map(|checkpoint| (checkpoint.state.weight, checkpoint.at)).collect();
    assert_eq!(stored, [(Weight::from_percent(5.0).unwrap(), Duration::from_millis(8))]);
    assert!(last[0].past.is_some(), "also what is stored once a minute");
}

#[test]
fn nothing_is_decided_after_the_hand_over_until_it_has_failed() {
    let mut owner = owner();
    // What the config says differs from what was last followed, so that each tick would make a change.
    owner.pilots[0].state.last_config.weight = Weight::from_percent(50.0).unwrap();
    handle(&mut owner, Event::HandOver, 2);
    for second in 1..10 {
        let effects = handle(&mut owner, Event::Tick, second * 1_000);
        assert!(effects.is_empty(), "{effects:?}");
    }
    let effects = handle(&mut owner, Event::Resume(None), 11_000);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Append(_))), "{effects:?}");
}

#[test]
fn a_change_whose_side_is_being_checked_is_refused_and_its_check_decides_nothing() {
    let mut owner = owner();
    let (switch, answer) = asked(Wish::Switch { upstream: None, version: None });
    let effects = handle(&mut owner, switch, 2);
    let [Effect::Check { ticket, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    handle(&mut owner, Event::HandOver, 3);
    assert!(is_refused(answer) && owner.is_idle());
    assert!(handle(&mut owner, Event::Checked { ticket: *ticket, answer: Ok(()) }, 4).is_empty());
}

#[test]
fn customers_on_the_idle_side_of_a_drill_go_back_before_the_history_is_handed_over() {
    let mut owner = owner();
    let (reply, mut answer) = oneshot::channel();
    let drill = Drill { share: Weight::from_percent(50.0).ok(), lasts: Duration::from_secs(300), upstream: None };
    let effects = handle(&mut owner, Event::Request(Request::Drill { bot: "a".to_owned(), drill, actor: Actor::Config, reply }), 2);
    let [Effect::Check { ticket, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let mut effects = handle(&mut owner, Event::Checked { ticket: *ticket, answer: Ok(()) }, 3);
    // The customers are not on the idle side yet.
    handle(&mut owner, Event::HandOver, 4);
    for millis in 5..100 {
        let events: Vec<Event> = effects
            .drain(..)
            .filter_map(|effect| match effect {
                Effect::Append(append) => Some(Event::Written(Written { ticket: append.ticket, result: Ok(()) })),
                Effect::Publish(snapshot) => Some(Event::Serves { sequence: snapshot.sequence }),
                Effect::Checkpoint(_) | Effect::Check { .. } | Effect::Announce(_) => None,
            })
            .collect();
        for event in events.into_iter().chain([Event::Alarm]) {
            effects.extend(handle(&mut owner, event, millis));
        }
    }
    assert!(owner.is_idle());
    assert_eq!(owner.pilots[0].state.weight, Weight::ZERO);
    assert!(answer.try_recv().unwrap().is_ok(), "the drill is over");
}

/// What the history has of bot `a` after a change that this owner does not know.
fn found(owner: &Owner, revision: u64, weight: Weight) -> Found {
    let (pilot, green) = (&owner.pilots[0], Release { upstream: "green".into(), version: None });
    let mut state = State { revision, weight, split_id: revision, canary: Some(green), ..pilot.state.clone() };
    state.phase = if weight == Weight::ZERO { state.phase } else { crate::core::Phase::Manual };
    state.last_config.weight = owner.config.bots[0].weight;
    let at = Duration::from_secs(100);
    let kept = Kept { state, at, evidence: None, past: None, landmarks: Default::default() };
    Found { bots: [("a".to_owned(), kept)].into(), ..Found::default() }
}

#[test]
fn a_bot_that_the_newer_serin_has_changed_goes_on_from_its_last_row_and_any_other_from_memory() {
    let mut owner = owner();
    let revision = owner.pilots[0].state.revision;
    let epoch = owner.pilots[0].epoch.clone();
    handle(&mut owner, Event::HandOver, 2);
    let same = found(&owner, revision, Weight::from_percent(30.0).unwrap());
    assert!(published(&handle(&mut owner, Event::Resume(Some(same)), 3)).is_empty());
    assert!(Arc::ptr_eq(&epoch, &owner.pilots[0].epoch), "with all that was counted");

    let weight = Weight::from_percent(20.0).unwrap();
    handle(&mut owner, Event::HandOver, 4);
    let changed = found(&owner, revision + 2, weight);
    let before = owner.current().sequence;
    let effects = handle(&mut owner, Event::Resume(Some(changed)), 5);
    assert_eq!(published(&effects), [before + 1]);
    let pilot = &owner.pilots[0];
    assert_eq!((pilot.state.weight, pilot.state.revision, pilot.kept), (weight, revision + 2, revision + 2));
    assert_eq!(pilot.now(at(5)), Duration::from_secs(100), "its clock goes on from the row");
    let (raise, _answer) = asked(set_weight(40.0));
    assert!(matches!(handle(&mut owner, raise, 6).as_slice(), [Effect::Append(_)]), "and decides");
}

/// The ratchet reads the ledger once a second, and the history gets the evidence each five seconds.
#[test]
fn what_was_counted_since_the_last_tick_is_in_the_evidence_that_is_handed_over() {
    let mut owner = owner();
    let (raise, _answer) = asked(set_weight(50.0));
    let effects = handle(&mut owner, raise, 2);
    let [Effect::Append(Append { ticket, .. })] = effects.as_slice() else { panic!("{effects:?}") };
    let effects = handle(&mut owner, Event::Written(Written { ticket: *ticket, result: Ok(()) }), 3);
    let [sequence] = published(&effects)[..] else { panic!("{effects:?}") };
    handle(&mut owner, Event::Serves { sequence }, 4);
    handle(&mut owner, Event::Tick, 1_000);
    let evidence = |owner: &mut Owner, millis| owner.last_checkpoints(at(millis)).remove(0).evidence.expect("a split by hand is judged");
    let before = evidence(&mut owner, 1_001);
    let report = |name: u32| Report { workspace: format!("T{name}"), ok: true, kind: ReportKind::Outcome };
    let (reply, mut counted) = oneshot::channel();
    let reports = (0..200).map(report).collect();
    handle(&mut owner, Event::Request(Request::Report { bot: "a".to_owned(), reports, reply }), 1_002);
    assert_eq!(counted.try_recv().unwrap().unwrap().counted, 200);
    handle(&mut owner, Event::HandOver, 1_003);
    let after = evidence(&mut owner, 1_003);
    assert!(after.len() > before.len() + 200, "{} became {}", before.len(), after.len());
}
