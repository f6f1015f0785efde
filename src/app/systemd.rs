//! The interface to systemd and compatible supervisors: sockets that are open already (sd_listen_fds(3)), and messages about
//! serin's state (sd_notify(3)). Both are a few environment variables; docs/adr/0013-packages-and-what-stays-by-hand.md says why no
//! package reads them.

mod news;
mod sockets;

use std::env;
use std::time::Duration;

pub use news::News;
pub use sockets::{Open, SocketError, Sockets};

/// Everything that systemd passes in the environment.
#[derive(Debug, Default)]
pub struct Systemd {
    pub sockets: Sockets,
    pub news: News,
}

const VARIABLES: [&str; 6] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Takes the sockets and settings for this process, and removes the variables, so that no child process sees them.
///
/// # Safety
///
/// Call it before any other thread is started and any file is opened: it changes the environment, and it takes descriptors by their
/// numbers.
#[allow(unsafe_code, reason = "it changes the environment, and takes descriptors by their numbers")]
pub unsafe fn take() -> Result<Systemd, SocketError> {
    let [listen_pid, fds, names, notify, watchdog_pid, watchdog] =
        VARIABLES.map(|name| env::var_os(name).filter(|value| !value.is_empty()));
    for name in VARIABLES {
        // SAFETY: there is no other thread, as the caller guarantees.
        unsafe { env::remove_var(name) };
    }
    let number = |value: &std::ffi::OsString| value.to_str()?.parse::<u64>().ok();
    let ours = |pid: &std::ffi::OsString| number(pid) == Some(u64::from(std::process::id()));
    let sockets = match fds.filter(|_| listen_pid.as_ref().is_some_and(ours)) {
        // SAFETY: by the variables they belong to this process, and nothing has taken them before, as the caller guarantees.
        Some(fds) => unsafe { Sockets::take(&fds.to_string_lossy(), &names.unwrap_or_default().to_string_lossy())? },
        None => Sockets::default(),
    };
    // Without a process id it is for every process that sees it.
    let watchdog = watchdog.filter(|_| watchdog_pid.is_none_or(|pid| ours(&pid))).and_then(|micros| number(&micros));
    Ok(Systemd { sockets, news: News::new(notify, watchdog.filter(|micros| *micros > 0).map(Duration::from_micros)) })
}
