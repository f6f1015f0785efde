//! What the fuzz target checks of a start from the history, and what serves with a config, for the targets that need a worker.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::event::Event;
use super::owner::Owner;
use super::time::Now;
use crate::config::{self, Config};
use crate::core::evidence::Evidence;
use crate::live::Snapshot;
use crate::store::{Found, Health, fuzzing as stored};

/// The seconds that serin runs with what it has read.
const TICKS: u64 = 3;

const CONFIG: &str = "[[bot]]\nname = \"support\"\nworkspace = \"header:x\"\nstable = \"blue\"\n\
    upstreams = { blue = { url = \"http://b\", version = \"v1\" }, green = { url = \"http://g\", version = \"v2\" } }\n";

/// What serves at the first start with this config.
pub fn serving(config: Config) -> Arc<Snapshot> {
    let mut owner = begin(config, Found::default());
    owner.handle(Event::Alarm, Health::default(), at(0));
    owner.current().clone()
}

/// Any bytes in the history's cells: serin starts, decides for some seconds, and what it would store at its end can be read again.
pub fn history(data: &[u8]) {
    let Some(bots) = stored::history(data) else { return };
    let config = config::parse(CONFIG, Path::new("serin.toml")).unwrap_or_else(|error| panic!("{error}"));
    let mut owner = begin(config, Found { bots, ..Found::default() });
    owner.handle(Event::Alarm, Health::default(), at(0));
    for second in 1..=TICKS {
        let sequence = owner.current().sequence;
        owner.handle(Event::Serves { sequence }, Health::default(), at(second));
        owner.handle(Event::Tick, Health::default(), at(second));
    }
    for checkpoint in owner.last_checkpoints(at(TICKS + 1)) {
        assert!(stored::comes_back(&checkpoint.state), "{:?}", checkpoint.state);
        assert!(checkpoint.evidence.is_none_or(|evidence| rmp_serde::from_slice::<Evidence>(&evidence).is_ok()));
        assert!(checkpoint.past.is_none_or(|past| super::learned::Learned::unpack(&past).is_some()));
    }
}

fn begin(config: Config, found: Found) -> Owner {
    Owner::begin(config, found, true, at(0)).0
}

fn at(seconds: u64) -> Now {
    let running = Duration::from_secs(seconds);
    Now { running, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + running }
}
