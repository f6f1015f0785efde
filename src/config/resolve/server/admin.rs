//! `[admin]` and `[[admin.token]]`; `[admin.tls]` has a file of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use http::Uri;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::tls;
use crate::config::raw::{Read, Table};
use crate::config::report::{Problem, Problems, Reported, all};
use crate::config::resolve::hosts::is_loopback;
use crate::config::resolve::names::{self, known_bot};
use crate::config::resolve::secret::{Secret, secret};
use crate::config::resolved::{Admin, Bot, BotName, Scope, Token};
use crate::config::secret::SecretHash;

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9400);
const SCOPES: [(&str, Scope); 3] = [("read", Scope::Read), ("operate", Scope::Operate), ("report", Scope::Report)];

/// Names that the history uses for authors that are not tokens.
const NAMES_TAKEN: [&str; 6] = ["local", "config", "ratchet", "link", "cert", "anonymous"];

/// Where the addresses are written, if they are.
pub(crate) struct Places {
    pub listen: Option<Range<usize>>,
    pub probes: Option<Range<usize>>,
}

/// `bots` are the file's bots, or `None` if they have errors.
pub(crate) fn admin(mut table: Table<'_>, bots: Option<&[Bot]>) -> Result<(Admin, Places), Reported> {
    let problems = table.problems();
    let listen = table.read::<SocketAddr>("listen");
    let probes = table.read::<SocketAddr>("probes");
    let metrics_open = table.read_or("metrics_open", false);
    let tokens = table.tables("token", "[[admin.token]]").and_then(|tables| tokens(tables, bots, problems));
    let tls = table.table("tls", "[admin.tls]").and_then(|table| table.map(tls::tls).transpose());
    let read_only = table.read_or("read_only", false);
    let show_workspaces = table.read_or("show_workspaces", false);
    let public_url = table.read::<String>("public_url");
    table.close();
    let public_url = public_url?.map(|url| Ok(Spanned::new(url.span(), public(&url, problems)?))).transpose()?;
    let (listen, probes, tokens, tls) = (listen?, probes?, tokens?, tls?);
    let address = listen.as_ref().map_or(LISTEN, |listen| *listen.get_ref());
    let places = Places { listen: listen.map(|listen| listen.span()), probes: probes.as_ref().map(Spanned::span) };
    let public_at = public_url.as_ref().map(Spanned::span);
    let admin = Admin {
        listen: address,
        tokens,
        tls,
        metrics_open: metrics_open?,
        read_only: read_only?,
        show_workspaces: show_workspaces?,
        public_url: public_url.map(Spanned::into_inner),
        probes: probes.map(Spanned::into_inner),
    };
    guarded(&admin, places.listen.as_ref(), public_at, problems)?;
    Ok((admin, places))
}

/// The listener that answers probes, and whether it speaks TLS, as far as a broken file shows it. A serin that has refused the file
/// still serves.
pub(crate) fn listener(text: &str) -> (SocketAddr, bool) {
    let (file, _) = DeTable::parse_recoverable(text);
    let Some(DeValue::Table(admin)) = file.get_ref().get("admin").map(Spanned::get_ref) else { return (LISTEN, false) };
    let address = |key: &str| admin.get(key).and_then(|address| address.get_ref().as_str()?.parse().ok());
    match address("probes") {
        Some(probes) => (probes, false),
        None => (address("listen").unwrap_or(LISTEN), admin.contains_key("tls")),
    }
}

/// Checks the beginning of links in messages: a host, perhaps with a path that another proxy forwards to this listener.
fn public(url: &Spanned<String>, problems: &Problems<'_>) -> Result<String, Reported> {
    let text = url.get_ref().trim_end_matches('/');
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.query().is_none() && !text.contains(['@', '#', '"', '<', '>']));
    let host = uri.as_ref().and_then(Uri::host).unwrap_or("");
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") if !host.is_empty() => {}
        Some("http") if !host.is_empty() => {
            if !is_loopback(host) {
                problems.warn(url.span(), "`public_url` is http: anybody between the two can use the links of messages");
            }
        }
        _ => return Err(problems.error(url.span(), "`public_url` is no URL", "write one such as \"https://serin.example.com\"")),
    }
    Ok(text.to_owned())
}

/// Refuses or warns about a listener without protection, because the admin API can move customers between versions.
fn guarded(
    admin: &Admin,
    listen_at: Option<&Range<usize>>,
    public_at: Option<Range<usize>>,
    problems: &Problems<'_>,
) -> Result<(), Reported> {
    let address = admin.listen;
    let mut guarded = Ok(());
    if let Some(at) = listen_at.filter(|_| admin.is_open_to_others_on(address.ip())) {
        let title = format!("[admin] is open to others: it listens on {address}, without a token");
        let label = format!("add an [[admin.token]] or a `client_ca_file` in [admin.tls], or write \"127.0.0.1:{}\"", address.port());
        guarded = Err(problems.error(at.clone(), title, label));
    }
    if let Some(at) = public_at.filter(|_| !admin.asks_who()) {
        let title = "[admin] is open to others: `public_url` leads to it from outside, and it has no token";
        let label = "add an [[admin.token]] or a `client_ca_file` in [admin.tls], or take this out";
        guarded = Err(problems.error(at, title, label));
    }
    guarded
}

/// A token, and the places that other checks need.
struct Placed {
    token: Token,
    name_at: Range<usize>,
    secret_at: Range<usize>,
}

fn tokens(tables: Vec<Table<'_>>, bots: Option<&[Bot]>, problems: &Problems<'_>) -> Result<Vec<Token>, Reported> {
    let placed = all(tables.into_iter().map(|table| token(table, bots)))?;
    for (index, this) in placed.iter().enumerate() {
        for other in &placed[..index] {
            apart(this, other, problems)?;
        }
    }
    Ok(placed.into_iter().map(|placed| placed.token).collect())
}

/// Two tokens need different names, because the history shows the name as author, and different secrets, because the secret
/// identifies the token.
fn apart(this: &Placed, other: &Placed, problems: &Problems<'_>) -> Result<(), Reported> {
    let (name, other_name) = (&this.token.name, &other.token.name);
    if name == other_name {
        let problem = Problem::new(format!("two tokens are named \"{name}\""));
        return Err(problems.report(problem.at(this.name_at.clone(), "write another name").at(other.name_at.clone(), "the first")));
    }
    if this.token.secret == other.token.secret {
        let problem = Problem::new(format!("the tokens \"{other_name}\" and \"{name}\" have the same secret"));
        return Err(problems.report(problem.at(this.secret_at.clone(), "make another").at(other.secret_at.clone(), "the first")));
    }
    Ok(())
}

fn token(mut table: Table<'_>, bots: Option<&[Bot]>) -> Result<Placed, Reported> {
    let problems = table.problems();
    let name: Read<String> = table.read("name");
    let scope = table.choice("scope", &SCOPES);
    let only = table.read::<Vec<Spanned<String>>>("bots");
    let of = match &name {
        Ok(Some(name)) => format!("token \"{}\"", name.get_ref().escape_debug()),
        Ok(None) | Err(_) => "this token".to_owned(),
    };
    let secret = secret(&mut table, &of);
    let at = table.at();
    table.close();
    let name = match name? {
        Some(name) => Spanned::new(name.span(), token_name(&name, problems)?),
        None => return Err(problems.error(at, "a token has no name", "add `name = \"ci\"`: it stands in the history")),
    };
    let Some(scope) = scope? else {
        return Err(problems.error(at, format!("{of} has no scope"), "add `scope = \"read\"`, \"operate\" or \"report\""));
    };
    let only = only?.map(|only| own_bots(&only, bots, problems)).transpose()?;
    let Secret { text: secret, file } = secret?;
    let (name_at, secret_at) = (name.span(), secret.span());
    let secret = SecretHash::of(secret.get_ref());
    let token = Token { name: name.get_ref().as_str().to_owned(), scope: scope.into_inner(), bots: only, secret, file };
    Ok(Placed { token, name_at, secret_at })
}

/// Refuses names that the history uses for other authors.
fn token_name(written: &Spanned<String>, problems: &Problems<'_>) -> Result<BotName, Reported> {
    let name = names::name(written, problems)?;
    match NAMES_TAKEN.contains(&name.as_str()) {
        true => {
            let title = format!("a token cannot be named \"{name}\": the history calls somebody else so");
            Err(problems.error(written.span(), title, format!("write another name, such as \"{name}-ops\"")))
        }
        false => Ok(name),
    }
}

fn own_bots(only: &Spanned<Vec<Spanned<String>>>, bots: Option<&[Bot]>, problems: &Problems<'_>) -> Result<Vec<BotName>, Reported> {
    if only.get_ref().is_empty() {
        return Err(problems.error(only.span(), "`bots` names no bot", "name some, or leave it out: then the token is for all bots"));
    }
    let names = all(only.get_ref().iter().map(|name| known_bot(name, bots, problems)))?;
    Ok(names.iter().filter_map(|name| BotName::parse(name)).collect())
}
