//! `[history]`: where the file is, and for how long it keeps changes.

use std::path::PathBuf;
use std::time::Duration;

use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::Reported;
use crate::config::resolved::History;

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEEP: Duration = DAY.saturating_mul(365);

pub(crate) fn history(mut table: Table<'_>) -> Result<History, Reported> {
    let problems = table.problems();
    let path = table.read::<String>("path");
    let keep = table.within("keep", DAY..=KEEP);
    table.close();
    let path: Option<PathBuf> = match path? {
        Some(path) if path.get_ref().trim().is_empty() => {
            return Err(problems.error(path.span(), "`path` names no file", "write \"/var/lib/serin/serin.db\", or leave it out"));
        }
        Some(path) => Some(problems.beside(path.get_ref())),
        None => None,
    };
    Ok(History { path, keep: keep?.map_or(KEEP, Spanned::into_inner) })
}
