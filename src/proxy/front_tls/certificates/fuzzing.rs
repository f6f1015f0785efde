//! What the fuzz target checks of the choice of a certificate by the name that a client asks for.

use super::*;

/// A pair is found by each of its names, in any case, and a wildcard by one more label and not by two.
pub fn certificate_is_found(pair: Pair) {
    let pair = Arc::new(pair);
    let certificates = Certificates::default();
    certificates.set(std::slice::from_ref(&pair), &[]);
    let named = certificates.named.load();
    let finds = |name: &str| named.find(name).is_some_and(|found| Arc::ptr_eq(found, &pair.certified));
    for name in &pair.dns_names {
        assert!(finds(name) && finds(&name.to_ascii_uppercase()), "{name}");
        if let Some(rest) = name.strip_prefix("*.") {
            assert!(finds(&format!("Label.{rest}")), "{name}");
            let two = format!("a.b.{rest}");
            assert!(!finds(&two) || pair.dns_names.iter().any(|other| *other == two || *other == format!("*.b.{rest}")), "{name}");
        }
    }
    assert!(named.usual.as_ref().is_some_and(|usual| Arc::ptr_eq(usual, &pair.certified)));
}
