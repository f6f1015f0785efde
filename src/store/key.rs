//! The installation's key, in a file beside the history that only serin's user can read. It is not in the history, because people copy
//! that and look into it. A new key makes every link that was made with the old one invalid.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rand::TryRng as _;
use rand::rngs::SysRng;
use ring::hmac;

use super::private;
use super::roles::beside;

const BYTES: usize = 32;
/// Separates what is signed here from anything else that is signed with the same key.
const HISTORY: &[u8] = b"serin history 1\0";

/// 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InstallationKey([u8; BYTES]);

impl InstallationKey {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(any(test, fuzzing))]
    pub const fn of_test(byte: u8) -> InstallationKey {
        InstallationKey([byte; BYTES])
    }

    /// A random key that is not stored.
    pub(super) fn passing() -> InstallationKey {
        let mut bytes = [0; BYTES];
        SysRng.try_fill_bytes(&mut bytes).expect("the system has randomness");
        InstallationKey(bytes)
    }

    /// Returns the key in the file; without a file, makes a key and writes the file. The second value says why the key will not outlive
    /// the process. A key that cannot be read is never replaced, because it may be readable after a restart.
    pub(super) fn kept(history: &Path) -> (InstallationKey, Option<String>) {
        let path = beside(history, "key");
        let (key, done, error) = match read(&path) {
            Ok(key) => {
                if is_open_to_others(&path) {
                    tracing::warn!(path = %path.display(), "users other than serin's can read the key of the links, and make links");
                }
                return (key, None);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = InstallationKey::passing();
                match private::replace(&path, &key.0) {
                    Ok(()) => return (key, None),
                    Err(error) => (key, "write", error),
                }
            }
            Err(error) => (InstallationKey::passing(), "read", error),
        };
        (key, Some(format!("cannot {done} {}: {error}; links in messages end with this process", path.display())))
    }

    /// Derives the key of one history. A new history's revisions begin at 1 again, so links and event ids of an old one must not be
    /// valid for it. Returns the key unchanged for a history that was made before histories had ids.
    pub(super) fn of_history(self, id: &[u8]) -> InstallationKey {
        if id.is_empty() {
            return self;
        }
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), &[HISTORY, id].concat());
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(tag.as_ref());
        InstallationKey(bytes)
    }
}

fn read(path: &Path) -> std::io::Result<InstallationKey> {
    let mut bytes = [0; BYTES];
    File::open(path)?.read_exact(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => std::io::Error::other(format!("it has less than {BYTES} bytes: delete it for a new one")),
        _ => error,
    })?;
    Ok(InstallationKey(bytes))
}

fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_until_its_file_is_gone_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let history = folder.path().join("serin.db");
        let (key, why) = InstallationKey::kept(&history);
        assert_eq!(why, None);
        assert_eq!(InstallationKey::kept(&history).0, key);
        let file = folder.path().join("serin.db.key");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&file).unwrap();
        assert_ne!(InstallationKey::kept(&history).0, key);
        assert_eq!(format!("{key:?}"), "InstallationKey(…)");
    }

    #[test]
    fn a_key_that_cannot_be_read_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (history, file) = (folder.path().join("serin.db"), folder.path().join("serin.db.key"));
        std::fs::write(&file, b"short").unwrap();
        let (key, why) = InstallationKey::kept(&history);
        assert!(why.unwrap().contains("serin.db.key: it has less than 32 bytes"));
        assert_eq!(std::fs::read(&file).unwrap(), b"short");
        assert_ne!(InstallationKey::kept(&history).0, key);
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(InstallationKey::kept(&history).1.unwrap().contains("cannot read"));
        assert!(file.is_dir());
    }

    #[test]
    fn a_key_that_others_can_read_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let (history, file) = (folder.path().join("serin.db"), folder.path().join("serin.db.key"));
        let (key, _) = InstallationKey::kept(&history);
        assert!(!is_open_to_others(&file));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(is_open_to_others(&file));
        assert_eq!(InstallationKey::kept(&history), (key, None));
    }

    #[test]
    fn each_history_has_its_own_key_and_one_without_an_id_has_the_installations() {
        let key = InstallationKey::of_test(7);
        assert_eq!(key.of_history(&[]), key);
        assert_eq!(key.of_history(b"a"), key.of_history(b"a"));
        assert_ne!(key.of_history(b"a"), key.of_history(b"b"));
        assert_ne!(key.of_history(b"a"), key);
    }

    #[test]
    fn a_key_that_cannot_be_stored_is_used_until_the_process_ends() {
        let (key, why) = InstallationKey::kept(Path::new("/nowhere/at/all/serin.db"));
        assert!(why.unwrap().contains("/nowhere/at/all/serin.db.key"));
        assert_eq!(key.bytes().len(), 32);
    }
}
