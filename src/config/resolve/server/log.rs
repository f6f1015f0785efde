//! `[log]`: how much serin logs, and in which format.

use serde_spanned::Spanned;

use crate::config::raw::{Table, either};
use crate::config::report::{Problems, Reported};
use crate::config::resolved::{Log, LogFormat, LogLevel};
use crate::config::units::{Share, UnitError, share};

const LEVELS: [(&str, LogLevel); 4] =
    [("error", LogLevel::Error), ("warn", LogLevel::Warn), ("info", LogLevel::Info), ("debug", LogLevel::Debug)];
const FORMATS: [(&str, LogFormat); 3] = [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];
/// The words for shares of the access log.
const ACCESS: [(&str, u16); 2] = [("off", 0), ("full", 10_000)];

pub(crate) fn log(mut table: Table<'_>) -> Result<Log, Reported> {
    let problems = table.problems();
    let level = table.choice_or("level", &LEVELS, LogLevel::Info);
    let format = table.choice_or("format", &FORMATS, LogFormat::Auto);
    let access = table.read::<String>("access").and_then(|written| written.map_or(Ok(0), |written| access(&written, problems)));
    let access_workspace = table.read_or("access_workspace", false);
    table.close();
    Ok(Log { level: level?, format: format?, access_bp: access?, access_workspace: access_workspace? })
}

fn access(written: &Spanned<String>, problems: &Problems<'_>) -> Result<u16, Reported> {
    let text = written.get_ref().as_str();
    if let Some((_, access_bp)) = ACCESS.iter().find(|(word, _)| *word == text) {
        return Ok(*access_bp);
    }
    let instead = match share(text) {
        Ok(Share(0)) => "write \"off\"".to_owned(),
        Ok(Share(access_bp)) => return Ok(access_bp),
        Err(UnitError(instead)) if text.ends_with('%') => instead,
        Err(UnitError(_)) => format!("write {}", either(["off", "full", "1%"])),
    };
    Err(problems.error(written.span(), format!("`access` cannot be \"{}\"", text.escape_debug()), instead))
}
