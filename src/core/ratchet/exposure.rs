//! Whether a decision exposes anybody: whether, after it, some workspace may reach a release that it could not reach before.
//!
//! What counts is who is assigned where, not the weight. A rollout that starts at 1 % while 5 % are on the canary by hand
//! draws other buckets; a weight of 2 % for another upstream puts 2 % on a release that nobody was on. Such decisions need a
//! history that can be written, and are refused in a freeze. All other decisions serve at once.

use super::Decision;
use crate::core::rollout::{Release, State};
use crate::core::weight::Weight;

/// `after` is what `decision` made of `before`.
///
/// Stable is always in everybody's reach: it answers what the canary cannot. So is the release that was stable before, as long
/// as it is there to go back to. The answer errs on the side of "yes" where only the ranks of single buckets could tell:
/// two attempts have independent ranks, and at any weight below 100 % the second one reaches buckets that the first did not.
pub fn exposes(before: &State, after: &State, decision: &Decision) -> bool {
    let pins = matches!(decision, Decision::Reassign { exposes: true }) && !after.canary_is_closed();
    pins || moves_stable(before, after) || reaches_more_by_the_canary(before, after)
}

/// Everybody who is not on the canary goes to another upstream, and not on the way back. A label that changes on the same
/// upstream moves nobody.
fn moves_stable(before: &State, after: &State) -> bool {
    let is_now = |release: &Release| release.upstream == after.stable.upstream;
    let way_back = before.previous.as_ref().is_some_and(|former| is_now(&former.release));
    !is_now(&before.stable) && !way_back
}

fn reaches_more_by_the_canary(before: &State, after: &State) -> bool {
    if after.weight == Weight::ZERO {
        return false;
    }
    let all_were_on_it = before.weight == Weight::FULL && before.canary == after.canary;
    let same_line = before.canary == after.canary && before.attempt == after.attempt && !before.canary_is_closed();
    !all_were_on_it && (!same_line || after.weight > before.weight)
}
