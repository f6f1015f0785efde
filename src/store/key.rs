//! The installation's own key, in a file beside the history that only serin's user can read: not in the history, which is
//! copied and looked at. A new key ends every link that was made with the old one.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::roles::beside;

const BYTES: usize = 32;

/// 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InstallationKey([u8; BYTES]);

impl InstallationKey {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    pub fn of_test(byte: u8) -> InstallationKey {
        InstallationKey([byte; BYTES])
    }

    /// For as long as the process lives.
    pub(super) fn passing() -> InstallationKey {
        let mut bytes = [0; BYTES];
        SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
        InstallationKey(bytes)
    }

    /// The one in the file, else a new one in it. The error says why it will not outlive the process.
    pub(super) fn kept(history: &Path) -> (InstallationKey, Option<String>) {
        let path = beside(history, "key");
        if let Some(key) = read(&path) {
            return (key, None);
        }
        let key = InstallationKey::passing();
        let why = key
            .write(&path)
            .err()
            .map(|error| format!("cannot write {}: {error}; links in messages end with this process", path.display()));
        (key, why)
    }

    /// Whole, or not at all.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let new = path.with_extension("key.new");
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&self.0)?;
        file.sync_all()?;
        std::fs::rename(new, path)
    }
}

fn read(path: &Path) -> Option<InstallationKey> {
    let mut bytes = [0; BYTES];
    File::open(path).ok()?.read_exact(&mut bytes).ok()?;
    Some(InstallationKey(bytes))
}

impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_stays_until_its_file_is_gone_and_is_nobody_elses_to_read() {
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
    fn a_key_that_cannot_be_kept_serves_until_the_end() {
        let (key, why) = InstallationKey::kept(Path::new("/nowhere/at/all/serin.db"));
        assert!(why.unwrap().contains("/nowhere/at/all/serin.db.key"));
        assert_eq!(key.bytes().len(), 32);
    }
}
