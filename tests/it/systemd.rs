//! Sockets that a supervisor opens, and the messages that serin sends to it. The test is the supervisor; serin is a real process.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ask, Client, Config, Handle, PATIENCE, Upstream, command, eventually, send_signal, send_signal_to};

/// It holds the sockets, as systemd does, whether a serin runs or not.
struct Supervisor {
    sockets: Vec<(&'static str, TcpListener)>,
    news: UnixDatagram,
    directory: TempDir,
}

impl Supervisor {
    fn new(config: &Config) -> Supervisor {
        Supervisor::with_admin_on("127.0.0.1:0", config)
    }

    fn with_admin_on(admin: &str, config: &Config) -> Supervisor {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("serin.toml"), config.text()).unwrap();
        let news = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        news.set_read_timeout(Some(PATIENCE)).unwrap();
        let sockets = [("admin", admin), ("proxy", "127.0.0.1:0")].map(|(name, at)| (name, TcpListener::bind(at).unwrap())).into();
        Supervisor { sockets, news, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn handle(&self) -> Handle {
        let address = |index: usize| -> SocketAddr { self.sockets[index].1.local_addr().unwrap() };
        Handle { proxy: address(1), admin: address(0), token: None }
    }

    fn command(&self) -> Command {
        let fds: Vec<RawFd> = self.sockets.iter().map(|(_, socket)| socket.as_raw_fd()).collect();
        let names: Vec<&str> = self.sockets.iter().map(|(name, _)| *name).collect();
        let mut command = hand_over(&self.path("serin.toml"), fds, &names.join(":"));
        command.env("NOTIFY_SOCKET", self.path("notify"));
        command
    }

    /// The next news that is not the watchdog's.
    #[track_caller]
    fn heard(&self) -> String {
        loop {
            let mut buffer = [0; 200];
            let length = self.news.recv(&mut buffer).expect("news");
            let news = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if news != "WATCHDOG=1" {
                return news;
            }
        }
    }
}

/// `serin run` with these descriptors as 3, 4 and so on, by a shell that says its own number, which stays serin's.
#[allow(unsafe_code, reason = "only the child can give descriptors their numbers, before it becomes serin")]
fn hand_over(config: &Path, fds: Vec<RawFd>, names: &str) -> Command {
    let serin = command(&[]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "LISTEN_PID=$$ exec \"$0\" run --config \"$1\""]).arg(serin.get_program()).arg(config);
    command.env("LISTEN_FDS", fds.len().to_string()).env("LISTEN_FDNAMES", names).stdin(Stdio::null());
    for (name, _) in serin.get_envs().filter(|(_, value)| value.is_none()) {
        command.env_remove(name);
    }
    let hand_over = move || {
        // First out of the way of the numbers that they get.
        let mut high = [0; 8];
        for (index, fd) in fds.iter().enumerate() {
            // SAFETY: no pointers; only descriptors of the child, which has no threads yet.
            high[index] = unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 100) };
        }
        for (index, high) in high.iter().take(fds.len()).enumerate() {
            // SAFETY: the same.
            if unsafe { libc::dup2(*high, 3 + index as RawFd) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it only calls fcntl and dup2, which are async-signal-safe.
    unsafe { command.pre_exec(hand_over) };
    command
}

#[track_caller]
fn end(mut child: Child) {
    send_signal(&child, libc::SIGTERM);
    assert!(eventually("serin ends", || child.try_wait().unwrap()).success());
}

fn split(blue: &Upstream) -> Config {
    Config::split(blue.address, blue.address)
}

#[test]
fn sockets_and_news_go_through_the_life_of_a_process() {
    let blue = Upstream::answering("blue");
    let supervisor = Supervisor::new(&split(&blue));
    let child = supervisor.command().stderr(Stdio::null()).env("WATCHDOG_USEC", "200000").spawn().unwrap();
    assert_eq!(supervisor.heard(), "READY=1");
    let handle = supervisor.handle();
    for i in 0..50 {
        assert_eq!(handle.ask(&Ask::of(&format!("T{i}"))).text(), "blue");
    }
    assert_eq!(handle.admin(Ask::new("GET", "/readyz")).status, 200);
    let mut buffer = [0; 200];
    let length = supervisor.news.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"WATCHDOG=1");
    send_signal(&child, libc::SIGHUP);
    let reloading = supervisor.heard();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(supervisor.heard(), "READY=1");
    send_signal(&child, libc::SIGTERM);
    assert_eq!(supervisor.heard(), "STOPPING=1");
    end(child);
}

/// systemd watches the new process from then on, and does not think that the service stops.
#[test]
fn the_supervisor_hears_of_the_newer_serin_which_has_its_sockets() {
    let blue = Upstream::answering("blue");
    let supervisor = Supervisor::new(&split(&blue));
    let mut older = supervisor.command().stderr(Stdio::null()).env("WATCHDOG_USEC", "200000").spawn().unwrap();
    assert_eq!(supervisor.heard(), "READY=1");
    let handle = supervisor.handle();
    handle.set_weight(5.0);
    send_signal(&older, libc::SIGUSR2);
    let main = supervisor.heard();
    let newer: libc::pid_t = main.strip_prefix("MAINPID=").unwrap_or_else(|| panic!("{main}")).parse().unwrap();
    assert_ne!(newer, older.id() as libc::pid_t);
    assert_eq!(supervisor.heard(), "READY=1", "of the newer serin");
    assert!(eventually("the older serin ends", || older.try_wait().unwrap()).success());
    assert_eq!(handle.ask(&Ask::of("T1")).text(), "blue");
    assert_eq!(handle.bot()["weight_percent"], 5.0);
    let mut buffer = [0; 200];
    let length = supervisor.news.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"WATCHDOG=1", "of the newer serin");
    send_signal_to(newer, libc::SIGTERM).unwrap();
    assert_eq!(supervisor.heard(), "STOPPING=1");
}

#[test]
fn a_restart_loses_no_connection() {
    let blue = Upstream::answering("blue");
    let supervisor = Supervisor::new(&split(&blue));
    let handle = supervisor.handle();
    for _ in 0..2 {
        // No serin runs: the connections wait in the kernel's queue.
        let mut early: Vec<Client> = (0..20).map(|_| handle.client()).collect();
        early.iter_mut().for_each(|client| client.send(&Ask::of("T1").bytes()));
        let child = supervisor.command().stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(supervisor.heard(), "READY=1");
        for client in &mut early {
            assert_eq!(client.answer().unwrap().status, 200);
        }
        // At the very end of one, and the beginning of the next.
        drop(early);
        end(child);
        assert_eq!(supervisor.heard(), "STOPPING=1");
    }
}

/// What serin says that gets these descriptors.
fn refused(config: &Config, fds: Vec<RawFd>, names: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    std::fs::write(&path, config.text()).unwrap();
    hand_over(&path, fds, names).output().unwrap()
}

#[test]
fn a_socket_that_cannot_be_used_is_refused_with_the_reason() {
    let blue = Upstream::answering("blue");
    let (unix, silent, open) = (
        UnixDatagram::unbound().unwrap(),
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap(),
        TcpListener::bind("0.0.0.0:0").unwrap(),
    );
    for (fd, name, reason) in [
        (unix.as_raw_fd(), "proxy", "the socket \"proxy\" (file descriptor 3) that systemd hands over is no TCP socket"),
        (silent.as_raw_fd(), "proxy", "does not listen"),
        (open.as_raw_fd(), "admin", "is open to others"),
    ] {
        let output = refused(&split(&blue), vec![fd], name);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

/// The config's own address is a loopback one, and the socket is not.
#[test]
fn a_reload_that_would_open_the_admin_socket_to_others_is_refused() {
    let blue = Upstream::answering("blue");
    let token = "operate-operate-operate";
    let supervisor = Supervisor::with_admin_on("0.0.0.0:0", &split(&blue).token("ci", "operate", token));
    let child = supervisor.command().stderr(Stdio::piped()).spawn().unwrap();
    let (child, mut log) = with_log(child);
    assert_eq!(supervisor.heard(), "READY=1");
    let port = supervisor.handle().admin.port();
    let ask =
        || Client::connect(SocketAddr::from(([127, 0, 0, 1], port))).ask(&Ask::new("GET", "/v1/bots").host(&format!("127.0.0.1:{port}")));
    assert_eq!(ask().status, 401);
    std::fs::write(supervisor.path("serin.toml"), split(&blue).text()).unwrap();
    let refused = log.find(|line| line.contains("config refused")).expect("the new config is refused");
    assert!(refused.contains("open to others") && refused.contains("0.0.0.0:"), "{refused}");
    assert_eq!(ask().status, 401);
    end(child);
}

fn with_log(mut child: Child) -> (Child, impl Iterator<Item = String>) {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    (child, lines)
}

#[test]
fn sockets_for_another_process_are_ignored() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    std::fs::write(&path, split(&blue).text()).unwrap();
    let mut command = command(&["run", "--config"]);
    let mut child = command.arg(&path).env("LISTEN_PID", "1").env("LISTEN_FDS", "5").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let served = lines.find(|line| line.contains("serin serves")).expect("it serves");
    let served: Value = serde_json::from_str(&served).unwrap();
    let proxy: SocketAddr = served["proxy"].as_str().unwrap().parse().unwrap();
    assert_eq!(Client::connect(proxy).ask(&Ask::of("T1")).text(), "blue");
    child.kill().unwrap();
    child.wait().unwrap();
}
