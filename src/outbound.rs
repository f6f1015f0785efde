//! Notifications and orders of certificates are requests that serin itself makes. This module says which authorities these requests
//! trust, and when serin repeats one that has failed.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::TryRng as _;
use rand::rngs::SysRng;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The certificate authorities that the system trusts. Reads files.
pub fn of_the_system() -> Vec<Certificate<'static>> {
    rustls_native_certs::load_native_certs().certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

/// With an empty list each attempt fails with an unknown certificate.
pub fn trusting(authorities: &[Certificate<'static>]) -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(authorities))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// The pause after `failures` failures and one more. It doubles with each, from `first` up to `most`, and `chance`, 0 to 1, shortens it
/// by up to a half.
pub fn pause(first: Duration, most: Duration, failures: u32, chance: f64) -> Duration {
    first.saturating_mul(1 << failures.min(16)).min(most).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// A random number from 0 to 1. Without randomness all pauses are equally long, which does little harm.
pub fn chance() -> f64 {
    SysRng.try_next_u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

/// Parses `Retry-After`: seconds, also with a fraction (Discord), or a date (RFC 9110, 10.2.3).
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after(" 2 ", now), Some(Duration::from_secs(2)));
        assert_eq!(retry_after("0.65", now), Some(Duration::from_millis(650)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        for nonsense in ["", "soon", "-1", "NaN", "inf"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }
}
