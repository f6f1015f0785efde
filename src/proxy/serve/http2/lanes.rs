//! The tasks in which requests run. To make a task, of some kilobytes, costs as much as a tenth of a short request. So the tasks of a
//! connection take one request after the other, until the connection rests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// One task.
pub struct Lane<T> {
    next: Cell<Next<T>>,
    waker: RefCell<Option<Waker>>,
}

enum Next<T> {
    Unknown,
    Run(T),
    End,
}

/// The tasks that wait for a request. When it is dropped, they end.
pub struct Idle<T>(RefCell<Vec<Rc<Lane<T>>>>);

impl<T> Lane<T> {
    pub fn new(first: T) -> Rc<Lane<T>> {
        Rc::new(Lane { next: Cell::new(Next::Run(first)), waker: RefCell::default() })
    }

    /// Waits for the next request. `None` says that the task has to end.
    pub async fn next(&self) -> Option<T> {
        std::future::poll_fn(|cx| match self.next.replace(Next::Unknown) {
            Next::Run(next) => Poll::Ready(Some(next)),
            Next::End => Poll::Ready(None),
            Next::Unknown => {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    fn tell(&self, next: Next<T>) {
        self.next.set(next);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl<T> Default for Idle<T> {
    fn default() -> Idle<T> {
        Idle(RefCell::default())
    }
}

impl<T> Idle<T> {
    /// Called by a task that waits from now on.
    pub fn add(&self, lane: &Rc<Lane<T>>) {
        self.0.borrow_mut().push(lane.clone());
    }

    /// Lets a waiting task run this, or gives it back if there is none.
    pub fn run(&self, next: T) -> Result<(), T> {
        let Some(lane) = self.0.borrow_mut().pop() else { return Err(next) };
        lane.tell(Next::Run(next));
        Ok(())
    }

    /// Ends the waiting tasks.
    pub fn end(&self) {
        self.0.borrow_mut().drain(..).for_each(|lane| lane.tell(Next::End));
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

impl<T> Drop for Idle<T> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    #[test]
    fn tasks_are_used_again_and_end_with_the_list() {
        let ran: Rc<RefCell<Vec<(usize, u32)>>> = Rc::default();
        let idle = Rc::new(Idle::default());
        let live = Rc::new(());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let begin = |number: u32| {
                let Err(number) = idle.run(number) else { return };
                let (lane, ran, idle, live) = (Lane::new(number), ran.clone(), Rc::downgrade(&idle), live.clone());
                spawn_local(async move {
                    let _live = live;
                    while let Some(number) = lane.next().await {
                        yield_now().await;
                        ran.borrow_mut().push((Rc::as_ptr(&lane) as usize, number));
                        let Some(idle) = idle.upgrade() else { return };
                        idle.add(&lane);
                    }
                });
            };
            for numbers in [[1, 2], [3, 4]] {
                numbers.into_iter().for_each(begin);
                for _ in 0..4 {
                    yield_now().await;
                }
            }
            assert_eq!(Rc::strong_count(&live), 3, "two tasks");
            idle.end();
            yield_now().await;
            assert_eq!((Rc::strong_count(&live), idle.is_empty()), (1, true));
            begin(5);
            yield_now().await;
            yield_now().await;
            drop(idle);
            yield_now().await;
            assert_eq!(Rc::strong_count(&live), 1);
        });
        let mut numbers: Vec<u32> = ran.borrow().iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}
