//! `[bot.release]`, the desired state; `[bot.preflight]`, what an idle side must answer before workspaces are sent to it; and
//! `[bot.freeze]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::uri::PathAndQuery;
use jiff::tz::TimeZone;
use serde_spanned::Spanned;

use super::upstream::version;
use crate::config::freeze::{EXAMPLES, FreezeWindow, FreezeWindows};
use crate::config::raw::Table;
use crate::config::report::{Problems, Reported, all};
use crate::config::resolved::{Preflight, Upstream};
use crate::core::Release;

const TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT_MOST: Duration = Duration::from_secs(60);

pub(super) fn release(mut table: Table<'_>, upstreams: Option<&[Upstream]>) -> Result<Release, Reported> {
    let (problems, at) = (table.problems(), table.at());
    let upstream = table.read::<String>("upstream");
    let label = table.read::<String>("version");
    table.close();
    let Some(upstream) = upstream? else {
        return Err(problems.error(at, "[bot.release] names no upstream", "add `upstream = \"green\"`"));
    };
    let label = label?.map(|label| version(&label, problems)).transpose()?;
    let known = upstreams.unwrap_or_default();
    if upstreams.is_some() && !known.iter().any(|one| *one.name == **upstream.get_ref()) {
        let names: Vec<String> = known.iter().map(|one| format!("\"{}\"", one.name)).collect();
        let title = format!("there is no upstream `{}`", upstream.get_ref().escape_debug());
        return Err(problems.error(upstream.span(), title, format!("write {}", names.join(" or "))));
    }
    Ok(Release { upstream: Arc::from(upstream.into_inner()), version: label.map(Arc::from) })
}

pub(super) fn preflight(mut table: Table<'_>) -> Result<Preflight, Reported> {
    let problems = table.problems();
    let path = table.read::<String>("path");
    let expect = table.read::<Vec<Spanned<u16>>>("expect");
    let timeout = table.within_or("timeout", Duration::from_millis(10)..=TIMEOUT_MOST, TIMEOUT);
    let smoke = table.read::<String>("smoke");
    table.close();
    let path = path?.map(|path| path_of(&path, problems)).transpose()?;
    let expect = all(expect?.map(Spanned::into_inner).into_iter().flatten().map(|status| status_of(&status, problems)))?;
    let smoke = smoke?.map(|file| smoke_of(&file, problems)).transpose()?;
    Ok(Preflight { path, expect, timeout: timeout?, smoke })
}

fn path_of(path: &Spanned<String>, problems: &Problems<'_>) -> Result<PathAndQuery, Reported> {
    let parsed = path.get_ref().parse::<PathAndQuery>().ok().filter(|_| path.get_ref().starts_with('/'));
    parsed.ok_or_else(|| problems.error(path.span(), "this is no path", "write \"/healthz\""))
}

fn status_of(status: &Spanned<u16>, problems: &Problems<'_>) -> Result<u16, Reported> {
    let found = StatusCode::from_u16(*status.get_ref()).ok().filter(|status| (200..600).contains(&status.as_u16()));
    found.map(|status| status.as_u16()).ok_or_else(|| problems.error(status.span(), "this is no status of an answer", "write 200 to 599"))
}

/// Checks that the smoke requests can be read. They are read again when they are needed, because the file may change with the bot.
fn smoke_of(file: &Spanned<String>, problems: &Problems<'_>) -> Result<PathBuf, Reported> {
    let path = problems.beside(file.get_ref());
    match crate::config::smoke::read(&path) {
        Ok(_) => Ok(path),
        Err(why) => Err(problems.error(file.span(), "the smoke requests cannot be read", why)),
    }
}

pub(super) fn freeze(mut table: Table<'_>) -> Result<Option<FreezeWindows>, Reported> {
    let problems = table.problems();
    let windows = table.read_or::<Vec<Spanned<String>>>("windows", Vec::new());
    let zone = table.read::<String>("time_zone");
    table.close();
    let zone = match zone? {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name.get_ref()).map_err(|_| {
            problems.error(name.span(), "there is no such time zone", "write \"Europe/Berlin\", \"America/New_York\" or \"UTC\"")
        })?,
    };
    let windows = all(windows?.iter().map(|window| {
        FreezeWindow::parse(window.get_ref()).ok_or_else(|| problems.error(window.span(), "this is no window of time", EXAMPLES))
    }))?;
    Ok((!windows.is_empty()).then_some(FreezeWindows { zone, windows }))
}
