//! A connection between the older and the newer serin: messages with time limits, descriptors beside them (SCM_RIGHTS), and who the
//! peer is (SO_PEERCRED).

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
    sendmsg,
};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::message::{Message, NoMessage};

/// The most descriptors beside one message. Linux takes 253.
pub const DESCRIPTORS_MOST: usize = 64;
/// The limit for the peer to take a message. The kernel's buffer holds all messages of a take-over, so a longer wait means a fault.
const SEND_WITHIN: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 4 * 1024;

#[derive(Debug)]
pub struct Line {
    stream: UnixStream,
    input: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    /// Of the peer; 0 if it is in another PID namespace.
    pub pid: u32,
    /// Stands for the peer's process, also when its number belongs to another one.
    process: Option<OwnedFd>,
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The peer has ended, or closed the connection.
    #[error("it has hung up")]
    Gone,
    #[error("it said nothing for {0:?}")]
    Silent(Duration),
    #[error(transparent)]
    NoMessage(#[from] NoMessage),
}

impl Line {
    /// Errors if the peer's user is neither this process's nor root.
    pub fn new(stream: UnixStream) -> io::Result<Line> {
        let peer = stream.peer_cred()?;
        let (user, own) = (peer.uid(), geteuid().as_raw());
        if user != own && user != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the peer's user is {user}, and serin's is {own}")));
        }
        let pid = peer.pid().unwrap_or(0);
        let process = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Line { stream, input: Vec::new(), descriptors: VecDeque::new(), pid: pid.unsigned_abs(), process })
    }

    /// Sends a message with at most `DESCRIPTORS_MOST` descriptors. Errors if the peer is gone or does not take it.
    pub async fn send(&mut self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = message.encode();
        let sending = async {
            let mut sent = self.write(&bytes, descriptors).await?;
            while sent < bytes.len() {
                sent += self.write(&bytes[sent..], &[]).await?;
            }
            Ok(())
        };
        tokio::time::timeout(SEND_WITHIN, sending).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn write(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let write = || {
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MOST))];
            let mut beside = SendAncillaryBuffer::new(&mut room);
            if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            Ok(sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
        };
        self.stream.async_io(Interest::WRITABLE, write).await
    }

    /// The next message. Cancel safe.
    pub async fn receive(&mut self, within: Duration) -> Result<Message, Lost> {
        let receiving = async {
            loop {
                if let Some(message) = Message::decode(&mut self.input)? {
                    return Ok(message);
                }
                if self.read().await.unwrap_or(0) == 0 {
                    return Err(Lost::Gone);
                }
            }
        };
        tokio::time::timeout(within, receiving).await.unwrap_or(Err(Lost::Silent(within)))
    }

    async fn read(&mut self) -> io::Result<usize> {
        let (stream, input, descriptors) = (&self.stream, &mut self.input, &mut self.descriptors);
        let read = || {
            let mut bytes = [0; READ_BYTES];
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MOST))];
            let mut beside = RecvAncillaryBuffer::new(&mut room);
            let received = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(passed) = message {
                    descriptors.extend(passed);
                }
            }
            if received.flags.contains(ReturnFlags::CTRUNC) {
                return Err(io::Error::other("descriptors were lost: too many files are open"));
            }
            input.extend_from_slice(&bytes[..received.bytes]);
            Ok(received.bytes)
        };
        stream.async_io(Interest::READABLE, read).await
    }

    /// The next descriptor that came.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Ends the peer's process at once, if it is still there.
    pub fn kill(&self) {
        if let Some(process) = &self.process {
            let _ = pidfd_send_signal(process.as_fd(), Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const WITHIN: Duration = Duration::from_secs(10);

    fn pair() -> (Line, Line) {
        let (one, other) = UnixStream::pair().unwrap();
        (Line::new(one).unwrap(), Line::new(other).unwrap())
    }

    #[tokio::test]
    async fn descriptors_come_in_order_and_are_those_of_the_same_sockets() {
        let (mut from, mut to) = pair();
        let sockets: Vec<TcpListener> = (0..DESCRIPTORS_MOST + 2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        for some in sockets.chunks(DESCRIPTORS_MOST) {
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            from.send(&Message::Prepared, &descriptors).await.unwrap();
        }
        for _ in 0..2 {
            assert_eq!(to.receive(WITHIN).await.unwrap(), Message::Prepared);
        }
        for socket in &sockets {
            let passed = TcpListener::from(to.descriptor().unwrap());
            assert_eq!(passed.local_addr().unwrap(), socket.local_addr().unwrap());
        }
        assert!(to.descriptor().is_none());
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_or_silent_is_told_apart() {
        let (mut from, mut to) = pair();
        assert!(matches!(to.receive(Duration::from_millis(20)).await, Err(Lost::Silent(_))));
        from.send(&Message::History, &[]).await.unwrap();
        drop(from);
        assert_eq!(to.receive(WITHIN).await.unwrap(), Message::History, "what it said before counts");
        assert!(matches!(to.receive(WITHIN).await, Err(Lost::Gone)));
        assert!(to.send(&Message::History, &[]).await.is_err());
    }

    #[tokio::test]
    async fn the_peer_is_known_by_its_credentials() {
        let (one, _other) = pair();
        assert_eq!(one.pid, std::process::id());
    }
}
