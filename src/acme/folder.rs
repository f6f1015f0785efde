//! The files of an authority: the account with its key, and for each name one file with the certificate, its chain and its key. A
//! file is replaced whole and is on the disk before it is used. Only serin's user can read it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::trouble::{Kind, Trouble};
use crate::config::tls::Pair;
use crate::store::replace_file;

const FOLDER_MODE: u32 = 0o700;
/// No host has this name.
const CHECK: &str = ".check";
const ACCOUNT: &str = "account.json";
/// The limit of the account's file, which has some hundred bytes.
const ACCOUNT_BYTES_MAX: u64 = 64 * 1024;

/// The folder of one authority: an account and certificates of another one, its staging environment for example, are kept apart.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn of(folder: &Path, directory: &str) -> Folder {
        let authority = directory.split_once("://").map_or(directory, |(_, rest)| rest);
        let kept = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
        Folder(folder.join(authority.chars().map(kept).collect::<String>()))
    }

    /// Does this with the folder, without keeping the control thread waiting for the disk.
    pub async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.unwrap_or_else(|error| Err(Trouble::new(Kind::Folder, error.to_string())))
    }

    /// Whether files can be written.
    pub fn check(&self) -> Result<(), Trouble> {
        let path = self.0.join(CHECK);
        self.write(&path, b"")?;
        fs::remove_file(&path).map_err(|error| Trouble::new(Kind::Folder, format!("cannot remove {}: {error}", path.display())))
    }

    /// The certificate for a name. `None`: there is none.
    pub fn certificate(&self, name: &str) -> Result<Option<Arc<Pair>>, Trouble> {
        let path = self.certificate_path(name);
        if !path.exists() {
            return Ok(None);
        }
        let pair = Pair::load_both(&path).map_err(|error| Trouble::new(Kind::Folder, error.to_string()))?;
        match pair.is_for(name) {
            true => Ok(Some(Arc::new(pair))),
            false => Err(Trouble::new(Kind::Folder, format!("{} is not for {name}", path.display()))),
        }
    }

    /// Keeps a certificate and returns it as it will be read after a restart. `pem`: the chain and the key. Waits for the disk.
    pub fn keep_certificate(&self, name: &str, pem: &str) -> Result<Arc<Pair>, Trouble> {
        self.write(&self.certificate_path(name), pem.as_bytes())?;
        self.certificate(name)?.ok_or_else(|| Trouble::new(Kind::Folder, format!("the certificate for {name} is gone again")))
    }

    pub fn account(&self) -> Result<Option<Vec<u8>>, Trouble> {
        let path = self.0.join(ACCOUNT);
        let read = || {
            let mut bytes = Vec::new();
            File::open(&path)?.take(ACCOUNT_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Trouble::new(Kind::Folder, format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// Waits for the disk.
    pub fn keep_account(&self, account: &[u8]) -> Result<(), Trouble> {
        self.write(&self.0.join(ACCOUNT), account)
    }

    /// A name has neither slashes nor dots at its begin, as the config has checked.
    fn certificate_path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
        let replace = || {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.0)?;
            replace_file(path, bytes)?;
            File::open(&self.0)?.sync_all()
        };
        replace().map_err(|error| Trouble::new(Kind::Folder, format!("cannot write {}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn pem(names: &[&str]) -> String {
        let made = rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        made.cert.pem() + &made.signing_key.serialize_pem()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_certificate_is_kept_for_serins_user_alone_and_replaced_whole() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::of(&place.path().join("acme"), "https://acme.example:14000/dir");
        assert!(folder.certificate("a.example").unwrap().is_none());
        let first = folder.keep_certificate("a.example", &pem(&["a.example"])).unwrap();
        let path = place.path().join("acme/acme.example_14000_dir/a.example.pem");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        // A crash has left this file, which everybody can read.
        fs::write(path.with_added_extension("new"), "half").unwrap();
        folder.check().unwrap();
        let second = folder.keep_certificate("a.example", &pem(&["a.example"])).unwrap();
        assert_ne!(first.contents, second.contents);
        assert_eq!(folder.certificate("a.example").unwrap().unwrap().contents, second.contents);
        assert_eq!((mode(&path), fs::read_dir(path.parent().unwrap()).unwrap().count()), (0o600, 1));
    }

    #[test]
    fn a_file_that_cannot_be_used_says_why() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::of(place.path(), "https://acme.example/dir");
        let other = folder.keep_certificate("a.example", &pem(&["b.example"])).unwrap_err();
        assert!(other.kind == Kind::Folder && other.text.ends_with("is not for a.example"), "{other:?}");
        fs::write(folder.certificate_path("c.example"), "nothing").unwrap();
        assert!(folder.certificate("c.example").unwrap_err().text.ends_with("has no certificate in it"));
        let nowhere = Folder::of(Path::new("/proc/none"), "https://acme.example/dir");
        assert!(nowhere.keep_account(b"{}").unwrap_err().text.starts_with("cannot write /proc/none/acme.example_dir/account.json: "));
        assert_eq!(nowhere.account(), Ok(None));
    }
}
