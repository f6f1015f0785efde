//! Who is on the canary. A bucket has a rank, fixed for the release; it is canary iff its rank is below the weight's
//! threshold. So a raise only adds buckets, a lowering only removes them, and each bucket is in or out independently of
//! the others: that independence is what evidence about the canary can rest on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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
    /// Who is pinned where, in order.
    pub fn names(&self) -> Vec<(&str, &'static str)> {
        let mut names: Vec<_> = self.0.iter().map(|(name, track)| (&**name, track.name())).collect();
        names.sort_unstable();
        names
    }

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
    attempt: u64,
    weight: Weight,
    threshold: u128,
    pins: Pins,
    /// Canary buckets whose requests do not go by rank now: see `evidence::Examination`.
    apart: Arc<BTreeMap<Bucket, Apart>>,
    /// Nobody plays the canary: stable answers for whoever is pinned to it, too.
    closed: bool,
}

/// What is done with a canary bucket that was suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// Under examination: the coin of the block that runs has chosen its track.
    Examined { track: Track, turn: Turn },
    /// Its trouble was its own: stable answers.
    Refuted,
}

/// The blocks of an examination, told apart by turns: at most two have requests under way.
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

/// Why a request goes where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By its bucket's rank.
    Rank,
    /// By its rank it is canary; it is under examination, and a coin has chosen.
    Examined(Turn),
    /// By its rank it is canary, but stable answers since its trouble is its own.
    SetAside,
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
    /// Was it chance that assigned the request? Nothing else says anything about the canary.
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
    /// `None` where no workspace was found.
    pub bucket: Option<Bucket>,
}

impl Assignment {
    /// Does stable answer although the bucket's rank makes it canary?
    pub fn is_set_aside(&self) -> bool {
        self.track == Track::Stable && matches!(self.reason, Reason::Examined(_) | Reason::SetAside)
    }

    /// The block of its bucket's examination, if it is under one.
    pub fn examined_in(&self) -> Option<Turn> {
        if let Reason::Examined(turn) = self.reason { Some(turn) } else { None }
    }
}

impl Split {
    /// `attempt` is the number of the rollout, 0 for splits by hand: so 5 → 0 → 5 % by hand is the same workspaces, and
    /// another try of a release meets others first.
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

    /// Nobody plays the canary: it was taken back, or never was.
    pub fn closed(self) -> Split {
        Split { closed: true, ..self }
    }

    /// The track that somebody named, as far as somebody plays it.
    pub fn named(&self, track: Track) -> Track {
        if self.closed { Track::Stable } else { track }
    }

    /// Who is canary stays as it is; these of them do not go by rank.
    pub fn with_apart(&self, apart: BTreeMap<Bucket, Apart>) -> Split {
        Split { apart: Arc::new(apart), ..self.clone() }
    }

    /// Canary by its rank, and answered by stable?
    pub fn is_set_aside(&self, bucket: Bucket) -> bool {
        self.by_rank(bucket).is_set_aside()
    }

    /// The block of its examination that the bucket's requests are routed in.
    pub fn examined_in(&self, bucket: Bucket) -> Option<Turn> {
        self.by_rank(bucket).examined_in()
    }

    /// The same assignment, but for who does not go by rank?
    pub fn same_labels(&self, other: &Split) -> bool {
        *self == Split { apart: self.apart.clone(), ..other.clone() }
    }

    /// The rule for a workspace. Pins go before ranks.
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

    /// A request whose workspace is not known or does not matter goes to stable while there is a split; at 100 % there
    /// is nothing to protect it from, and all goes to the canary.
    pub fn assign_apart(&self, reason: Reason, bucket: Option<Bucket>) -> Assignment {
        let track = if self.weight == Weight::FULL { Track::Canary } else { Track::Stable };
        Assignment { track, reason, bucket }
    }

    /// The seed of this rollout's coins: another one for each revision that they were first tossed at.
    pub fn coins(&self, revision: u64) -> u64 {
        self.release.coins(revision)
    }

    pub fn bucket(&self, workspace: &Workspace<'_>) -> Bucket {
        self.salt.bucket(workspace)
    }

    /// Where in the line of buckets this one stands: uniform in u64, independent for each bucket.
    pub fn rank(&self, bucket: Bucket) -> u64 {
        self.release.rank(bucket)
    }

    /// The bucket's track by its rank: its label, for the evidence.
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
