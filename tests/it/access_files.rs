//! What serin keeps on the disk is for its own user alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Config, Process, Upstream, command};

fn modes(directory: &Path) -> BTreeMap<String, u32> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().permissions().mode() & 0o777)).collect()
}

#[track_caller]
fn only_ours(directory: &Path, least: &[&str]) {
    let modes = modes(directory);
    for name in least {
        assert!(modes.contains_key(*name), "no {name} in {modes:?}");
    }
    for (name, mode) in modes.iter().filter(|(name, _)| name.starts_with("serin.db")) {
        assert_eq!(*mode, 0o600, "{name}: {mode:o}");
    }
}

const FILES: [&str; 6] = ["serin.db", "serin.db-wal", "serin.db-shm", "serin.db.lock", "serin.db.roles.json", "serin.db.key"];

fn start(path: &Path, umask: &str) -> Process {
    let serin = command(&[]);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$0\" run --config \"$1\"")]).arg(serin.get_program());
    for (name, _) in serin.get_envs().filter(|(_, value)| value.is_none()) {
        shell.env_remove(name);
    }
    Process::start_by(shell, path)
}

#[test]
fn no_other_user_can_read_the_history_under_any_umask() {
    let blue = Upstream::answering("blue");
    for umask in ["0000", "0022", "0777"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("serin.toml");
        fs::write(&path, Config::split(blue.address, blue.address).text()).unwrap();
        let process = start(&path, umask);
        process.set_weight(5.0);
        only_ours(directory.path(), &FILES);
        assert_eq!(process.logged_times("was readable for others"), 0);
        process.end();
        only_ours(directory.path(), &["serin.db"]);
    }
}

#[test]
fn files_that_others_can_read_are_restricted_at_the_start_and_logged_once() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    fs::write(&path, Config::split(blue.address, blue.address).text()).unwrap();
    let process = start(&path, "0022");
    process.set_weight(5.0);
    process.end();
    for aside in ["serin.db.unreadable-1763859600000", "serin.db.unreadable-1763859600000-wal", "serin.db.roles.json.new"] {
        fs::write(directory.path().join(aside), "{}").unwrap();
    }
    fs::write(directory.path().join("serin.db.backup"), "not serin's").unwrap();
    let open = fs::Permissions::from_mode(0o644);
    for name in modes(directory.path()).keys() {
        fs::set_permissions(directory.path().join(name), open.clone()).unwrap();
    }
    let process = start(&path, "0022");
    let line = process.logged("was readable for others");
    assert!(line.contains("serin.db.key") && line.contains("roles.json.new") && line.contains("unreadable-1763859600000-wal"), "{line}");
    assert_eq!(process.logged_times("readable for others"), 1);
    assert_eq!((modes(directory.path())["serin.db.backup"], modes(directory.path())["serin.toml"]), (0o644, 0o644));
    fs::remove_file(directory.path().join("serin.db.backup")).unwrap();
    only_ours(directory.path(), &FILES);
    process.end();
    // A history that cannot be read is kept aside, for serin's user alone.
    let db = directory.path().join("serin.db");
    let _ = (fs::remove_file(directory.path().join("serin.db-wal")), fs::remove_file(directory.path().join("serin.db-shm")));
    fs::write(&db, "this is no history").unwrap();
    fs::set_permissions(&db, open).unwrap();
    let process = start(&path, "0000");
    process.logged("cannot be read");
    only_ours(directory.path(), &FILES);
    process.end();
}
