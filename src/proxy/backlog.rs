//! A worker that gets more than its core can do. Its tasks wait for their turn, and each new connection makes all of them wait longer:
//! soon every answer is late. So a worker that is late takes no new connections until it has caught up. Those that wait in the kernel's
//! queue meanwhile are late too: when their turn comes they are closed at once, which costs less than an answer, and the time goes to
//! those that have just come.

use std::os::fd::AsRawFd;
use std::time::Duration;

/// A worker is late if its clock ticks so much after its time: so long does a connection wait from one turn to the next. It is a
/// twelfth of the shortest deadline of a platform, and more than a container without CPU time left waits for its next share.
pub const LATE: Duration = Duration::from_millis(250);
/// A connection that has waited in the kernel's queue for this long is not served, if its worker was late meanwhile. It is two thirds of
/// the shortest deadline of a platform: the bot needs the rest.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// The words of `struct tcp_info` behind its first eight bytes, up to the one that is read.
const WORDS: usize = 12;
/// `tcpi_last_data_recv`: the milliseconds since the last data came, or since the connection began.
const SINCE_DATA: usize = 11;

/// For how long what the client has sent waits already.
#[allow(unsafe_code, reason = "no crate in use reads TCP_INFO")]
pub fn waited(connection: &impl AsRawFd) -> Option<Duration> {
    let mut info = [0_u32; 2 + WORDS];
    let mut length = size_of_val(&info) as libc::socklen_t;
    let (descriptor, buffer) = (connection.as_raw_fd(), info.as_mut_ptr().cast());
    // SAFETY: the kernel writes `length` bytes at most to the buffer, which has so many, and any bytes are integers.
    let failed = unsafe { libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, buffer, &raw mut length) } != 0;
    let whole = !failed && length as usize == size_of_val(&info);
    whole.then(|| Duration::from_millis(u64::from(info[2 + SINCE_DATA])))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_wait_of_what_was_sent_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        let sent = Instant::now();
        client.write_all(b"x").unwrap();
        let (connection, _) = listener.accept().unwrap();
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(200));
            let (least, known, most) = (sent.elapsed(), waited(&connection).unwrap(), sent.elapsed());
            let unsure = Duration::from_millis(50);
            assert!(known + unsure > least && known < most + unsure, "{known:?} is not from {least:?} to {most:?}");
        }
        assert_eq!(waited(&UdpSocket::bind("127.0.0.1:0").unwrap()), None);
    }
}
