//! Where clients come from: how much of a worker one source uses. A source is an IPv4 address, or the /64 network of an IPv6 address,
//! which one client has for itself.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::room::Room;
use crate::config::network_of;

#[derive(Debug, Default)]
pub struct Source {
    pub connections: Cell<usize>,
    pub inflight: Cell<usize>,
    pub room: Rc<Room>,
    /// The requests that it may make at once, if a rate is configured, in thousandths.
    tokens: Cell<u64>,
    /// When `tokens` was last computed, in ticks of the clock.
    at: Cell<u32>,
}

#[derive(Debug, Default)]
pub struct Sources(RefCell<HashMap<IpAddr, Rc<Source>>>);

/// Ticks in a second.
const TICKS: u64 = 10;
/// Tokens of one request.
const ONE: u64 = 1_000;

impl Source {
    fn new(now: u32) -> Source {
        Source { tokens: Cell::new(u64::MAX), at: Cell::new(now), ..Source::default() }
    }

    /// Takes a place among the requests of this second. There are `rate` of them, and no more than in one second can be saved.
    pub fn may_ask(&self, rate: u32, now: u32) -> bool {
        let tokens = self.filled(rate, now);
        let allowed = tokens >= ONE;
        self.tokens.set(if allowed { tokens - ONE } else { tokens });
        self.at.set(now);
        allowed
    }

    fn filled(&self, rate: u32, now: u32) -> u64 {
        let passed = u64::from(now.saturating_sub(self.at.get()));
        let new = passed.saturating_mul(u64::from(rate) * ONE / TICKS);
        self.tokens.get().saturating_add(new).min(u64::from(rate) * ONE)
    }

    fn is_at_rest(&self, rate: Option<u32>, now: u32) -> bool {
        let full = rate.is_none_or(|rate| self.filled(rate, now) == u64::from(rate) * ONE);
        self.connections.get() == 0 && self.inflight.get() == 0 && full
    }
}

impl Sources {
    pub fn of(&self, address: IpAddr, now: u32) -> Rc<Source> {
        self.0.borrow_mut().entry(network_of(address)).or_insert_with(|| Rc::new(Source::new(now))).clone()
    }

    /// Forgets sources that use nothing and have their full rate.
    pub fn forget(&self, rate: Option<u32>, now: u32) {
        self.0.borrow_mut().retain(|_, source| Rc::strong_count(source) > 1 || !source.is_at_rest(rate, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_for_each_second_and_saves_no_more_than_one() {
        let source = Source::new(0);
        let asks = |n: usize, now: u32| (0..n).filter(|_| source.may_ask(20, now)).count();
        assert_eq!(asks(30, 0), 20);
        assert_eq!(asks(30, 1), 2);
        assert_eq!(asks(30, 6), 10);
        assert_eq!(asks(100, 10_000), 20);
    }

    #[test]
    fn a_source_that_uses_something_is_not_forgotten() {
        let sources = Sources::default();
        let busy = sources.of([192, 0, 2, 1].into(), 0);
        busy.connections.set(1);
        drop(busy);
        sources.of([192, 0, 2, 2].into(), 0).may_ask(5, 0);
        drop(sources.of([192, 0, 2, 3].into(), 0));
        sources.forget(Some(5), 1);
        assert_eq!(sources.0.borrow().len(), 2, "one is busy, one has used its rate");
        sources.forget(Some(5), 20);
        assert_eq!(sources.of([192, 0, 2, 1].into(), 20).connections.get(), 1);
        assert_eq!(sources.0.borrow().len(), 1);
    }
}
