//! Reading the history on a connection of its own, so that readers wait neither for a disk that hangs nor in front of the
//! rows that are to be written, and cannot crowd them out.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Mark, NotRead, Row, schema, told};

/// Questions that may wait; one more is refused at once.
const QUEUE: usize = 32;
/// A question that is not answered within this time is given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// What may be asked.
#[derive(Debug)]
pub(super) enum Question {
    /// A bot's changes, the newest first, below a revision.
    Rows { bot: String, below: Option<u64>, most: usize, reply: oneshot::Sender<rusqlite::Result<Vec<Row>>> },
    /// Who was told what.
    Marks { reply: oneshot::Sender<rusqlite::Result<Vec<Mark>>> },
}

impl Question {
    pub fn answer(self, connection: &Connection) {
        match self {
            Question::Rows { bot, below, most, reply } => {
                // Whoever asked may have given up.
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

#[derive(Debug)]
pub(super) struct Reader(SyncSender<Question>);

impl Reader {
    /// Starts a thread that answers from this connection until the reader is dropped.
    pub fn start(connection: Connection) -> Reader {
        let (questions, queue): (_, Receiver<Question>) = sync_channel(QUEUE);
        // Without a thread each question says that it has ended.
        let _ = std::thread::Builder::new().name("serin-reader".to_owned()).spawn(move || {
            while let Ok(question) = queue.recv() {
                question.answer(&connection);
            }
        });
        Reader(questions)
    }

    /// Asks, and waits for the answer for a limited time.
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
