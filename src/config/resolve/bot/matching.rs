//! `match`: which requests belong to a bot, and that no two bots have the same match.

use std::cmp::Reverse;
use std::net::Ipv6Addr;
use std::ops::Range;

use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::{Problem, Problems, Reported};
use crate::config::resolve::hosts::is_host;
use crate::config::resolved::Match;

/// `{ host = "bots.example.com", path_prefix = "/slack" }`.
pub(super) fn matching(mut table: Table<'_>) -> Result<Match, Reported> {
    let problems = table.problems();
    let host = table.read::<String>("host").and_then(|written| written.map(|written| host(&written, problems)).transpose());
    let prefix = table.read::<String>("path_prefix").and_then(|written| written.map(|written| prefix(&written, problems)).transpose());
    table.close();
    Ok(Match { host: host?, path_prefix: prefix?.flatten() })
}

/// The order in which bots are tried: those with a host first, then the longest prefix first.
pub(super) fn order(matches: &Match) -> impl Ord + use<> {
    (matches.host.is_none(), Reverse(matches.path_prefix.as_ref().map_or(0, String::len)))
}

/// Reports two bots with the same match: the second would never get a request.
pub(super) fn disjoint(bots: &[(&str, &Match, Range<usize>)], problems: &Problems<'_>) -> Result<(), Reported> {
    let mut result = Ok(());
    for (index, (name, matches, at)) in bots.iter().enumerate() {
        let Some((other, _, other_at)) = bots[..index].iter().find(|(_, other, _)| other == matches) else { continue };
        let (title, label) = if **matches == Match::default() {
            (format!("`{other}` and `{name}` both take every request"), "write match = { path_prefix = \"/…\" } or { host = \"…\" }")
        } else {
            (format!("`{other}` and `{name}` match the same requests"), "write another host or path_prefix")
        };
        let problem = Problem::new(title).at(at.clone(), label).at(other_at.clone(), format!("`{other}`"));
        result = Err(problems.report(problem));
    }
    result
}

fn host(written: &Spanned<String>, problems: &Problems<'_>) -> Result<String, Reported> {
    let text = written.get_ref().to_lowercase();
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    if bracketed || is_host(&text) {
        return Ok(text);
    }
    let bare = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or(bare);
    let bare = bare.rsplit_once(':').map_or(bare, |(host, _)| host).trim_end_matches('.');
    let (title, label) = if text.contains('*') {
        ("`host` knows no wildcards", "write one [[bot]] for each host".to_owned())
    } else if is_host(bare) {
        ("`host` is a name alone, without scheme, port, path or final dot", format!("write \"{bare}\""))
    } else if !text.is_ascii() {
        ("`host` is written as it stands in requests", "write the name in its xn-- form".to_owned())
    } else {
        ("`host` is not a host name", "write a name such as \"bots.example.com\"".to_owned())
    };
    Err(problems.error(written.span(), title, label))
}

/// Checks a path prefix and removes the slash at its end. `None` is every path.
fn prefix(written: &Spanned<String>, problems: &Problems<'_>) -> Result<Option<String>, Reported> {
    let text = written.get_ref().as_str();
    let wrong = |title: &str, label: String| Err(problems.error(written.span(), title, label));
    if !text.starts_with('/') {
        return wrong("`path_prefix` begins with a slash", format!("write \"/{}\"", text.escape_debug()));
    }
    if text.contains('*') {
        return wrong("`path_prefix` knows no wildcards: it matches whatever stands below it", "leave the * out".to_owned());
    }
    if let Some((path, _)) = text.split_once(['?', '#']) {
        return wrong("`path_prefix` is a path, without a query", format!("write \"{}\"", path.escape_debug()));
    }
    if text.contains('%') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("`path_prefix` is compared as it is sent, so it holds only plain characters", "leave out what needs %".to_owned());
    }
    let path = text.strip_suffix('/').unwrap_or(text);
    if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return wrong("`path_prefix` has an empty segment, or one of dots", "write a plain path such as \"/slack\"".to_owned());
    }
    Ok((!path.is_empty()).then(|| path.to_owned()))
}
