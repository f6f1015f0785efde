//! Restricts the history's files to serin's user: the history contains names of customers and operators, and the key can make links.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const MODE: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// The endings of the history's files. A file that was set aside has a time in its name.
const ENDINGS: [&str; 9] = ["", "-wal", "-shm", "-journal", ".lock", ".roles.json", ".roles.json.new", ".key", ".key.new"];
const ASIDE: &str = ".unreadable-";

/// Writes the file completely or not at all: under another name first, which ends in `.new`. Waits for the disk.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_added_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
    only_ours(&file)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Creates the file if it does not exist, and does not open one that exists: when a process closes a file, it loses all locks that it
/// has on that file (POSIX), and those of SQLite keep another process from deleting the newest rows.
pub(super) fn create_missing(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(file) => only_ours(&file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens the file for writing without changing its content; creates it if it does not exist. Not for the history itself: see
/// `create_missing`.
pub(super) fn keep_or_create(path: &Path) -> io::Result<File> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(file) => {
            only_ours(&file)?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => OpenOptions::new().write(true).open(path),
        Err(error) => Err(error),
    }
}

/// The umask may have removed bits of the mode, and an older file may have another mode.
pub(super) fn only_ours(file: &File) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(())
}

/// Restricts all existing files of a history to serin's user, and logs which ones it changed.
pub(super) fn narrow(history: &Path) {
    let (mut narrowed, mut failed) = (Vec::new(), Vec::new());
    for path in files(history) {
        let Ok(meta) = fs::metadata(&path) else { continue };
        if !meta.is_file() || meta.permissions().mode() & OTHERS == 0 {
            continue;
        }
        match fs::set_permissions(&path, Permissions::from_mode(MODE)) {
            Ok(()) => narrowed.push(path.display().to_string()),
            Err(error) => failed.push(format!("{}: {error}", path.display())),
        }
    }
    if !narrowed.is_empty() {
        tracing::warn!(files = narrowed.join(", "), "what was readable for others is readable for serin's user alone now");
    }
    if !failed.is_empty() {
        tracing::warn!(files = failed.join(", "), "other users can read files of the history, and their mode cannot be changed");
    }
}

fn files(history: &Path) -> Vec<PathBuf> {
    let with = |ending: &str| {
        let mut name = history.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let mut files: Vec<PathBuf> = ENDINGS.iter().map(|ending| with(ending)).collect();
    let aside = with(ASIDE);
    let directory = history.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let begins = aside.file_name().map(|name| name.as_encoded_bytes().to_owned()).unwrap_or_default();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    files.extend(
        entries.map(|entry| entry.path()).filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(&begins))),
    );
    files
}
