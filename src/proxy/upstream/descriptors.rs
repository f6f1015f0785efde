//! File descriptors of connections to upstreams. A process that has none left can neither accept, nor look at a certificate, nor write
//! its history, and its admin listener is as lost as the others. So connections of either side get half of what the system allows,
//! after a reserve for everything else.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::proxy::wire::living::Living;

/// The descriptors that are for the history, the sockets that listen, the admin listener, notifications and files that are read.
const RESERVE: u64 = 256;
/// With a low limit the reserve is this part of it.
const RESERVE_PART: u64 = 4;

/// The most connections of either side, with this limit of open files. `None` is no limit.
pub fn most_connections(limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    usize::try_from((limit - RESERVE.min(limit / RESERVE_PART)) / 2).unwrap_or(usize::MAX)
}

/// A pool, which can do without its idle connections.
pub trait HasIdle: fmt::Debug {
    fn close_idle(&self);
}

/// One worker's connections to upstreams.
#[derive(Debug)]
pub struct Descriptors {
    open: Cell<usize>,
    most: usize,
    pools: RefCell<Living<dyn HasIdle>>,
}

/// One connection's descriptor.
#[derive(Debug)]
pub struct Descriptor(Rc<Descriptors>);

impl Descriptors {
    pub fn new(most: usize) -> Rc<Descriptors> {
        Rc::new(Descriptors { open: Cell::new(0), most, pools: RefCell::default() })
    }

    /// From now on the pool's idle connections make room for others.
    pub fn add(&self, pool: Rc<dyn HasIdle>) {
        self.pools.borrow_mut().add(&pool);
    }

    /// A descriptor for one more connection. If there is none, idle connections of all pools are closed.
    pub fn take(self: &Rc<Self>) -> Option<Descriptor> {
        if self.open.get() >= self.most {
            self.pools.borrow().iter().for_each(|pool| pool.close_idle());
        }
        if self.open.get() >= self.most {
            return None;
        }
        self.open.set(self.open.get() + 1);
        Some(Descriptor(self.clone()))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_side_gets_half_of_what_the_reserve_leaves() {
        assert_eq!(most_connections(Some(65_536)), 32_640);
        assert_eq!(most_connections(Some(1_024)), 384);
        assert_eq!(most_connections(Some(64)), 24);
        assert_eq!(most_connections(None), usize::MAX);
    }

    #[test]
    fn a_descriptor_is_free_again_once_it_is_dropped() {
        let descriptors = Descriptors::new(1);
        let one = descriptors.take().unwrap();
        assert!(descriptors.take().is_none());
        drop(one);
        assert!(descriptors.take().is_some());
    }
}
