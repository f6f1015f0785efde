//! Reads the history on a connection and a thread of its own. So questions do not wait for a disk that hangs, and rows that are to be
//! written do not wait for questions.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::entry::Row;
use super::schema;
use super::told::{self, Mark};

/// The most questions that may wait; further ones are refused.
const QUEUE: usize = 32;
/// The time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A question about the history.
#[derive(Debug)]
pub(super) enum Question {
    /// A bot's changes below a revision, the newest first.
    Rows { bot: String, below: Option<u64>, most: usize, reply: oneshot::Sender<rusqlite::Result<Vec<Row>>> },
    /// All marks.
    Marks { reply: oneshot::Sender<rusqlite::Result<Vec<Mark>>> },
}

impl Question {
    pub fn answer(self, connection: &Connection) {
        match self {
            Question::Rows { bot, below, most, reply } => {
                // The caller may have stopped waiting.
                if !reply.is_closed() {
                    let _ = reply.send(schema::rows(connection, &bot, below, most));
                }
            }
            Question::Marks { reply } => {
                let _ = reply.send(told::all(connection));
            }
        }
    }
}

/// Why the history was not read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotRead {
    #[error("{waiting} other requests wait for the history: ask again in a moment")]
    Busy { waiting: usize },
    #[error("the history was not read within {patience:?}: the disk is slow; ask again")]
    TooSlow { patience: Duration },
    #[error("a newer serin takes over, and this one has closed the history: ask again in a moment")]
    HandedOver,
    #[error("the history cannot be read: {0}")]
    Failed(String),
}

#[derive(Debug)]
pub(super) struct Reader(SyncSender<Question>);

impl Reader {
    /// Starts a thread that answers questions until the reader is dropped.
    pub fn start(connection: Connection) -> Reader {
        let (questions, queue): (_, Receiver<Question>) = sync_channel(QUEUE);
        // If the thread cannot be started, each question returns an error.
        let _ = std::thread::Builder::new().name("serin-reader".to_owned()).spawn(move || {
            while let Ok(question) = queue.recv() {
                question.answer(&connection);
            }
        });
        Reader(questions)
    }

    /// Asks a question and waits for the answer for at most `PATIENCE`.
    pub async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<rusqlite::Result<T>>) -> Question) -> Result<T, NotRead> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(question(reply)).map_err(|error| match error {
            TrySendError::Full(_) => NotRead::Busy { waiting: QUEUE },
            TrySendError::Disconnected(_) => NotRead::Failed("its reader has ended".to_owned()),
        })?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(NotRead::Failed(error.to_string())),
            Ok(Err(_)) => Err(NotRead::Failed("its reader has ended".to_owned())),
            Err(_) => Err(NotRead::TooSlow { patience: PATIENCE }),
        }
    }
}
