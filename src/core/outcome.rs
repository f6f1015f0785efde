//! What an answer means: one rule for all platforms, with a preset's additions. Metrics and evidence use the same outcomes.

use std::time::Duration;

/// How one webhook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The bot took the webhook: 2xx, or what its platform counts as a success.
    Ok,
    /// 5xx, refused, reset, timed out, broken off.
    Error,
    /// Answered after the platform's deadline: the platform saw a failure, whatever the status.
    Late,
    /// Other 3xx and 4xx. Compared with stable's rate, because a canary with a wrong signing secret answers 401 to every request.
    Rejected,
    /// The client hung up early: no evidence.
    Aborted,
}

impl Outcome {
    pub const ALL: [Outcome; 5] = [Outcome::Ok, Outcome::Error, Outcome::Late, Outcome::Rejected, Outcome::Aborted];

    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Late => "late",
            Outcome::Rejected => "rejected",
            Outcome::Aborted => "aborted",
        }
    }
}

/// How the exchange with the upstream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A whole answer. `first_byte` is the time from the request's last byte to the answer's first byte, and zero if the answer
    /// came first; `said` is the bot's own statement in the header `Serin-Outcome`.
    Answered { status: u16, first_byte: Duration, said: Option<Said> },
    /// No answer, or a part of one: refused, unreachable, reset, timed out.
    Failed,
    /// The client left before it had the whole answer, at `after` from the end of its request.
    ClientGone { answered: bool, after: Duration },
}

/// What a bot states about its own answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Ok,
    Error,
}

/// What a bot's platform demands of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRules {
    /// The platform gives up if the first byte has not come by then.
    pub deadline: Option<Duration>,
    /// Statuses besides 2xx that the platform counts as a success.
    pub also_ok: Vec<u16>,
    /// If it is not empty, only these statuses are a success, instead of 2xx (Linear: exactly 200).
    pub only_ok: Vec<u16>,
}

/// A client that leaves without an answer after this part of the deadline has left because of the deadline.
const GAVE_UP_AT: f64 = 0.9;

pub fn classify(ended: Ended, rules: &OutcomeRules) -> Outcome {
    match ended {
        Ended::Failed => Outcome::Error,
        Ended::ClientGone { answered: false, after } if rules.deadline.is_some_and(|d| after >= d.mul_f64(GAVE_UP_AT)) => Outcome::Late,
        Ended::ClientGone { .. } => Outcome::Aborted,
        Ended::Answered { status, first_byte, said } => {
            let by_status = of_status(status, rules);
            match (by_status, said) {
                (Outcome::Error, _) | (_, Some(Said::Error)) => Outcome::Error,
                _ if rules.deadline.is_some_and(|deadline| first_byte > deadline) => Outcome::Late,
                (_, Some(Said::Ok)) => Outcome::Ok,
                (by_status, None) => by_status,
            }
        }
    }
}

fn of_status(status: u16, rules: &OutcomeRules) -> Outcome {
    match status {
        500.. => Outcome::Error,
        _ if !rules.only_ok.is_empty() => {
            if rules.only_ok.contains(&status) {
                Outcome::Ok
            } else {
                Outcome::Rejected
            }
        }
        // The bot took the connection over: an upgrade.
        101 | 200..300 => Outcome::Ok,
        _ if rules.also_ok.contains(&status) => Outcome::Ok,
        _ => Outcome::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: OutcomeRules = OutcomeRules { deadline: Some(Duration::from_secs(3)), also_ok: Vec::new(), only_ok: Vec::new() };

    fn answered(status: u16, ms: u64, said: Option<Said>) -> Outcome {
        classify(Ended::Answered { status, first_byte: Duration::from_millis(ms), said }, &SLACK)
    }

    #[test]
    fn a_status_says_what_it_says() {
        for (status, outcome) in [
            (101, Outcome::Ok),
            (200, Outcome::Ok),
            (204, Outcome::Ok),
            (301, Outcome::Rejected),
            (304, Outcome::Rejected),
            (401, Outcome::Rejected),
            (500, Outcome::Error),
            (503, Outcome::Error),
            (599, Outcome::Error),
            (999, Outcome::Error),
        ] {
            assert_eq!(answered(status, 10, None), outcome, "{status}");
        }
        let linear = OutcomeRules { only_ok: vec![200], ..SLACK };
        let with = |status| classify(Ended::Answered { status, first_byte: Duration::ZERO, said: None }, &linear);
        assert_eq!((with(200), with(204), with(500)), (Outcome::Ok, Outcome::Rejected, Outcome::Error));
        let lenient = OutcomeRules { also_ok: vec![401], ..SLACK };
        assert_eq!(classify(Ended::Answered { status: 401, first_byte: Duration::ZERO, said: None }, &lenient), Outcome::Ok);
    }

    #[test]
    fn an_answer_after_the_deadline_is_late_and_an_error_stays_an_error() {
        assert_eq!(answered(200, 3_000, None), Outcome::Ok);
        assert_eq!(answered(200, 3_001, None), Outcome::Late);
        assert_eq!(answered(401, 3_001, None), Outcome::Late);
        assert_eq!(answered(200, 3_001, Some(Said::Ok)), Outcome::Late);
        assert_eq!(answered(500, 3_001, None), Outcome::Error);
    }

    #[test]
    fn a_bot_may_excuse_a_4xx_but_never_a_5xx() {
        assert_eq!(answered(404, 10, Some(Said::Ok)), Outcome::Ok);
        assert_eq!(answered(500, 10, Some(Said::Ok)), Outcome::Error);
        assert_eq!(answered(200, 10, Some(Said::Error)), Outcome::Error);
    }

    #[test]
    fn a_client_that_leaves_at_the_deadline_saw_a_late_answer() {
        let gone = |answered, ms| classify(Ended::ClientGone { answered, after: Duration::from_millis(ms) }, &SLACK);
        assert_eq!(gone(false, 2_699), Outcome::Aborted);
        assert_eq!(gone(false, 2_700), Outcome::Late);
        assert_eq!(gone(true, 2_900), Outcome::Aborted);
        let none = OutcomeRules { deadline: None, ..SLACK };
        assert_eq!(classify(Ended::ClientGone { answered: false, after: Duration::from_secs(99) }, &none), Outcome::Aborted);
    }
}
