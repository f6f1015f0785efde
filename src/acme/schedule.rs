//! When a certificate is ordered. Times are arguments, in Unix seconds, and so is chance.

use std::time::Duration;

use crate::outbound::pause;

/// The pause after the first failure, before chance shortens it. It doubles with each further one.
const FIRST: Duration = Duration::from_secs(120);
const LEAST: Duration = Duration::from_secs(60);
/// Certificates are renewed when a third of their lifetime is left, which is 30 days mostly. So there is time for some attempts a day.
const MOST: Duration = Duration::from_secs(6 * 3600);
/// An authority that limits the rate and does not say for how long: Let's Encrypt counts most attempts by the hour.
const LIMITED_LEAST: Duration = Duration::from_secs(3600);
/// The longest `Retry-After` that is respected. Let's Encrypt counts certificates by the week.
const ASKED_MOST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The least time between two certificates for a name, as a part of the lifetime, and at the least. So an authority that wants each
/// new certificate to be renewed at once, or a clock that is wrong by months, does not lead to orders without end.
const GAP_PARTS: i64 = 100;
const GAP_LEAST: Duration = Duration::from_secs(10);
/// How often an authority is asked when it wants a certificate to be renewed (RFC 9773, 4.3.2).
const ASK_LEAST: Duration = Duration::from_secs(3600);
const ASK_MOST: Duration = Duration::from_secs(24 * 3600);

/// The first and the last second of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: i64,
    pub to: i64,
}

/// The failed attempts for a name, or those that all names share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Since the last success.
    pub failures: u32,
    /// There is no attempt before this.
    pub not_before: i64,
}

/// Why an order failed, as far as the pause depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The authority has had too many requests.
    pub limited: bool,
    /// The authority's `Retry-After`.
    pub asked: Option<Duration>,
}

/// When a certificate for a name is to be ordered: at once if there is none. `suggested`: the moment that was chosen in the window
/// which the authority suggests. `own` are the attempts for the name, `common` those that failed for a reason which all names share.
pub fn order_at(shown: Option<Validity>, suggested: Option<i64>, own: Attempts, common: Attempts) -> i64 {
    let due = shown.map_or(i64::MIN, |validity| renew_at(validity, suggested));
    due.max(own.not_before).max(common.not_before)
}

/// At two thirds of the lifetime, or as the authority suggests, but not after nine tenths.
fn renew_at(Validity { from, to }: Validity, suggested: Option<i64>) -> i64 {
    let lifetime = to.saturating_sub(from).max(0);
    match suggested {
        None => from + lifetime / 3 * 2,
        Some(at) => at.min(from + lifetime / 10 * 9),
    }
}

/// A moment in the window (RFC 9773, 4.2). `chance` is from 0 to 1.
pub fn choose(window: Validity, chance: f64) -> i64 {
    let length = window.to.saturating_sub(window.from).max(0);
    window.from.saturating_add((length as f64 * chance.clamp(0.0, 1.0)) as i64)
}

impl Attempts {
    /// The attempts after one more failure. `chance`, 0 to 1, is random, so that many servers do not come at the same moment.
    pub fn failed(self, now: i64, failure: Failure, chance: f64) -> Attempts {
        let failures = self.failures.saturating_add(1);
        let usual = pause(FIRST, MOST, failures - 1, chance);
        let least = if failure.limited && failure.asked.is_none() { LIMITED_LEAST } else { LEAST };
        let pause = usual.max(least).max(failure.asked.unwrap_or_default().min(ASKED_MOST));
        Attempts { failures, not_before: now.saturating_add(pause.as_secs() as i64) }
    }

    /// The attempts after a certificate was issued.
    pub fn succeeded(now: i64, issued: Validity) -> Attempts {
        let gap = (issued.to.saturating_sub(issued.from) / GAP_PARTS).max(GAP_LEAST.as_secs() as i64);
        Attempts { failures: 0, not_before: now.saturating_add(gap) }
    }

    /// An operator asks for an attempt now. What is counted stays.
    pub fn hurried(self) -> Attempts {
        Attempts { not_before: 0, ..self }
    }
}

/// The pause before the authority is asked again when it wants a renewal. `asked`: its `Retry-After`; `None` after a failure.
pub fn ask_again(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(ASK_MOST / 4).clamp(ASK_LEAST, ASK_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: Attempts = Attempts { failures: 0, not_before: 0 };
    const DAY: i64 = 24 * 3600;

    fn pause(failures: u32, failure: Failure, chance: f64) -> u64 {
        (Attempts { failures, not_before: 0 }.failed(1_000, failure, chance).not_before - 1_000) as u64
    }

    fn usual() -> Failure {
        Failure { limited: false, asked: None }
    }

    #[test]
    fn a_name_without_a_certificate_is_ordered_at_once() {
        assert!(order_at(None, None, NONE, NONE) <= 0);
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_lifetime() {
        let shown = Some(Validity { from: 10 * DAY, to: 100 * DAY });
        assert_eq!(order_at(shown, None, NONE, NONE), 70 * DAY);
        assert_eq!(order_at(Some(Validity { from: 100, to: 115 }), None, NONE, NONE), 110);
        assert_eq!(order_at(Some(Validity { from: 100, to: 90 }), None, NONE, NONE), 100, "nonsense is no panic");
    }

    #[test]
    fn the_authority_can_suggest_an_earlier_or_a_later_moment() {
        let shown = Some(Validity { from: 0, to: 100 * DAY });
        assert_eq!(order_at(shown, Some(50 * DAY), NONE, NONE), 50 * DAY);
        assert_eq!(order_at(shown, Some(80 * DAY), NONE, NONE), 80 * DAY);
        assert_eq!(order_at(shown, Some(99 * DAY), NONE, NONE), 90 * DAY, "some days are left for further attempts");
        assert_eq!(order_at(shown, Some(-DAY), NONE, NONE).max(0), 0, "a revoked one is renewed at once");
    }

    #[test]
    fn a_moment_in_the_window_is_chosen_by_chance() {
        let window = Validity { from: 100, to: 200 };
        assert_eq!([0.0, 0.25, 1.0, 7.0].map(|chance| choose(window, chance)), [100, 125, 200, 200]);
        assert_eq!(choose(Validity { from: 200, to: 100 }, 0.5), 200);
    }

    #[test]
    fn the_pause_doubles_from_two_minutes_to_six_hours() {
        let minutes: Vec<u64> = (0..10).map(|failures| pause(failures, usual(), 1.0) / 60).collect();
        assert_eq!(minutes, [2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        assert_eq!((pause(0, usual(), 0.0), pause(3, usual(), 0.0)), (60, 480), "chance takes at most a half");
        assert_eq!(pause(u32::MAX, usual(), 1.0), MOST.as_secs());
    }

    #[test]
    fn retry_after_is_respected_up_to_a_week() {
        let asks = |secs| Failure { limited: true, asked: Some(Duration::from_secs(secs)) };
        assert_eq!(pause(0, asks(7_200), 1.0), 7_200);
        assert_eq!(pause(0, asks(1), 0.0), 60);
        assert_eq!(pause(0, asks(u64::MAX), 0.0), 7 * 24 * 3600);
        assert_eq!(pause(0, Failure { limited: true, asked: None }, 0.0), 3600);
    }

    #[test]
    fn what_concerns_the_authority_delays_every_name() {
        let common = NONE.failed(1_000, usual(), 0.0);
        assert_eq!(order_at(None, None, NONE, common), 1_060);
        assert_eq!(order_at(None, None, NONE, common.hurried()), 0);
        assert_eq!(common.hurried().failures, 1, "the next pause is longer all the same");
    }

    #[test]
    fn a_new_certificate_is_not_renewed_at_once_whatever_the_authority_wants() {
        let issued = |now: i64, from: i64, to: i64| Attempts::succeeded(now, Validity { from, to }).not_before - now;
        assert_eq!((issued(0, 0, 90 * DAY), issued(5, 0, 6 * DAY), issued(5, 100, 0)), (77_760, 5_184, 10));
        let (shown, own) = (Validity { from: 0, to: 90 * DAY }, Attempts::succeeded(100 * DAY, Validity { from: 0, to: 90 * DAY }));
        assert_eq!(order_at(Some(shown), None, own, NONE), 100 * DAY + 77_760, "the clock is wrong");
    }

    #[test]
    fn an_authority_is_asked_about_renewals_between_each_hour_and_each_day() {
        let asks = |secs| ask_again(Some(Duration::from_secs(secs))).as_secs();
        assert_eq!((asks(0), asks(21_600), asks(u64::MAX), ask_again(None).as_secs()), (3_600, 21_600, 86_400, 21_600));
    }

    proptest! {
        #[test]
        fn a_pause_is_within_its_bounds(failures: u32, limited: bool, secs: Option<u64>, chance: f64) {
            let failure = Failure { limited, asked: secs.map(Duration::from_secs) };
            let pause = pause(failures, failure, chance);
            prop_assert!((60..=7 * 24 * 3600).contains(&pause), "{pause}");
            prop_assert!(secs.is_some() || pause <= 6 * 3600, "{pause}");
        }

        /// Many names, and an authority that fails for as long as it likes: how often it is asked in a simulated week.
        #[test]
        fn a_week_of_failures_is_some_dozens_of_attempts(chance in 0.0..1.0_f64) {
            let (mut now, mut attempts, mut count) = (0, NONE, 0);
            while now < 7 * DAY {
                attempts = attempts.failed(now, usual(), chance);
                now = order_at(None, None, attempts, NONE);
                count += 1;
            }
            prop_assert!((30..=70).contains(&count), "{count}");
        }
    }
}
