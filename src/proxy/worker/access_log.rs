//! The access log: one line for each recorded webhook, or for a share of them. This module decides what a line contains. A line has
//! no body, no header and no query, and of the path only the prefix from the config, because platforms put tokens into the rest. A
//! worker collects its lines and passes many at a time to the log's writer. So a webhook with a line rarely touches memory that
//! threads share, and a webhook without a line never does.

use std::cell::RefCell;
use std::io::Write;
use std::time::Duration;

use http::Method;
use serde::Serialize;

use super::view::BotView;
use crate::core::{Assignment, Outcome, Track};
use crate::http1::TraceId;
use crate::logs::{self, Log, Piece, Style};
use crate::proxy::problem::Problem;

/// From this size on, a worker passes its lines to the log's writer: some 25 lines.
const PIECE_BYTES: usize = 8 * 1024;

/// Facts for a line that the exchange itself does not keep.
#[derive(Debug)]
pub struct Noted {
    method: Method,
    trace: Option<TraceId>,
    workspace: Option<String>,
    status: Option<u16>,
    first_byte: Option<Duration>,
    error: Option<&'static str>,
}

/// An exchange that has ended, as `AccessLog::write` needs it.
pub struct Finished<'a> {
    pub bot: &'a BotView,
    pub assignment: Assignment,
    pub retried: bool,
    pub rescued: bool,
    pub outcome: Outcome,
    pub took: Duration,
}

/// The lines of one worker that it has not yet passed to the log's writer.
pub struct AccessLog(RefCell<Piece>);

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    log: &'static str,
    bot: &'a str,
    track: &'static str,
    reason: &'static str,
    outcome: &'static str,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    upstream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    retried: bool,
    #[serde(skip_serializing_if = "is_false")]
    rescued: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl Noted {
    pub fn new(method: Method, trace: Option<TraceId>, workspace: Option<String>) -> Noted {
        Noted { method, trace, workspace, status: None, first_byte: None, error: None }
    }

    pub fn answered(&mut self, status: u16, first_byte: Duration) {
        (self.status, self.first_byte) = (Some(status), Some(first_byte));
    }

    /// Notes that serin itself answers, with this problem.
    pub fn failed(&mut self, problem: Problem) {
        (self.status, self.error) = (Some(problem.status().as_u16()), Some(problem.code()));
    }
}

impl AccessLog {
    pub fn new() -> AccessLog {
        AccessLog(RefCell::new(empty()))
    }

    pub fn write(&self, noted: &Noted, ended: &Finished<'_>) {
        // There is no writer in unit tests.
        let Some(lines) = logs::lines() else { return };
        let line = line(noted, ended);
        let mut piece = self.0.borrow_mut();
        match lines.style() {
            Style::Json => piece.line(|out| Ok(serde_json::to_writer(out, &line)?)),
            Style::Human { .. } => piece.line(|out| human(&line, out)),
        }
        if piece.len_bytes() >= PIECE_BYTES {
            lines.hand_over(std::mem::replace(&mut *piece, empty()));
        }
    }

    /// Passes the collected lines to the log's writer, also if they are few.
    pub fn hand_over(&self) {
        let mut piece = self.0.borrow_mut();
        if let (Some(lines), true) = (logs::lines(), piece.len_bytes() > 0) {
            lines.hand_over(std::mem::replace(&mut *piece, empty()));
        }
    }
}

/// Passes on the last lines, also those written while the worker dropped its last exchanges.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// A piece with room for `PIECE_BYTES` and one more line.
fn empty() -> Piece {
    Piece::with_room(Log::Access, PIECE_BYTES + 1024)
}

fn line<'a>(noted: &'a Noted, ended: &Finished<'a>) -> Line<'a> {
    let (bot, Assignment { track, reason, bucket }) = (ended.bot, ended.assignment);
    let roles = bot.epoch.roles;
    // The upstream that answered; after a rescue that is stable, not the canary.
    let upstream = match track {
        Track::Canary if !ended.rescued => roles.canary.unwrap_or(roles.stable),
        Track::Canary | Track::Stable => roles.stable,
    };
    let bot = bot.bot();
    Line {
        timestamp: logs::now(),
        log: Log::Access.name(),
        bot: bot.name.as_str(),
        track: track.name(),
        reason: reason.name(),
        outcome: ended.outcome.name(),
        method: noted.method.as_str(),
        path_prefix: bot.matches.path_prefix.as_deref(),
        status: noted.status,
        duration_ms: millis(ended.took),
        first_byte_ms: noted.first_byte.map(millis),
        upstream: &bot.upstreams[upstream].name,
        bucket: bucket.map(|bucket| bucket.index()),
        workspace: noted.workspace.as_deref(),
        retried: ended.retried,
        rescued: ended.rescued,
        error: noted.error,
        trace_id: noted.trace.map(|trace| trace.to_string()),
    }
}

/// Writes the line for people. The fields that people read first come first. Text that a client chose (the workspace) comes last,
/// quoted and escaped, so that it can neither begin a new line nor look like another field.
fn human(line: &Line<'_>, out: &mut Vec<u8>) -> std::io::Result<()> {
    let status = line.status.map_or("-".to_owned(), |status| status.to_string());
    write!(out, "{} {} {} {} {status} {} {}", line.timestamp, line.log, line.bot, line.method, line.outcome, line.duration_ms)?;
    write!(out, "ms track={} reason={} upstream={}", line.track, line.reason, line.upstream)?;
    let bucket = line.bucket.map(|bucket| bucket.to_string());
    let first_byte = line.first_byte_ms.map(|ms| format!("{ms}ms"));
    let some = [
        ("path_prefix", line.path_prefix),
        ("first_byte", first_byte.as_deref()),
        ("bucket", bucket.as_deref()),
        ("retried", line.retried.then_some("true")),
        ("rescued", line.rescued.then_some("true")),
        ("error", line.error),
        ("trace_id", line.trace_id.as_deref()),
    ];
    for (name, value) in some.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        write!(out, " {name}={}", value.escape_debug())?;
    }
    if let Some(workspace) = line.workspace {
        write!(out, " workspace={workspace:?}")?;
    }
    Ok(())
}

/// Milliseconds, with three decimals.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

fn is_false(truth: &bool) -> bool {
    !truth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_chose_looks_like_no_other_field() {
        let line = Line {
            timestamp: "2026-11-23T09:18:13.192933Z".to_owned(),
            log: "access",
            bot: "support",
            track: "stable",
            reason: "rank",
            outcome: "ok",
            method: "POST",
            path_prefix: Some("/slack"),
            status: Some(200),
            duration_ms: 0.184,
            first_byte_ms: Some(0.173),
            upstream: "blue",
            bucket: Some(3847),
            workspace: Some("team:T1\" error=overloaded\n"),
            retried: false,
            rescued: true,
            error: None,
            trace_id: Some("0a".to_owned()),
        };
        let mut said = Vec::new();
        human(&line, &mut said).unwrap();
        assert_eq!(
            String::from_utf8(said).unwrap(),
            "2026-11-23T09:18:13.192933Z access support POST 200 ok 0.184ms track=stable reason=rank upstream=blue \
             path_prefix=/slack first_byte=0.173ms bucket=3847 rescued=true trace_id=0a \
             workspace=\"team:T1\\\" error=overloaded\\n\""
        );
    }
}
