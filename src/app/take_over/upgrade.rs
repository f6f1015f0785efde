//! SIGUSR2: the running serin starts the binary that is now at the path that it was started by, with the same arguments. That process
//! takes over like one that somebody has started with `--take-over`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::app::systemd::News;

const OPTION: &str = "--take-over";
/// A new process reads its config and connects. One that has not done that by now hangs, and is ended.
const CONNECTS_WITHIN: Duration = Duration::from_secs(30);
/// What the kernel appends to the path of a running file that was replaced.
const DELETED: &[u8] = b" (deleted)";

/// The process that this serin has started.
#[derive(Debug)]
pub struct Upgrade {
    child: Child,
    since: Instant,
}

impl Upgrade {
    pub fn start(news: &News) -> io::Result<Upgrade> {
        let mut arguments = env::args_os();
        let name = arguments.next().unwrap_or_default();
        let arguments: Vec<OsString> = arguments.collect();
        let start = |program: &OsStr| command(program, &arguments, news).spawn();
        let child = match start(&name) {
            // The name need not be a path that still leads anywhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => start(own_file()?.as_os_str()),
            started => started,
        };
        Ok(Upgrade { child: child?, since: Instant::now() })
    }

    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns the process's status once it has ended. A process that does not connect in time is ended; `connected` stops that clock.
    /// Cancel safe.
    pub async fn ended(&mut self, connected: bool) -> io::Result<ExitStatus> {
        if !connected {
            match tokio::time::timeout_at(self.since + CONNECTS_WITHIN, self.child.wait()).await {
                Ok(ended) => return ended,
                Err(_) => self.child.start_kill()?,
            }
        }
        self.child.wait().await
    }
}

fn command(program: &OsStr, arguments: &[OsString], news: &News) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).envs(news.variables());
    if !arguments.iter().any(|argument| argument == OPTION) {
        command.arg(OPTION);
    }
    command
}

/// The path of the file that this process runs, whatever file is there now.
fn own_file() -> io::Result<PathBuf> {
    env::current_exe().map(|path| without_mark(&path))
}

fn without_mark(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    Path::new(OsStr::from_bytes(bytes.strip_suffix(DELETED).unwrap_or(bytes))).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_given_once_and_the_supervisor_hears_of_the_new_process() {
        let news = News::new(Some("/run/notify".into()), Some(Duration::from_secs(30)));
        for arguments in [&["run", "--config", "a.toml"][..], &["run", "--take-over"]] {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            let command = command(OsStr::new("serin"), &arguments, &news);
            let given: Vec<&OsStr> = command.as_std().get_args().collect();
            assert_eq!(given.iter().filter(|argument| **argument == OPTION).count(), 1, "{given:?}");
            let set: Vec<_> = command.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))).collect();
            let wanted =
                [("NOTIFY_SOCKET", "/run/notify"), ("WATCHDOG_USEC", "30000000")].map(|(name, value)| (name.as_ref(), value.as_ref()));
            assert_eq!(set, wanted);
        }
    }

    #[test]
    fn the_mark_of_a_replaced_file_is_no_part_of_its_path() {
        assert_eq!(without_mark(Path::new("/usr/bin/serin (deleted)")), Path::new("/usr/bin/serin"));
        assert_eq!(without_mark(Path::new("/usr/bin/serin")), Path::new("/usr/bin/serin"));
    }
}
