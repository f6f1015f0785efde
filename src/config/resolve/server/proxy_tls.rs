//! `[proxy.tls]`: TLS on the webhook listener. The files are read and checked here, so that their errors are reported with the others.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use serde_spanned::Spanned;

use super::acme::acme;
use super::tls::{CERTIFICATE, KEY, needed, warn_if_expired};
use crate::config::raw::Table;
use crate::config::report::{Problem, Problems, Reported, all};
use crate::config::resolved::{ProxyTls, ServedCertificate};
use crate::config::tls::{Pair, Role};

const TITLE: &str = "[[proxy.tls.certificate]]";

/// Returns the table and where `listen` is written.
pub(super) fn proxy_tls(mut table: Table<'_>) -> Result<(ProxyTls, Option<Range<usize>>), Reported> {
    let (problems, at) = (table.problems(), table.at());
    let listen = table.read::<SocketAddr>("listen");
    let certificates = table.tables("certificate", TITLE);
    let orders = table.table("acme", "[proxy.tls.acme]");
    table.close();
    let certificates = certificates.and_then(|tables| all(tables.into_iter().map(certificate)));
    let has_plain = listen.as_ref().is_ok_and(Option::is_some);
    let shown = certificates.as_ref().map_or(Vec::new(), |shown| shown.iter().map(|(certificate, _)| &*certificate.pair).collect());
    let orders = orders.and_then(|table| table.map(|table| acme(table, has_plain, &shown)).transpose());
    let (listen, certificates, orders) = (listen?, certificates?, orders?);
    if certificates.is_empty() && orders.is_none() {
        let add = format!("add {TITLE} with `cert_file` and `key_file`, or [proxy.tls.acme]");
        return Err(problems.error(at, "[proxy.tls] has no certificate", add));
    }
    unambiguous(&certificates, problems)?;
    let listen_at = listen.as_ref().map(Spanned::span);
    let certificates = certificates.into_iter().map(|(certificate, _)| certificate).collect();
    Ok((ProxyTls { listen: listen.map(Spanned::into_inner), certificates, acme: orders.map(Arc::new) }, listen_at))
}

/// Returns the certificate and where its file is written.
fn certificate(mut table: Table<'_>) -> Result<(ServedCertificate, Range<usize>), Reported> {
    let (problems, at) = (table.problems(), table.at());
    let certificate = table.read::<String>("cert_file");
    let key = table.read::<String>("key_file");
    table.close();
    let certificate = needed(certificate, CERTIFICATE, (TITLE, &at), problems);
    let key = needed(key, KEY, (TITLE, &at), problems);
    let (certificate, key) = (certificate?, key?);
    let beside = |file: &Spanned<String>| problems.beside(file.get_ref());
    let (certificate_path, key_path) = (beside(&certificate), beside(&key));
    let pair = Pair::load(&certificate_path, &key_path).map_err(|error| {
        let place = if error.role == Role::Key { &key } else { &certificate };
        problems.error(place.span(), error.to_string(), "")
    })?;
    warn_if_expired(&certificate, &certificate_path, pair.not_after, problems);
    let served = ServedCertificate { certificate: certificate_path, key: key_path, pair: Arc::new(pair) };
    Ok((served, certificate.span()))
}

/// Reports two certificates for one name: serin could not know which of them to show.
fn unambiguous(certificates: &[(ServedCertificate, Range<usize>)], problems: &Problems<'_>) -> Result<(), Reported> {
    for (index, (this, at)) in certificates.iter().enumerate() {
        for (other, other_at) in &certificates[..index] {
            if let Some(name) = this.pair.dns_names.iter().find(|name| other.pair.dns_names.contains(name)) {
                let problem = Problem::new(format!("two certificates are for {name}"));
                return Err(problems.report(problem.at(at.clone(), "take one of them out").at(other_at.clone(), "the first")));
            }
        }
    }
    Ok(())
}
