//! The history is handed over to another process, or not. Two stores in one process play the two: the lock is one of open files, not of
//! processes.

use std::path::Path;

use super::*;
use crate::core::{Guard, Release, State};

const WITHIN: Duration = Duration::from_secs(10);
const KEEP: Duration = Duration::from_secs(3600);

fn state(revision: u64) -> State {
    State { revision, ..State::new(Release { upstream: "blue".into(), version: None }) }
}

fn entry(revision: u64) -> Entry {
    Entry {
        bot: "a".to_owned(),
        who: Who { kind: "operator", name: "ana".to_owned() },
        reasons: Reasons::default(),
        decision: "freeze",
        before: None,
        input: None,
        guard: Guard::default(),
        at: Duration::from_micros(revision),
        unix_ms: super::entry::unix_millis(),
        state: state(revision),
    }
}

fn checkpoint(revision: u64) -> Checkpoint {
    Checkpoint { bot: "a".to_owned(), state: state(revision), at: Duration::from_secs(9), evidence: Some(vec![7]), past: None }
}

fn order(store: &Store, revision: u64) {
    store.append(Append { ticket: Ticket(revision), entries: vec![entry(revision)], unwritten: Unwritten::Keep });
}

fn place(path: &Path) -> Place {
    Place::File(path.to_owned())
}

#[tokio::test]
async fn a_closed_history_has_all_orders_and_the_checkpoint_and_can_be_opened_by_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.db");
    let (old, _, _answers) = Store::open(place(&path), KEEP).unwrap();
    let in_use = || matches!(Store::take_over(place(&path), KEEP), Err(OpenError::InUse(_)));
    assert!(in_use());
    (1..=3).for_each(|revision| order(&old, revision));
    old.close(vec![checkpoint(3)], WITHIN).await.unwrap();
    assert!(!old.is_open());
    assert_eq!(old.history("a", None, 10).await.unwrap_err(), NotRead::HandedOver);
    {
        let (new, found, _answers) = Store::take_over(place(&path), KEEP).unwrap();
        let kept = &found.bots["a"];
        assert_eq!((kept.state.revision, kept.at, kept.evidence.as_deref()), (3, Duration::from_secs(9), Some(&[7][..])));
        assert!(matches!(old.reopen(), Err(OpenError::InUse(_))), "one writer at a time");
        order(&new, 4);
        new.close(Vec::new(), WITHIN).await.unwrap();
    }
    let (found, mut answers) = old.reopen().unwrap();
    assert_eq!((found.bots["a"].state.revision, old.is_open(), in_use()), (4, true, true));
    order(&old, 5);
    assert_eq!(answers.recv().await.unwrap().ticket, Ticket(5));
    assert_eq!(old.history("a", None, 10).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_history_with_a_row_that_cannot_be_written_is_not_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.db");
    let (store, _, mut answers) = Store::open(place(&path), KEEP).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TRIGGER bad BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'a bad row'); END;").unwrap();
    order(&store, 1);
    let refused = store.close(vec![checkpoint(1)], WITHIN).await.unwrap_err();
    assert_eq!((refused, store.is_open()), (NotClosed::NotWritten("a bad row".to_owned()), true));
    other.execute_batch("DROP TRIGGER bad").unwrap();
    assert_eq!(answers.recv().await.unwrap().ticket, Ticket(1), "it is tried again");
    store.close(Vec::new(), WITHIN).await.unwrap();
}

#[tokio::test]
async fn a_history_is_still_open_if_the_disk_does_not_answer_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.db");
    let (store, _, _answers) = Store::open(place(&path), KEEP).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    // The writing thread waits for this transaction for a second.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    order(&store, 1);
    let within = Duration::from_millis(50);
    assert_eq!(store.close(Vec::new(), within).await, Err(NotClosed::TooSlow(within)));
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.is_open() && store.finish(WITHIN).await);
    assert!(matches!(Store::take_over(place(&path), KEEP), Err(OpenError::InUse(_))), "the thread did not close it later");
}

#[tokio::test]
async fn a_history_in_memory_is_not_handed_over() {
    let (store, _, _answers) = Store::open(Place::Memory("a test".to_owned()), KEEP).unwrap();
    assert_eq!(store.close(Vec::new(), WITHIN).await, Err(NotClosed::InMemory));
    assert!(store.is_open());
}

#[test]
fn what_cannot_be_read_is_not_taken_over_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.db");
    assert!(matches!(Store::take_over(place(&path), KEEP), Err(OpenError::Unusable { .. })), "it is gone");
    let text = b"this is no database, and it never was one; it is long enough to be looked at".as_slice();
    std::fs::write(&path, text).unwrap();
    assert!(matches!(Store::take_over(place(&path), KEEP), Err(OpenError::Unusable { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), text);
    assert!(matches!(Store::take_over(Place::Memory("a test".to_owned()), KEEP), Err(OpenError::Unusable { .. })));
}
