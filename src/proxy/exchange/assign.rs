//! Assigns one request: from what the bot's extractor reads in the request, the split and the bot's policies give a track and a reason.
//! Pure, so that `explain` returns the same answer as the hot path.

use subtle::ConstantTimeEq;

use crate::config::{Bot, Retries, TesterOverride};
use crate::core::{Assignment, Reason, Split, Track};
use crate::http1::Fields;
use crate::identify::{Found, Head, Reading, Retry};
use crate::meters::IdentifyResult;

/// The part of a request's body in which the extractor can look.
#[derive(Clone, Copy, Debug)]
pub enum BodyState<'a> {
    /// The whole body.
    Whole(&'a [u8]),
    /// None: the extractor does not need the body.
    NotWanted,
    /// None: the body is larger than `body_cap`.
    TooLarge,
}

/// The assignment of a request, and everything that was found on the way to it.
#[derive(Clone, Debug)]
pub struct Routing<'a> {
    pub assignment: Assignment,
    pub reading: Reading<'a>,
    pub result: IdentifyResult,
    /// The index, in the extractor's sources, of the source that had the workspace.
    pub source: Option<usize>,
}

pub fn decide<'a>(bot: &'a Bot, split: &Split, head: Head<'a>, looked: BodyState<'a>) -> Routing<'a> {
    let body = match looked {
        BodyState::Whole(body) => Some(body),
        BodyState::NotWanted | BodyState::TooLarge => None,
    };
    let reading = bot.extractor.read(head, body);
    let (result, source) = match (&reading.found, looked) {
        (Found::Workspace { source, .. }, _) => (IdentifyResult::Found, Some(*source)),
        (_, BodyState::TooLarge) => (IdentifyResult::TooLarge, None),
        (Found::Missing, _) => (IdentifyResult::Missing, None),
        (Found::Invalid, _) => (IdentifyResult::Invalid, None),
        (Found::Mixed, _) => (IdentifyResult::Mixed, None),
    };
    let asked = bot.tester.as_ref().and_then(|tester| asked_for(tester, head.fields));
    Routing { assignment: assign(bot, split, &reading, asked), reading, result, source }
}

fn assign(bot: &Bot, split: &Split, reading: &Reading<'_>, asked: Option<Track>) -> Assignment {
    let workspace = match &reading.found {
        Found::Workspace { workspace, .. } => Some(workspace),
        Found::Missing | Found::Invalid | Found::Mixed => None,
    };
    let bucket = workspace.map(|workspace| split.bucket(workspace));
    if let Some(track) = asked {
        return Assignment { track: split.named(track), reason: Reason::Override, bucket };
    }
    if reading.handshake {
        return split.assign_apart(Reason::Handshake, bucket);
    }
    match (workspace, &reading.retry, bot.retries) {
        (None, _, _) => split.assign_apart(Reason::Unidentified, None),
        (Some(_), Some(Retry { .. }), Retries::Stable) => split.assign_apart(Reason::Retry, bucket),
        (Some(workspace), _, Retries::Assigned | Retries::Stable) => split.assign(workspace),
    }
}

/// The track that a tester requests with `canary <secret>` or `stable <secret>`. `None` if the header is missing or wrong. Compares
/// the secret in constant time.
fn asked_for(tester: &TesterOverride, fields: &Fields) -> Option<Track> {
    let (track, secret) = fields.named(tester.header.as_str()).next().and_then(|value| {
        let at = value.iter().position(|b| *b == b' ')?;
        Some((&value[..at], &value[at + 1..]))
    })?;
    let track = Track::ALL.into_iter().find(|t| t.name().as_bytes() == track)?;
    bool::from(secret.ct_eq(tester.secret.as_bytes())).then_some(track)
}
