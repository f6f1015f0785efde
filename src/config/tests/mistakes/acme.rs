//! `[proxy.tls.acme]`: messages about its keys, and what is meant.

use super::*;
use crate::config::ChallengeKind;

const GOOD: &str = "domains = [\"a.example\"]\naccept_terms = true\n";

fn with(lines: &str) -> String {
    bot_with(&format!("[proxy.tls]\n[proxy.tls.acme]\n{lines}"))
}

#[test]
fn a_short_table_is_enough() {
    let config = parse(&with("domains = [\"Bots.Example.com\", \"b.example\"]\naccept_terms = true")).unwrap();
    let acme = config.proxy.tls.unwrap().acme.unwrap();
    assert_eq!(acme.domains, ["bots.example.com", "b.example"]);
    assert_eq!((acme.directory.as_str(), acme.challenge), ("https://acme-v02.api.letsencrypt.org/directory", ChallengeKind::TlsAlpn));
    assert!(acme.contact.is_none() && acme.folder.is_none() && acme.authorities.is_none() && config.warnings.is_empty());
}

#[test]
fn a_wildcard_is_refused_with_the_reason() {
    assert_eq!(
        shown(&with("domains = [\"*.example.com\"]\naccept_terms = true")),
        r#"error: "*.example.com" is a wildcard, which serin cannot order
 --> serin.toml:8:12
  |
8 | domains = ["*.example.com"]
  |            ^^^^^^^^^^^^^^^ name each host, or use certificates from files
  |
  = note: authorities issue wildcards only for a record in DNS (the challenge dns-01), and serin does not write to your DNS"#
    );
}

#[test]
fn the_terms_must_be_accepted() {
    let label = "read them, then write `accept_terms = true`; Let's Encrypt: https://letsencrypt.org/repository/";
    assert_eq!(
        told(&with("domains = [\"a.example\"]")),
        [format!("7:1 [proxy.tls.acme] does not say that you agree to the authority's terms of service: {label}")]
    );
    assert_eq!(
        told(&with("domains = [\"a.example\"]\naccept_terms = false")),
        [format!("9:16 without agreement to the authority's terms of service there are no certificates: {label}")]
    );
}

#[test]
fn a_key_that_is_wrong_is_shown_with_what_is_right() {
    for (lines, wrong) in [
        (
            "accept_terms = true",
            "7:1 [proxy.tls.acme] has no domains: add `domains = [\"bots.example.com\"]`: the names that clients ask for",
        ),
        ("accept_terms = true\ndomains = []", "9:11 `domains` names none: name some, or take [proxy.tls.acme] out"),
        ("accept_terms = true\ndomains = [\"a.example\", \"A.example\"]", "9:25 `domains` names a.example twice: take this one out"),
        (
            "accept_terms = true\ndomains = [\"10.0.0.1\"]",
            "9:12 \"10.0.0.1\" is an address: clients do not ask for one by name: write a name, or use certificates from files",
        ),
        ("accept_terms = true\ndomains = [\"a/b\"]", "9:12 \"a/b\" is no name of a host: write one such as \"bots.example.com\""),
        ("accept_terms = true\ndomains = [\"..\"]", "9:12 \"..\" is no name of a host: write one such as \"bots.example.com\""),
        (
            "accept_terms = true\ndomains = [\"bücher.example\"]",
            "9:12 \"bücher.example\" is not in the form that DNS has: write its form in ASCII, which begins with xn--",
        ),
    ] {
        assert_eq!(told(&with(lines)), [wrong], "{lines}");
    }
    for (line, wrong) in [
        ("contact = \"ops\"", "10:11 `contact` is no e-mail address: write one such as \"ops@example.com\""),
        (
            "directory = \"http://ca.example/dir\"",
            "10:13 `directory` is no URL with https: write one such as \"https://acme-v02.api.letsencrypt.org/directory\"",
        ),
        ("ca_file = \"/nowhere/ca.pem\"", "10:11 /nowhere/ca.pem cannot be read: No such file or directory (os error 2)"),
        ("challenge = \"dns-01\"", "10:13 `challenge` cannot be \"dns-01\": write \"tls-alpn-01\" or \"http-01\""),
        (
            "challenge = \"http-01\"",
            "10:13 http-01 needs a listener without TLS, and there is none: write \"tls-alpn-01\", or give [proxy.tls] a `listen` of its own, and `[proxy] listen` port 80",
        ),
        (
            "external_account = { secret = \"a2V5LW9mLW1vcmUtdGhhbi0xNg\" }",
            "10:20 the external account has no key_id: add `key_id = \"…\"`, as the authority says it",
        ),
        ("external_account = { key_id = \"k\" }", "10:20 the external account has no key: add `file = \"…\"` or `env = \"…\"`"),
        (
            "external_account = { key_id = \"k\", secret = \"not+base64url/at-all\" }",
            "10:45 the key of the external account is not base64url: copy it as the authority shows it",
        ),
    ] {
        assert_eq!(told(&with(&format!("{GOOD}{line}"))), [wrong], "{line}");
    }
}

#[test]
fn a_listener_without_tls_lets_the_authority_ask_by_http() {
    let text = bot_with(&format!("[proxy.tls]\nlisten = \"0.0.0.0:443\"\n[proxy.tls.acme]\n{GOOD}challenge = \"http-01\""));
    assert_eq!(parse(&text).unwrap().proxy.tls.unwrap().acme.unwrap().challenge, ChallengeKind::Http);
}

#[test]
fn a_certificate_from_a_file_wins_for_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["*.a.example".to_owned()]).unwrap();
    std::fs::write(folder.path().join("a.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("a.key"), made.signing_key.serialize_pem()).unwrap();
    let text = bot_with(
        "[[proxy.tls.certificate]]\ncert_file = \"a.crt\"\nkey_file = \"a.key\"\n[proxy.tls.acme]\naccept_terms = true\ndomains = [\"x.a.example\", \"a.example\"]",
    );
    let config = crate::config::parse(&text, &folder.path().join("serin.toml")).unwrap();
    assert_eq!(config.proxy.tls.unwrap().acme.unwrap().domains, ["a.example"]);
    assert!(config.warnings[0].ends_with("none is ordered for x.a.example: a certificate from a file is for it"), "{:?}", config.warnings);
}

#[test]
fn neither_an_error_nor_a_dump_shows_the_key_of_the_external_account() {
    let key = "a2V5LW9mLW1vcmUtdGhhbi0xNg";
    let line = format!("external_account = {{ key_id = \"k\", secret = \"{key}\" }}");
    let config = parse(&with(&format!("{GOOD}{line}"))).unwrap();
    assert!(!format!("{config:?}").contains(key) && config.warnings.len() == 1);
    assert!(!shown(&with(&format!("{GOOD}{line}\nx = 1"))).contains(key));
}
