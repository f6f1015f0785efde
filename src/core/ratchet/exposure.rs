//! Whether a decision exposes somebody: whether it lets some workspace reach a release that the workspace could not reach before.
//!
//! The assignment counts, not the weight. A rollout that starts at 1 % while 5 % are on the canary by hand reaches other buckets; a
//! weight of 2 % for another upstream sends 2 % to a release that had nobody. Such decisions need a history that can be written, and
//! are refused in a freeze. All other decisions take effect at once.

use super::decision::Decision;
use crate::core::plan::Release;
use crate::core::rollout::State;
use crate::core::weight::Weight;

/// `after` is the state that `decision` made of `before`.
///
/// Every workspace can reach stable, because stable answers what the canary cannot, and the release that was stable before, as long as
/// an undo to it is possible. Where only the ranks of single buckets could tell, the answer is `true`: two attempts have independent
/// ranks, and at any weight below 100 % the second one reaches buckets that the first did not.
pub fn exposes(before: &State, after: &State, decision: &Decision) -> bool {
    let pins = matches!(decision, Decision::Reassign { exposes: true }) && !after.canary_is_closed();
    pins || moves_stable(before, after) || reaches_more_by_the_canary(before, after)
}

/// Whether those who are not on the canary go to another upstream that is not the way back. A new version label on the same upstream
/// moves nobody.
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
