//! `POST /v1/notifications/test`: sends one test message, and answers with the receivers' answers.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::problem::{self, ApiError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// All notifiers if absent.
    notifier: Option<String>,
}

#[derive(Serialize)]
pub struct Tests {
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    notifier: String,
    sent: bool,
    /// The outcome in words.
    outcome: String,
    /// The beginning of the receiver's answer.
    answer: String,
}

pub async fn test(State(context): State<Context>, body: Bytes) -> Result<Json<Tests>, ApiError> {
    let Wanted { notifier } = problem::json(if body.is_empty() { b"{}" } else { &body }, "{} or {\"notifier\": \"ops\"}")?;
    let Some(tested) = context.notifications.test(notifier.as_deref()).await else {
        let config = context.live.current().config.clone();
        let known: Vec<&str> = config.notifiers.iter().map(|notifier| notifier.name.as_str()).collect();
        let told = format!("there is no notifier {:?}; there are: {}", notifier.unwrap_or_default(), known.join(", "));
        return Err(ApiError::unprocessable("unknown_notifier", told));
    };
    let test = |tested: crate::notify::Tested| Test {
        notifier: tested.notifier,
        sent: tested.sent,
        outcome: tested.outcome,
        answer: tested.answer,
    };
    Ok(Json(Tests { tests: tested.into_iter().map(test).collect() }))
}
