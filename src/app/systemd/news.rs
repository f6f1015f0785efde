//! Messages to the supervisor, one datagram each. It is not an error if there is no supervisor. serin does not wait long for one
//! that does not read.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The longest wait for the supervisor: it blocks the control thread.
const WAIT: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Default)]
pub struct News {
    to: Option<OsString>,
    /// The supervisor ends serin if it gets no `alive` for this long.
    pub watchdog: Option<Duration>,
}

impl News {
    pub fn new(to: Option<OsString>, watchdog: Option<Duration>) -> News {
        News { to, watchdog }
    }

    /// All workers serve, or serve the new config.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// `ready` must follow. The time distinguishes this reload from an earlier one (`Type=notify-reload`).
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// From now on the supervisor watches this process, and hears it instead of this one.
    pub fn main_process(&self, id: u32) {
        self.tell(&format!("MAINPID={id}"));
    }

    /// The variables by which a child process finds the supervisor.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let socket = self.to.clone().map(|to| ("NOTIFY_SOCKET", to));
        let watchdog = self.watchdog.map(|watchdog| ("WATCHDOG_USEC", watchdog.as_micros().to_string().into()));
        socket.into_iter().chain(watchdog).collect()
    }

    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, news: &str) {
        let Some(to) = &self.to else { return };
        if let Err(error) = send(to, news.as_bytes()) {
            tracing::debug!(%error, news, "the supervisor does not hear");
        }
    }
}

fn send(to: &OsStr, news: &[u8]) -> io::Result<()> {
    let address = match to.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(to)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(WAIT))?;
    socket.send_to_addr(news, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_with_a_path_and_one_without_hear_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("serin-test-{}", std::process::id());
        let without = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, to) in [(UnixDatagram::bind(&path).unwrap(), path.into_os_string()), (without, format!("@{name}").into())] {
            let news = News::new(Some(to), None);
            news.ready();
            assert_eq!(heard(&socket), "READY=1");
            news.reloading();
            let told = heard(&socket);
            let micros = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|micros| micros.parse::<u64>().ok());
            assert!(micros.is_some_and(|micros| micros > 0), "{told}");
        }
    }

    #[test]
    fn a_missing_supervisor_is_no_error() {
        News::default().ready();
        News::new(Some("/nowhere/at/all".into()), None).ready();
        News::new(Some("x".repeat(500).into()), None).stopping();
    }
}
