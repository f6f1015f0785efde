//! From the file as written to the file as meant. Each table has a file here, which reads all keys before it returns an error, so
//! that all errors are reported together.

mod admin;
mod bot;
mod guard;
mod history;
mod identity;
mod log;
mod matching;
mod notify;
mod proxy;
mod release;
mod roles;
mod rollout;
mod secret;
mod success;
mod timing;
mod tls;
mod upstream;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use serde_spanned::Spanned;
use toml::de::DeTable;
use xxhash_rust::xxh3::xxh3_64;

use super::raw::Table;
use super::redact;
use super::report::{Problem, Problems, Reported};
use super::{Admin, Bot, BotName, Config, ConfigError, History, Log, Notifier, Proxy};

pub(super) use admin::listener as admin_listener;

/// A listener's title, its address, and where that is written, if it is.
type Listen = (&'static str, SocketAddr, Option<Range<usize>>);

pub(super) fn resolve(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let (Read { proxy, admin, history, log, notifiers, bots }, warnings) = read_tables(text, path, file)?;
    Ok(Config { proxy, admin, history, log, notifiers, bots, hash: xxh3_64(text.as_bytes()), warnings })
}

/// Returns what `read` makes of the file, with the warnings, or all errors.
pub(super) fn read_tables<T>(
    text: &str,
    path: &Path,
    read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
) -> Result<(T, Vec<String>), ConfigError> {
    let (table, broken) = DeTable::parse_recoverable(text);
    if let Some(error) = broken.first() {
        return Err(syntax_error(error, table.get_ref(), text, path));
    }
    let problems = Problems::new(path, text);
    let value = read(&mut Table::root(&table, &problems));
    let warnings = problems.finish(&redact::secrets(text, table.get_ref()))?;
    match value {
        Ok(value) => Ok((value, warnings)),
        Err(Reported { .. }) => unreachable!("what was reported is an error above"),
    }
}

/// The contents of the file's tables.
struct Read {
    proxy: Proxy,
    admin: Admin,
    history: History,
    log: Log,
    notifiers: Vec<Notifier>,
    bots: Vec<Bot>,
}

fn file(root: &mut Table<'_>) -> Result<Read, Reported> {
    let problems = root.problems();
    let proxy = root.table_or_empty("proxy", "[proxy]").and_then(proxy::proxy);
    let history = root.table_or_empty("history", "[history]").and_then(history::history);
    let log = root.table_or_empty("log", "[log]").and_then(log::log);
    let bots = root.tables("bot", "[[bot]]").and_then(|tables| bot::bots(tables, problems));
    let known = bots.as_ref().ok().map(Vec::as_slice);
    let admin = root.table_or_empty("admin", "[admin]").and_then(|table| admin::admin(table, known));
    let notifiers = root.tables("notify", "[[notify]]").and_then(|tables| notify::notifiers(tables, known, problems));
    root.close();
    if bots.as_ref().is_ok_and(Vec::is_empty) {
        // A misspelt key above may have been meant as a bot.
        problems.so_far()?;
        let problem = Problem::new("there is no bot");
        return Err(problems.report(problem.note("add [[bot]] with a name, a preset or a workspace, and upstreams")));
    }
    let ((proxy, proxy_at), (admin, places), history, log, bots) = (proxy?, admin?, history?, log?, bots?);
    let [proxy_listens, admin_listens] = [("[proxy]", proxy.listen, proxy_at), ("[admin]", admin.listen, places.listen)];
    apart(&proxy_listens, &admin_listens, problems)?;
    if let Some(address) = admin.probes {
        let probes = ("[admin] probes", address, places.probes);
        apart(&proxy_listens, &probes, problems)?;
        apart(&admin_listens, &probes, problems)?;
    }
    Ok(Read { proxy, admin, history, log, notifiers: notifiers?, bots })
}

/// Reports the syntax error only: the rest of a broken file could be misread.
fn syntax_error(error: &toml::de::Error, table: &DeTable<'_>, text: &str, path: &Path) -> ConfigError {
    let at = error.span().unwrap_or(0..0);
    let written = text.get(at.clone()).unwrap_or("").trim();
    let (title, label) = match error.message().split_once(", expected ") {
        Some(("string values must be quoted", _)) if written.is_empty() => {
            ("a key without a value", "write a value behind the `=`".to_owned())
        }
        Some(("string values must be quoted", _)) => ("a text stands in quotes", format!("write \"{}\"", written.escape_debug())),
        Some((title, expected)) => (title, format!("expected {expected}")),
        None if error.message() == "duplicate key" => ("the same key twice", "take this one out, or the one before".to_owned()),
        None => (error.message(), String::new()),
    };
    let secrets = redact::secrets_of_broken(text, table);
    let hidden = secrets.iter().any(|secret| secret.start < at.end && at.start < secret.end);
    let problems = Problems::new(path, text);
    problems.error(at, title, if hidden { String::new() } else { label });
    match problems.finish(&secrets) {
        Err(error) => error,
        Ok(_) => unreachable!("it was reported just above"),
    }
}

/// Reports two listeners on one address.
fn apart(this: &Listen, other: &Listen, problems: &Problems<'_>) -> Result<(), Reported> {
    let ((this, a, a_at), (other, b, b_at)) = (this, other);
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    if a.port() != b.port() || a.port() == 0 || !same_ip {
        return Ok(());
    }
    let mut problem = Problem::new(format!("{this} and {other} both listen on port {}", a.port()));
    for (at, who) in [(b_at, other), (a_at, this)] {
        if let Some(at) = at {
            problem = problem.at(at.clone(), format!("{who} listens here"));
        }
    }
    Err(problems.report(problem))
}

/// Checks a bot's, an upstream's or a token's name, which is used in paths and in labels.
fn name(written: &Spanned<String>, problems: &Problems<'_>) -> Result<BotName, Reported> {
    let text = written.get_ref();
    if let Some(name) = BotName::parse(text) {
        return Ok(name);
    }
    let fit: String = text.to_lowercase().chars().map(|c| if BotName::may_hold(c) { c } else { '-' }).collect();
    let label = match BotName::parse(fit.trim_matches(['-', '_'])) {
        Some(fit) => format!("write \"{fit}\""),
        None => "write 1 to 63 of a-z, 0-9, - and _, a letter or digit first".to_owned(),
    };
    Err(problems.error(written.span(), format!("a name cannot be \"{}\"", text.escape_debug()), label))
}
