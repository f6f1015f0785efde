//! serin as a process of its own, for signals, files and exit codes.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::{Config, Handle, eventually};

pub struct Process {
    handle: Handle,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub directory: Option<TempDir>,
    pub config: PathBuf,
}

/// `serin` with these arguments, without the `SERIN_` variables of this process.
pub fn command(arguments: &[&str]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_serin")), arguments)
}

/// The same with another binary.
pub fn command_of(serin: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(serin);
    command.args(arguments).stdin(Stdio::null()).env_remove("STATE_DIRECTORY").env_remove("RUNTIME_DIRECTORY");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SERIN_")) {
        command.env_remove(name);
    }
    command
}

impl Process {
    /// Starts serin with the config in a new directory. Returns once serin serves.
    pub fn start(config: &Config) -> Process {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("serin.toml");
        std::fs::write(&path, config.text()).expect("a writable directory");
        let mut process = Process::start_with(&path);
        process.directory = Some(directory);
        process
    }

    /// Starts serin with this config file. Returns once serin serves.
    pub fn start_with(config: &Path) -> Process {
        Process::start_by(command(&["run", "--config"]), config)
    }

    /// Starts this command with this config file. Returns once serin serves.
    pub fn start_by(mut command: Command, config: &Path) -> Process {
        let mut child = command.arg(config).stderr(Stdio::piped()).spawn().expect("serin is built");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, errors) = (log.clone(), BufReader::new(child.stderr.take().expect("piped")));
        std::thread::spawn(move || errors.lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line)));
        let serves = eventually("serin serves", || {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "serin ended: {ended:?} {:?}", log.lock().unwrap());
            log.lock().unwrap().iter().find_map(|line| addresses(line))
        });
        let handle = Handle { proxy: serves.0, admin: serves.1, token: None };
        Process { handle, child, log, directory: None, config: config.to_owned() }
    }

    /// The harness sends its own requests with this token.
    pub fn asking_with(mut self, token: &str) -> Process {
        self.handle.token = Some(token.to_owned());
        self
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills serin, and returns its directory, which exists as long as the result.
    pub fn directory_of_its_own(mut self) -> Option<TempDir> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.directory.take()
    }

    pub fn signal(&self, signal: libc::c_int) {
        send_signal(&self.child, signal);
    }

    /// Replaces the config as careful editors do: whole, by a rename.
    pub fn replace_config(&self, text: &str) {
        let new = self.config.with_extension("new");
        std::fs::write(&new, text).expect("a writable directory");
        std::fs::rename(&new, &self.config).expect("a rename within a directory");
    }

    /// Ends serin. For a test whose serin has an admin listener that the harness cannot ask.
    pub fn end(mut self) {
        self.signal(libc::SIGTERM);
        assert!(self.ended().success());
    }

    /// Waits until serin has ended.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        eventually("serin ends", || self.child.try_wait().expect("a child can be waited for"))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Waits for a line of the log that holds this.
    #[track_caller]
    pub fn logged(&self, part: &str) -> String {
        eventually(&format!("{part:?} in the log"), || self.log.lock().unwrap().iter().find(|line| line.contains(part)).cloned())
    }

    /// The address that `[proxy.tls] listen` got.
    pub fn tls_address(&self) -> SocketAddr {
        let line: Value = serde_json::from_str(&self.logged("serin serves")).expect("a line of JSON");
        line["tls"].as_str().expect("serin listens for TLS").parse().expect("an address")
    }

    /// How many lines of the log hold this.
    pub fn logged_times(&self, part: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }

    #[track_caller]
    pub fn reload_is(&self, successful: bool) {
        let wanted = f64::from(u8::from(successful));
        eventually("the reload's result", || (self.metrics().sum("serin_config_last_reload_successful", &[]) == wanted).then_some(()));
    }

    pub fn config_hash(&self) -> String {
        self.metrics().label("serin_config_info", "hash").expect("the config's hash").to_owned()
    }
}

fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "serin serves").then_some(())?;
    Some((line["proxy"].as_str()?.parse().ok()?, line["admin"].as_str()?.parse().ok()?))
}

impl Deref for Process {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            if !std::thread::panicking() {
                self.handle.nothing_in_flight();
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("serin's log:\n{}", self.log.lock().unwrap().join("\n"));
        }
    }
}

/// Sends a signal to a child that was not waited for, so that its number is still its own.
pub fn send_signal(child: &Child, signal: libc::c_int) {
    send_signal_to(child.id() as libc::pid_t, signal).expect("the child takes signals");
}

/// Sends a signal to a process that is no child of this one.
pub fn send_signal_to(process: libc::pid_t, signal: libc::c_int) -> std::io::Result<()> {
    let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal with a name");
    Ok(rustix::process::kill_process(rustix::process::Pid::from_raw(process).expect("a process's number"), signal)?)
}
