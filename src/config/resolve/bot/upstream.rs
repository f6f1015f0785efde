//! `upstreams`: names and URLs.

use std::net::Ipv6Addr;
use std::ops::Range;
use std::sync::Arc;

use http::uri::Authority;
use serde_spanned::Spanned;
use toml::de::DeValue;

use crate::config::raw::{Entry, Table};
use crate::config::report::{Problems, Reported, all};
use crate::config::resolve::hosts::is_host;
use crate::config::resolve::names;
use crate::config::resolved::{Upstream, UpstreamUrl};
use crate::core::Release;

const EXAMPLE: &str = "http://127.0.0.1:3001";

/// The upstreams, in the order of the file.
pub(super) fn upstreams(table: Table<'_>) -> Result<Vec<Spanned<Upstream>>, Reported> {
    let (problems, at) = (table.problems(), table.at());
    let upstreams = all(table.into_entries().iter().map(|entry| upstream(entry, problems)))?;
    if upstreams.is_empty() {
        return Err(problems.error(at, "there is no upstream", format!("write {{ blue = \"{EXAMPLE}\" }}")));
    }
    Ok(upstreams)
}

/// `name = "url"` or `name = { url = "…", version = "…", ca_file = "…" }`.
fn upstream<'d>(entry: &Entry<'d>, problems: &'d Problems<'d>) -> Result<Spanned<Upstream>, Reported> {
    let name = names::name(&Spanned::new(entry.key_at.clone(), entry.key.to_owned()), problems);
    let (url, version, ca_file) = match entry.table("an upstream", problems) {
        None => (url_text(entry, problems), Ok(None), Ok(None)),
        Some(mut table) => {
            let url = table.read::<String>("url");
            let version = table.read::<String>("version");
            let ca_file = table.read::<String>("ca_file");
            table.close();
            let missing = || {
                problems.error(
                    entry.key_at.clone(),
                    format!("upstream `{}` has no url", entry.key.escape_debug()),
                    format!("write {{ url = \"{EXAMPLE}\" }}"),
                )
            };
            (url.and_then(|url| url.ok_or_else(missing)), version, ca_file)
        }
    };
    let url = url.and_then(|written| url_of(&written, problems));
    let (name, mut url, version, ca_file) = (name?, url?, version?, ca_file?);
    let version = version.map(|label| self::version(&label, problems)).transpose()?;
    url.ca_file = ca_file.map(|file| ca(&file, url.tls, problems)).transpose()?;
    let upstream = Upstream { name: Arc::from(name.as_str()), url, version };
    Ok(Spanned::new(entry.key_at.clone(), upstream))
}

/// Checks a release's label.
pub(super) fn version(label: &Spanned<String>, problems: &Problems<'_>) -> Result<String, Reported> {
    if !Release::is_label(label.get_ref()) {
        let title = format!("a version is 1 to {} characters without spaces", Release::LABEL_MOST);
        return Err(problems.error(label.span(), title, "write a label such as \"v42\""));
    }
    Ok(label.get_ref().clone())
}

fn url_text(entry: &Entry<'_>, problems: &Problems<'_>) -> Result<Spanned<String>, Reported> {
    match entry.value {
        DeValue::String(text) => Ok(Spanned::new(entry.at.clone(), text.to_string())),
        _ => {
            let title = format!("upstream `{}` is not a URL", entry.key.escape_debug());
            Err(problems.error(entry.at.clone(), title, format!("write \"{EXAMPLE}\"")))
        }
    }
}

fn ca(file: &Spanned<String>, tls: bool, problems: &Problems<'_>) -> Result<std::path::PathBuf, Reported> {
    if !tls {
        return Err(problems.error(file.span(), "`ca_file` is of no use with http", "leave it out, or write https in the url"));
    }
    let path = problems.beside(file.get_ref());
    match std::fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(problems.error(file.span(), format!("cannot read {}: {error}", path.display()), "")),
    }
}

/// `http://host[:port]` or `https://host[:port]`.
fn url_of(written: &Spanned<String>, problems: &Problems<'_>) -> Result<UpstreamUrl, Reported> {
    let wrong = |at: Range<usize>, title: &str, label: String| problems.error(at, title, label);
    let (at, text) = (written.span(), written.get_ref().as_str());
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong(
            at,
            "an upstream's URL begins with http:// or https://",
            format!("write \"http://{}\"", text.trim_start_matches('/').escape_debug()),
        ));
    };
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err(wrong(at, "an upstream is reached by http or https", "write http:// or https://".to_owned())),
    };
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |end| rest.split_at(end));
    if authority.contains('@') {
        return Err(wrong(at, "a URL here has no user and no password", "write the host alone".to_owned()));
    }
    if !matches!(path, "" | "/") {
        let label = format!("write \"{scheme}://{}\"", authority.escape_debug());
        return Err(wrong(at, "an upstream's URL has no path: the request's path and query pass unchanged", label));
    }
    let (host, port) = host_and_port(authority).map_err(|(title, label)| wrong(at.clone(), title, label))?;
    let parsed = authority.parse::<Authority>().map_err(|error| wrong(at, "an upstream's URL cannot be read", error.to_string()))?;
    Ok(UpstreamUrl { tls, host: host.to_owned(), port: port.unwrap_or(if tls { 443 } else { 80 }), authority: parsed, ca_file: None })
}

/// The host without brackets, and the port. The error says what is wrong and what to write instead.
fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), (&'static str, String)> {
    let example = || format!("write \"{EXAMPLE}\"");
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, rest))) if host.parse::<Ipv6Addr>().is_ok() && (rest.is_empty() || rest.starts_with(':')) => {
            (host, rest.strip_prefix(':'))
        }
        Some(_) => return Err(("no IPv6 address stands in the brackets", "write \"http://[::1]:3001\"".to_owned())),
        None if authority.parse::<Ipv6Addr>().is_ok() || authority.matches(':').count() > 1 => {
            return Err(("an IPv6 address stands in brackets", "write \"http://[::1]:3001\"".to_owned()));
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(("an upstream's URL has no host", example()));
    }
    if !host.contains(':') && !is_host(host) {
        return Err(("an upstream's host is neither a name nor an IP address", example()));
    }
    match port.map(|port| (port.bytes().all(|byte| byte.is_ascii_digit()), port.parse::<u16>())) {
        None => Ok((host, None)),
        Some((true, Ok(port))) if port > 0 => Ok((host, Some(port))),
        Some(_) => Err(("a port is a number from 1 to 65535", example())),
    }
}
