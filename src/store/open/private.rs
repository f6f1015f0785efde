//! The files of a history are for serin's user alone: the history names customers and people, and the key makes links.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const MODE: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// What a history has beside it; those that were kept aside have a time in their names.
const ENDINGS: [&str; 9] = ["", "-wal", "-shm", "-journal", ".lock", ".roles.json", ".roles.json.new", ".key", ".key.new"];
const ASIDE: &str = ".unreadable-";

/// An empty file for writing, in place of one that may be there.
pub(in crate::store) fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
    only_ours(&file)?;
    Ok(file)
}

/// The file as it is, or an empty one where there is none.
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

/// The umask can have taken from the mode, and an older file can have another one.
pub(in crate::store) fn only_ours(file: &File) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(())
}

/// Takes the files of a history from others, and says so in one line.
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
        tracing::warn!(files = failed.join(", "), "others can read files of the history, and that cannot be changed");
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
