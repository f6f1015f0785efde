//! Answers that serin makes itself: problem documents (RFC 9457), each with a `serin-error` code that is also a
//! metric's label.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use super::body::AnswerBody;
use super::headers::{BadHead, SERIN_ERROR};

/// Every answer of serin's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    NoBot,
    BadHost,
    TransferCoding,
    Expectation,
    Method,
    BodyBroken,
    BodyTooLarge,
    BodyTimeout,
    HeadTimeout,
    Overloaded,
    ConnectFailed,
    ConnectTimeout,
    Unresolved,
    TlsFailed,
    UpstreamBroken,
    UpstreamInvalid,
    UpstreamTimeout,
}

impl Problem {
    /// The code, for `serin-error` and `serin_proxy_errors_total{code}`.
    pub fn code(self) -> &'static str {
        self.parts().0
    }

    pub fn status(self) -> StatusCode {
        self.parts().1
    }

    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Problem::NoBot => ("no_bot", StatusCode::NOT_FOUND, "No bot is configured for this host and path."),
            Problem::BadHost => ("bad_host", StatusCode::BAD_REQUEST, "The request needs exactly one valid Host header."),
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
        }
    }

    /// The document itself.
    pub fn json(self) -> Bytes {
        let (code, status, detail) = self.parts();
        let title = status.canonical_reason().unwrap_or("Error");
        let document = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
        });
        Bytes::from(document.to_string())
    }

    pub fn answer(self) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::own(self.json()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(SERIN_ERROR, HeaderValue::from_static(self.code()));
        match self {
            Problem::Overloaded => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Problem::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
            }
            Problem::BodyBroken | Problem::BodyTimeout | Problem::HeadTimeout | Problem::BodyTooLarge | Problem::BadHost => {
                headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
            }
            Problem::NoBot
            | Problem::TransferCoding
            | Problem::Expectation
            | Problem::ConnectFailed
            | Problem::ConnectTimeout
            | Problem::Unresolved
            | Problem::TlsFailed
            | Problem::UpstreamBroken
            | Problem::UpstreamInvalid
            | Problem::UpstreamTimeout => {}
        }
        response
    }
}

impl From<BadHead> for Problem {
    fn from(bad: BadHead) -> Problem {
        match bad {
            BadHead::NoHost | BadHead::ManyHosts | BadHead::InvalidHost => Problem::BadHost,
            BadHead::TransferCoding => Problem::TransferCoding,
            BadHead::Expectation => Problem::Expectation,
        }
    }
}
