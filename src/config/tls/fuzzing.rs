//! What the fuzz target checks of certificates: any bytes as the files of a certificate and of its key, as PEM or as DER in a right PEM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// The files of an input. The first byte says whether they are PEM, and the next two are the certificate's length.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that is taken has a certificate whose names can be shown and looked for, and is read again as the same pair. An error quotes
/// no byte of the key.
pub fn certificates(data: &[u8]) -> Option<Pair> {
    let _ = Certificate::read(data);
    let files = Files::of(data)?;
    let at = |role| At(role, Path::new("/nowhere/file.pem"));
    if let Ok(chain) = certificates_in(at(Role::Authorities), &files.certificate) {
        let _ = roots(at(Role::Authorities), &chain);
        chain.iter().for_each(|der| is_shown(der));
    }
    let read = || Pair::of((at(Role::Certificate), &files.certificate), (at(Role::Key), &files.key));
    match read() {
        Err(error) => {
            let said = error.to_string();
            assert!(said.len() < 200 && said.is_ascii() && !said.contains('\n'), "{said}");
            None
        }
        Ok(pair) => {
            let certificate = Certificate::read(&pair.chain[0]).expect("it was read");
            assert_eq!((certificate.not_after, &certificate.dns_names), (pair.not_after, &pair.dns_names));
            let again = Pair::of(
                (at(Role::Certificate), &pair.chain.iter().flat_map(|der| pem("CERTIFICATE", der)).collect::<Vec<u8>>()),
                (at(Role::Key), &files.key),
            )
            .expect("the same certificates and the same key");
            assert_eq!((again.chain, again.not_after, again.dns_names), (pair.chain.clone(), pair.not_after, pair.dns_names.clone()));
            Some(pair)
        }
    }
}

fn is_shown(der: &CertificateDer<'_>) {
    let Some(certificate) = Certificate::read(der) else { return };
    for name in certificate.dns_names.iter().chain(&certificate.name) {
        assert!(!name.is_empty() && !name.chars().any(char::is_control) && name.chars().count() <= 128, "{name:?}");
    }
    assert!(certificate.dns_names.iter().all(|name| *name == name.to_ascii_lowercase()));
}

impl Files {
    fn of(data: &[u8]) -> Option<Files> {
        let ([kind, high, low], rest) = data.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (certificate, key) = rest.split_at(length.min(rest.len()));
        Some(match kind % 2 {
            0 => Files { certificate: certificate.to_vec(), key: key.to_vec() },
            _ => Files { certificate: pem("CERTIFICATE", certificate), key: pem("PRIVATE KEY", key) },
        })
    }
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into_bytes()
}
