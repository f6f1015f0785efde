//! `[admin.tls]`: messages about its keys and its files.

use super::*;

/// Parses a config in a folder with `a.crt` and its key `a.key`, another certificate's key `b.key`, and files that are neither.
fn beside(lines: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let made = || rcgen::generate_simple_self_signed(["serin.example".to_owned()]).unwrap();
    let (a, b) = (made(), made());
    write("a.crt", &a.cert.pem());
    write("a.key", &a.signing_key.serialize_pem());
    write("b.key", &b.signing_key.serialize_pem());
    write("none.pem", "hello\n");
    write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write("cut.pem", &a.signing_key.serialize_pem()[..100]);
    let path = folder.path().join("serin.toml");
    let text = bot_with(&format!("[admin.tls]\n{lines}"));
    crate::config::parse(&text, &path).map_err(|error| {
        let told = error.to_string().replace(&format!("{}/", folder.path().display()), "");
        let told: Vec<String> = told.split("\n\nerror: ").map(in_one_line).collect();
        told.join("; ")
    })
}

#[test]
fn the_error_of_a_certificate_says_what_is_wrong() {
    for (lines, told) in [
        (
            "",
            "6:1 [admin.tls] has no cert_file: add `cert_file = \"…\"`: the certificate, and the chain to its authority; 6:1 [admin.tls] has no key_file: add `key_file = \"…\"`: the certificate's private key",
        ),
        ("cert_file = \"no.crt\"\nkey_file = \"a.key\"", "7:13 no.crt cannot be read: No such file or directory (os error 2)"),
        ("cert_file = \"a.crt\"\nkey_file = \"no.key\"", "8:12 no.key cannot be read: No such file or directory (os error 2)"),
        ("cert_file = \"a.crt\"\nkey_file = \"b.key\"", "8:12 b.key is not the key of a.crt"),
        ("cert_file = \"a.crt\"\nkey_file = \"a.crt\"", "8:12 a.crt has no private key in it"),
        ("cert_file = \"a.crt\"\nkey_file = \"cut.pem\"", "8:12 cut.pem is no PEM"),
        ("cert_file = \"a.key\"\nkey_file = \"a.key\"", "7:13 a.key has no certificate in it"),
        ("cert_file = \"none.pem\"\nkey_file = \"a.key\"", "7:13 none.pem has no certificate in it"),
        ("cert_file = \"broken.pem\"\nkey_file = \"a.key\"", "7:13 broken.pem has a certificate that cannot be read"),
        ("cert_file = \"a.crt\"\nkey_file = \"a.key\"\nclient_ca_file = \"none.pem\"", "9:18 none.pem has no certificate in it"),
        (
            "cert_file = \"a.crt\"\nkey_file = \"a.key\"\nclient_ca_file = \"broken.pem\"",
            "9:18 broken.pem has a certificate that cannot be read",
        ),
        (
            "cert_file = \"a.crt\"\nkey_file = \"a.key\"\nclient_scope = \"read\"",
            "9:16 `client_scope` is of no use without `client_ca_file`: leave it out, or add `client_ca_file`",
        ),
        (
            "cert_file = \"a.crt\"\nkey_file = \"a.key\"\nclient_ca_file = \"a.crt\"\nclient_scope = \"report\"",
            "10:16 `client_scope` cannot be \"report\": write \"read\" or \"operate\"",
        ),
        (
            "cert_fil = \"a.crt\"\ncert_file = \"a.crt\"\nkey_file = \"a.key\"",
            "7:1 unknown key `cert_fil`; did you mean `cert_file`?: not a key of [admin.tls]",
        ),
    ] {
        assert_eq!(beside(lines).expect_err(lines), told, "{lines}");
    }
}

#[test]
fn client_certificates_open_more_than_loopback() {
    let tls = "cert_file = \"a.crt\"\nkey_file = \"a.key\"\n";
    let listen = "[admin]\nlisten = \"0.0.0.0:9400\"";
    assert!(beside(&format!("{tls}{listen}")).unwrap_err().contains("is open to others"));
    let config = beside(&format!("{tls}client_ca_file = \"a.crt\"\n{listen}")).unwrap();
    let tls = config.admin.tls.as_ref().unwrap();
    assert_eq!((tls.client_scope, config.warnings.len()), (Scope::Read, 0));
    assert!(tls.files.certificate.is_absolute(), "{:?}: beside the config", tls.files);
}

#[test]
fn an_expired_certificate_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["serin.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    std::fs::write(folder.path().join("a.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.path().join("a.key"), key.serialize_pem()).unwrap();
    let text = bot_with("[admin.tls]\ncert_file = \"a.crt\"\nkey_file = \"a.key\"");
    let config = crate::config::parse(&text, &folder.path().join("serin.toml")).unwrap();
    assert!(config.warnings[0].ends_with("a.crt has expired"), "{:?}", config.warnings);
    assert_eq!(config.admin.tls.unwrap().loaded.not_after, 1_577_836_800);
}
