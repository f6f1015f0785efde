//! Limits how often an address may send a wrong token. Tokens are too long to be guessed, so this does not protect them: it makes the
//! attempt visible and keeps it cheap. Only wrong tokens are refused; a right one is accepted from a blocked address, too, because many
//! clients can share an address (NAT, a load balancer) and one must not lock out another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::network_of;

/// More than somebody who mistypes reaches.
const FAILURES_MAX: u32 = 10;
/// The time in which failures are counted, from the first one on.
const WINDOW: Duration = Duration::from_secs(60);
/// The most addresses that are remembered, some hundred kilobytes. Beyond that the one with the oldest failures is forgotten.
const ADDRESSES_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    began: Instant,
    count: u32,
}

/// Whether an address has sent too many wrong tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It has not: the answer says that the token is wrong.
    Within,
    /// This one is the first over the limit. It is logged.
    JustExceeded { retry_after: Duration },
    /// The limit was exceeded before.
    Exceeded { retry_after: Duration },
}

impl Attempts {
    /// Counts a wrong token and returns how to answer it.
    pub fn failed(&self, from: IpAddr, now: Instant) -> Limit {
        let from = network_of(from);
        let mut by_address = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !by_address.contains_key(&from) && by_address.len() >= ADDRESSES_MAX {
            make_room(&mut by_address, now);
        }
        let failures = by_address.entry(from).or_insert(Failures { began: now, count: 0 });
        if failures.left(now).is_zero() {
            *failures = Failures { began: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
        let retry_after = failures.left(now);
        match failures.count {
            ..=FAILURES_MAX => Limit::Within,
            count if count == FAILURES_MAX + 1 => Limit::JustExceeded { retry_after },
            _ => Limit::Exceeded { retry_after },
        }
    }
}

impl Failures {
    fn left(&self, now: Instant) -> Duration {
        WINDOW.saturating_sub(now.saturating_duration_since(self.began))
    }
}

fn make_room(by_address: &mut HashMap<IpAddr, Failures>, now: Instant) {
    by_address.retain(|_, failures| !failures.left(now).is_zero());
    if by_address.len() >= ADDRESSES_MAX
        && let Some(oldest) = by_address.iter().min_by_key(|(_, failures)| failures.began).map(|(address, _)| *address)
    {
        by_address.remove(&oldest);
    }
}

/// Logs that an address is blocked.
pub fn log_blocked(address: IpAddr, retry_after: Duration) {
    let address = network_of(address);
    tracing::warn!(%address, ?retry_after, "too many wrong tokens or links from an address: they are answered 429");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_eleventh_failure_of_a_minute_blocks_until_the_minute_is_over() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for second in 0..10 {
            assert_eq!(attempts.failed(ip("10.0.0.1"), start + Duration::from_secs(second)), Limit::Within);
        }
        let at = |second| attempts.failed(ip("10.0.0.1"), start + Duration::from_secs(second));
        assert_eq!(at(20), Limit::JustExceeded { retry_after: Duration::from_secs(40) });
        assert_eq!(at(59), Limit::Exceeded { retry_after: Duration::from_secs(1) });
        assert_eq!(attempts.failed(ip("10.0.0.2"), start + Duration::from_secs(59)), Limit::Within, "a neighbour");
        assert_eq!(at(60), Limit::Within, "a new minute");
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_its_ipv4() {
        assert_eq!(network_of(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_ne!(network_of(ip("2001:db8:1:3::1")), network_of(ip("2001:db8:1:2::1")));
        assert_eq!(network_of(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }

    #[test]
    fn there_is_room_for_so_many_addresses_and_the_oldest_makes_way() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let nth = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n));
        for n in 0..2 * ADDRESSES_MAX as u32 {
            attempts.failed(nth(n), start + Duration::from_micros(n.into()));
        }
        let known = |n| attempts.0.lock().unwrap().contains_key(&nth(n));
        assert_eq!(attempts.0.lock().unwrap().len(), ADDRESSES_MAX);
        assert!(!known(ADDRESSES_MAX as u32 - 1) && known(ADDRESSES_MAX as u32));
        attempts.failed(nth(u32::MAX), start + 2 * WINDOW);
        assert_eq!(attempts.0.lock().unwrap().len(), 1, "old failures go first");
    }
}
