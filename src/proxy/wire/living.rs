//! A list of things that end by themselves.

use std::rc::{Rc, Weak};

/// The least length at which the list looks for things that have ended.
const LEAST: usize = 64;

/// What was added and still lives. Each thing that has ended keeps a few bytes, until as many have ended as live: so an addition costs
/// little, and the list stays short.
#[derive(Debug)]
pub struct Living<T: ?Sized> {
    all: Vec<Weak<T>>,
    /// The length at which the list is cleared of what has ended.
    clear_at: usize,
}

impl<T: ?Sized> Default for Living<T> {
    fn default() -> Living<T> {
        Living { all: Vec::new(), clear_at: LEAST }
    }
}

impl<T: ?Sized> Living<T> {
    pub fn add(&mut self, thing: &Rc<T>) {
        if self.all.len() >= self.clear_at {
            self.all.retain(|thing| thing.strong_count() > 0);
            self.clear_at = (2 * self.all.len()).max(LEAST);
        }
        self.all.push(Rc::downgrade(thing));
    }

    pub fn iter(&self) -> impl Iterator<Item = Rc<T>> {
        self.all.iter().filter_map(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_stays_short_when_many_end_and_has_all_that_live() {
        let mut living = Living::default();
        let kept: Vec<Rc<usize>> = (0..100).map(Rc::new).collect();
        kept.iter().for_each(|thing| living.add(thing));
        for n in 0..100_000 {
            living.add(&Rc::new(n));
            assert!(living.all.len() <= 2 * kept.len() + LEAST);
        }
        assert!(living.iter().take(100).eq(kept));
    }
}
