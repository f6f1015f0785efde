//! A place where serins follow one another: each takes over from the one before.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::{Config, LONG_BAKE, Process, Upstream, command, eventually, send_signal, two_upstreams, unused_port};

/// A directory with a config, in which serins follow one another.
pub struct Site {
    pub directory: tempfile::TempDir,
    pub config: PathBuf,
    pub sides: (Upstream, Upstream),
}

/// A process that may fail to start. Ends with the test.
pub struct Started {
    pub child: Child,
    log: PathBuf,
}

impl Site {
    pub fn new() -> Site {
        Site::of(|config| config)
    }

    pub fn of(change: impl FnOnce(Config) -> Config) -> Site {
        let (sides, directory) = (two_upstreams(), tempfile::tempdir().unwrap());
        let config = directory.path().join("serin.toml");
        let site = Site { directory, config, sides };
        site.write(change(site.plain()));
        site
    }

    pub fn plain(&self) -> Config {
        Config::of(&self.sides).bot(LONG_BAKE)
    }

    pub fn write(&self, config: Config) {
        std::fs::write(&self.config, config.text()).unwrap();
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("serin.db.sock")
    }

    pub fn start(&self) -> Process {
        Process::start_with(&self.config)
    }

    /// A newer serin that must succeed.
    pub fn take_over(&self) -> Process {
        Process::start_by(take_over(), &self.config)
    }

    /// A newer serin that may fail. `directory` is its RUNTIME_DIRECTORY.
    pub fn try_take_over(&self, directory: Option<PathBuf>) -> Started {
        let mut command = take_over();
        if let Some(directory) = directory {
            command.env("RUNTIME_DIRECTORY", directory);
        }
        self.try_by(command, &self.config)
    }

    /// The same by this command and with this config.
    pub fn try_by(&self, mut command: Command, config: &Path) -> Started {
        let log = self.directory.path().join(format!("newer-{}.log", unused_port()));
        let child = command.arg(config).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        Started { child, log }
    }
}

/// `serin run` that takes over; the config is to follow.
pub fn take_over() -> Command {
    command(&["run", "--take-over", "--config"])
}

impl Started {
    pub fn signal(&self, signal: libc::c_int) {
        send_signal(&self.child, signal);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    #[track_caller]
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let status = eventually("the newer serin ends", || self.child.try_wait().unwrap());
        (status.code(), self.said())
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    pub fn serves(&self) {
        eventually("the newer serin serves", || self.said().contains("serin serves").then_some(()));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the newer serin's log:\n{}", self.said());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
