//! From a text to its tables and what is read from them, or to all errors.

use std::path::Path;

use toml::de::DeTable;

use super::raw::Table;
use super::redact;
use super::report::{ConfigError, Problems, Reported};

/// Returns what `read` makes of the file, with the warnings, or all errors.
pub(crate) fn read_tables<T>(
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
