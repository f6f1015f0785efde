//! The name by which authorities speak of a certificate's renewal (RFC 9773, 4.1).

use instant_acme::CertificateIdentifier;
use rustls::pki_types::{CertificateDer, Der};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::AuthorityKeyIdentifier;

/// `None` for a certificate that does not say whose key has signed it.
pub fn identifier(certificate: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    let read = x509_cert::Certificate::from_der(certificate).ok()?;
    let signed = read.tbs_certificate();
    let (_critical, authority) = signed.get_extension::<AuthorityKeyIdentifier>().ok().flatten()?;
    let authority = authority.key_identifier?;
    // With the sign's zero byte, if there is one.
    let serial = signed.serial_number().to_der().ok()?;
    let (_tag_and_length, serial) = serial.split_at_checked(2)?;
    Some(CertificateIdentifier::new(Der::from_slice(authority.as_bytes()), Der::from_slice(serial)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyIdMethod, KeyPair, SerialNumber};

    /// The example of RFC 9773, 4.1.
    #[test]
    fn it_is_made_of_the_authoritys_key_and_the_serial_number() {
        let key = [0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4];
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_identifier_method = KeyIdMethod::PreSpecified(key.to_vec());
        let authority = Issuer::new(authority, KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
        assert_eq!(identifier(certificate.der()).unwrap().to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    #[test]
    fn there_is_none_without_the_authoritys_key() {
        let alone = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        assert!(identifier(alone.cert.der()).is_none());
    }
}
