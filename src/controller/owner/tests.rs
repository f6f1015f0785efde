//! Single events whose order matters. The fault simulator in `faults` tests whole sequences.

use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::config;
use crate::controller::event::{Event, Request};
use crate::controller::rehearsal::Drill;
use crate::controller::wish::{Actor, ChangeRequest, ReplyTo, Wish};
use crate::core::Weight;
use crate::store::{Append, Found, Unwritten};
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
