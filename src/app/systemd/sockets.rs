//! Listening sockets that are open before serin starts. Connections wait in them while serin does not run, so a restart refuses none.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use socket2::{Domain, Socket, Type};

/// The first socket's number (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;
/// More than two listeners can need.
const SOCKETS_MAX: u32 = 64;

/// The sockets that systemd passed.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Named>);

#[derive(Debug)]
struct Named {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

/// The sockets that replace serin's own listeners.
#[derive(Debug, Default)]
pub struct Open {
    pub proxy: Option<TcpListener>,
    pub admin: Option<TcpListener>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SocketError {
    #[error("LISTEN_FDS is {0:?}, which is no number up to {SOCKETS_MAX}")]
    Count(String),
    #[error("the socket {name:?} (file descriptor {fd}) that systemd hands over {what}")]
    Kind { name: String, fd: RawFd, what: &'static str },
    #[error("systemd hands over {0}: name them with FileDescriptorName=proxy and FileDescriptorName=admin, one of each")]
    Unclear(String),
}

impl Sockets {
    /// # Safety
    ///
    /// The descriptors from 3 on, `count` of them, must have no other owner in this process.
    #[allow(unsafe_code, reason = "only the number of a descriptor that systemd passes is known")]
    pub unsafe fn take(count: &str, names: &str) -> Result<Sockets, SocketError> {
        let count = count.parse::<u32>().ok().filter(|count| *count <= SOCKETS_MAX).ok_or_else(|| SocketError::Count(count.to_owned()))?;
        let mut names = names.split(':');
        let mut sockets = Vec::new();
        for fd in (FIRST..).take(count as usize) {
            let name = names.next().unwrap_or_default().to_owned();
            // SAFETY: it only reads a flag, whatever the number is.
            if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
                return Err(SocketError::Kind { name, fd, what: "is not open" });
            }
            // SAFETY: it is open, and has no other owner, as the caller guarantees.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            let (address, listener) = listener(owned.into()).map_err(|what| SocketError::Kind { name: name.clone(), fd, what })?;
            sockets.push(Named { name, address, listener });
        }
        Ok(Sockets(sockets))
    }

    /// Assigns sockets to listeners: by name; sockets with other names by the config's ports, and then in order.
    pub fn assign(self, proxy: SocketAddr, admin: SocketAddr) -> Result<Open, SocketError> {
        let shown: Vec<String> = self.0.iter().map(|socket| format!("{:?} on {}", socket.name, socket.address)).collect();
        let unclear = || SocketError::Unclear(shown.join(", "));
        let mut open = Open::default();
        let mut left = Vec::new();
        for socket in self.0 {
            match socket.name.as_str() {
                "proxy" => put(&mut open.proxy, socket).map_err(|_| unclear())?,
                "admin" => put(&mut open.admin, socket).map_err(|_| unclear())?,
                _ => left.push(socket),
            }
        }
        let mut unnamed = Vec::new();
        for socket in left {
            let port = socket.address.port();
            let place = if port == proxy.port() {
                &mut open.proxy
            } else if port == admin.port() {
                &mut open.admin
            } else {
                unnamed.push(socket);
                continue;
            };
            put(place, socket).map_err(|_| unclear())?;
        }
        for socket in unnamed {
            put(&mut open.proxy, socket).or_else(|socket| put(&mut open.admin, socket)).map_err(|_| unclear())?;
        }
        Ok(open)
    }
}

/// Returns the socket as an error if the place is taken.
fn put(place: &mut Option<TcpListener>, socket: Named) -> Result<(), Named> {
    match place {
        Some(_) => Err(socket),
        None => {
            *place = Some(socket.listener);
            Ok(())
        }
    }
}

/// Checks that this is a TCP socket that listens, and sets close-on-exec and non-blocking mode. The error says what is wrong.
fn listener(socket: Socket) -> Result<(SocketAddr, TcpListener), &'static str> {
    let is_tcp = matches!(socket.domain(), Ok(Domain::IPV4 | Domain::IPV6)) && matches!(socket.r#type(), Ok(Type::STREAM));
    let Some(address) = socket.local_addr().ok().and_then(|address| address.as_socket()).filter(|_| is_tcp) else {
        return Err("is no TCP socket: write a port or an IP address in ListenStream=");
    };
    if !matches!(socket.is_listener(), Ok(true)) {
        return Err("does not listen: write Accept=no");
    }
    if socket.set_cloexec(true).is_err() || socket.set_nonblocking(true).is_err() {
        return Err("cannot be set up");
    }
    Ok((address, socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sockets of these names, and their addresses.
    fn sockets(names: &[&str]) -> (Sockets, Vec<SocketAddr>) {
        let made = names.iter().map(|name| {
            let (address, listener) = listener(TcpListener::bind("127.0.0.1:0").unwrap().into()).unwrap();
            Named { name: (*name).to_owned(), address, listener }
        });
        let sockets: Vec<Named> = made.collect();
        let addresses = sockets.iter().map(|socket| socket.address).collect();
        (Sockets(sockets), addresses)
    }

    fn places(open: &Open) -> [Option<SocketAddr>; 2] {
        [&open.proxy, &open.admin].map(|place| place.as_ref().map(|listener| listener.local_addr().unwrap()))
    }

    const NOWHERE: &str = "127.0.0.1:1";

    #[test]
    fn names_say_which_is_which() {
        let (sockets, at) = sockets(&["admin", "proxy"]);
        let open = sockets.assign(at[0], at[1]).unwrap();
        assert_eq!(places(&open), [Some(at[1]), Some(at[0])], "whatever the ports are");
    }

    #[test]
    fn without_names_ports_do_and_then_the_order() {
        let nowhere = NOWHERE.parse().unwrap();
        let (by_port, at) = sockets(&["serin.socket", "serin.socket"]);
        assert_eq!(places(&by_port.assign(at[1], nowhere).unwrap()), [Some(at[1]), Some(at[0])]);
        let (by_order, at) = sockets(&["", ""]);
        assert_eq!(places(&by_order.assign(nowhere, nowhere).unwrap()), [Some(at[0]), Some(at[1])]);
        let (one, at) = sockets(&["unknown"]);
        assert_eq!(places(&one.assign(nowhere, nowhere).unwrap()), [Some(at[0]), None]);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let nowhere: SocketAddr = NOWHERE.parse().unwrap();
        for names in [&["proxy", "proxy"][..], &["", "", ""], &["proxy", "admin", "x"]] {
            let refused = sockets(names).0.assign(nowhere, nowhere).unwrap_err().to_string();
            assert!(refused.contains("FileDescriptorName=proxy"), "{refused}");
        }
    }

    #[test]
    fn only_tcp_sockets_that_listen_are_taken() {
        let unix = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        assert!(listener(unix).unwrap_err().contains("no TCP socket"));
        let datagrams = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        assert!(listener(datagrams).unwrap_err().contains("no TCP socket"));
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert!(listener(silent).unwrap_err().contains("does not listen"));
    }
}
