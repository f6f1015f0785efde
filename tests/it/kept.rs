//! The place of the history, and what a config cannot do if the history was lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Ask, Config, Process, command_of, two_upstreams};

/// The kernel's number of a user without files.
const NOBODY: u32 = 65_534;

fn open_to(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A folder with a config, and one beside it for systemd's state.
struct Folders {
    root: tempfile::TempDir,
    config: PathBuf,
    state: PathBuf,
}

impl Folders {
    fn new(text: &str) -> Folders {
        let root = tempfile::tempdir().unwrap();
        open_to(root.path(), 0o755);
        let [config, state] = ["config", "state"].map(|name| root.path().join(name));
        for folder in [&config, &state] {
            fs::create_dir(folder).unwrap();
            open_to(folder, 0o777);
        }
        fs::write(config.join("serin.toml"), text).unwrap();
        open_to(&config.join("serin.toml"), 0o644);
        Folders { config, state, root }
    }

    /// serin as a user who cannot write everywhere, which root can.
    fn command(&self) -> Command {
        if !rustix::process::geteuid().is_root() {
            return command_of(Path::new(env!("CARGO_BIN_EXE_serin")), &["run", "--config"]);
        }
        // Another user may have no access to the folder of the tests' binary.
        let serin = self.root.path().join("serin");
        fs::copy(env!("CARGO_BIN_EXE_serin"), &serin).unwrap();
        open_to(&serin, 0o755);
        let mut command = command_of(&serin, &["run", "--config"]);
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    fn histories(&self) -> Vec<String> {
        let is_there = |path: &Path| path.join("serin.db").exists();
        let places = [("config", &self.config), ("state", &self.state)];
        places.iter().filter(|(_, path)| is_there(path)).map(|(name, _)| (*name).to_owned()).collect()
    }
}

fn freeze(process: &Process) -> Value {
    let answer = process.admin(Ask::new("POST", "/v1/bots/support/freeze").json("{}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn the_history_is_where_the_config_says_else_beside_it_else_in_the_state_directory_else_in_memory() {
    let (blue, green) = two_upstreams();
    let text = Config::split(blue.address, green.address).text();
    for (stated, beside, state, where_it_is) in
        [(true, true, true, &[][..]), (false, true, true, &["config"]), (false, false, true, &["state"]), (false, false, false, &[])]
    {
        let folders = Folders::new(&text);
        let elsewhere = folders.root.path().join("state/elsewhere.db");
        if stated {
            fs::write(folders.config.join("serin.toml"), format!("{text}[history]\npath = {elsewhere:?}\n")).unwrap();
        }
        if !beside {
            open_to(&folders.config, 0o555);
        }
        let mut command = folders.command();
        if state {
            command.env("STATE_DIRECTORY", &folders.state);
        }
        let process = Process::start_by(command, &folders.config.join("serin.toml"));
        let kept = stated || beside || state;
        assert_eq!(freeze(&process)["durable"], kept, "{stated} {beside} {state}");
        assert_eq!(process.metrics().sum("serin_durable", &[]), f64::from(u8::from(kept)));
        assert_eq!((folders.histories(), elsewhere.exists()), (where_it_is.iter().map(|place| (*place).to_owned()).collect(), stated));
        if !kept {
            let line = process.logged("no history is kept");
            assert!(line.contains("cannot be written, and there is no STATE_DIRECTORY") && line.contains("ERROR"), "{line}");
        }
    }
}

/// The config's weight is that of a first beginning: what operators have done since is not known any more, and it may have been an abort.
#[test]
fn a_lost_history_never_applies_the_configs_weight_again() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).weight("50%");
    for unreadable in [true, false] {
        let mut process = Process::start(&config);
        assert_eq!(process.bot()["weight_percent"], 50.0, "at a first beginning");
        process.set_weight(0.0);
        process.signal(libc::SIGKILL);
        process.ended();
        let path = process.config.with_file_name("serin.db");
        for ending in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{ending}", path.display()));
        }
        if unreadable {
            fs::write(&path, b"this is no database, and it never was one; it is long enough to be looked at").unwrap();
        }
        let again = Process::start_with(&process.config);
        again.logged(if unreadable { "cannot be read" } else { "is gone" });
        let standing = || (again.bot()["weight_percent"].as_f64(), again.bot()["phase"].as_str().unwrap().to_owned());
        assert_eq!(standing(), (Some(0.0), "idle".to_owned()));
        let takes = |config: Config| {
            again.apply_config(&config.text());
        };
        takes(config.clone().bot("timeout = \"9s\""));
        assert_eq!(standing(), (Some(0.0), "idle".to_owned()), "an unchanged value says nothing new");
        takes(Config::split(blue.address, green.address).weight("40%"));
        assert_eq!(standing().0, Some(40.0), "a changed one does");
    }
}

/// A history that exists and cannot be opened may hold a promotion. The roles file beside it names stable.
#[test]
fn a_history_that_cannot_be_opened_is_a_lost_one_and_nothing_is_durable() {
    let (blue, green) = two_upstreams();
    let folders = Folders::new(&Config::split(blue.address, green.address).weight("50%").text());
    let config = folders.config.join("serin.toml");
    let mut process = Process::start_by(folders.command(), &config);
    for (action, body) in [("abort", "{}"), ("switch", "{}")] {
        let answer = process.admin(Ask::new("POST", &format!("/v1/bots/support/{action}")).json(body));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    process.signal(libc::SIGKILL);
    process.ended();
    open_to(&config.with_file_name("serin.db"), 0o000);
    let again = Process::start_by(folders.command(), &config);
    again.logged("no history is kept");
    let bot = again.bot();
    assert_eq!((&bot["stable"]["upstream"], &bot["weight_percent"], &bot["durable"]), (&"green".into(), &0.0.into(), &false.into()));
}
