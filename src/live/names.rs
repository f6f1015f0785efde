//! The names of some workspaces of one split, to show which ones fail; kept only with `[admin] show_workspaces`. The ledger counts by
//! bucket, and a bucket does not give a name. So each worker keeps the names of the workspaces with the most requests, and of those
//! with the most failures. They are only in memory, and a new split discards them.
//! Only the API's documents read them: no log line, metric, message or row of the history does.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::concentration::Failing;
use crate::core::{Bucket, Outcome, Workspace};

/// One part for each worker and one for the control thread. The mutex of a part is held by its one writer for well under a microsecond,
/// or by a reader for some microseconds. The writer never waits for it.
pub struct Names {
    parts: Box<[Mutex<Part>]>,
}

#[derive(Default)]
struct Part {
    busy: Frequent,
    failing: Frequent,
}

/// The most frequent workspaces, by the algorithm of Misra and Gries (1982): a workspace with more than one in [`NAMES_MOST`] of all
/// counts is always in it.
#[derive(Default)]
struct Frequent {
    named: HashMap<Box<str>, Named>,
}

struct Named {
    bucket: Bucket,
    /// The algorithm's counter: the workspace's counts less what other workspaces have cancelled.
    credit: u32,
    /// The counts since the workspace is in the table, by [`Failing`]; in the table of busy workspaces only the first is used.
    counts: [u32; 3],
}

/// The size of one table; each worker has two per bot. An id has at most 256 bytes, so for a bot with many workspaces a worker uses
/// some 100 KB, and never more than 400 KB.
const NAMES_MOST: usize = 512;

impl Names {
    pub fn new(workers: usize) -> Names {
        Names { parts: (0..=workers).map(|_| Mutex::default()).collect() }
    }

    /// A workspace's name in the form that `explain` accepts. Equal to [`Workspace`]'s text, but made with one allocation.
    pub fn name(workspace: &Workspace<'_>) -> Box<str> {
        let mut name = String::with_capacity(workspace.namespace.len() + 1 + workspace.id.len());
        name.push_str(workspace.namespace);
        name.push(':');
        name.push_str(&workspace.id);
        name.into()
    }

    /// Notes a request that the worker has counted in its shard of the ledger. Only that worker may call this. If a reader holds the
    /// part, the request is not noted.
    pub fn note(&self, worker: usize, bucket: Bucket, workspace: &str, outcome: Outcome) {
        if let Ok(mut part) = self.parts[worker].try_lock() {
            part.note(bucket, workspace, outcome);
        }
    }

    /// Notes a request that the control thread has counted.
    pub fn note_own(&self, bucket: Bucket, workspace: &str, outcome: Outcome) {
        self.note(self.parts.len() - 1, bucket, workspace, outcome);
    }

    /// The workspace with more than half of the bucket's requests, in the form that `explain` accepts; `None` if no known workspace
    /// has.
    pub fn busiest(&self, bucket: Bucket) -> Option<String> {
        self.most(bucket, |part| &part.busy, |named| named.counts[0])
    }

    /// The workspace with more than half of the bucket's failures of this kind.
    pub fn failing(&self, bucket: Bucket, by: Failing) -> Option<String> {
        self.most(bucket, |part| &part.failing, |named| named.counts[by as usize])
    }

    /// The workspace with more than half of the bucket's failures of any kind.
    pub fn failing_most(&self, bucket: Bucket) -> Option<String> {
        self.most(bucket, |part| &part.failing, |named| named.counts.iter().fold(0, |sum, count| sum.saturating_add(*count)))
    }

    fn most(&self, bucket: Bucket, of: fn(&Part) -> &Frequent, count: impl Fn(&Named) -> u32) -> Option<String> {
        let mut sums: HashMap<Box<str>, u64> = HashMap::new();
        for part in self.parts.iter().map(whole) {
            for (name, named) in of(&part).named.iter().filter(|(_, named)| named.bucket == bucket) {
                *sums.entry(name.clone()).or_default() += u64::from(count(named));
            }
        }
        let all: u64 = sums.values().sum();
        sums.into_iter().find(|(_, sum)| sum * 2 > all).map(|(name, _)| name.into())
    }
}

fn whole(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Without the names, so that no log contains them.
impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Part {
    fn note(&mut self, bucket: Bucket, workspace: &str, outcome: Outcome) {
        if outcome == Outcome::Aborted {
            // As in the ledger.
            return;
        }
        if let Some(failing) = Failing::by(outcome) {
            self.failing.count(bucket, workspace, failing as usize);
        }
        self.busy.count(bucket, workspace, 0);
    }
}

impl Frequent {
    /// Adds 1 to the workspace's count at `place`. If the table is full, a workspace that is not in it takes 1 from each credit
    /// instead. Such a pass is paid for by the counts before it, so that the average cost of a count is constant.
    fn count(&mut self, bucket: Bucket, workspace: &str, place: usize) {
        if let Some(named) = self.named.get_mut(workspace) {
            named.credit = named.credit.saturating_add(1);
            named.counts[place] = named.counts[place].saturating_add(1);
        } else if self.named.len() < NAMES_MOST {
            let mut named = Named { bucket, credit: 1, counts: [0; 3] };
            named.counts[place] = 1;
            self.named.insert(workspace.into(), named);
        } else {
            self.named.retain(|_, named| {
                named.credit -= 1;
                named.credit > 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bucket(number: u16) -> Bucket {
        Bucket::try_from(number).unwrap()
    }

    fn noted(names: &Names, worker: usize, workspace: &str, outcome: Outcome, times: usize) {
        (0..times).for_each(|_| names.note(worker, bucket(7), workspace, outcome));
    }

    #[test]
    fn a_bucket_has_the_name_that_most_of_its_requests_have_over_all_workers() {
        let names = Names::new(2);
        noted(&names, 0, "team:T1", Outcome::Ok, 4);
        noted(&names, 1, "team:T2", Outcome::Ok, 6);
        names.note_own(bucket(7), "team:T1", Outcome::Ok);
        assert_eq!((names.busiest(bucket(7)).as_deref(), names.busiest(bucket(8))), (Some("team:T2"), None));
        noted(&names, 0, "team:T1", Outcome::Ok, 1);
        assert_eq!(names.busiest(bucket(7)), None, "six and six: it cannot be said");
        noted(&names, 0, "team:T1", Outcome::Aborted, 9);
        assert_eq!(names.busiest(bucket(7)), None, "what was aborted is counted nowhere");
    }

    #[test]
    fn failing_workspaces_are_kept_apart_from_busy_ones() {
        let names = Names::new(1);
        noted(&names, 0, "team:BUSY", Outcome::Ok, 50);
        noted(&names, 0, "team:BUSY", Outcome::Rejected, 9);
        noted(&names, 0, "team:FAILS", Outcome::Error, 5);
        noted(&names, 0, "team:FAILS", Outcome::Late, 1);
        let name = |of: Option<String>| of.unwrap_or_default();
        assert_eq!(name(names.busiest(bucket(7))), "team:BUSY");
        assert_eq!(name(names.failing(bucket(7), Failing::Errors)), "team:FAILS");
        assert_eq!(name(names.failing(bucket(7), Failing::Late)), "team:FAILS");
        assert_eq!(name(names.failing(bucket(7), Failing::Rejected)), "team:BUSY");
        assert_eq!(name(names.failing_most(bucket(7))), "team:BUSY");
    }

    #[test]
    fn a_name_is_the_workspaces_text() {
        let workspace = Workspace { namespace: "team", id: "T:1".into() };
        assert_eq!(*Names::name(&workspace), workspace.to_string());
    }

    #[test]
    fn a_writer_does_not_wait_for_a_reader() {
        let names = Names::new(1);
        let reads = whole(&names.parts[0]);
        noted(&names, 0, "team:T1", Outcome::Ok, 1);
        drop(reads);
        assert_eq!(names.busiest(bucket(7)), None);
    }

    #[test]
    fn debug_output_contains_no_names() {
        let names = Names::new(1);
        noted(&names, 0, "team:SECRET", Outcome::Error, 1);
        assert_eq!(format!("{names:?}"), "Names { .. }");
    }

    proptest! {
        /// For any counts in any order.
        #[test]
        fn names_are_bounded_and_frequent_ones_are_kept(
            others in proptest::collection::vec(0_u16..3_000, 2_000..6_000),
            every in 2_usize..100,
        ) {
            let mut frequent = Frequent::default();
            for (number, other) in others.iter().enumerate() {
                frequent.count(bucket(*other), &format!("other:{other}"), 0);
                if number % every == 0 {
                    frequent.count(bucket(1), "often", 0);
                }
                prop_assert!(frequent.named.len() <= NAMES_MOST);
            }
            // "often" has at least one count in a hundred, and one in 512 is enough.
            prop_assert!(frequent.named.contains_key("often"));
            let all = others.len() + others.len().div_ceil(every);
            let least = others.len().div_ceil(every) - all / NAMES_MOST;
            prop_assert!(frequent.named["often"].credit as usize >= least);
        }
    }
}
