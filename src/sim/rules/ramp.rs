//! The usual ramp, for rules that judge a release but have no weights of their own.

use std::time::Duration;

use crate::core::Weight;

/// 1, 5, 10, 25 and 50 %, ten minutes each, then 100 %.
pub const RAMP: [u16; 5] = [100, 500, 1_000, 2_500, 5_000];
pub const RAMP_STEP: Duration = Duration::from_secs(600);

/// The weight of the usual ramp at this time; 100 % once it is over.
pub fn ramp(now: Duration) -> Weight {
    let step = (now.as_secs() / RAMP_STEP.as_secs()) as usize;
    RAMP.get(step).and_then(|bp| Weight::from_bp(*bp)).unwrap_or(Weight::FULL)
}

/// Whether the usual ramp is over.
pub fn is_over(now: Duration) -> bool {
    now >= RAMP_STEP * RAMP.len() as u32
}
