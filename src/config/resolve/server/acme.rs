//! `[proxy.tls.acme]`: the names for which serin orders certificates, and the authority that it orders them from.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use serde_spanned::Spanned;

use crate::config::acme::{Acme, ChallengeKind, ExternalAccount};
use crate::config::notifier::Hidden;
use crate::config::raw::{Read, Table};
use crate::config::report::{Problem, Problems, Reported, all};
use crate::config::resolve::hosts::{is_host, is_loopback};
use crate::config::resolve::secret::{Keys, Secret, secret_in};
use crate::config::tls::{Pair, authorities};

const TITLE: &str = "[proxy.tls.acme]";
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The most names. Each has a certificate of its own, and Let's Encrypt issues 50 in a week for the names of one domain.
const DOMAINS_MAX: usize = 100;
const CHALLENGES: [(&str, ChallengeKind); 2] = [("tls-alpn-01", ChallengeKind::TlsAlpn), ("http-01", ChallengeKind::Http)];
const KEY: Keys = Keys { file: "file", env: "env", inline: "secret", of: "key" };

/// `has_plain`: webhooks also come in without TLS. `shown`: the certificates of the file, which win for their names.
pub(super) fn acme(mut table: Table<'_>, has_plain: bool, shown: &[&Pair]) -> Result<Acme, Reported> {
    let (problems, at) = (table.problems(), table.at());
    let names = table.read::<Vec<Spanned<String>>>("domains");
    let contact = table.read::<String>("contact");
    let accepts = table.read::<bool>("accept_terms");
    let directory = table.read::<String>("directory");
    let folder = table.read::<String>("folder");
    let ca_file = table.read::<String>("ca_file");
    let challenge = table.choice("challenge", &CHALLENGES);
    let external = table.table("external_account", "external_account = { … }");
    table.close();
    let domains = domains(names, &at, shown, problems);
    let contact = contact.and_then(|contact| contact.map(|contact| address(&contact, problems)).transpose());
    let accepts = accepts.and_then(|accepts| accepted(accepts, at, problems));
    let directory = directory.and_then(|url| url.map_or(Ok(LETS_ENCRYPT.to_owned()), |url| directory_url(&url, problems)));
    let folder = folder.map(|folder| folder.map(|folder| problems.beside(folder.get_ref())));
    let authorities = ca_file.and_then(|file| file.map(|file| trusted(&file, problems)).transpose());
    let challenge = challenge.and_then(|challenge| possible(challenge, has_plain, problems));
    let external_account = external.and_then(|table| table.map(external_account).transpose());
    accepts?;
    Ok(Acme {
        domains: domains?,
        contact: contact?,
        directory: directory?,
        folder: folder?,
        authorities: authorities?,
        external_account: external_account?,
        challenge: challenge?,
    })
}

fn domains(
    names: Read<Vec<Spanned<String>>>,
    at: &Range<usize>,
    shown: &[&Pair],
    problems: &Problems<'_>,
) -> Result<Vec<String>, Reported> {
    let add = "add `domains = [\"bots.example.com\"]`: the names that clients ask for";
    let names = names?.ok_or_else(|| problems.error(at.clone(), format!("{TITLE} has no domains"), add))?;
    if names.get_ref().is_empty() {
        return Err(problems.error(names.span(), "`domains` names none", "name some, or take [proxy.tls.acme] out"));
    }
    if names.get_ref().len() > DOMAINS_MAX {
        return Err(problems.error(names.span(), format!("`domains` has more than {DOMAINS_MAX} names"), "use certificates from files"));
    }
    let parsed = all(names.get_ref().iter().map(|name| domain(name, problems)))?;
    let mut ordered: Vec<String> = Vec::new();
    for (name, written) in parsed.into_iter().zip(names.get_ref()) {
        if ordered.contains(&name) {
            return Err(problems.error(written.span(), format!("`domains` names {name} twice"), "take this one out"));
        }
        match shown.iter().any(|pair| pair.is_for(&name)) {
            true => problems.warn(written.span(), format!("none is ordered for {name}: a certificate from a file is for it")),
            false => ordered.push(name),
        }
    }
    Ok(ordered)
}

fn domain(written: &Spanned<String>, problems: &Problems<'_>) -> Result<String, Reported> {
    let name = written.get_ref().to_ascii_lowercase();
    let shown = name.escape_debug().to_string();
    let wrong = |title: String, label: &str| Err(problems.error(written.span(), title, label));
    if name.contains('*') {
        let problem = Problem::new(format!("\"{shown}\" is a wildcard, which serin cannot order"));
        let problem = problem.at(written.span(), "name each host, or use certificates from files");
        let why = "authorities issue wildcards only for a record in DNS (the challenge dns-01), and serin does not write to your DNS";
        return Err(problems.report(problem.note(why)));
    }
    if !name.is_ascii() {
        return wrong(format!("\"{shown}\" is not in the form that DNS has"), "write its form in ASCII, which begins with xn--");
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return wrong(
            format!("\"{shown}\" is an address: clients do not ask for one by name"),
            "write a name, or use certificates from files",
        );
    }
    match is_host(&name) && !name.contains('_') {
        true => Ok(name),
        false => wrong(format!("\"{shown}\" is no name of a host"), "write one such as \"bots.example.com\""),
    }
}

fn address(contact: &Spanned<String>, problems: &Problems<'_>) -> Result<String, Reported> {
    let text = contact.get_ref().strip_prefix("mailto:").unwrap_or(contact.get_ref());
    let parts = text.split_once('@').filter(|(who, host)| !who.is_empty() && is_host(host));
    match parts.is_some() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'?' | b'%')) {
        true => Ok(text.to_owned()),
        false => Err(problems.error(contact.span(), "`contact` is no e-mail address", "write one such as \"ops@example.com\"")),
    }
}

fn accepted(accepts: Option<Spanned<bool>>, at: Range<usize>, problems: &Problems<'_>) -> Result<(), Reported> {
    let (at, title) = match accepts {
        Some(accepts) if *accepts.get_ref() => return Ok(()),
        Some(accepts) => (accepts.span(), "without agreement to the authority's terms of service there are no certificates".to_owned()),
        None => (at, format!("{TITLE} does not say that you agree to the authority's terms of service")),
    };
    Err(problems.error(at, title, "read them, then write `accept_terms = true`; Let's Encrypt: https://letsencrypt.org/repository/"))
}

fn directory_url(url: &Spanned<String>, problems: &Problems<'_>) -> Result<String, Reported> {
    let uri = url.get_ref().parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let is_plain = |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some_and(is_loopback);
    match uri.filter(|uri| (uri.scheme_str() == Some("https") || is_plain(uri)) && !url.get_ref().contains('@')) {
        Some(_) => Ok(url.get_ref().clone()),
        None => Err(problems.error(url.span(), "`directory` is no URL with https", format!("write one such as \"{LETS_ENCRYPT}\""))),
    }
}

fn trusted(file: &Spanned<String>, problems: &Problems<'_>) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, Reported> {
    authorities(&problems.beside(file.get_ref())).map_err(|error| problems.error(file.span(), error.to_string(), ""))
}

fn possible(challenge: Option<Spanned<ChallengeKind>>, has_plain: bool, problems: &Problems<'_>) -> Result<ChallengeKind, Reported> {
    match challenge {
        None => Ok(ChallengeKind::TlsAlpn),
        Some(challenge) if *challenge.get_ref() == ChallengeKind::Http && !has_plain => {
            let title = "http-01 needs a listener without TLS, and there is none";
            let label = "write \"tls-alpn-01\", or give [proxy.tls] a `listen` of its own, and `[proxy] listen` port 80";
            Err(problems.error(challenge.span(), title, label))
        }
        Some(challenge) => Ok(challenge.into_inner()),
    }
}

fn external_account(mut table: Table<'_>) -> Result<ExternalAccount, Reported> {
    let (problems, at) = (table.problems(), table.at());
    let key_id = table.read::<String>("key_id");
    let key = secret_in(&mut table, "the external account", &KEY);
    table.close();
    let key_id = key_id?.filter(|key_id| !key_id.get_ref().is_empty());
    let key_id =
        key_id.ok_or_else(|| problems.error(at, "the external account has no key_id", "add `key_id = \"…\"`, as the authority says it"));
    let (key_id, Secret { text: key, .. }) = (key_id?, key?);
    // Some authorities show it with padding, which base64url in JOSE has not.
    let unpadded = key.get_ref().trim_end_matches('=');
    if !URL_SAFE_NO_PAD.decode(unpadded).is_ok_and(|bytes| !bytes.is_empty()) {
        return Err(problems.error(key.span(), "the key of the external account is not base64url", "copy it as the authority shows it"));
    }
    Ok(ExternalAccount { key_id: key_id.into_inner(), key: Hidden::new(unpadded) })
}
