//! The API's errors: problem documents (RFC 9457) that also say what to do.

use std::time::Duration;

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::controller::ChangeError;
use crate::core::ratchet::Refusal;
use crate::live::Snapshot;
use crate::store::{NotDurable, NotRead};

#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    /// The error's code, for scripts.
    code: &'static str,
    detail: String,
    retry_after_secs: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> ApiError {
        ApiError { status, code, detail: detail.into(), retry_after_secs: None }
    }

    pub fn not_found(detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub fn unknown_bot(snapshot: &Snapshot, name: &str) -> ApiError {
        ApiError::no_such_bot(name, snapshot.config.bots.iter().map(|bot| bot.name.as_str()))
    }

    /// `known`: the bots that the client may know of.
    pub fn no_such_bot<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> ApiError {
        let known: Vec<_> = known.collect();
        ApiError::new(StatusCode::NOT_FOUND, "unknown_bot", format!("there is no bot {name:?}; there are {}", known.join(", ")))
    }

    /// The connection was opened under other access rules.
    pub fn other_rules() -> ApiError {
        let detail = "the access rules of this listener have changed since this connection was opened: connect again";
        ApiError::new(StatusCode::MISDIRECTED_REQUEST, "other_rules", detail)
    }

    /// The connection has a reserved place, which is only for short requests.
    pub fn full() -> ApiError {
        let detail =
            "all connections of this listener wait for answers; meanwhile it answers /livez, /readyz, and single requests with a token";
        ApiError { retry_after_secs: Some(1), ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "full", detail) }
    }

    pub fn method_not_allowed() -> ApiError {
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this path does not take this method")
    }

    pub fn unauthorized(detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub fn forbidden(detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub fn too_many(retry_after: Duration) -> ApiError {
        let detail = "too many wrong tokens from your address; a right one is still taken";
        let retry_after_secs = Some(retry_after.as_secs_f64().ceil() as u64);
        ApiError { retry_after_secs, ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail) }
    }

    pub fn too_slow(within: Duration) -> ApiError {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "body", format!("the body did not come within {within:?}"))
    }

    pub fn unsupported(detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail)
    }

    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub fn not_durable(error: NotDurable) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_durable", error.to_string())
    }

    /// A newer serin takes over: it will answer the same request in a moment.
    fn takes_over(detail: impl Into<String>) -> ApiError {
        ApiError { retry_after_secs: Some(1), ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "takes_over", detail) }
    }

    /// A handler has panicked.
    pub fn panicked() -> ApiError {
        let detail = "serin failed while it answered, which is a bug: the log has a line with the X-Request-Id of this answer";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The history was not read.
    pub fn not_read(error: NotRead) -> ApiError {
        let code = match error {
            NotRead::Busy { .. } => "busy",
            NotRead::TooSlow { .. } => "too_slow",
            NotRead::HandedOver => return ApiError::takes_over(error.to_string()),
            NotRead::Failed(_) => "not_readable",
        };
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// Parses a JSON body; `example` is shown in the error.
pub fn json<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, ApiError> {
    let value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "json", format!("the body is not JSON: {error}; send {example}")))?;
    // serde would accept an array for a struct.
    if !value.is_object() {
        return Err(ApiError::unprocessable("body", format!("the body is not an object; send {example}")));
    }
    serde_json::from_value(value).map_err(|error| ApiError::unprocessable("body", format!("{error}; send {example}")))
}

/// The revision that a change is based on, from `If-Match: "42"`; `None` if the header is absent or `*`.
pub fn if_match(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or("").trim();
    if text == "*" {
        return Ok(None);
    }
    // An empty list matches no revision (RFC 9110, 13.1.1). Most likely a variable in a script is not set.
    if text.is_empty() {
        return Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "stale", "If-Match is empty: it names no revision, such as \"42\""));
    }
    let revision = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    revision.map(Some).ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "if_match", "If-Match is a revision in quotes, such as \"42\""))
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> ApiError {
        ApiError::new(rejection.status(), "query", rejection.body_text())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> ApiError {
        ApiError::new(rejection.status(), "body", rejection.body_text())
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> ApiError {
        let detail = error.to_string();
        match error {
            ChangeError::UnknownBot { .. } => ApiError::new(StatusCode::NOT_FOUND, "unknown_bot", detail),
            ChangeError::OneUpstream { .. } => ApiError::new(StatusCode::CONFLICT, "one_upstream", detail),
            ChangeError::WhichCanary { .. } => ApiError::new(StatusCode::CONFLICT, "which_canary", detail),
            ChangeError::UnknownUpstream { .. } => ApiError::unprocessable("unknown_upstream", detail),
            ChangeError::Refused { refusal, .. } => match refusal {
                Refusal::Stale { .. } => ApiError::new(StatusCode::PRECONDITION_FAILED, "stale", detail),
                Refusal::AboveMax { .. } => ApiError::unprocessable("above_max", detail),
                Refusal::NoRollout => ApiError::new(StatusCode::CONFLICT, "no_rollout", detail),
                Refusal::UnderWay(_) => ApiError::new(StatusCode::CONFLICT, "under_way", detail),
                Refusal::LiveSplit { .. } => ApiError::new(StatusCode::CONFLICT, "live_split", detail),
                Refusal::IsStable(_) => ApiError::new(StatusCode::CONFLICT, "is_stable", detail),
                Refusal::Quarantined { .. } => ApiError::new(StatusCode::CONFLICT, "quarantined", detail),
                Refusal::Failing => ApiError::new(StatusCode::CONFLICT, "failing", detail),
                Refusal::Broken(_) => ApiError::new(StatusCode::CONFLICT, "broken", detail),
                Refusal::Paused => ApiError::new(StatusCode::CONFLICT, "paused", detail),
                Refusal::NotPaused => ApiError::new(StatusCode::CONFLICT, "not_paused", detail),
                Refusal::Frozen(_) => ApiError::new(StatusCode::CONFLICT, "frozen", detail),
                Refusal::Undone { .. } => ApiError::new(StatusCode::CONFLICT, "undone", detail),
                Refusal::NothingToUndo { .. } => ApiError::new(StatusCode::CONFLICT, "nothing_to_undo", detail),
                Refusal::NothingDesired => ApiError::new(StatusCode::CONFLICT, "nothing_desired", detail),
                Refusal::Watched => ApiError::new(StatusCode::CONFLICT, "watched", detail),
                Refusal::Drill => ApiError::new(StatusCode::CONFLICT, "drill", detail),
            },
            ChangeError::Preflight { .. } => ApiError::new(StatusCode::CONFLICT, "preflight", detail),
            ChangeError::NoReason { .. } => ApiError::unprocessable("reason", detail),
            ChangeError::Overtaken { .. } => ApiError::new(StatusCode::CONFLICT, "overtaken", detail),
            ChangeError::Busy { .. } => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            ChangeError::Ending => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ending", detail),
            ChangeError::TakesOver => ApiError::takes_over(detail),
            ChangeError::ReadOnly => ApiError::new(StatusCode::FORBIDDEN, "read_only", detail),
            ChangeError::NotDurable(error) => ApiError::not_durable(error),
            ChangeError::NotApplied(_) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "not_applied", detail),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let document = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/problem+json")], document.to_string()).into_response();
        if self.status == StatusCode::MISDIRECTED_REQUEST {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
