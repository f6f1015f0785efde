//! Finds and opens the history, and handles one that cannot be opened.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::entry::unix_millis;
use super::kept::Kept;
use super::private;
use super::roles::{Roles, beside};
use super::schema;
use crate::core::Release;

/// Where the history is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    /// In memory only, for the reason given.
    Memory(String),
}

/// What was found when the history was opened.
#[derive(Debug, Default)]
pub struct Found {
    pub bots: HashMap<String, Kept>,
    /// By bot: the release that was stable, if the history itself could not be read.
    pub stable: HashMap<String, Release>,
    /// Messages for the operator, to be logged.
    pub alarms: Vec<String>,
    /// A history existed and could not be read. So the bots are not new, although nothing is known of them.
    pub lost: bool,
}

/// What to do if a history exists, or must exist, and cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfLost {
    /// Rename the file and begin a new history, or keep none.
    Begin,
    /// Change nothing, and return an error.
    Refuse,
}

/// The connections to the history, and the lock that keeps other processes away.
pub(super) struct Database {
    pub path: Option<PathBuf>,
    /// Waits until the disk has the data.
    pub durable: Connection,
    /// Does not wait for the disk: for data that may be lost.
    pub quick: Option<Connection>,
    /// Read-only.
    pub reader: Option<Connection>,
    pub roles: Roles,
    /// The history's id: see [`schema::id`].
    pub id: Vec<u8>,
    /// The last field, so that the lock is released after the connections are closed.
    pub lock: Option<File>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another serin uses {}: one history has one writer", .0.display())]
    InUse(PathBuf),
    #[error("{} was written by a newer serin (its format is {found}, this one knows {}): start that one", .path.display(), schema::VERSION)]
    Newer { path: PathBuf, found: i32 },
    #[error("the history {} cannot be used: {why}", .path.display())]
    Unusable { path: PathBuf, why: String },
    #[error("cannot keep a history even in memory: {0}")]
    Memory(rusqlite::Error),
}

/// Returns the first of these: the path in the config, the config's directory if it is writable, systemd's state directory, memory.
pub fn place(stated: Option<&Path>, config: &Path) -> Place {
    if let Some(path) = stated {
        return Place::File(path.to_owned());
    }
    let beside = config.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let state = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let places = [Some(beside.to_owned()), state];
    match places.into_iter().flatten().find(|directory| is_writable(directory)) {
        Some(directory) => Place::File(directory.join("serin.db")),
        None => Place::Memory(format!("{} cannot be written, and there is no STATE_DIRECTORY", beside.display())),
    }
}

/// A history that exists is used even if the directory is not writable now.
fn is_writable(directory: &Path) -> bool {
    directory.join("serin.db").exists() || rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}

pub(super) fn open(place: &Place, if_lost: IfLost) -> Result<(Database, Found), OpenError> {
    match place {
        Place::Memory(why) if if_lost == IfLost::Refuse => Err(OpenError::Unusable { path: PathBuf::from("in memory"), why: why.clone() }),
        Place::Memory(why) => {
            let alarm = format!("no history is kept: {why}; a restart forgets everything");
            in_memory(Found { alarms: vec![alarm], ..Found::default() })
        }
        Place::File(path) if if_lost == IfLost::Refuse => existing(path),
        Place::File(path) => file(path),
    }
}

fn in_memory(found: Found) -> Result<(Database, Found), OpenError> {
    let durable = Connection::open_in_memory().map_err(OpenError::Memory)?;
    schema::prepare(&durable).map_err(OpenError::Memory)?;
    let id = schema::id(&durable).map_err(OpenError::Memory)?;
    Ok((Database { path: None, durable, quick: None, reader: None, roles: Roles::default(), id, lock: None }, found))
}

/// Opens a history that another process has just closed. It changes no file if that fails.
fn existing(path: &Path) -> Result<(Database, Found), OpenError> {
    let mut found = Found::default();
    let unusable = |why: String| OpenError::Unusable { path: path.to_owned(), why };
    let Some(lock) = lock(path, &mut found)? else { return Err(unusable(found.alarms.join("; "))) };
    if !path.exists() {
        return Err(unusable("it is gone".to_owned()));
    }
    match connect(path) {
        Ok(connected) => Ok(of(path, connected, Some(lock), found)),
        Err(Broken::Newer(version)) => Err(OpenError::Newer { path: path.to_owned(), found: version }),
        Err(Broken::Unreadable(why) | Broken::Unusable(why)) => Err(unusable(why)),
    }
}

fn of(path: &Path, connected: Connected, lock: Option<File>, mut found: Found) -> (Database, Found) {
    let Connected { durable, quick, reader, kept, id } = connected;
    let roles = Roles::new(kept.iter().map(|(bot, kept)| (bot.clone(), kept.state.stable.clone())));
    found.bots = kept.into_iter().collect();
    (Database { path: Some(path.to_owned()), durable, quick: Some(quick), reader: Some(reader), roles, id, lock }, found)
}

fn file(path: &Path) -> Result<(Database, Found), OpenError> {
    let mut found = Found::default();
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && let Err(error) = std::fs::create_dir_all(directory)
    {
        found.alarms.push(format!("cannot make {}: {error}", directory.display()));
    }
    let lock = lock(path, &mut found)?;
    private::narrow(path);
    if !path.exists()
        && let Some(stable) = Roles::read(path)
    {
        found.alarms.push(format!("the history {} is gone; the stable releases are read from the file beside it", path.display()));
        found.lost = true;
        found.stable = stable;
    }
    let opened = match connect(path) {
        Err(Broken::Unreadable(why)) => {
            found.stable = Roles::read(path).unwrap_or_default();
            found.lost = true;
            let aside = set_aside(path);
            let kept = aside.as_ref().map_or_else(ToString::to_string, |aside| aside.display().to_string());
            found.alarms.push(format!("the history {} cannot be read ({why}); it is kept as {kept}, and a new one begins", path.display()));
            match aside {
                Ok(_) => connect(path),
                Err(_) => Err(Broken::Unreadable(why)),
            }
        }
        other => other,
    };
    match opened {
        Ok(connected) => Ok(of(path, connected, lock, found)),
        Err(Broken::Newer(version)) => Err(OpenError::Newer { path: path.to_owned(), found: version }),
        Err(Broken::Unreadable(why) | Broken::Unusable(why)) => {
            // The file that cannot be used may contain a history.
            if path.exists() {
                found.lost = true;
                found.stable = Roles::read(path).unwrap_or_default();
            }
            found.alarms.push(format!("no history is kept: {} cannot be used: {why}; a restart forgets everything", path.display()));
            in_memory(found)
        }
    }
}

/// Locks the history for this process. The kernel releases the lock when the process ends, even after a crash.
fn lock(path: &Path, found: &mut Found) -> Result<Option<File>, OpenError> {
    let lock = beside(path, "lock");
    let file = match private::keep_or_create(&lock).or_else(|_| File::open(&lock)) {
        Ok(file) => file,
        Err(error) => {
            found.alarms.push(format!("cannot lock {}: {error}", lock.display()));
            return Ok(None);
        }
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => {
            found.alarms.push(format!("cannot lock {}: {error}", lock.display()));
            Ok(None)
        }
    }
}

enum Broken {
    /// The file exists and is no readable history.
    Unreadable(String),
    /// The file does not exist and cannot be created, or the disk fails.
    Unusable(String),
    Newer(i32),
}

struct Connected {
    durable: Connection,
    quick: Connection,
    reader: Connection,
    kept: Vec<(String, Kept)>,
    id: Vec<u8>,
}

fn connect(path: &Path) -> Result<Connected, Broken> {
    let exists = path.metadata().is_ok_and(|meta| meta.len() > 0);
    let broken = |error: rusqlite::Error| match (exists, error.sqlite_error_code()) {
        // A disk that is full or read-only says nothing about the file's content.
        (_, Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::PermissionDenied)) | (false, _) => {
            Broken::Unusable(error.to_string())
        }
        (true, _) => Broken::Unreadable(error.to_string()),
    };
    let durable = match connection(path, "FULL") {
        Ok(connection) => connection,
        // A history that can be read is used, even if nothing can be written.
        Err(error) if exists && is_read_only(&error) => return read_only(path).map_err(broken),
        Err(error) => return Err(broken(error)),
    };
    let version = match schema::prepare(&durable) {
        Err(error) if exists && is_read_only(&error) => return read_only(path).map_err(broken),
        other => other.map_err(broken)?,
    };
    if version > schema::VERSION {
        return Err(Broken::Newer(version));
    }
    // Without this check a damaged page would only be found when it is needed.
    let sound: String = durable.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(broken)?;
    if sound != "ok" {
        return Err(Broken::Unreadable(sound));
    }
    let kept = schema::kept(&durable).map_err(broken)?;
    let id = schema::id(&durable).map_err(broken)?;
    let quick = connection(path, "NORMAL").map_err(broken)?;
    let reader = reader(path).map_err(broken)?;
    Ok(Connected { durable, quick, reader, kept, id })
}

fn read_only(path: &Path) -> rusqlite::Result<Connected> {
    let (durable, quick, reader) = (reader(path)?, reader(path)?, reader(path)?);
    let (kept, id) = (schema::kept(&durable)?, schema::id(&durable)?);
    Ok(Connected { durable, quick, reader, kept, id })
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    Ok(connection)
}

fn is_read_only(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(ReadOnly | CannotOpen | PermissionDenied | DiskFull | SystemIoFailure))
}

fn connection(path: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    // SQLite gives its other files the mode of this one. An error of this call is ignored, because `Connection::open` reports it.
    let _ = private::create_missing(path);
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    Ok(connection)
}

/// Renames `serin.db` to `serin.db.unreadable-1763859600000`, and its `-wal` and `-shm` files accordingly.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path, &format!("unreadable-{}", unix_millis()));
    std::fs::rename(path, &aside)?;
    for ending in ["-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        if with(path).exists() {
            std::fs::rename(with(path), with(&aside))?;
        }
    }
    Ok(aside)
}
