//! `[admin.tls]`. Its files are read and checked here, so that their errors are reported with the others.

use std::ops::Range;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_spanned::Spanned;

use crate::config::raw::{Read, Table};
use crate::config::report::{Problems, Reported};
use crate::config::resolved::{Scope, Tls};
use crate::config::tls::{Role, TlsFiles};

const SCOPES: [(&str, Scope); 2] = [("read", Scope::Read), ("operate", Scope::Operate)];

pub(super) fn tls(mut table: Table<'_>) -> Result<Tls, Reported> {
    let (problems, at) = (table.problems(), table.at());
    let certificate = table.read::<String>("cert_file");
    let key = table.read::<String>("key_file");
    let authorities = table.read::<String>("client_ca_file");
    let scope = table.choice("client_scope", &SCOPES);
    table.close();
    let certificate = needed(certificate, CERTIFICATE, ("[admin.tls]", &at), problems);
    let key = needed(key, KEY, ("[admin.tls]", &at), problems);
    let (certificate, key, authorities, scope) = (certificate?, key?, authorities?, scope?);
    if let (Some(scope), None) = (&scope, &authorities) {
        let title = "`client_scope` is of no use without `client_ca_file`";
        return Err(problems.error(scope.span(), title, "leave it out, or add `client_ca_file`"));
    }
    let beside = |file: &Spanned<String>| problems.beside(file.get_ref());
    let files = TlsFiles { certificate: beside(&certificate), key: beside(&key), client_authorities: authorities.as_ref().map(beside) };
    let loaded = files.load().map_err(|error| {
        let place = match error.role {
            Role::Certificate => Some(&certificate),
            Role::Key => Some(&key),
            Role::Authorities => authorities.as_ref(),
        };
        problems.error(place.map_or(at, Spanned::span), error.to_string(), "")
    })?;
    warn_if_expired(&certificate, &files.certificate, loaded.not_after, problems);
    Ok(Tls { files, client_scope: scope.map_or(Scope::Read, Spanned::into_inner), loaded })
}

/// A key that must be there, and what its file contains.
pub(super) type Needed = (&'static str, &'static str);

pub(super) const CERTIFICATE: Needed = ("cert_file", "the certificate, and the chain to its authority");
pub(super) const KEY: Needed = ("key_file", "the certificate's private key");

pub(super) fn needed(
    file: Read<String>,
    (key, what): Needed,
    (title, at): (&str, &Range<usize>),
    problems: &Problems<'_>,
) -> Result<Spanned<String>, Reported> {
    file?.ok_or_else(|| problems.error(at.clone(), format!("{title} has no {key}"), format!("add `{key} = \"…\"`: {what}")))
}

pub(super) fn warn_if_expired(written: &Spanned<String>, certificate: &Path, not_after: i64, problems: &Problems<'_>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    if not_after < now {
        problems.warn(written.span(), format!("{} has expired", certificate.display()));
    }
}
