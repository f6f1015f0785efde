//! A bearer token's secret: read from its file, checked, and stored only as its hash, so that no dump contains it, and a comparison
//! takes the same time for every input.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

/// The limit of a secret: a bearer token or a header's value is short. A longer file is the wrong one.
const SECRET_BYTES_MAX: usize = 4_096;
/// A shorter secret can be guessed.
pub(super) const SECRET_BYTES_FEW: usize = 16;

/// SHA-256 of a secret. Secrets are long and random, so the hash needs neither a salt nor many rounds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    pub fn of(secret: &str) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        SecretHash(hash)
    }

    /// Compares in constant time, so that the time tells neither a length nor a common beginning.
    pub fn is(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// The content of a file, without the newline that editors add at the end.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(SECRET_BYTES_MAX as u64 + 2).read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// Why a text cannot be a secret, and what to do about it. `None` if it fits into a header.
pub(super) fn fault(secret: &str) -> Option<(String, &'static str)> {
    if secret.is_empty() {
        return Some(("is empty".to_owned(), "make one: openssl rand -hex 32"));
    }
    if secret.len() > SECRET_BYTES_MAX {
        return Some((format!("is longer than {SECRET_BYTES_MAX} bytes"), ""));
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(("cannot be sent".to_owned(), "only visible ASCII without spaces fits into a header"));
    }
    None
}

/// Reads a token's file while serin runs. The error says why its content is not usable. A short secret, which a config accepts with
/// a warning, is an error here, because the file may be half written.
pub fn read_again(path: &Path) -> Result<SecretHash, String> {
    let secret = read(path).map_err(|error| format!("cannot be read: {error}"))?;
    match fault(&secret) {
        Some((fault, _)) => Err(fault),
        None if secret.len() < SECRET_BYTES_FEW => Err(format!("has fewer than {SECRET_BYTES_FEW} characters")),
        None => Ok(SecretHash::of(&secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_only_that_of_the_same_secret() {
        let hash = SecretHash::of("a-token-of-more-than-16");
        assert!(hash.is(&SecretHash::of("a-token-of-more-than-16")));
        for other in ["", "a-token-of-more-than-1", "a-token-of-more-than-166", "A-token-of-more-than-16"] {
            assert!(!hash.is(&SecretHash::of(other)), "{other}");
        }
        assert_eq!(format!("{hash:?}"), "SecretHash(…)");
    }

    #[test]
    fn a_file_without_a_usable_secret_says_why() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, says) in
            [("", "is empty"), ("\r\n\n", "is empty"), ("a b", "cannot be sent"), ("short", "fewer"), (&"x".repeat(5_000), "longer")]
        {
            std::fs::write(file.path(), text).unwrap();
            assert!(read_again(file.path()).unwrap_err().contains(says), "{text:?}");
        }
        std::fs::write(file.path(), "a-token-of-more-than-16\r\n").unwrap();
        assert_eq!(read_again(file.path()), Ok(SecretHash::of("a-token-of-more-than-16")));
        assert!(read_again(Path::new("/nowhere/at/all")).unwrap_err().starts_with("cannot be read: "));
    }
}
