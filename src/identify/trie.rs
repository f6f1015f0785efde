//! The pointers of an extractor, compiled into one automaton, so that a body is walked once, however many sources there are. Building the
//! extractor merges wildcards into the named keys beside them (the subset construction), so the walk is in exactly one state at a time.

use std::collections::HashMap;

use super::SourceError;
use super::pointer::{Pointer, Step};

/// The most states. Many wildcards can multiply states, but a sensible extractor has no more than a few dozen.
const STATES_MAX: usize = 2_000;

/// The number of a collected pointer. A extractor with more pointers than a `u16` counts has more states than `STATES_MAX`, and is
/// refused before an index is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PointerIndex(u16);

/// Collects pointers.
#[derive(Clone, Debug, Default)]
pub(super) struct Pointers(Vec<Pointer>);

#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The walk begins in the first one.
    states: Vec<State>,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) edges: Box<[Edge]>,
    /// The state behind every other key or index.
    pub(super) other: Option<StateId>,
    /// The pointers that end here.
    pub(super) ends: Box<[PointerIndex]>,
}

#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) key: Box<str>,
    /// The key as an index into an array, if it can be one: RFC 6901 has no leading zeros.
    pub(super) index: Option<usize>,
    pub(super) to: StateId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateId(u16);

impl Pointers {
    /// The pointer's index. Equal pointers share one.
    pub(super) fn index_of(&mut self, pointer: &Pointer) -> PointerIndex {
        let index = self.0.iter().position(|p| p == pointer).unwrap_or_else(|| {
            self.0.push(pointer.clone());
            self.0.len() - 1
        });
        PointerIndex(index as u16)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn compile(&self) -> Result<Trie, SourceError> {
        let start: Places = (0..self.0.len()).map(|pointer| (pointer, 0)).collect();
        let mut known = HashMap::from([(start.clone(), StateId(0))]);
        let mut places = vec![start];
        let mut states: Vec<State> = Vec::new();
        while let Some(here) = places.get(states.len()).cloned() {
            let mut state_at = |next: Places| {
                *known.entry(next).or_insert_with_key(|next| {
                    places.push(next.clone());
                    StateId((places.len() - 1) as u16)
                })
            };
            let state = self.state(&here, &mut state_at);
            states.push(state);
            if places.len() > STATES_MAX {
                return Err(SourceError::new("these sources have too many wildcards together: write some of their keys out", 0..0));
            }
        }
        Ok(Trie { states })
    }

    fn state(&self, here: &Places, state_at: &mut impl FnMut(Places) -> StateId) -> State {
        let step = |&(pointer, depth): &(usize, usize)| self.0[pointer].steps().get(depth);
        let ends = here.iter().filter(|place| step(place).is_none()).map(|(pointer, _)| PointerIndex(*pointer as u16)).collect();
        let mut keys: Vec<&str> = Vec::new();
        for place in here {
            if let Some(Step::Key(key)) = step(place)
                && !keys.contains(&&**key)
            {
                keys.push(key);
            }
        }
        let mut after = |matches: &dyn Fn(&Step) -> bool| {
            let next: Places = here.iter().filter(|p| step(p).is_some_and(matches)).map(|(p, depth)| (*p, depth + 1)).collect();
            (!next.is_empty()).then(|| state_at(next))
        };
        let other = after(&|step| *step == Step::Any);
        let edges = keys.iter().filter_map(|&key| {
            let to = after(&|step| match step {
                Step::Key(k) => **k == *key,
                Step::Any => true,
            })?;
            Some(Edge { key: key.into(), index: index(key), to })
        });
        State { edges: edges.collect(), other, ends }
    }
}

/// The meaning of a state: a set of pointers, each with the number of its steps so far.
type Places = Vec<(usize, usize)>;

impl Trie {
    pub(super) const START: StateId = StateId(0);

    pub(super) fn state(&self, id: StateId) -> &State {
        &self.states[usize::from(id.0)]
    }
}

impl State {
    pub(super) fn edge_of_key(&self, key: &[u8]) -> Option<usize> {
        self.edges.iter().position(|edge| edge.key.as_bytes() == key)
    }

    pub(super) fn at_index(&self, index: usize) -> Option<StateId> {
        self.edges.iter().find(|edge| edge.index == Some(index)).map(|edge| edge.to).or(self.other)
    }

    /// Whether a pointer goes on below this value.
    pub(super) fn looks_inside(&self) -> bool {
        self.other.is_some() || !self.edges.is_empty()
    }
}

fn index(key: &str) -> Option<usize> {
    let canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
    canonical.then(|| key.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(pointers: &[&str]) -> Trie {
        let mut all = Pointers::default();
        for pointer in pointers {
            all.index_of(&Pointer::parse(pointer).unwrap());
        }
        all.compile().unwrap()
    }

    /// The indices at the end of a path of keys.
    fn ends(trie: &Trie, keys: &[&str]) -> Vec<u16> {
        let mut at = Trie::START;
        for key in keys {
            let state = trie.state(at);
            match state.edge_of_key(key.as_bytes()).map(|edge| state.edges[edge].to).or(state.other) {
                Some(next) => at = next,
                None => return Vec::new(),
            }
        }
        trie.state(at).ends.iter().map(|index| index.0).collect()
    }

    #[test]
    fn a_wildcard_is_followed_beside_a_named_key() {
        let trie = compile(&["/*/chat/id", "/callback_query/message/chat/id", "/callback_query/chat/id", "/*/chat"]);
        assert_eq!(ends(&trie, &["message", "chat", "id"]), [0]);
        assert_eq!(ends(&trie, &["callback_query", "chat", "id"]), [0, 2]);
        assert_eq!(ends(&trie, &["callback_query", "message", "chat", "id"]), [1]);
        assert_eq!(ends(&trie, &["x", "chat"]), [3]);
        assert!(ends(&trie, &["x", "id"]).is_empty());
    }

    #[test]
    fn equal_pointers_share_an_index_and_states_are_shared() {
        let mut all = Pointers::default();
        let pointer = Pointer::parse("/a/b").unwrap();
        assert_eq!(all.index_of(&pointer), all.index_of(&pointer));
        assert_eq!(compile(&["/a/b"]).states.len(), 3);
    }

    #[test]
    fn only_a_canonical_number_is_an_index() {
        assert_eq!(["0", "7", "10"].map(index), [Some(0), Some(7), Some(10)]);
        assert_eq!(["00", "01", "-1", "+1", "", "a", "99999999999999999999999"].map(index), [None; 7]);
    }

    #[test]
    fn a_plan_whose_wildcards_multiply_is_refused() {
        let mut all = Pointers::default();
        for i in 0..14 {
            let text: String = (0..14).map(|j| if i == j { "/a".to_owned() } else { "/*".to_owned() }).collect();
            all.index_of(&Pointer::parse(&text).unwrap());
        }
        assert!(all.compile().is_err());
    }
}
