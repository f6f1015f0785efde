//! Compares the workspaces with the distributions from which they are drawn.

use super::*;
use crate::sim::scenario::library;

fn drawn(scenario: &str, seed: u64) -> Vec<Tenant> {
    let scenario = library().into_iter().find(|one| one.name == scenario).expect("it is in the library");
    let volume = Volume { name: "test".to_owned(), rps: 100.0, workspaces: 20_000 };
    tenants(&scenario, &volume, &mut Dice::new(seed, "tenants"))
}

fn share(tenants: &[Tenant], is: impl Fn(&Tenant) -> bool) -> f64 {
    tenants.iter().filter(|tenant| is(tenant)).count() as f64 / tenants.len() as f64
}

#[test]
fn sizes_follow_zipfs_law() {
    let tenants = drawn("AA_plain", 1);
    assert!(tenants.is_sorted_by(|a, b| a.rps >= b.rps));
    assert!((tenants.iter().map(|tenant| tenant.rps).sum::<f64>() - 100.0).abs() < 1e-6);
    // From rank 100 to rank 10,000 the size falls by a factor of 100, apart from the noise.
    let fall = tenants[99].rps / tenants[9_999].rps;
    assert!((80.0..125.0).contains(&fall), "{fall}");
}

#[test]
fn some_workspaces_are_noisy() {
    let tenants = drawn("AA_plain", 2);
    // The bounds are five standard errors of 20,000. Without the noisy ones, only about a thousandth is above 3 %.
    assert!((share(&tenants, |tenant| tenant.error >= 0.03) - 0.02).abs() < 0.007);
    assert!(tenants[..10].iter().all(|tenant| tenant.error < 0.2) && tenants.iter().all(|tenant| tenant.rejected <= 0.6));
    // 4 %, and of the others those that are 2.1 σ above their median.
    assert!((share(&tenants, |tenant| tenant.rejected >= 0.1) - 0.057).abs() < 0.009);
    let quiet: Vec<f64> = tenants.iter().map(|tenant| tenant.error).filter(|error| *error < 0.03).collect();
    let mean = quiet.iter().sum::<f64>() / quiet.len() as f64;
    assert!((mean / 0.0028 - 1.0).abs() < 0.06, "{mean}");
}

#[test]
fn an_effect_concerns_the_workspaces_that_it_names() {
    let two_percent = drawn("R_ws2pct", 3);
    assert!((share(&two_percent, |tenant| tenant.effects == 1) - 0.02).abs() < 0.005);
    let broken = drawn("AA_broken_customer", 4);
    let concerned: Vec<usize> = (0..broken.len()).filter(|i| broken[*i].effects == 1).collect();
    assert_eq!(concerned, [4]);
    assert!(drawn("R_hardfail", 5).iter().all(|tenant| tenant.effects == 1));
    let noisy = drawn("AA_chronic_noisy", 6);
    assert_eq!(noisy[1].error.max(0.15), noisy[1].error);
    assert!((drawn("AA_lowtraffic", 7).iter().map(|tenant| tenant.rps).sum::<f64>() - 20.0).abs() < 1e-6);
}

#[test]
fn at_least_one_of_a_share_is_concerned() {
    let scenario = library().into_iter().find(|one| one.name == "R_ws2pct").expect("it is in the library");
    let volume = Volume { name: "test".to_owned(), rps: 1.0, workspaces: 3 };
    for seed in 0..50 {
        let tenants = tenants(&scenario, &volume, &mut Dice::new(seed, "few"));
        assert!(tenants.iter().any(|tenant| tenant.effects == 1), "seed {seed}");
    }
}

#[test]
fn the_past_day_is_what_the_workspace_usually_has() {
    let (latency, mut dice) = (Latency::default(), Dice::new(8, "past"));
    let tenant = Tenant { rps: 10.0, error: 0.01, rejected: 0.05, late: 0.001, shift: 0.2, effects: 0 };
    let mut sum = TrackCounts::default();
    for _ in 0..200 {
        sum += past(&tenant, &latency, &mut dice);
    }
    let rate = |count: u32| f64::from(count) / f64::from(sum.requests);
    assert!((f64::from(sum.requests) / (200.0 * 864_000.0) - 1.0).abs() < 1e-3);
    // e^(.2²/2) = 1.02 on average, and .03 pp for yesterday's incidents of a tenth; the bounds are five standard errors of 200 days.
    assert!((rate(sum.errors) - 0.0105).abs() < 0.0009, "{}", rate(sum.errors));
    assert!((rate(sum.rejected) - 0.051).abs() < 0.004);
    assert!((rate(sum.above_p90) - latency.above(latency.marks.p90 - 0.2)).abs() < 1e-3);
    assert!((sum.log_latency / f64::from(sum.requests) - latency.mean() - 0.2).abs() < 0.01);
}
