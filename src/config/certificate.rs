//! Reads the name and the end of validity from an X.509 certificate. rustls checks certificates but returns neither. This module
//! decides nothing about trust: rustls has done that before.

use std::net::{Ipv4Addr, Ipv6Addr};

use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// The limit of a name, because it goes into logs and histories.
const NAME_CHARS_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's common name, or else the first alternative name that is an e-mail address, a DNS name, a URI or an IP address.
    /// `None` if there is none that can be shown.
    pub name: Option<String>,
    /// The first and the last second in which it is valid, in Unix time.
    pub not_before: i64,
    pub not_after: i64,
    /// The DNS names that it is for, in lower case.
    pub dns_names: Vec<String>,
}

impl Certificate {
    /// `None` if the bytes are not a certificate in DER.
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let signed = certificate.tbs_certificate();
        let not_before = signed.validity().not_before.to_unix_duration().as_secs() as i64;
        let not_after = signed.validity().not_after.to_unix_duration().as_secs() as i64;
        let alternatives = signed.get_extension().ok().flatten();
        let alternatives = alternatives.map_or(Vec::new(), |(_critical, SubjectAltName(names))| names);
        let name = common_name(signed.subject()).or_else(|| alternatives.iter().find_map(alternative_name));
        let dns_names = alternatives.iter().filter_map(dns_name).collect();
        Some(Certificate { name, not_before, not_after, dns_names })
    }
}

/// The last common name, which is the most specific one.
fn common_name(subject: &Name) -> Option<String> {
    let is_text = |tag| matches!(tag, Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
    let names = subject.iter().filter(|part| part.oid == COMMON_NAME && is_text(part.value.tag()));
    names.filter_map(|part| shown(part.value.value())).last()
}

fn alternative_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::Rfc822Name(text) | GeneralName::DnsName(text) | GeneralName::UniformResourceIdentifier(text) => shown(text.as_bytes()),
        GeneralName::IpAddress(address) => ip(address.as_bytes()),
        GeneralName::OtherName(_) | GeneralName::DirectoryName(_) | GeneralName::EdiPartyName(_) | GeneralName::RegisteredId(_) => None,
    }
}

fn dns_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) => shown(text.as_bytes()).map(|name| name.to_ascii_lowercase()),
        _ => None,
    }
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

fn ip(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
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
    }

    thread_local! {
        static GOOD: Vec<u8> = made(|params| params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())]);
    }
}
