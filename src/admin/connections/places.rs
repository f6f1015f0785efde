//! The places for connections on a listener, and which one is freed when none is left: first one whose client has sent no request yet,
//! then an idle one, never one with a request in flight. So a client that opens connections without using them only harms itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::network_of;

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
    occupants: HashMap<u64, Occupant>,
}

#[derive(Debug)]
struct Occupant {
    source: IpAddr,
    kind: Kind,
    activity: Activity,
    /// When that began, as a `turn`.
    turn: u64,
    /// Whether the client has been authorised on this connection.
    authorised: bool,
    leave: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ordinary,
    Reserved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Activity {
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
pub struct InFlight(Arc<Place>);

/// Every place has a request in flight.
#[derive(Debug)]
pub struct Full;

impl Places {
    pub fn new(bounds: Bounds) -> Arc<Places> {
        Arc::new(Places { bounds, table: Mutex::default() })
    }

    /// Takes a place for a connection from this address. The flag says whether another connection lost its place for that.
    pub fn take(self: &Arc<Places>, from: IpAddr) -> Result<(Place, bool), Full> {
        let source = network_of(from);
        let mut table = self.table();
        let of_source = table.count(|occupant| occupant.kind == Kind::Ordinary && occupant.source == source);
        let of_all = table.count(|occupant| occupant.kind == Kind::Ordinary);
        let (kind, shed) = if of_source >= self.bounds.per_source {
            table.ordinary_or_reserved(|occupant| occupant.source == source)
        } else if of_all >= self.bounds.connections {
            table.ordinary_or_reserved(|_| true)
        } else {
            (Kind::Ordinary, false)
        };
        // No connection in a reserved place is idle: it has a request in flight or has sent nothing yet.
        let shed = match kind {
            Kind::Reserved if table.count(|occupant| occupant.kind == Kind::Reserved) >= self.bounds.reserved => {
                if !table.shed(|occupant| occupant.kind == Kind::Reserved) {
                    return Err(Full);
                }
                true
            }
            Kind::Ordinary | Kind::Reserved => shed,
        };
        let (id, leave) = (table.next(), Arc::new(Notify::new()));
        table
            .occupants
            .insert(id, Occupant { source, kind, activity: Activity::Silent, turn: id, authorised: false, leave: leave.clone() });
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

    fn count(&self, which: impl Fn(&Occupant) -> bool) -> usize {
        self.occupants.values().filter(|occupant| which(occupant)).count()
    }

    /// Frees one of these places; if there is none to free, a reserved place is used.
    fn ordinary_or_reserved(&mut self, which: impl Fn(&Occupant) -> bool) -> (Kind, bool) {
        match self.shed(|occupant| occupant.kind == Kind::Ordinary && which(occupant)) {
            true => (Kind::Ordinary, true),
            false => (Kind::Reserved, false),
        }
    }

    /// Frees one of these places and tells its connection: one without a request first, then an idle one; unknown clients before
    /// authorised ones, and the oldest first. Returns `false` if all have requests in flight.
    fn shed(&mut self, which: impl Fn(&Occupant) -> bool) -> bool {
        let idle = self.occupants.iter().filter(|(_, occupant)| occupant.activity != Activity::Busy && which(occupant));
        let Some(id) = idle.min_by_key(|(_, occupant)| (occupant.activity, occupant.authorised, occupant.turn)).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(occupant) = self.occupants.remove(&id) {
            occupant.leave.notify_one();
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
        self.places.table().occupants.get(&self.id).is_none_or(|occupant| occupant.activity == Activity::Silent)
    }

    /// Begins a request. Returns `None` if the place is lost.
    pub fn begin_request(self: &Arc<Place>) -> Option<InFlight> {
        self.set_activity(Activity::Busy).then(|| InFlight(self.clone()))
    }

    /// The client has been authorised.
    pub fn mark_authorised(&self) {
        if let Some(occupant) = self.places.table().occupants.get_mut(&self.id) {
            occupant.authorised = true;
        }
    }

    fn set_activity(&self, activity: Activity) -> bool {
        let mut table = self.places.table();
        let turn = table.next();
        let Some(occupant) = table.occupants.get_mut(&self.id) else { return false };
        (occupant.activity, occupant.turn) = (activity, turn);
        true
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.set_activity(Activity::Idle);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().occupants.remove(&self.id);
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
        place.places.table().occupants.contains_key(&place.id)
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
        let _in_flight = waits.begin_request().unwrap();
        known.mark_authorised();
        drop(known.begin_request());
        drop(idle.begin_request());
        for (next, gone) in [(5, &silent), (6, &idle), (7, &known)] {
            let next = take(&places, &format!("10.0.0.{next}"));
            assert!(!has(gone) && gone.begin_request().is_none(), "no request begins on a lost place");
            std::mem::forget(next.begin_request());
            std::mem::forget(next);
        }
        assert!(has(&waits));
        assert!(places.take("10.0.0.8".parse().unwrap()).is_err(), "all wait for answers");
    }

    #[test]
    fn reserved_places_are_for_when_all_others_wait_for_answers() {
        let places = places(2, 1, 1);
        let busy: Vec<_> = ["10.0.0.1", "10.0.0.2"].map(|from| take(&places, from).begin_request().unwrap()).into();
        let (reserved, shed) = places.take("10.0.0.3".parse().unwrap()).unwrap();
        assert_eq!((reserved.kind(), shed), (Kind::Reserved, false));
        let same = take(&places, "10.0.0.1");
        assert!(same.kind() == Kind::Reserved && !has(&reserved), "its address has its one place: the reserved one is for all");
        let in_flight = same.begin_request();
        assert!(places.take("10.0.0.4".parse().unwrap()).is_err());
        drop(in_flight);
        drop((same, busy));
        assert_eq!(take(&places, "10.0.0.1").kind(), Kind::Ordinary, "a place that is dropped is free");
    }

    #[tokio::test]
    async fn a_connection_learns_that_it_lost_its_place() {
        let places = places(1, 1, 0);
        let first = take(&places, "10.0.0.1");
        assert!(first.is_silent());
        let _second = take(&places, "10.0.0.1");
        first.lost().await;
    }
}
