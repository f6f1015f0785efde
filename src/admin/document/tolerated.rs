//! The limits and the tolerated harm of a canary. The page draws them beside the canary's rates.

use serde::Serialize;

use crate::core::evidence::tolerable;
use crate::core::{Limit, Most, Quantile};
use crate::live::Status;

#[derive(Debug, Default, Serialize)]
pub struct Tolerated {
    /// The errors that the canary may add and still be raised, in per cent of its requests; null without a next step.
    pub added_errors_percent: Option<f64>,
    /// The guard's limits; null for one that is not set.
    pub errors_percent: Option<f64>,
    pub late_percent: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

impl Tolerated {
    pub fn of(status: &Status) -> Tolerated {
        let (state, guard) = (&status.state, &status.guard);
        let next = state.under_way().and_then(|rollout| rollout.next());
        let added_errors_percent = next.map(|step| tolerable(guard.tolerated_harm, step.weight.ratio()) * 100.0);
        let mut tolerated = Tolerated { added_errors_percent, ..Tolerated::default() };
        for Limit { most, .. } in &guard.limits.0 {
            let (place, value) = match *most {
                Most::ErrorRate(share) => (&mut tolerated.errors_percent, share * 100.0),
                Most::Late(share) => (&mut tolerated.late_percent, share * 100.0),
                Most::Latency(Quantile::P50, most) => (&mut tolerated.p50_ms, most.as_secs_f64() * 1000.0),
                Most::Latency(Quantile::P90, most) => (&mut tolerated.p90_ms, most.as_secs_f64() * 1000.0),
                Most::Latency(Quantile::P99, most) => (&mut tolerated.p99_ms, most.as_secs_f64() * 1000.0),
            };
            *place = Some(value);
        }
        tolerated
    }
}
