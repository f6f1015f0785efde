//! From the file as written to the file as meant. Each table or subject has a file, in `bot` for the keys of a bot and in
//! `server` for all others, which reads all keys before it returns an error, so that all errors are reported together.

mod bot;
mod bounds;
mod hosts;
mod names;
mod secret;
mod server;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::notifier::Notifier;
use super::parse::read_tables;
use super::raw::Table;
use super::report::{ConfigError, Problem, Problems, Reported};
use super::resolved::{Admin, Bot, Config, History, Log, Proxy};

pub(super) use server::admin_listener;

/// A listener's title, its address, and where that is written, if it is.
type Listen = (&'static str, SocketAddr, Option<Range<usize>>);

pub(super) fn resolve(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let (Read { proxy, admin, history, log, notifiers, bots }, warnings) = read_tables(text, path, file)?;
    Ok(Config { proxy, admin, history, log, notifiers, bots, hash: xxh3_64(text.as_bytes()), warnings })
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
    let proxy = root.table_or_empty("proxy", "[proxy]").and_then(server::proxy);
    let history = root.table_or_empty("history", "[history]").and_then(server::history);
    let log = root.table_or_empty("log", "[log]").and_then(server::log);
    let bots = root.tables("bot", "[[bot]]").and_then(|tables| bot::bots(tables, problems));
    let known = bots.as_ref().ok().map(Vec::as_slice);
    let admin = root.table_or_empty("admin", "[admin]").and_then(|table| server::admin(table, known));
    let notifiers = root.tables("notify", "[[notify]]").and_then(|tables| server::notifiers(tables, known, problems));
    root.close();
    if bots.as_ref().is_ok_and(Vec::is_empty) {
        // A misspelt key above may have been meant as a bot.
        problems.so_far()?;
        let problem = Problem::new("there is no bot");
        return Err(problems.report(problem.note("add [[bot]] with a name, a preset or a workspace, and upstreams")));
    }
    let ((proxy, proxy_places), (admin, places), history, log, bots) = (proxy?, admin?, history?, log?, bots?);
    let mut listeners = vec![("[proxy]", proxy.listen, proxy_places.listen), ("[admin]", admin.listen, places.listen)];
    if let Some(address) = proxy.tls.as_ref().and_then(|tls| tls.listen) {
        listeners.push(("[proxy.tls]", address, proxy_places.tls_listen));
    }
    if let Some(address) = admin.probes {
        listeners.push(("[admin] probes", address, places.probes));
    }
    for (index, other) in listeners.iter().enumerate() {
        for this in &listeners[..index] {
            apart(this, other, problems)?;
        }
    }
    Ok(Read { proxy, admin, history, log, notifiers: notifiers?, bots })
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
