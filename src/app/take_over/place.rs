//! The socket on which a running serin waits for a newer one. Both derive its path in the same way. Only the process that has the
//! history's lock makes it, so a file that is there already belongs to nobody any more.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::net::{UnixListener, UnixStream};

/// What a path in `sockaddr_un` can have, with the nul at its end.
const PATH_BYTES_MAX: usize = 108;
/// Appended to the path until the socket listens.
const NEW: &str = ".new";

/// `serin.sock` in systemd's `RUNTIME_DIRECTORY`, else the history's path with `.sock` at its end.
pub fn path(history: &Path) -> PathBuf {
    // systemd separates several directories by colons.
    let runtime = env::var_os("RUNTIME_DIRECTORY").unwrap_or_default();
    match runtime.as_bytes().split(|byte| *byte == b':').next() {
        Some(first) if !first.is_empty() => Path::new(std::ffi::OsStr::from_bytes(first)).join("serin.sock"),
        _ => with(history, ".sock"),
    }
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Listens on the path, instead of whatever has listened there before. Only serin's user and root can connect.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let new = with(path, NEW);
    if new.as_os_str().len() >= PATH_BYTES_MAX {
        let most = PATH_BYTES_MAX - NEW.len() - 1;
        bail!("the path {} has more than {most} bytes: set RUNTIME_DIRECTORY to a directory with a shorter path", path.display());
    }
    for path in [path, &new] {
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            bail!("{} is there already, and no socket: move it away", path.display());
        }
    }
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new).with_context(|| format!("cannot listen on {}", new.display()))?;
    // Before anybody knows the name. What connects is asked for its user as well.
    fs::set_permissions(&new, Permissions::from_mode(0o600)).with_context(|| format!("cannot protect {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(listener)
}

/// Connects to a running serin. Returns `None` if there is none.
pub async fn connect(path: &Path) -> anyhow::Result<Option<UnixStream>> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        // A path that is too long: no serin can listen on it.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot connect to the running serin at {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_is_replaced_and_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory.path().join("serin.db"));
        assert!(path.ends_with("serin.db.sock"));
        assert!(connect(&path).await.unwrap().is_none(), "nothing is there");
        drop(listen(&path).unwrap());
        assert!(path.exists() && connect(&path).await.unwrap().is_none(), "a stale socket");
        let _listener = listen(&path).unwrap();
        assert!(connect(&path).await.unwrap().is_some());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(listen(&path).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_refused_with_what_to_do() {
        let path = PathBuf::from(format!("/tmp/{}/serin.db.sock", "x".repeat(90)));
        assert!(listen(&path).unwrap_err().to_string().contains("RUNTIME_DIRECTORY"));
        assert!(connect(&path).await.unwrap().is_none());
    }
}
