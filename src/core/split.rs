//! Which workspaces are on the canary. A bucket has a rank, fixed for the release; it is canary iff its rank is below the weight's
//! threshold. So a raise only adds buckets, a lowering only removes them, and each bucket is in or out independently of the others.
//! The evidence rests on that independence.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::bucket::{Bucket, ReleaseSalt, Salt, Workspace};
use super::weight::Weight;

/// The role that an upstream plays now.
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

/// Workspaces that an operator put on a track by name, whatever the weight. Written as the sources find them: `team:T123`, or
/// `T123` for any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(HashMap<Box<str>, Track>);

impl Pins {
    /// The pinned names and the names of their tracks, sorted.
    pub fn names(&self) -> Vec<(&str, &'static str)> {
        let mut names: Vec<_> = self.0.iter().map(|(name, track)| (&**name, track.name())).collect();
        names.sort_unstable();
        names
    }

    /// Fails with the first name that is given for both tracks.
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

/// The assignment of one moment: everything that decides which workspace is on which track, and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    salt: Salt,
    release: ReleaseSalt,
    attempt: u64,
    weight: Weight,
    threshold: u128,
    pins: Pins,
    /// The canary's buckets that do not go by rank now: see `evidence::Examination`.
    apart: Arc<BTreeMap<Bucket, Apart>>,
    /// There is no canary: stable also answers workspaces that are pinned to it.
    closed: bool,
}

/// What happens to a canary bucket that was suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// It is under examination: the coin of the running block has chosen its track.
    Examined { track: Track, turn: Turn },
    /// The trouble was the workspace's own: stable answers.
    Refuted,
}

/// Distinguishes the blocks of an examination: at most two have requests under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Even,
    Odd,
}

impl Turn {
    pub const ALL: [Turn; 2] = [Turn::Even, Turn::Odd];

    pub fn of(block: u32) -> Turn {
        if block.is_multiple_of(2) { Turn::Even } else { Turn::Odd }
    }
}

/// Why a request goes to its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By its bucket's rank.
    Rank,
    /// By its rank the bucket is canary; it is under examination, and a coin has chosen the track.
    Examined(Turn),
    /// By its rank the bucket is canary, but stable answers, because the trouble is the workspace's own.
    SetAside,
    /// An operator pinned the workspace.
    Pinned,
    /// A tester asked for this track with the secret header.
    Override,
    /// No workspace was found, or several different ones, or the body was too large to look into.
    Unidentified,
    /// The platform verifies the URL.
    Handshake,
    /// The bot sends the platform's retries to stable.
    Retry,
}

impl Reason {
    /// Whether chance assigned the request. Other requests say nothing about the canary.
    pub fn is_evidence(self) -> bool {
        match self {
            Reason::Rank | Reason::Examined(_) | Reason::SetAside => true,
            Reason::Pinned | Reason::Override | Reason::Unidentified | Reason::Handshake | Reason::Retry => false,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Reason::Rank => "rank",
            Reason::Examined(_) => "examined",
            Reason::SetAside => "set_aside",
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
    /// `None` if no workspace was found.
    pub bucket: Option<Bucket>,
}

impl Assignment {
    /// Whether stable answers although the bucket's rank makes it canary.
    pub fn is_set_aside(&self) -> bool {
        self.track == Track::Stable && matches!(self.reason, Reason::Examined(_) | Reason::SetAside)
    }

    /// The block of the bucket's examination, if it is under one.
    pub fn examined_in(&self) -> Option<Turn> {
        if let Reason::Examined(turn) = self.reason { Some(turn) } else { None }
    }
}

impl Split {
    /// `attempt` is the number of the rollout, and 0 for splits by hand. So 5 → 0 → 5 % by hand gives the same workspaces, and
    /// another try of a release begins with others.
    pub fn new(salt: Salt, bot: &str, attempt: u64, weight: Weight, pins: Pins) -> Split {
        let release = salt.release(bot, attempt);
        Split { release, attempt, weight, threshold: weight.threshold(), pins, salt, apart: Arc::default(), closed: false }
    }

    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    pub fn weight(&self) -> Weight {
        self.weight
    }

    pub fn with_weight(&self, weight: Weight) -> Split {
        Split { weight, threshold: weight.threshold(), ..self.clone() }
    }

    /// The same split without a canary: it was taken back, or there never was one.
    pub fn closed(self) -> Split {
        Split { closed: true, ..self }
    }

    /// The track that a pin or a tester names, or stable if there is no canary.
    pub fn named(&self, track: Track) -> Track {
        if self.closed { Track::Stable } else { track }
    }

    /// The same split, but these of the canary's buckets do not go by rank.
    pub fn with_apart(&self, apart: BTreeMap<Bucket, Apart>) -> Split {
        Split { apart: Arc::new(apart), ..self.clone() }
    }

    /// Whether the bucket is canary by its rank, but answered by stable.
    pub fn is_set_aside(&self, bucket: Bucket) -> bool {
        self.by_rank(bucket).is_set_aside()
    }

    /// The block of the examination that now routes the bucket's requests.
    pub fn examined_in(&self, bucket: Bucket) -> Option<Turn> {
        self.by_rank(bucket).examined_in()
    }

    /// Whether both splits are the same, except for the buckets that do not go by rank.
    pub fn same_labels(&self, other: &Split) -> bool {
        *self == Split { apart: self.apart.clone(), ..other.clone() }
    }

    /// The assignment of a workspace. Pins go before ranks.
    pub fn assign(&self, workspace: &Workspace<'_>) -> Assignment {
        let bucket = self.salt.bucket(workspace);
        match self.pins.track(workspace) {
            Some(track) => Assignment { track: self.named(track), reason: Reason::Pinned, bucket: Some(bucket) },
            None => self.by_rank(bucket),
        }
    }

    fn by_rank(&self, bucket: Bucket) -> Assignment {
        let (track, reason) = match self.track(bucket) {
            Track::Stable => (Track::Stable, Reason::Rank),
            Track::Canary => match self.apart.get(&bucket) {
                None => (Track::Canary, Reason::Rank),
                Some(Apart::Examined { track, turn }) => (*track, Reason::Examined(*turn)),
                Some(Apart::Refuted) => (Track::Stable, Reason::SetAside),
            },
        };
        Assignment { track, reason, bucket: Some(bucket) }
    }

    /// The assignment of a request whose workspace is unknown or does not matter: stable, or the canary at 100 %.
    pub fn assign_apart(&self, reason: Reason, bucket: Option<Bucket>) -> Assignment {
        let track = if self.weight == Weight::FULL { Track::Canary } else { Track::Stable };
        Assignment { track, reason, bucket }
    }

    /// The seed of this rollout's coins. `revision` is the one at which they were first tossed.
    pub fn coins(&self, revision: u64) -> u64 {
        self.release.coins(revision)
    }

    pub fn bucket(&self, workspace: &Workspace<'_>) -> Bucket {
        self.salt.bucket(workspace)
    }

    /// The bucket's rank: uniform in u64, independent for each bucket.
    pub fn rank(&self, bucket: Bucket) -> u64 {
        self.release.rank(bucket)
    }

    /// The bucket's track by its rank. This is its label in the evidence.
    pub fn track(&self, bucket: Bucket) -> Track {
        if u128::from(self.rank(bucket)) < self.threshold { Track::Canary } else { Track::Stable }
    }

    /// The number of canary buckets. It is near `weight · 10,000`, but seldom equal, because buckets are drawn independently.
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
        let closed = Split { pins: pins.clone(), ..split(0) }.closed();
        assert_eq!(closed.assign(&workspace("T1")).track, Track::Stable);
        assert_eq!(Pins::new(&names("T1"), &names("T1")), Err("T1".to_owned()));
    }

    #[test]
    fn who_is_set_aside_is_answered_by_stable_and_stays_canary() {
        let at = |id: &str| split(0).bucket(&workspace(id));
        let examined = |track| Apart::Examined { track, turn: Turn::Odd };
        let apart = [(at("T1"), Apart::Refuted), (at("T3"), examined(Track::Stable)), (at("T4"), examined(Track::Canary))];
        let all = split(10_000).with_apart(apart.into());
        let is = |id: &str| (all.assign(&workspace(id)).track, all.assign(&workspace(id)).reason, all.is_set_aside(at(id)));
        assert_eq!(is("T1"), (Track::Stable, Reason::SetAside, true));
        assert_eq!(is("T2"), (Track::Canary, Reason::Rank, false));
        assert_eq!(is("T3"), (Track::Stable, Reason::Examined(Turn::Odd), true));
        assert_eq!(is("T4"), (Track::Canary, Reason::Examined(Turn::Odd), false));
        assert_eq!(all.track(at("T1")), Track::Canary);
        assert!(all.same_labels(&split(10_000)) && !all.same_labels(&split(9_999)) && all != split(10_000));
    }

    #[test]
    fn another_attempt_meets_other_buckets_first() {
        let again = Split::new(Salt::new("serin"), "support", 1, Weight::from_bp(500).unwrap(), Pins::default());
        let both = Bucket::all().filter(|b| split(500).track(*b) == Track::Canary && again.track(*b) == Track::Canary).count();
        // 25 expected, standard deviation 5.
        assert!((5..=45).contains(&both), "{both}");
    }

    /// 99.9 % bounds for 10,000 workspaces at 5 %. They share buckets, and two workspaces of one bucket move together. That widens
    /// the binomial's variance by (1 + W/10,000).
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
