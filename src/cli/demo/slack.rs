//! Slack's request signatures: HMAC-SHA256 over `v0:timestamp:body`, in hexadecimal.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

/// The signing secret of the example app, which is public.
const SIGNING_SECRET: &[u8] = b"8f742231b10e8888abcd99yyyzzz85a5";
pub const SIGNATURE: &str = "x-slack-signature";
pub const TIMESTAMP: &str = "x-slack-request-timestamp";

pub fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()).to_string()
}

pub fn sign(timestamp: &str, body: &[u8]) -> String {
    let hex: String = hmac::sign(&key(), &base(timestamp, body)).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("v0={hex}")
}

pub fn verify(timestamp: &str, body: &[u8], signature: &str) -> bool {
    let bytes = |hex: &str| -> Option<Vec<u8>> {
        hex.is_ascii().then(|| (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok()).collect())?
    };
    signature.strip_prefix("v0=").and_then(bytes).is_some_and(|given| hmac::verify(&key(), &base(timestamp, body), &given).is_ok())
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, SIGNING_SECRET)
}

fn base(timestamp: &str, body: &[u8]) -> Vec<u8> {
    [b"v0:", timestamp.as_bytes(), b":", body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_body_and_one_time() {
        let signature = sign("1531420618", b"token=x&team_id=T1");
        assert!(verify("1531420618", b"token=x&team_id=T1", &signature));
        assert!(!verify("1531420618", b"token=x&team_id=T2", &signature));
        assert!(!verify("1531420619", b"token=x&team_id=T1", &signature));
        assert!(!verify("1531420618", b"token=x&team_id=T1", "v0=zz"));
    }
}
