//! The side of the newer serin. A death of the older one is no failure: then the newer one starts as usual, with the sockets that it has
//! got by then.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::line::{Line, Lost};
use super::message::{Message, PROTOCOL};
use super::place;
use crate::app::listeners::{Listeners, Open};
use crate::app::parts::{Basis, Built, History};
use crate::store::{OpenError, Place, Store};

/// The older serin answers a greeting at once.
const WELCOME_WITHIN: Duration = Duration::from_secs(5);
/// The older serin finishes its changes and messages, and closes the history. It bounds that itself, by 18 s in all.
const HISTORY_WITHIN: Duration = Duration::from_secs(20);
/// The older serin answers at once. It waits for `Ready` for a time of its own, so this only ends a wait for a process that hangs.
const RETIRES_WITHIN: Duration = Duration::from_secs(10);
/// A process that dies closes its connections before it releases the lock of its history.
const LOCK_WITHIN: Duration = Duration::from_secs(2);
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// A take-over in progress.
pub struct Newer {
    /// `None` once the older serin has died.
    line: Option<Line>,
    /// The process of the older serin.
    from: u32,
}

impl Newer {
    /// Greets the running serin. Returns the listening sockets that it passes on; `None` if no serin is running. Errors if it refuses.
    pub async fn greet(history: &Place) -> anyhow::Result<Option<(Newer, Open)>> {
        let Place::File(history) = history else { return Ok(None) };
        let Some(stream) = place::connect(&place::path(history)).await? else { return Ok(None) };
        let mut line = Line::new(stream).context("cannot take over")?;
        let from = line.pid;
        match greeted(&mut line, history).await {
            Ok(open) => Ok(Some((Newer { line: Some(line), from }, open))),
            Err(Ended::Died) => Ok(None),
            Err(Ended::Refused(why)) => Err(refused(from, &why)),
        }
    }

    /// Takes over all else, and returns the parts, ready to serve. On an error the older serin serves on.
    pub async fn take_over(&mut self, basis: Basis, history: Place, open: Open) -> anyhow::Result<Built> {
        let taken = self.try_take_over(basis, history, open).await;
        match (&taken, &mut self.line) {
            // The older serin knows anyhow, when the connection ends. This is for its log.
            (Err(error), Some(line)) => drop(line.send(&Message::Failed { why: format!("{error:#}") }, &[]).await),
            (Ok(_), Some(_)) => tracing::info!(process = self.from, "this serin has taken over"),
            (_, None) => {}
        }
        taken
    }

    async fn try_take_over(&mut self, basis: Basis, place: Place, open: Open) -> anyhow::Result<Built> {
        let listeners = Listeners::open(&basis.config, open).await?;
        let handed_over = self.ask(&Message::Prepared, &Message::History, HISTORY_WITHIN).await?;
        let history = open_history(place, basis.config.history.keep, handed_over).await?;
        let built = basis.build(history, listeners).await?;
        self.ask(&Message::Ready { keeps: built.listeners().kept.clone() }, &Message::Retires, RETIRES_WITHIN).await?;
        Ok(built)
    }

    /// Says `what` and waits for `answer`. Returns `false` if the older serin has died.
    async fn ask(&mut self, what: &Message, answer: &Message, within: Duration) -> anyhow::Result<bool> {
        let Some(line) = &mut self.line else { return Ok(false) };
        match said(line, what, within).await {
            Ok(said) if said == *answer => Ok(true),
            Ok(other) => bail!("the running serin, process {}, says {other:?} instead of {answer:?}", self.from),
            Err(Ended::Refused(why)) => Err(refused(self.from, &why)),
            Err(Ended::Died) => {
                tracing::warn!(process = self.from, "the running serin has died before it was taken over from: this one starts as usual");
                self.line = None;
                Ok(false)
            }
        }
    }
}

fn refused(from: u32, why: &str) -> anyhow::Error {
    anyhow!("the running serin, process {from}, is not taken over from: {why}")
}

/// Why the older serin says nothing further.
enum Ended {
    Died,
    Refused(String),
}

async fn said(line: &mut Line, what: &Message, within: Duration) -> Result<Message, Ended> {
    // If it is gone, `receive` says so, and returns what it has said before.
    let _ = line.send(what, &[]).await;
    heard(line, within).await
}

async fn heard(line: &mut Line, within: Duration) -> Result<Message, Ended> {
    match line.receive(within).await {
        Ok(Message::Refused { why }) => Err(Ended::Refused(why)),
        Ok(message) => Ok(message),
        Err(Lost::Gone) => Err(Ended::Died),
        Err(error @ (Lost::Silent(_) | Lost::NoMessage(_))) => Err(Ended::Refused(error.to_string())),
    }
}

async fn greeted(line: &mut Line, history: &Path) -> Result<Open, Ended> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    // The older serin may run in another directory.
    let history = std::path::absolute(history).unwrap_or_else(|_| history.to_owned());
    let hello = Message::Hello { protocol: PROTOCOL, version, history };
    let count = match said(line, &hello, WELCOME_WITHIN).await? {
        Message::Welcome { protocol: PROTOCOL, sockets, .. } => sockets,
        other => return Err(Ended::Refused(format!("this one speaks protocol {PROTOCOL}, and it answers {other:?}"))),
    };
    let (mut open, mut got) = (Open::default(), 0);
    while got < count {
        let Message::Sockets(passed) = heard(line, WELCOME_WITHIN).await? else {
            return Err(Ended::Refused("it passes on fewer sockets than it says".to_owned()));
        };
        for socket in passed {
            let Some(descriptor) = line.descriptor() else {
                return Err(Ended::Refused(format!("the {:?} socket came without its descriptor", socket.name)));
            };
            open.add(socket.name, socket.bound_for, TcpListener::from(descriptor));
            got += 1;
        }
    }
    Ok(open)
}

/// `handed_over`: the older serin has closed the history. Otherwise it has died, and this is an ordinary start.
async fn open_history(place: Place, keep: Duration, handed_over: bool) -> Result<History, OpenError> {
    let began = Instant::now();
    loop {
        let opened = match handed_over {
            true => Store::take_over(place.clone(), keep),
            false => Store::open(place.clone(), keep),
        };
        match opened {
            Err(OpenError::InUse(_)) if began.elapsed() < LOCK_WITHIN => tokio::time::sleep(LOCK_AGAIN).await,
            opened => return opened,
        }
    }
}
