//! The final answer to a client: an upstream's or one of serin's own.

use bytes::Bytes;
use http::StatusCode;

use super::reply_body::ReplyBody;
use super::tunnel::Tunnel;
use crate::http1::{Fields, TraceId};
use crate::proxy::problem::{ALLOWED, Problem};

/// A final answer.
pub struct Reply {
    pub status: StatusCode,
    /// The reason phrase, if it is not the usual one for the status.
    pub reason: Option<Bytes>,
    /// The fields as they came. `write_answer` omits those that must not pass on.
    pub fields: Fields,
    /// The value of `Content-Length` for an answer without a body.
    pub length: Option<u64>,
    pub body: ReplyBody,
    /// Whether the client's connection may stay open after this answer.
    pub then: Then,
    /// For a status of 101: the upstream's side of what comes after the answer.
    pub tunnel: Option<Box<Tunnel>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    GoOn,
    Close,
}

impl Reply {
    /// An answer of serin's own.
    pub fn own(status: StatusCode, body: Bytes) -> Reply {
        let length = Some(body.len() as u64);
        Reply { status, reason: None, fields: Fields::default(), length, body: ReplyBody::Own(body), then: Then::GoOn, tunnel: None }
    }

    /// The answer for a problem. `trace` is the id by which an operator finds the request in the logs.
    pub fn problem(problem: Problem, trace: Option<TraceId>) -> Reply {
        let reply = Reply::own(problem.status(), problem.json(trace))
            .with("content-type", "application/problem+json")
            .with("serin-error", problem.code());
        match problem {
            Problem::Overloaded | Problem::UpstreamOverloaded | Problem::SourceLimit => reply.with("retry-after", "1"),
            Problem::Memory => Reply { then: Then::Close, ..reply.with("retry-after", "1") },
            Problem::Method => reply.with("allow", ALLOWED),
            Problem::BadRequest
            | Problem::BadFraming
            | Problem::BadTarget
            | Problem::BadHost
            | Problem::TargetTooLong
            | Problem::HeadTooLarge
            | Problem::TransferCoding
            | Problem::BodyBroken
            | Problem::BodyTimeout
            | Problem::HeadTimeout
            | Problem::BodyTooLarge => Reply { then: Then::Close, ..reply },
            Problem::NoBot
            | Problem::Expectation
            | Problem::HeaderName
            | Problem::ConnectFailed
            | Problem::ConnectTimeout
            | Problem::Unresolved
            | Problem::TlsFailed
            | Problem::UpstreamBroken
            | Problem::UpstreamInvalid
            | Problem::UpstreamTimeout => reply,
        }
    }

    /// Whether the answer has no body, whatever its fields say. `to_head`: it answers a HEAD.
    pub fn is_bodiless(&self, to_head: bool) -> bool {
        to_head || self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED
    }

    /// The length that the answer states, if it is known. That of an answer without a body is the one of the body that it stands for.
    pub fn known_length(&self, to_head: bool) -> Option<u64> {
        if self.is_bodiless(to_head) { self.length } else { self.body.remaining() }
    }

    pub fn with(mut self, name: &str, value: &'static str) -> Reply {
        self.fields.push(name, value.as_bytes()).expect("serin's own fields are well formed");
        self
    }
}
