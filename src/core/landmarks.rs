//! The newest change of each kind of a bot: when it happened, who made it and why. serin reads them from the history at its start,
//! so that "since 22:40" is right after a restart too.

use super::weight::Weight;

/// A change, as later texts mention it.
#[derive(Clone, Debug, PartialEq)]
pub struct Landmark {
    pub revision: u64,
    /// In Unix seconds.
    pub at: f64,
    /// The decision's name, such as `promote`.
    pub decision: String,
    /// `operator`, `config` or `ratchet`.
    pub kind: String,
    pub by: String,
    /// The reason that its author gave.
    pub reason: Option<String>,
    /// The facts on which the decision rests.
    pub why: Option<String>,
    pub from: Weight,
    pub to: Weight,
    /// The release that the change is about.
    pub release: Option<String>,
    /// The change is part of a drill with customers.
    pub rehearsal: bool,
}

/// The newest landmark of each decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Landmarks(Vec<Landmark>);

/// Changes that move no weight, no phase and no release.
const ASIDE: [&str; 6] = ["begin", "desire", "reassign", "freeze", "thaw", "drilled"];

impl Landmarks {
    /// Stores a change, unless a newer one of its kind is known.
    pub fn note(&mut self, landmark: Landmark) {
        match self.0.iter_mut().find(|known| known.decision == landmark.decision) {
            Some(known) if known.revision > landmark.revision => {}
            Some(known) => *known = landmark,
            None => self.0.push(landmark),
        }
    }

    /// The newest change of this kind.
    pub fn of(&self, decision: &str) -> Option<&Landmark> {
        self.0.iter().find(|landmark| landmark.decision == decision)
    }

    /// The newest change of any of these kinds.
    pub fn newest_of(&self, decisions: &[&str]) -> Option<&Landmark> {
        self.0.iter().filter(|landmark| decisions.contains(&landmark.decision.as_str())).max_by_key(|landmark| landmark.revision)
    }

    /// The newest change that moved the weight, the phase or a release, without drills.
    pub fn moved(&self) -> Option<&Landmark> {
        let moves = |landmark: &&Landmark| !landmark.rehearsal && !ASIDE.contains(&landmark.decision.as_str());
        self.0.iter().filter(moves).max_by_key(|landmark| landmark.revision)
    }

    /// The time of the last successful drill, in Unix seconds.
    pub fn drilled(&self) -> Option<f64> {
        self.of("drilled").map(|landmark| landmark.at)
    }
}

impl Landmark {
    /// A change by the operator ana that moved nothing, at `revision` in Unix seconds.
    #[cfg(test)]
    pub fn of_test(revision: u64, decision: &str) -> Landmark {
        Landmark {
            revision,
            at: revision as f64,
            decision: decision.to_owned(),
            kind: "operator".to_owned(),
            by: "ana".to_owned(),
            reason: None,
            why: None,
            from: Weight::ZERO,
            to: Weight::ZERO,
            release: None,
            rehearsal: false,
        }
    }

    /// The author of the change; `None` if the ratchet made it.
    pub fn person(&self) -> Option<&str> {
        (self.kind != "ratchet").then_some(self.by.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_kind_is_kept_in_whatever_order_they_come() {
        let mut known = Landmarks::default();
        [Landmark::of_test(2, "start"), Landmark::of_test(5, "freeze"), Landmark::of_test(4, "start"), Landmark::of_test(3, "start")]
            .into_iter()
            .for_each(|l| known.note(l));
        assert_eq!(known.of("start").unwrap().revision, 4);
        assert_eq!(known.newest_of(&["start", "freeze"]).unwrap().revision, 5);
        assert_eq!(known.of("abort"), None);
    }

    #[test]
    fn a_freeze_and_a_drill_move_nothing() {
        let mut known = Landmarks::default();
        let rehearsed = Landmark { rehearsal: true, ..Landmark::of_test(8, "withdraw") };
        [Landmark::of_test(2, "start"), Landmark::of_test(5, "freeze"), Landmark::of_test(6, "drilled"), rehearsed]
            .into_iter()
            .for_each(|l| known.note(l));
        assert_eq!(known.moved().unwrap().decision, "start");
        assert_eq!(known.drilled(), Some(6.0));
    }
}
