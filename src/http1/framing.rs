//! How a message states where its body ends (RFC 9112, 6). A message in which two readers could find two ends is refused.

use super::decode::Decoder;
use super::fields::Fields;
use super::known::Known;
use super::{Invalid, Version};

/// Why the end of a request's body is not clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFraming {
    /// Invalid or different lengths; a length beside chunks; a coding that does not end in chunks, or that HTTP/1.0 does not know.
    Ambiguous,
    /// Chunks around another coding, which serin would have to undo.
    UnknownCoding,
}

pub(super) fn of_request(version: Version, fields: &Fields) -> Result<Decoder, BadFraming> {
    if !fields.has(Known::TransferEncoding) {
        let length = length(fields).map_err(|Invalid| BadFraming::Ambiguous)?;
        return Ok(Decoder::length(length.unwrap_or(0)));
    }
    // With both, the body of one reader is the next request of another (RFC 9112, 6.1 and 11.2).
    if version == Version::Http10 || fields.has(Known::ContentLength) || !ends_in_chunks(fields) {
        return Err(BadFraming::Ambiguous);
    }
    if is_only_chunked(fields) { Ok(Decoder::chunked()) } else { Err(BadFraming::UnknownCoding) }
}

/// Whether `Transfer-Encoding` is exactly `chunked`, once.
pub(super) fn is_only_chunked(fields: &Fields) -> bool {
    let mut codings = fields.all(Known::TransferEncoding);
    codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

fn ends_in_chunks(fields: &Fields) -> bool {
    let last = fields.all(Known::TransferEncoding).last().and_then(|value| value.rsplit(|b| *b == b',').next());
    last.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// The `Content-Length`. The same value may be repeated.
pub(super) fn length(fields: &Fields) -> Result<Option<u64>, Invalid> {
    let mut values = fields.all(Known::ContentLength);
    let Some(first) = values.next() else { return Ok(None) };
    if let (Some(length), None) = (digits(first), values.next()) {
        return Ok(Some(length));
    }
    let mut lengths = fields.all(Known::ContentLength).flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    let first = lengths.next().unwrap_or_default();
    if lengths.all(|length| length == first) { digits(first).map(Some).ok_or(Invalid) } else { Err(Invalid) }
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, b| b.is_ascii_digit().then(|| sum.checked_mul(10)?.checked_add(u64::from(b - b'0')))?)
}

/// Whether the head allows the connection to stay open after this message.
pub(super) fn keeps_alive(version: Version, fields: &Fields) -> bool {
    if !fields.has(Known::Connection) {
        return version == Version::Http11;
    }
    let mut words = fields.all(Known::Connection);
    if let (Some(only), None) = (words.next(), words.next())
        && only.eq_ignore_ascii_case(b"keep-alive")
    {
        return true;
    }
    !fields.lists(Known::Connection, b"close") && (version == Version::Http11 || fields.lists(Known::Connection, b"keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.push(name, value.as_bytes()).unwrap());
        fields
    }

    #[test]
    fn a_request_whose_end_is_not_clear_is_refused() {
        use BadFraming::{Ambiguous, UnknownCoding};
        let of = |lines: &[(&str, &str)]| of_request(Version::Http11, &fields(lines)).map(|body| body.remaining());
        assert_eq!(of(&[]), Ok(Some(0)));
        assert_eq!(of(&[("Content-Length", "5")]), Ok(Some(5)));
        assert_eq!(of(&[("Content-Length", "5"), ("content-length", "5")]), Ok(Some(5)));
        assert_eq!(of(&[("Transfer-Encoding", "Chunked")]), Ok(None));
        for length in ["+5", "-1", "0x5", "5 5", "5.0", "five", "", "5,", "5, 6", "18446744073709551616"] {
            assert_eq!(of(&[("Content-Length", length)]), Err(Ambiguous), "{length}");
        }
        assert_eq!(of(&[("Content-Length", "5"), ("Content-Length", "6")]), Err(Ambiguous));
        assert_eq!(of(&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")]), Err(Ambiguous));
        for coding in ["gzip", "identity", "chunked, gzip", "\"chunked\"", "xchunked"] {
            assert_eq!(of(&[("Transfer-Encoding", coding)]), Err(Ambiguous), "{coding}");
        }
        assert_eq!(of(&[("Transfer-Encoding", "gzip, chunked")]), Err(UnknownCoding));
        assert_eq!(of(&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]), Err(UnknownCoding));
        assert!(of_request(Version::Http10, &fields(&[("Transfer-Encoding", "chunked")])).is_err());
    }

    #[test]
    fn a_connection_goes_on_if_its_version_and_its_words_agree() {
        for (version, words, goes_on) in [
            (Version::Http11, "", true),
            (Version::Http11, "x, Close", false),
            (Version::Http10, "", false),
            (Version::Http10, "Keep-Alive", true),
            (Version::Http10, "keep-alive, close", false),
        ] {
            assert_eq!(keeps_alive(version, &fields(&[("Connection", words)])), goes_on, "{version:?} {words}");
        }
    }
}
