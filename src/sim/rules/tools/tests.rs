//! The tools' rules on series of a few numbers. The expected times are from an independent implementation of the same rules on the
//! same series; the short ones can be counted by hand.

use std::time::Duration;

use super::*;
use crate::sim::rules::rule::{Rule, Ruling, TickResults};
use crate::sim::world::TrackCounts;

/// Tick t of 5 s: h = 37t mod 101. The canary has 20 + h mod 5 requests; if h is a multiple of 3, h·a/100 of them fail; one is slow
/// if h < b, and very slow if h < b/2; c changes its latency.
fn tick(t: u64, [a, b, c]: [u64; 3]) -> [TrackCounts; 2] {
    let (h, other) = (t * 37 % 101, t * 29 % 101);
    let (n, m) = (20 + h % 5, 200 + t * 53 % 17);
    let one = |is: bool| u32::from(is);
    let canary = TrackCounts {
        requests: n as u32,
        errors: if h.is_multiple_of(3) { n.min(h * a / 100) as u32 } else { 0 },
        above_p99: one(h < b),
        above_half_second: one(h < b / 2),
        log_latency: n as f64 * (0.1 + c as f64 * (t / 12 % 7) as f64 / 10.0),
        ..TrackCounts::default()
    };
    let stable = TrackCounts {
        requests: m as u32,
        errors: one(other < 20),
        above_p99: 2 * one(other < 40),
        log_latency: m as f64 * (0.1 + (t / 12 % 5) as f64 / 100.0),
        ..TrackCounts::default()
    };
    [stable, canary]
}

/// How the rollout ended, and after how many seconds.
fn end(mut rule: impl Rule, series: [u64; 3]) -> (Ruling, u64) {
    for t in 0..960 {
        let [stable, canary] = tick(t, series);
        let now = Duration::from_secs(5 * (t + 1));
        let next = rule.judge(&TickResults { now, stable, canary, active: &[], tracks: &[], log_ratio: 0.0 });
        if next != Ruling::GoOn {
            return (next, now.as_secs());
        }
    }
    (Ruling::GoOn, 4_800)
}

#[test]
fn each_ends_where_the_reference_does() {
    let (back, full) = (|secs| (Ruling::RolledBack, secs), |secs| (Ruling::Promoted, secs));
    for (series, [argo, flagger, code_deploy, kayenta]) in [
        ([0, 5, 0], [full(3_000), full(300), full(300), full(3_000)]),
        ([1, 30, 0], [full(3_000), full(360), full(300), back(600)]),
        ([3, 60, 0], [full(3_000), back(300), full(300), back(600)]),
        ([5, 5, 0], [full(3_000), back(300), back(120), back(600)]),
        ([8, 5, 0], [back(900), back(300), back(120), back(600)]),
        ([0, 5, 1], [full(3_000), full(300), full(300), back(1_200)]),
        ([0, 101, 0], [full(3_000), back(300), full(300), back(600)]),
    ] {
        assert_eq!(end(Argo::default(), series), argo, "argo {series:?}");
        assert_eq!(end(Flagger::default(), series), flagger, "flagger {series:?}");
        assert_eq!(end(CodeDeploy::default(), series), code_deploy, "codedeploy {series:?}");
        assert_eq!(end(Kayenta::default(), series), kayenta, "kayenta {series:?}");
    }
}

#[test]
fn a_rule_without_requests_gives_no_verdict() {
    let quiet = |mut rule: Box<dyn Rule>| {
        let results = |t: u64| TickResults {
            now: Duration::from_secs(5 * t),
            stable: TrackCounts::default(),
            canary: TrackCounts::default(),
            active: &[],
            tracks: &[],
            log_ratio: 0.0,
        };
        (1..=600).map(|t| rule.judge(&results(t))).find(|next| *next != Ruling::GoOn)
    };
    assert_eq!(quiet(Box::<Argo>::default()), Some(Ruling::Promoted));
    assert_eq!(quiet(Box::<Flagger>::default()), Some(Ruling::RolledBack));
    assert_eq!(quiet(Box::<Kayenta>::default()), Some(Ruling::Promoted));
}
