//! Whether most of the canary's failures come from one bucket. If so, one customer's trouble may look like a bad release. The facts,
//! and the sentence that states them for people.

use std::fmt;

use crate::core::evidence::Metric;
use crate::core::{BUCKETS, Outcome, Tally};

/// How a request may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    Errors,
    Late,
    Rejected,
}

/// Most of the canary's failures of one kind, of those counted in one split, come from one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concentration {
    pub failing: Failing,
    pub bucket: usize,
    pub in_bucket: u64,
    /// All failures of this kind on the canary.
    pub of: u64,
    /// Whether the bucket fails about as often on stable; `None` if too little is known.
    pub fails_on_stable: Option<bool>,
    /// The average number of workspaces of an active bucket.
    pub workspaces_per_bucket: f64,
    /// The split is over and the canary is at 0 % now.
    pub over: bool,
}

/// Up to this many workspaces per active bucket the text says "one workspace". With 1,000 workspaces there are 1.05.
const ONE: f64 = 1.055;
/// Up to this many the text says "about one workspace".
const ABOUT_ONE: f64 = 1.5;

impl Failing {
    pub const ALL: [Failing; 3] = [Failing::Errors, Failing::Late, Failing::Rejected];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Failing::Errors => "errors",
            Failing::Late => "late",
            Failing::Rejected => "rejected",
        }
    }

    pub fn metric(self) -> Metric {
        match self {
            Failing::Errors => Metric::Errors,
            Failing::Late => Metric::Late,
            Failing::Rejected => Metric::Rejected,
        }
    }

    pub fn of(self, tally: &Tally) -> u32 {
        match self {
            Failing::Errors => tally.errors,
            Failing::Late => tally.late,
            Failing::Rejected => tally.rejected,
        }
    }

    /// `None` for an outcome that is no failure.
    pub fn by(outcome: Outcome) -> Option<Failing> {
        match outcome {
            Outcome::Error => Some(Failing::Errors),
            Outcome::Late => Some(Failing::Late),
            Outcome::Rejected => Some(Failing::Rejected),
            Outcome::Ok | Outcome::Aborted => None,
        }
    }

    /// `1 error`, `9 late answers`.
    pub fn counted(self, count: u64) -> String {
        let (one, many) = match self {
            Failing::Errors => ("error", "errors"),
            Failing::Late => ("late answer", "late answers"),
            Failing::Rejected => ("rejected request", "rejected requests"),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    }
}

/// The average number of workspaces of an active bucket, estimated from how many of the 10,000 buckets are active, since workspaces
/// fall into buckets by chance. If nearly all are active the result is only a lower bound, 9 or more.
pub fn workspaces_per_bucket(active: usize) -> f64 {
    let all = f64::from(BUCKETS);
    let active = (active as f64).clamp(1.0, all - 1.0);
    (-all * (-active / all).ln_1p() / active).max(1.0)
}

impl Concentration {
    /// One sentence. It names the bucket, never a workspace.
    pub fn text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Concentration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Concentration { in_bucket, of, bucket, workspaces_per_bucket: each, .. } = *self;
        let come = if self.over { "came" } else { "come" };
        let of = self.failing.counted(of);
        match each {
            ..=ONE => write!(f, "{in_bucket} of {of} {come} from one workspace (bucket {bucket})")?,
            ..=ABOUT_ONE => write!(f, "{in_bucket} of {of} {come} from one bucket ({bucket}, about one workspace)")?,
            _ => write!(f, "{in_bucket} of {of} {come} from one bucket ({bucket}, about {each:.0} workspaces)")?,
        }
        match on_stable(self.failing, self.fails_on_stable) {
            Some(known) => write!(f, ", which {known}."),
            None => write!(f, ", whose past on stable is not known."),
        }
    }
}

/// What the sentence says about the bucket on stable; `None` if too little is known.
pub fn on_stable(failing: Failing, fails_on_stable: Option<bool>) -> Option<&'static str> {
    Some(match (failing, fails_on_stable?) {
        (Failing::Errors, true) => "fails on stable too: its own trouble",
        (Failing::Late, true) => "is late on stable too: its own trouble",
        (Failing::Rejected, true) => "is rejected on stable too: its own trouble",
        (Failing::Errors, false) => "did not fail on stable",
        (Failing::Late, false) => "was not late on stable",
        (Failing::Rejected, false) => "was not rejected on stable",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINE: Concentration = Concentration {
        failing: Failing::Errors,
        bucket: 8753,
        in_bucket: 9,
        of: 10,
        fails_on_stable: Some(true),
        workspaces_per_bucket: 1.0,
        over: false,
    };

    #[test]
    fn each_case_has_its_sentence() {
        let from = "9 of 10 errors come from one workspace (bucket 8753)";
        for (fails_on_stable, end) in [
            (Some(true), ", which fails on stable too: its own trouble."),
            (Some(false), ", which did not fail on stable."),
            (None, ", whose past on stable is not known."),
        ] {
            assert_eq!(Concentration { fails_on_stable, ..NINE }.text(), format!("{from}{end}"));
        }
        let late = Concentration { failing: Failing::Late, ..NINE };
        assert_eq!(
            late.text(),
            "9 of 10 late answers come from one workspace (bucket 8753), which is late on stable too: its own trouble."
        );
        let not_late = Concentration { fails_on_stable: Some(false), ..late };
        assert_eq!(not_late.text(), "9 of 10 late answers come from one workspace (bucket 8753), which was not late on stable.");
        let rejected = Concentration { failing: Failing::Rejected, ..NINE };
        assert_eq!(
            rejected.text(),
            "9 of 10 rejected requests come from one workspace (bucket 8753), which is rejected on stable too: its own trouble."
        );
        let not_rejected = Concentration { fails_on_stable: Some(false), ..rejected };
        assert_eq!(
            not_rejected.text(),
            "9 of 10 rejected requests come from one workspace (bucket 8753), which was not rejected on stable."
        );
        let over = Concentration { over: true, ..NINE };
        assert_eq!(over.text(), "9 of 10 errors came from one workspace (bucket 8753), which fails on stable too: its own trouble.");
    }

    #[test]
    fn a_bucket_of_several_workspaces_is_not_called_one() {
        let text = |active| Concentration { workspaces_per_bucket: workspaces_per_bucket(active), ..NINE }.text();
        assert!(text(30).contains("from one workspace (bucket 8753),"));
        // A thousand workspaces.
        assert!(text(952).contains("from one workspace (bucket 8753),"), "{}", workspaces_per_bucket(952));
        assert!(text(2_000).contains("from one bucket (8753, about one workspace),"));
        // Thirty thousand.
        assert!(text(9_502).contains("from one bucket (8753, about 3 workspaces),"));
        assert!(text(10_000).contains("from one bucket (8753, about 9 workspaces),"));
        assert!((workspaces_per_bucket(0) - 1.0).abs() < 1e-3);
    }
}
