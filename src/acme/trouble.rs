//! Failures of an order: their kinds, and what a person can do about each.

use std::time::Duration;

use crate::config::ChallengeKind;
pub use crate::meters::NotIssued as Kind;

/// The most characters of an authority's text that are logged.
const TEXT_CHARS_MAX: usize = 400;

/// One failure. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Kind,
    pub text: String,
    /// The authority's `Retry-After`.
    pub asked: Option<Duration>,
    /// Nothing is wrong, and the same attempt may succeed at once: the authority had forgotten its nonces (RFC 8555, 6.5).
    pub stale: bool,
}

impl Kind {
    /// Whether it concerns every name.
    pub fn is_common(self) -> bool {
        match self {
            Kind::Unreachable | Kind::Account | Kind::Folder => true,
            Kind::RateLimited | Kind::Challenge | Kind::Refused => false,
        }
    }

    /// What a person can do.
    pub fn advice(self, challenge: ChallengeKind) -> &'static str {
        match (self, challenge) {
            (Kind::Unreachable, _) => "check `directory` and `ca_file`, and that this machine may connect to it",
            (Kind::Account, _) => "check `contact` and `external_account`",
            (Kind::RateLimited, _) => "nothing to do but to wait; try settings with the authority's staging directory",
            (Kind::Challenge, ChallengeKind::TlsAlpn) => {
                "the name must lead to this machine in DNS, IPv6 too, and its port 443 to serin's TLS listener with nothing in front that ends TLS"
            }
            (Kind::Challenge, ChallengeKind::Http) => {
                "the name must lead to this machine in DNS, IPv6 too, and its port 80 to serin's listener without TLS"
            }
            (Kind::Refused, _) => "check the name in `domains`, and CAA records in its DNS",
            (Kind::Folder, _) => "serin's user must own `folder`, and the disk must have room",
        }
    }
}

impl Trouble {
    pub fn new(kind: Kind, text: impl Into<String>) -> Trouble {
        Trouble { kind, text: text.into(), asked: None, stale: false }
    }

    /// `error` came while the account was asked for (`Kind::Account`), a name was checked (`Kind::Challenge`), or otherwise while a
    /// certificate was ordered (`Kind::Refused`).
    pub fn of(error: &instant_acme::Error, during: Kind, asked: Option<Duration>) -> Trouble {
        let stale = matches!(error, instant_acme::Error::Api(problem) if code(problem) == "badNonce");
        let kind = match error {
            instant_acme::Error::Api(problem) => of_problem(problem, during),
            instant_acme::Error::Timeout(_) if during == Kind::Challenge => Kind::Challenge,
            // A foreign enum that may grow. All else is about bytes that came or did not come.
            _ => Kind::Unreachable,
        };
        Trouble { kind, text: shown(&error.to_string()), asked, stale }
    }
}

/// The last part of a problem's type, which says what went wrong.
pub(super) fn code(problem: &instant_acme::Problem) -> &str {
    problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or("")
}

/// By RFC 8555, 6.7.
fn of_problem(problem: &instant_acme::Problem, during: Kind) -> Kind {
    match code(problem) {
        "rateLimited" => Kind::RateLimited,
        "serverInternal" | "badNonce" => Kind::Unreachable,
        "accountDoesNotExist"
        | "externalAccountRequired"
        | "invalidContact"
        | "unsupportedContact"
        | "userActionRequired"
        | "badPublicKey"
        | "badSignatureAlgorithm" => Kind::Account,
        "connection" | "dns" | "incorrectResponse" | "tls" => Kind::Challenge,
        "rejectedIdentifier" | "unsupportedIdentifier" | "caa" | "badCSR" => Kind::Refused,
        _ if problem.status.is_some_and(|status| status >= 500) => Kind::Unreachable,
        _ => during,
    }
}

/// A text from outside in one line.
pub(super) fn shown(text: &str) -> String {
    let line: String = text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, during: Kind) -> Kind {
        let problem = serde_json::json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "a\nb"});
        let problem: instant_acme::Problem = serde_json::from_value(problem).unwrap();
        Trouble::of(&problem.into(), during, None).kind
    }

    #[test]
    fn a_problem_says_what_is_to_be_done() {
        for (kind, during, meant) in [
            ("rateLimited", Kind::Account, Kind::RateLimited),
            ("serverInternal", Kind::Refused, Kind::Unreachable),
            ("externalAccountRequired", Kind::Account, Kind::Account),
            ("unauthorized", Kind::Account, Kind::Account),
            ("unauthorized", Kind::Challenge, Kind::Challenge),
            ("dns", Kind::Challenge, Kind::Challenge),
            ("caa", Kind::Challenge, Kind::Refused),
            ("rejectedIdentifier", Kind::Refused, Kind::Refused),
            ("somethingNew", Kind::Refused, Kind::Refused),
        ] {
            assert_eq!(of(kind, during), meant, "{kind} during {during:?}");
        }
    }

    #[test]
    fn a_text_from_outside_is_one_line_of_bounded_length() {
        assert_eq!(shown("a\nb\u{1b}[2J \r\n"), "a b [2J");
        assert_eq!(shown(&"x".repeat(1_000)).len(), TEXT_CHARS_MAX);
    }
}
