//! The signature of a generic webhook: HMAC-SHA256 of `timestamp.body`. The timestamp is signed, so that an old message cannot be
//! replayed as a new one.

use ring::hmac;

pub const TIMESTAMP: &str = "Serin-Timestamp";
pub const SIGNATURE: &str = "Serin-Signature";
pub const EVENT_ID: &str = "Serin-Event-Id";

/// Computes the signature's header. `timestamp` in Unix seconds.
pub fn signature(secret: &str, timestamp: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{timestamp}.").as_bytes());
    context.update(body);
    format!("v1={}", hex(context.sign().as_ref()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python: hmac.new(b"a-key-of-more-than-16", b'1800000000.{"id":"x"}', "sha256").hexdigest()
    #[test]
    fn a_signature_is_what_others_compute() {
        let expected = "v1=7ea63c58192d65fb3cbc9158c73fe3082df7192911a7a9cc87293f16041b1973";
        assert_eq!(signature("a-key-of-more-than-16", 1_800_000_000, b"{\"id\":\"x\"}"), expected);
        assert_ne!(signature("a-key-of-more-than-16", 1_800_000_001, b"{\"id\":\"x\"}"), expected);
        assert_ne!(signature("a-key-of-more-than-17", 1_800_000_000, b"{\"id\":\"x\"}"), expected);
        assert_ne!(signature("a-key-of-more-than-16", 1_800_000_000, b"{\"id\":\"y\"}"), expected);
    }
}
