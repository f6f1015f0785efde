//! What to do after an attempt to send: nothing, try again after a while, or give up.

use std::time::Duration;

use crate::outbound::pause;

/// A message about an event that is older than this is neither sent again nor caught up after a restart.
pub const NEWS: Duration = Duration::from_secs(3600);
const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);
/// The longest `Retry-After` that is respected.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(600);

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    Status {
        code: u16,
        retry_after: Option<Duration>,
    },
    /// No answer, with the reason, which must contain no secret.
    NoAnswer(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Sent,
    Again(Duration),
    GiveUp,
}

impl AttemptResult {
    pub fn is_success(&self) -> bool {
        matches!(self, AttemptResult::Status { code: 200..=299, .. })
    }
}

/// Decides what follows an attempt. `attempt` counts from 0; `age` is the event's; `chance`, 0 to 1, is random, so that many senders do
/// not retry at the same moment.
pub fn next(result: &AttemptResult, attempt: u32, age: Duration, chance: f64) -> Next {
    let usual = pause(FIRST, MOST, attempt, chance);
    let wait = match result {
        AttemptResult::Status { code: 200..=299, .. } => return Next::Sent,
        // The URL was revoked or has changed. A new URL in the config ends the wait at once.
        AttemptResult::Status { code: 401 | 403 | 404 | 410, .. } => MOST,
        AttemptResult::Status { code: 408 | 429 | 500..=599, retry_after } => {
            usual.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MOST))
        }
        AttemptResult::Status { .. } => return Next::GiveUp,
        AttemptResult::NoAnswer(_) => usual,
    };
    if age + wait >= NEWS { Next::GiveUp } else { Next::Again(wait) }
}

impl std::fmt::Display for AttemptResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AttemptResult::Status { code, .. } => write!(f, "it answered {code}"),
            AttemptResult::NoAnswer(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> AttemptResult {
        AttemptResult::Status { code, retry_after: None }
    }

    fn after(result: &AttemptResult, attempt: u32) -> Next {
        next(result, attempt, Duration::ZERO, 1.0)
    }

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_is_never_less_than_half() {
        let waits: Vec<Next> = (0..8).map(|attempt| after(&status(500), attempt)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60].map(|secs| Next::Again(Duration::from_secs(secs))));
        assert_eq!(next(&status(500), 3, Duration::ZERO, 0.0), Next::Again(Duration::from_secs(4)));
        assert_eq!(after(&status(500), u32::MAX), Next::Again(MOST));
    }

    #[test]
    fn only_temporary_failures_are_retried() {
        for code in [200, 201, 202, 204] {
            assert_eq!(after(&status(code), 0), Next::Sent, "{code}");
        }
        for code in [301, 307, 400, 413, 422] {
            assert_eq!(after(&status(code), 0), Next::GiveUp, "{code}");
        }
        for code in [401, 403, 404, 410] {
            assert_eq!(after(&status(code), 0), Next::Again(MOST), "{code}");
            assert_eq!(next(&status(code), 0, NEWS - MOST, 0.0), Next::GiveUp, "{code}");
        }
        for result in [status(408), status(429), status(500), status(503), AttemptResult::NoAnswer("refused".to_owned())] {
            assert_eq!(after(&result, 0), Next::Again(FIRST), "{result}");
        }
    }

    #[test]
    fn retry_after_is_respected_up_to_ten_minutes() {
        let asks = |secs| AttemptResult::Status { code: 429, retry_after: Some(Duration::from_secs(secs)) };
        assert_eq!(after(&asks(7), 0), Next::Again(Duration::from_secs(7)));
        assert_eq!(after(&asks(0), 0), Next::Again(FIRST));
        assert_eq!(after(&asks(1_000_000), 0), Next::Again(RETRY_AFTER_MOST));
    }

    #[test]
    fn a_message_is_given_up_after_an_hour() {
        let almost = NEWS - Duration::from_millis(1_500);
        assert_eq!(next(&status(500), 0, almost, 1.0), Next::Again(FIRST));
        assert_eq!(next(&status(500), 1, almost, 1.0), Next::GiveUp);
        assert_eq!(next(&status(200), 9, 2 * NEWS, 1.0), Next::Sent);
    }
}
