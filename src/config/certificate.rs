//! Reads the name and the end of validity from an X.509 certificate (RFC 5280, section 4.1). rustls checks certificates but returns
//! neither, and a crate that parses them would bring ten others. This module decides nothing about trust: rustls has done that before.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The limit of a name, because it goes into logs and histories.
const NAME_CHARS_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's common name, or else the first alternative name that is an e-mail address, a DNS name, a URI or an IP address.
    /// `None` if there is none that can be shown.
    pub name: Option<String>,
    /// The last second in which it is valid, in Unix time.
    pub not_after: i64,
}

mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const OCTETS: u8 = 0x04;
    pub const OID: u8 = 0x06;
    pub const UTF8: u8 = 0x0c;
    pub const PRINTABLE: u8 = 0x13;
    pub const IA5: u8 = 0x16;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    pub const VERSION: u8 = 0xa0;
    pub const EXTENSIONS: u8 = 0xa3;
    pub const EMAIL: u8 = 0x81;
    pub const DNS: u8 = 0x82;
    pub const URI: u8 = 0x86;
    pub const IP: u8 = 0x87;
}

/// 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

impl Certificate {
    /// `None` if the bytes are not a certificate in DER.
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let mut to_be_signed = Der(Der(Der(der).expect(tag::SEQUENCE)?).expect(tag::SEQUENCE)?);
        to_be_signed.skip(tag::VERSION);
        to_be_signed.expect(tag::INTEGER)?; // serial number
        to_be_signed.expect(tag::SEQUENCE)?; // signature algorithm
        to_be_signed.expect(tag::SEQUENCE)?; // issuer
        let mut validity = Der(to_be_signed.expect(tag::SEQUENCE)?);
        validity.next()?; // not before
        let not_after = time(validity.next()?)?;
        let subject = to_be_signed.expect(tag::SEQUENCE)?;
        to_be_signed.expect(tag::SEQUENCE)?; // public key
        let name = common_name(subject).or_else(|| alternative_name(to_be_signed));
        Some(Certificate { name, not_after })
    }
}

/// The last common name, which is the most specific one.
fn common_name(subject: &[u8]) -> Option<String> {
    let mut found = None;
    let mut sets = Der(subject);
    while let Some(set) = sets.expect(tag::SET) {
        let mut pairs = Der(set);
        while let Some(pair) = pairs.expect(tag::SEQUENCE) {
            let mut pair = Der(pair);
            if pair.expect(tag::OID) == Some(&COMMON_NAME)
                && let Some((tag::UTF8 | tag::PRINTABLE | tag::IA5, text)) = pair.next()
            {
                found = shown(text).or(found);
            }
        }
    }
    found
}

/// The first name that can be shown in the extension for alternative names; `rest` ends with the extensions.
fn alternative_name(mut rest: Der<'_>) -> Option<String> {
    let extensions = loop {
        if let (tag::EXTENSIONS, extensions) = rest.next()? {
            break extensions;
        }
    };
    let mut extensions = Der(Der(extensions).expect(tag::SEQUENCE)?);
    while let Some(extension) = extensions.expect(tag::SEQUENCE) {
        let mut extension = Der(extension);
        if extension.expect(tag::OID) != Some(&ALTERNATIVE_NAMES) {
            continue;
        }
        extension.skip(tag::BOOLEAN); // critical
        let mut names = Der(Der(extension.expect(tag::OCTETS)?).expect(tag::SEQUENCE)?);
        while let Some((kind, name)) = names.next() {
            let name = match kind {
                tag::EMAIL | tag::DNS | tag::URI => shown(name),
                tag::IP => address(name),
                _ => None,
            };
            if name.is_some() {
                return name;
            }
        }
    }
    None
}

/// `None` for a name that could look like another one in a history, or break a line of a log.
fn shown(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let fits = !text.is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(|c| c.is_control() || is_unseen(c));
    fits.then(|| text.to_owned())
}

/// Format characters, which are invisible or change the direction of a line, and the two line separators that are not control characters.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, the only forms that RFC 5280 (4.1.2.5) allows, in Unix time.
fn time((kind, text): (u8, &[u8])) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    let number = |digits: &[u8]| -> Option<i64> {
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, rest) = match kind {
        tag::UTC_TIME if digits.len() == 12 => {
            let year = number(&digits[..2])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        tag::GENERALIZED_TIME if digits.len() == 14 => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let part = |index: usize| number(&rest[2 * index..2 * index + 2]);
    let (month, day, hour, minute, second) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    valid.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar, whose 400 years have 146,097 days. Here a year begins in March, so that the leap
/// day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The rest of a sequence of values: tag, length, content.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        // Certificates have no tags of several bytes, and no lengths without an end.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match usize::from(*first) {
            short @ 0..0x80 => (short, rest),
            long => {
                let bytes = rest.get(..long & 0x7f).filter(|bytes| (1..=4).contains(&bytes.len()))?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), &rest[bytes.len()..])
            }
        };
        let content = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((*tag, content))
    }

    /// The content of the next value, if it has this tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        match self.next() {
            Some((found, content)) if found == tag => Some(content),
            _ => {
                self.0 = before;
                None
            }
        }
    }

    /// Skips an optional value.
    fn skip(&mut self, tag: u8) {
        let _ = self.expect(tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use std::process::{Command, Stdio};

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn name(change: impl FnOnce(&mut CertificateParams)) -> Option<String> {
        Certificate::read(&made(change)).unwrap().name
    }

    fn not_after(year: i32, month: u8, day: u8) -> i64 {
        Certificate::read(&made(|params| params.not_after = rcgen::date_time_ymd(year, month, day))).unwrap().not_after
    }

    #[test]
    fn the_common_name_comes_first_then_the_alternative_names() {
        let dns = || SanType::DnsName("ana.example".try_into().unwrap());
        let uri = || SanType::URI("spiffe://example/ci".try_into().unwrap());
        let common = |params: &mut CertificateParams, name: &str| params.distinguished_name.push(DnType::CommonName, name);
        assert_eq!(
            name(|params| {
                params.distinguished_name.push(DnType::OrganizationName, "Example");
                common(params, "Ana Müller");
                params.subject_alt_names = vec![dns()];
            }),
            Some("Ana Müller".to_owned())
        );
        assert_eq!(name(|params| params.subject_alt_names = vec![uri(), dns()]), Some("spiffe://example/ci".to_owned()));
        assert_eq!(name(|params| params.subject_alt_names = vec![dns(), uri()]), Some("ana.example".to_owned()));
        let ip = |ip: &str| SanType::IpAddress(ip.parse().unwrap());
        assert_eq!(name(|params| params.subject_alt_names = vec![ip("10.0.0.1")]), Some("10.0.0.1".to_owned()));
        assert_eq!(name(|params| params.subject_alt_names = vec![ip("2001:db8::1")]), Some("2001:db8::1".to_owned()));
        assert_eq!(name(|_| {}), None);
    }

    #[test]
    fn a_name_that_would_break_a_log_is_none() {
        for bad in ["a\nb", " ", "\u{7}", &"x".repeat(NAME_CHARS_MAX + 1), "an\u{200b}a", "\u{202e}ana", "a\u{2028}b"] {
            assert_eq!(name(|params| params.distinguished_name.push(DnType::CommonName, bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        assert_eq!(not_after(1970, 1, 1), 0);
        assert_eq!(not_after(2024, 2, 29), 1_709_164_800);
        assert_eq!(not_after(2049, 12, 31), 2_524_521_600);
        assert_eq!(not_after(2050, 1, 1), 2_524_608_000);
        assert_eq!(not_after(4096, 1, 1), 67_090_118_400);
        assert_eq!(time((tag::UTC_TIME, b"991231235959Z")), Some(946_684_799));
        for bad in ["", "Z", "9912312359Z", "991231235959", "99123123595+Z", "991331235959Z", "20501231235959Z"] {
            assert_eq!(time((tag::UTC_TIME, bad.as_bytes())), None, "{bad}");
        }
    }

    /// Compares with openssl: it makes certificates of each kind of key, and prints their ends and their names.
    #[test]
    fn openssl_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for (index, key) in [["rsa", "rsa_keygen_bits:2048"], ["EC", "ec_paramgen_curve:P-256"]].iter().enumerate() {
            let path = folder.path().join(index.to_string());
            let subject = "/C=DE/O=Example, Inc./CN=serin ops";
            let request = ["req", "-x509", "-nodes", "-days", "12345", "-subj", subject, "-addext", "subjectAltName=DNS:other.example"];
            let run = Command::new("openssl")
                .args(request)
                .args(["-newkey", key[0], "-pkeyopt", key[1], "-outform", "DER", "-keyout", "/dev/null", "-out"])
                .arg(&path)
                .stderr(Stdio::null())
                .status();
            let Ok(run) = run else { return eprintln!("openssl is not installed") };
            assert!(run.success());
            let said = |option: &[&str]| {
                let x509 = Command::new("openssl").args(["x509", "-inform", "DER", "-noout", "-in"]).arg(&path).args(option).output();
                String::from_utf8(x509.unwrap().stdout).unwrap()
            };
            let read = Certificate::read(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!(read.name.as_deref(), Some("serin ops"));
            let left = |seconds: i64| seconds - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
            assert!((left(read.not_after) - 12_345 * 86_400).abs() < 60, "{}", said(&["-enddate"]));
            // `-checkend` says whether the certificate ends within this many seconds.
            assert!(said(&["-checkend", &(left(read.not_after) - 60).to_string()]).contains("will not expire"));
            assert!(said(&["-checkend", &(left(read.not_after) + 60).to_string()]).contains("will expire"));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400, any in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Certificate::read(&any);
            let mut broken = GOOD.with(|good| good.clone());
            broken.truncate(cut.max(1));
            let at = at % broken.len();
            broken[at] = byte;
            let _ = Certificate::read(&broken);
        }

        #[test]
        fn days_go_on_one_by_one(day in -700_000_i64..1_000_000) {
            // The inverse, by searching for the year: a check that shares no arithmetic with `days`.
            let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let (mut year, mut rest) = (1970, day);
            while rest < 0 { year -= 1; rest += 365 + i64::from(leap(year)); }
            while rest >= 365 + i64::from(leap(year)) { rest -= 365 + i64::from(leap(year)); year += 1; }
            let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let mut month = 0;
            while rest >= lengths[month] { rest -= lengths[month]; month += 1; }
            prop_assert_eq!(days(year, month as i64 + 1, rest + 1), day);
        }
    }

    thread_local! {
        static GOOD: Vec<u8> = made(|params| params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())]);
    }
}
