//! A link in a message: a capability for one action on one bot at one revision, with an expiry. Its holder may do that and nothing
//! else. The link is signed with the installation's key, so serin stores nothing about it. It works once: its action makes a new
//! revision, for which the link is not valid.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::core::State;
use crate::store::{InstallationKey, Row};
use crate::summary::Action;

/// How long a link is valid, in seconds.
pub const LINK_SECS: u64 = 24 * 3600;

/// Separates what is signed for links from anything else that is signed with the same key.
const PURPOSE: &[u8] = b"serin link 1\0";
const INSTANCE: &[u8] = b"serin instance 1\0";
/// A ticket takes some hundred bytes; the longest names add some hundred more.
const TOKEN_MOST: usize = 4_096;

/// The actions that a link can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Advance,
    Resume,
    Abort,
    Undo,
}

impl Act {
    pub fn name(self) -> &'static str {
        self.action().name()
    }

    pub fn action(self) -> Action {
        match self {
            Act::Advance => Action::Advance,
            Act::Resume => Action::Resume,
            Act::Abort => Action::Abort,
            Act::Undo => Action::Undo,
        }
    }

    /// Whether the action is allowed under `[admin] read_only`.
    pub fn takes_back(self) -> bool {
        self.action().takes_back()
    }
}

/// The content of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    #[serde(rename = "a")]
    pub act: Act,
    #[serde(rename = "b")]
    pub bot: String,
    #[serde(rename = "r")]
    pub revision: u64,
    /// After a lost row a revision can occur again with another meaning, so the release and the weight must match too.
    #[serde(rename = "s")]
    pub stands: Stands,
    #[serde(rename = "n")]
    pub notifier: String,
    /// In Unix seconds.
    #[serde(rename = "x")]
    pub expires: u64,
}

/// The canary's release, or stable's if there is no canary, and the weight in basis points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stands(String, u64);

impl Stands {
    pub fn of(state: &State) -> Stands {
        Stands::at(state.canary.as_ref().unwrap_or(&state.stable).to_string(), state.weight.percent())
    }

    pub fn after(row: &Row) -> Stands {
        Stands::at(row.canary.clone().unwrap_or_else(|| row.stable.clone()), row.to_percent)
    }

    fn at(release: String, percent: f64) -> Stands {
        Stands(release, (percent * 100.0).round() as u64)
    }
}

impl Ticket {
    pub fn seal(&self, key: &InstallationKey) -> String {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default());
        let seal = hmac::sign(&signing(key), &signed(payload.as_bytes()));
        format!("{payload}.{}", URL_SAFE_NO_PAD.encode(seal))
    }

    /// Returns the ticket; `None` if it was not sealed with this key. The comparison takes constant time.
    pub fn open(key: &InstallationKey, token: &str) -> Option<Ticket> {
        let (payload, seal) = token.split_once('.').filter(|_| token.len() <= TOKEN_MOST)?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        hmac::verify(&signing(key), &signed(payload.as_bytes()), &seal).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

fn signing(key: &InstallationKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.bytes())
}

fn signed(payload: &[u8]) -> Vec<u8> {
    [PURPOSE, payload].concat()
}

/// A name for this installation. It keeps the event ids of two installations apart.
pub fn instance(key: &InstallationKey) -> String {
    let tag = hmac::sign(&signing(key), INSTANCE);
    super::sign::hex(&tag.as_ref()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> InstallationKey {
        InstallationKey::of_test(7)
    }

    fn ticket() -> Ticket {
        let stands = Stands::at("v2 on green".to_owned(), 12.5);
        Ticket { act: Act::Advance, bot: "support".to_owned(), revision: 42, stands, notifier: "ops".to_owned(), expires: 1_800_000_000 }
    }

    #[test]
    fn a_ticket_comes_back_as_it_was_and_only_with_its_key() {
        let token = ticket().seal(&key());
        assert_eq!(Ticket::open(&key(), &token), Some(ticket()));
        assert_eq!(Ticket::open(&InstallationKey::of_test(8), &token), None);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{token}");
    }

    #[test]
    fn no_changed_byte_passes() {
        let token = ticket().seal(&key());
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            // The last character of base64 may hold unused bits; a token that changes only those is refused as well.
            assert_eq!(Ticket::open(&key(), &forged), None, "{at}");
        }
        for other in ["", ".", "a.b", &token[..token.len() - 1], &token.replace('.', ""), &"x".repeat(10_000)] {
            assert_eq!(Ticket::open(&key(), other), None, "{other}");
        }
    }

    #[test]
    fn the_name_of_an_instance_depends_only_on_its_key() {
        assert_eq!(instance(&key()), instance(&key()));
        assert_ne!(instance(&key()), instance(&InstallationKey::of_test(8)));
        assert_eq!(instance(&key()).len(), 12);
    }
}
