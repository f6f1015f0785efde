//! The protocol of a take-over: what the newer and the older serin say to each other, as bytes. A message is a length of four bytes and
//! MessagePack. The descriptors of the sockets travel beside the messages that name them.
//!
//! ```text
//! newer                          older
//! Hello            ──▶
//!                  ◀──  Welcome, Sockets …      serves and decides as before
//! Prepared         ──▶                          decides nothing more, closes the history
//!                  ◀──  History
//! Ready            ──▶
//!                  ◀──  Retires                 accepts no more
//! serves
//! ```
//!
//! Either side can end it before `Retires`, with `Failed` or `Refused`, or by its death; then the older one opens the history again. If
//! the older one has died, the newer one goes on by itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::app::listeners::Name;

/// Rises when a message changes its meaning. An additional field with a default does not change it. `protocol` is a field of `Hello` and
/// `Welcome` in every version.
pub const PROTOCOL: u16 = 1;

/// The most bytes of a message; more is an error of the peer.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const LENGTH_BYTES: usize = 4;

/// Secrets and the like that the older serin passes on, by name. A newer one ignores names that it does not know.
pub type Blobs = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The newer one asks for everything.
    Hello { protocol: u16, version: String, history: PathBuf },
    /// The older one agrees. `Sockets` follow, this many in all.
    Welcome { protocol: u16, version: String, sockets: usize, blobs: Blobs },
    /// These listeners; each has its descriptor beside this message, in this order.
    Sockets(Vec<Passed>),
    /// The newer one has done everything that needs no history.
    Prepared,
    /// The older one has closed the history.
    History,
    /// The newer one has opened the history, and all its workers could serve. It keeps the sockets of these listeners.
    Ready { keeps: Vec<Name> },
    /// The older one accepts no more.
    Retires,
    /// The newer one gives up.
    Failed { why: String },
    /// The older one serves on.
    Refused { why: String },
}

/// A socket that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    pub name: Name,
    /// See [`Listening`](crate::app::listeners::Listening).
    pub bound_for: Option<SocketAddr>,
}

/// The bytes that arrived are no message.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not understood: {0}")]
pub struct NoMessage(String);

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        // Serialising our own type to memory cannot fail.
        let body = rmp_serde::to_vec_named(self).unwrap_or_default();
        let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
        bytes.extend(body);
        bytes
    }

    /// Takes the first message from `input`. Returns `None` if it is not whole yet.
    pub fn decode(input: &mut Vec<u8>) -> Result<Option<Message>, NoMessage> {
        let Some(length) = input.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(NoMessage(format!("a message of {length} bytes")));
        }
        let Some(body) = input.get(LENGTH_BYTES..LENGTH_BYTES + length) else { return Ok(None) };
        let message = rmp_serde::from_slice(body).map_err(|error| NoMessage(error.to_string()))?;
        input.drain(..LENGTH_BYTES + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Message> {
        let blobs = Blobs::from([("ticket-keys".to_owned(), vec![0, 127, 255])]);
        let passed = vec![
            Passed { name: Name::Proxy, bound_for: Some("[::1]:8080".parse().unwrap()) },
            Passed { name: Name::Probes, bound_for: None },
        ];
        vec![
            Message::Hello { protocol: 1, version: "0.1.0".to_owned(), history: "/var/lib/serin/serin.db".into() },
            Message::Welcome { protocol: 1, version: "0.1.0".to_owned(), sockets: 2, blobs },
            Message::Sockets(passed),
            Message::Prepared,
            Message::History,
            Message::Ready { keeps: vec![Name::Admin] },
            Message::Retires,
            Message::Failed { why: "a".to_owned() },
            Message::Refused { why: "b".to_owned() },
        ]
    }

    #[test]
    fn messages_are_read_as_they_were_written_however_the_bytes_arrive() {
        let bytes: Vec<u8> = all().iter().flat_map(Message::encode).collect();
        for size in [1, 3, 50, bytes.len()] {
            let (mut input, mut read) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(size) {
                input.extend_from_slice(piece);
                while let Some(message) = Message::decode(&mut input).unwrap() {
                    read.push(message);
                }
            }
            assert_eq!((read, input), (all(), Vec::new()), "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let mut long = u32::MAX.to_be_bytes().to_vec();
        assert!(Message::decode(&mut long).unwrap_err().to_string().contains("4294967295 bytes"));
        let mut unknown = b"\0\0\0\x06\xa5surge".to_vec();
        assert!(Message::decode(&mut unknown).is_err());
        assert!(Message::decode(&mut b"\0\0\0\0".to_vec()).is_err());
    }

    /// A later version may say more in the same message.
    #[test]
    fn a_field_that_is_not_known_is_ignored() {
        let body = rmp_serde::to_vec_named(&serde_json::json!({"ready": {"keeps": ["proxy"], "later": 1}})).unwrap();
        let mut bytes = [(body.len() as u32).to_be_bytes().as_slice(), &body].concat();
        assert_eq!(Message::decode(&mut bytes), Ok(Some(Message::Ready { keeps: vec![Name::Proxy] })));
    }
}
