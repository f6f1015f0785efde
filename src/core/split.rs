//! Who is on the canary. A bucket has a rank, fixed for the release; it is canary iff its rank is below the weight's
//! threshold. So a raise only adds buckets, a lowering only removes them, and each bucket is in or out independently of
//! the others: that independence is what evidence about the canary can rest on.

use std::collections::HashMap;

use super::bucket::{Bucket, ReleaseSalt, Salt, Workspace};
use super::weight::Weight;

/// The role an upstream plays now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Track {
    Stable,
    Canary,
}

impl Track {
    pub const ALL: [Track; 2] = [Track::Stable, Track::Canary];

    pub fn name(self) -> &'static str {
        match self {
            Track::Stable => "stable",
            Track::Canary => "canary",
        }
    }
}

/// Workspaces that an operator put on a track by name, whatever the weight. Written as they are found: `team:T123`, or
/// `T123` for any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(HashMap<Box<str>, Track>);

impl Pins {
    /// The first name that is given for both tracks, if there is one.
    pub fn new(canary: &[String], stable: &[String]) -> Result<Pins, String> {
        let mut pins = HashMap::new();
        for (names, track) in [(canary, Track::Canary), (stable, Track::Stable)] {
            for name in names {
                if pins.insert(name.as_str().into(), track).is_some_and(|other| other != track) {
                    return Err(name.clone());
                }
            }
        }
        Ok(Pins(pins))
    }

    fn track(&self, workspace: &Workspace<'_>) -> Option<Track> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(workspace.id.as_ref()).or_else(|| self.0.get(workspace.to_string().as_str())).copied()
    }
}

/// The assignment of one moment: everything that says which workspace goes where, and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    salt: Salt,
    release: ReleaseSalt,
    weight: Weight,
    threshold: u128,
    pins: Pins,
}

/// Why a request goes where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By its bucket's rank: the only reason that counts as evidence.
    Rank,
    /// An operator pinned the workspace.
    Pinned,
    /// A tester asked for this track by the secret header.
    Override,
    /// No workspace was found, or several that disagree, or its body was too large to look into.
    Unidentified,
    /// The platform verifies the URL.
    Handshake,
    /// The bot sends the platform's retries to stable.
    Retry,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Rank => "rank",
            Reason::Pinned => "pinned",
            Reason::Override => "override",
            Reason::Unidentified => "unidentified",
            Reason::Handshake => "handshake",
            Reason::Retry => "retry",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub track: Track,
    pub reason: Reason,
    /// `None` where no workspace was found.
    pub bucket: Option<Bucket>,
}

impl Split {
    /// `attempt` is the number of the rollout, 0 for splits by hand: so 5 → 0 → 5 % by hand is the same workspaces, and
    /// another try of a release meets others first.
    pub fn new(salt: Salt, bot: &str, attempt: u64, weight: Weight, pins: Pins) -> Split {
        let release = salt.release(bot, attempt);
        Split { release, weight, threshold: weight.threshold(), pins, salt }
    }

    pub fn weight(&self) -> Weight {
        self.weight
    }

    pub fn with_weight(&self, weight: Weight) -> Split {
        Split { weight, threshold: weight.threshold(), ..self.clone() }
    }

    /// The rule for a workspace. Pins go before ranks.
    pub fn assign(&self, workspace: &Workspace<'_>) -> Assignment {
        let bucket = self.salt.bucket(workspace);
        match self.pins.track(workspace) {
            Some(track) => Assignment { track, reason: Reason::Pinned, bucket: Some(bucket) },
            None => Assignment { track: self.track(bucket), reason: Reason::Rank, bucket: Some(bucket) },
        }
    }

    /// A request whose workspace is not known or does not matter goes to stable while there is a split; at 100 % there
    /// is nothing to protect it from, and all goes to the canary.
    pub fn assign_apart(&self, reason: Reason, bucket: Option<Bucket>) -> Assignment {
        let track = if self.weight == Weight::FULL { Track::Canary } else { Track::Stable };
        Assignment { track, reason, bucket }
    }

    pub fn bucket(&self, workspace: &Workspace<'_>) -> Bucket {
        self.salt.bucket(workspace)
    }

    /// Where in the line of buckets this one stands: uniform in u64, independent for each bucket.
    pub fn rank(&self, bucket: Bucket) -> u64 {
        self.release.rank(bucket)
    }

    pub fn track(&self, bucket: Bucket) -> Track {
        if u128::from(self.rank(bucket)) < self.threshold { Track::Canary } else { Track::Stable }
    }

    /// How many buckets are canary now. Near `weight · 10,000`, seldom exactly: buckets are drawn independently.
    pub fn canary_buckets(&self) -> usize {
        Bucket::all().filter(|bucket| self.track(*bucket) == Track::Canary).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::BUCKETS;
    use proptest::prelude::*;

    fn split(bp: u16) -> Split {
        Split::new(Salt::new("serin"), "support", 0, Weight::from_bp(bp).unwrap(), Pins::default())
    }

    fn workspace(id: &str) -> Workspace<'_> {
        Workspace { namespace: "team", id: id.into() }
    }

    #[test]
    fn zero_sends_nothing_and_a_hundred_sends_all() {
        assert_eq!(split(0).canary_buckets(), 0);
        assert_eq!(split(10_000).canary_buckets(), usize::from(BUCKETS));
        assert_eq!(split(9_999).assign_apart(Reason::Handshake, None).track, Track::Stable);
        assert_eq!(split(10_000).assign_apart(Reason::Unidentified, None).track, Track::Canary);
    }

    #[test]
    fn a_split_never_changes_between_versions() {
        let canary: Vec<usize> = Bucket::all().filter(|b| split(10).track(*b) == Track::Canary).map(Bucket::index).collect();
        assert_eq!(canary, [1210, 2137, 4870, 5045, 5485, 7092, 7501, 8166, 9382, 9684]);
        assert_eq!(split(500).canary_buckets(), 481);
    }

    #[test]
    fn pins_go_before_ranks() {
        let names = |s: &str| vec![s.to_owned()];
        let pins = Pins::new(&names("team:T1"), &names("T2")).unwrap();
        let at = |bp, id: &str| Split { pins: pins.clone(), ..split(bp) }.assign(&workspace(id));
        assert_eq!((at(0, "T1").track, at(0, "T1").reason), (Track::Canary, Reason::Pinned));
        assert_eq!((at(10_000, "T2").track, at(10_000, "T2").reason), (Track::Stable, Reason::Pinned));
        assert_eq!(at(0, "T3").reason, Reason::Rank);
        assert_eq!(Pins::new(&names("T1"), &names("T1")), Err("T1".to_owned()));
    }

    #[test]
    fn another_attempt_meets_other_buckets_first() {
        let again = Split::new(Salt::new("serin"), "support", 1, Weight::from_bp(500).unwrap(), Pins::default());
        let both = Bucket::all().filter(|b| split(500).track(*b) == Track::Canary && again.track(*b) == Track::Canary).count();
        // 25 expected, standard deviation 5.
        assert!((5..=45).contains(&both), "{both}");
    }

    /// 99.9 % bounds for 10,000 workspaces at 5 %. They share buckets, which widens the binomial's variance by
    /// (1 + W/10,000): a bucket of two moves as one.
    #[test]
    fn ten_thousand_workspaces_land_within_the_bounds() {
        let n = 10_000.0_f64;
        let p = 0.05;
        let sd = (n * p * (1.0 - p) * (1.0 + n / f64::from(BUCKETS))).sqrt();
        for salt in ["serin", "a", "b", "c", "d", "e", "f", "g"] {
            let split = Split::new(Salt::new(salt), "support", 0, Weight::from_bp(500).unwrap(), Pins::default());
            let on_canary = (0..10_000).filter(|i| split.assign(&workspace(&format!("T{i:08}"))).track == Track::Canary).count();
            assert!((on_canary as f64 - n * p).abs() < 3.29 * sd, "{salt}: {on_canary}");
        }
    }

    proptest! {
        #[test]
        fn a_raise_takes_no_workspace_off_the_canary(id in ".{0,40}", low in 0u16..=10_000, high in 0u16..=10_000) {
            let (low, high) = (low.min(high), low.max(high));
            let w = workspace(&id);
            if split(low).assign(&w).track == Track::Canary {
                prop_assert_eq!(split(high).assign(&w).track, Track::Canary);
            }
            prop_assert_eq!(split(low).assign(&w).bucket, split(high).assign(&w).bucket);
        }
    }
}
