//! The reasons for which serin itself answers: each has a status, a problem document (RFC 9457) and a `serin-error` code, which is
//! also a metric's label.

use bytes::Bytes;
use http::StatusCode;

use super::headers::BadHead;
use crate::http1::{BadFraming, BadTarget, RefusedHead, TraceId};

/// The reasons for which serin itself answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    NoBot,
    BadRequest,
    BadFraming,
    BadTarget,
    BadHost,
    HeaderName,
    TargetTooLong,
    HeadTooLarge,
    TransferCoding,
    Expectation,
    Method,
    BodyBroken,
    BodyTooLarge,
    BodyTimeout,
    HeadTimeout,
    Overloaded,
    SourceLimit,
    Memory,
    ConnectFailed,
    ConnectTimeout,
    Unresolved,
    TlsFailed,
    UpstreamBroken,
    UpstreamInvalid,
    UpstreamTimeout,
    UpstreamOverloaded,
}

impl Problem {
    #[rustfmt::skip]
    const ALL: [Problem; 26] = [
        Problem::NoBot, Problem::BadRequest, Problem::BadFraming, Problem::BadTarget, Problem::BadHost, Problem::HeaderName,
        Problem::TargetTooLong,
        Problem::HeadTooLarge, Problem::TransferCoding, Problem::Expectation, Problem::Method, Problem::BodyBroken,
        Problem::BodyTooLarge, Problem::BodyTimeout, Problem::HeadTimeout, Problem::Overloaded, Problem::SourceLimit, Problem::Memory, Problem::ConnectFailed,
        Problem::ConnectTimeout, Problem::Unresolved, Problem::TlsFailed, Problem::UpstreamBroken, Problem::UpstreamInvalid,
        Problem::UpstreamTimeout, Problem::UpstreamOverloaded,
    ];

    /// All codes, in the order of the variants.
    pub fn codes() -> Vec<&'static str> {
        Problem::ALL.map(Problem::code).to_vec()
    }

    /// The code for `serin-error` and `serin_proxy_errors_total{code}`.
    pub fn code(self) -> &'static str {
        self.parts().0
    }

    pub fn status(self) -> StatusCode {
        self.parts().1
    }

    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Problem::NoBot => ("no_bot", StatusCode::NOT_FOUND, "No bot is configured for this host and path."),
            Problem::BadRequest => ("bad_request", StatusCode::BAD_REQUEST, "The request's head is not valid HTTP/1.1."),
            Problem::BadFraming => ("bad_framing", StatusCode::BAD_REQUEST, "The request does not say clearly where its body ends."),
            Problem::BadTarget => ("bad_target", StatusCode::BAD_REQUEST, "The request's target is neither a path nor a whole URL."),
            Problem::BadHost => ("bad_host", StatusCode::BAD_REQUEST, "The request needs exactly one valid Host header."),
            Problem::HeaderName => {
                ("header_name", StatusCode::BAD_REQUEST, "A header's name has an underscore, which many servers take for a hyphen.")
            }
            Problem::TargetTooLong => ("target_too_long", StatusCode::URI_TOO_LONG, "The request's target is too long."),
            Problem::HeadTooLarge => ("head_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large."),
            Problem::TransferCoding => {
                ("transfer_coding", StatusCode::NOT_IMPLEMENTED, "The only transfer coding understood here is chunked.")
            }
            Problem::Expectation => {
                ("expectation", StatusCode::EXPECTATION_FAILED, "The only expectation understood here is 100-continue.")
            }
            Problem::Method => ("method", StatusCode::METHOD_NOT_ALLOWED, "CONNECT and TRACE are not for webhooks."),
            Problem::BodyBroken => ("body_broken", StatusCode::BAD_REQUEST, "The request's body broke off or was framed wrongly."),
            Problem::BodyTooLarge => {
                ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than body_cap, and over_cap = \"reject\".")
            }
            Problem::BodyTimeout => ("body_timeout", StatusCode::REQUEST_TIMEOUT, "The request's body did not come in time."),
            Problem::HeadTimeout => ("head_timeout", StatusCode::REQUEST_TIMEOUT, "The request's head did not come in time."),
            Problem::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too many requests are in flight."),
            Problem::SourceLimit => {
                ("source_limit", StatusCode::TOO_MANY_REQUESTS, "Too many requests come from this address: wait, then send fewer at once.")
            }
            Problem::Memory => ("memory", StatusCode::SERVICE_UNAVAILABLE, "There is no memory for the request: send it again later."),
            Problem::ConnectFailed => {
                ("connect_failed", StatusCode::BAD_GATEWAY, "The upstream refused the connection or could not be reached.")
            }
            Problem::ConnectTimeout => {
                ("connect_timeout", StatusCode::GATEWAY_TIMEOUT, "The upstream did not take the connection in time.")
            }
            Problem::Unresolved => ("unresolved", StatusCode::BAD_GATEWAY, "The upstream's name has no address."),
            Problem::TlsFailed => ("tls_failed", StatusCode::BAD_GATEWAY, "The TLS handshake with the upstream failed."),
            Problem::UpstreamBroken => {
                ("upstream_broken", StatusCode::BAD_GATEWAY, "The upstream closed the connection without an answer.")
            }
            Problem::UpstreamInvalid => ("upstream_invalid", StatusCode::BAD_GATEWAY, "The upstream's answer is not valid HTTP."),
            Problem::UpstreamTimeout => ("upstream_timeout", StatusCode::GATEWAY_TIMEOUT, "The upstream did not answer in time."),
            Problem::UpstreamOverloaded => {
                ("upstream_overloaded", StatusCode::SERVICE_UNAVAILABLE, "The upstream has more requests than it can answer in time.")
            }
        }
    }

    /// The document. With the trace's id an operator finds the request in the logs.
    pub fn json(self, trace: Option<TraceId>) -> Bytes {
        let (code, status, detail) = self.parts();
        let title = status.canonical_reason().unwrap_or("Error");
        let mut document = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
        });
        if let Some(trace) = trace {
            document["trace_id"] = trace.to_string().into();
        }
        Bytes::from(document.to_string())
    }
}

/// The methods that serin lists in `Allow`. Others pass too, except CONNECT and TRACE.
pub const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl From<RefusedHead> for Problem {
    fn from(refused: RefusedHead) -> Problem {
        match refused {
            RefusedHead::Malformed => Problem::BadRequest,
            RefusedHead::Framing(BadFraming::Ambiguous) => Problem::BadFraming,
            RefusedHead::Framing(BadFraming::UnknownCoding) => Problem::TransferCoding,
            RefusedHead::TargetTooLong => Problem::TargetTooLong,
            RefusedHead::TooLarge => Problem::HeadTooLarge,
        }
    }
}

impl From<BadTarget> for Problem {
    fn from(_: BadTarget) -> Problem {
        Problem::BadTarget
    }
}

impl From<BadHead> for Problem {
    fn from(bad: BadHead) -> Problem {
        match bad {
            BadHead::Host => Problem::BadHost,
            BadHead::Expectation => Problem::Expectation,
            BadHead::Underscore => Problem::HeaderName,
        }
    }
}
