//! The places for connections on a listener, and which one is freed when none is left: first one whose client has sent no request yet,
//! then an idle one, never one with a request in flight. So a client that opens connections without using them only harms itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::admin::access::network;

/// The numbers of connections of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections: usize,
    /// Per source: an IPv4 address, or the /64 of an IPv6 address.
    pub per_source: usize,
    /// Additional places for when all others wait for answers: one request each.
    pub reserved: usize,
}

#[derive(Debug)]
pub struct Places {
    bounds: Bounds,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Numbers connections and their activities; the lowest number is the oldest.
    turn: u64,
    held: HashMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    source: IpAddr,
    kind: Kind,
    doing: Doing,
    /// When that began, as a `turn`.
    turn: u64,
    /// Whether the client has been authorised on this connection.
    known: bool,
    leave: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ordinary,
    Reserved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// Has not sent a request yet.
    Silent,
    /// Between two requests.
    Idle,
    /// Waits for an answer.
    Busy,
}

/// A connection's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    id: u64,
    kind: Kind,
    leave: Arc<Notify>,
    places: Arc<Places>,
}

/// A request in flight. Dropping it means that it is answered.
#[derive(Debug)]
pub struct Asking(Arc<Place>);

/// Every place has a request in flight.
#[derive(Debug)]
pub struct Full;

impl Places {
    pub fn new(bounds: Bounds) -> Arc<Places> {
        Arc::new(Places { bounds, table: Mutex::default() })
    }

    /// Takes a place for a connection from this address. The flag says whether another connection lost its place for that.
    pub fn take(self: &Arc<Places>, from: IpAddr) -> Result<(Place, bool), Full> {
        let source = network(from);
        let mut table = self.table();
        let of_source = table.count(|held| held.kind == Kind::Ordinary && held.source == source);
        let of_all = table.count(|held| held.kind == Kind::Ordinary);
        let (kind, shed) = if of_source >= self.bounds.per_source {
            table.ordinary_or_reserved(|held| held.source == source)
        } else if of_all >= self.bounds.connections {
            table.ordinary_or_reserved(|_| true)
        } else {
            (Kind::Ordinary, false)
        };
        // No connection in a reserved place is idle: it has a request in flight or has sent nothing yet.
        let shed = match kind {
            Kind::Reserved if table.count(|held| held.kind == Kind::Reserved) >= self.bounds.reserved => {
                if !table.shed(|held| held.kind == Kind::Reserved) {
                    return Err(Full);
                }
                true
            }
            Kind::Ordinary | Kind::Reserved => shed,
        };
        let (id, leave) = (table.next(), Arc::new(Notify::new()));
        table.held.insert(id, Held { source, kind, doing: Doing::Silent, turn: id, known: false, leave: leave.clone() });
        Ok((Place { id, kind, leave, places: self.clone() }, shed))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn count(&self, which: impl Fn(&Held) -> bool) -> usize {
        self.held.values().filter(|held| which(held)).count()
    }

    /// Frees one of these places; if there is none to free, a reserved place is used.
    fn ordinary_or_reserved(&mut self, which: impl Fn(&Held) -> bool) -> (Kind, bool) {
        match self.shed(|held| held.kind == Kind::Ordinary && which(held)) {
            true => (Kind::Ordinary, true),
            false => (Kind::Reserved, false),
        }
    }

    /// Frees one of these places and tells its connection: one without a request first, then an idle one; unknown clients before
    /// authorised ones, and the oldest first. Returns `false` if all have requests in flight.
    fn shed(&mut self, which: impl Fn(&Held) -> bool) -> bool {
        let idle = self.held.iter().filter(|(_, held)| held.doing != Doing::Busy && which(held));
        let Some(id) = idle.min_by_key(|(_, held)| (held.doing, held.known, held.turn)).map(|(id, _)| *id) else { return false };
        if let Some(held) = self.held.remove(&id) {
            held.leave.notify_one();
        }
        true
    }
}

impl Place {
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Waits until another connection has got this place. No request is in flight then.
    pub async fn lost(&self) {
        self.leave.notified().await;
    }

    pub fn is_silent(&self) -> bool {
        self.places.table().held.get(&self.id).is_none_or(|held| held.doing == Doing::Silent)
    }

    /// Begins a request. Returns `None` if the place is lost.
    pub fn ask(self: &Arc<Place>) -> Option<Asking> {
        self.is_now(Doing::Busy).then(|| Asking(self.clone()))
    }

    /// The client has been authorised.
    pub fn becomes_known(&self) {
        if let Some(held) = self.places.table().held.get_mut(&self.id) {
            held.known = true;
        }
    }

    fn is_now(&self, doing: Doing) -> bool {
        let mut table = self.places.table();
        let turn = table.next();
        let Some(held) = table.held.get_mut(&self.id) else { return false };
        (held.doing, held.turn) = (doing, turn);
        true
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.is_now(Doing::Idle);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().held.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, per_source: usize, reserved: usize) -> Arc<Places> {
        Places::new(Bounds { connections, per_source, reserved })
    }

    fn take(places: &Arc<Places>, from: &str) -> Arc<Place> {
        Arc::new(places.take(from.parse().unwrap()).unwrap().0)
    }

    fn has(place: &Place) -> bool {
        place.places.table().held.contains_key(&place.id)
    }

    #[test]
    fn a_source_over_its_limit_loses_its_own_places() {
        let places = places(10, 2, 0);
        let other = take(&places, "10.0.0.2");
        let mine: Vec<_> = (0..4).map(|_| take(&places, "10.0.0.1")).collect();
        assert!(has(&other), "the oldest of all, but of another source");
        assert_eq!(mine.iter().map(|place| has(place)).collect::<Vec<_>>(), [false, false, true, true]);
        let network: Vec<_> = (1..4).map(|n| take(&places, &format!("2001:db8::{n}"))).collect();
        assert_eq!(network.iter().filter(|place| has(place)).count(), 2, "a /64 is one source");
    }

    #[test]
    fn silent_connections_give_way_before_idle_ones_and_busy_ones_never() {
        let places = places(4, 4, 0);
        let [waits, known, idle, silent] = [1, 2, 3, 4].map(|n| take(&places, &format!("10.0.0.{n}")));
        let _asking = waits.ask().unwrap();
        known.becomes_known();
        drop(known.ask());
        drop(idle.ask());
        for (next, gone) in [(5, &silent), (6, &idle), (7, &known)] {
            let next = take(&places, &format!("10.0.0.{next}"));
            assert!(!has(gone) && gone.ask().is_none(), "no request begins on a lost place");
            std::mem::forget(next.ask());
            std::mem::forget(next);
        }
        assert!(has(&waits));
        assert!(places.take("10.0.0.8".parse().unwrap()).is_err(), "all wait for answers");
    }

    #[test]
    fn reserved_places_are_for_when_all_others_wait_for_answers() {
        let places = places(2, 1, 1);
        let busy: Vec<_> = ["10.0.0.1", "10.0.0.2"].map(|from| take(&places, from).ask().unwrap()).into();
        let (reserved, shed) = places.take("10.0.0.3".parse().unwrap()).unwrap();
        assert_eq!((reserved.kind(), shed), (Kind::Reserved, false));
        let same = take(&places, "10.0.0.1");
        assert!(same.kind() == Kind::Reserved && !has(&reserved), "its address has its one place: the reserved one is for all");
        let asking = same.ask();
        assert!(places.take("10.0.0.4".parse().unwrap()).is_err());
        drop(asking);
        drop((same, busy));
        assert_eq!(take(&places, "10.0.0.1").kind(), Kind::Ordinary, "a place that is dropped is free");
    }

    #[tokio::test]
    async fn a_connection_is_told_that_its_place_is_lost() {
        let places = places(1, 1, 0);
        let first = take(&places, "10.0.0.1");
        assert!(first.is_silent());
        let _second = take(&places, "10.0.0.1");
        first.lost().await;
    }
}
