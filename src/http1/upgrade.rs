//! A request to speak another protocol on its connection, such as a WebSocket's opening handshake (RFC 9110, 7.8).

use super::known::Known;
use super::{AnswerHead, Fields, RequestHead, Version};

/// The protocol that a request asks for, if serin passes the wish on. It does so for a request in HTTP/1.1 without a body that names
/// one protocol, and not for the next versions of HTTP or for TLS: behind them an upstream would take requests that serin never reads.
pub fn asked(head: &RequestHead) -> Option<&[u8]> {
    if !head.fields.has(Known::Upgrade) || head.version != Version::Http11 || !head.fields.lists(Known::Connection, b"upgrade") {
        return None;
    }
    only(&head.fields).filter(|protocol| !is_refused(protocol))
}

/// Whether an answer with 101 agrees to the protocol that was asked for.
pub fn agrees(head: &AnswerHead, asked: &[u8]) -> bool {
    only(&head.fields).is_some_and(|agreed| agreed.eq_ignore_ascii_case(asked))
}

pub fn is_websocket(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"websocket")
}

/// The only protocol of `Upgrade`.
fn only(fields: &Fields) -> Option<&[u8]> {
    let mut all = fields.all(Known::Upgrade);
    let protocol = all.next()?;
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(b);
    (all.next().is_none() && !protocol.is_empty() && protocol.iter().all(is_token)).then_some(protocol)
}

fn is_refused(protocol: &[u8]) -> bool {
    let name = protocol.split(|b| *b == b'/').next().unwrap_or(protocol);
    [&b"h2c"[..], b"h2", b"h3", b"http", b"tls"].iter().any(|refused| name.eq_ignore_ascii_case(refused))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn of(lines: &str) -> Option<String> {
        let mut wire = BytesMut::from(format!("GET / {lines}\r\n\r\n").as_bytes());
        let head = RequestHead::read(&mut wire, 1_000).unwrap().unwrap();
        asked(&head).map(|protocol| String::from_utf8(protocol.to_vec()).unwrap())
    }

    #[test]
    fn one_protocol_passes_that_serin_need_not_understand() {
        for (lines, protocol) in [
            ("HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", Some("websocket")),
            ("HTTP/1.1\r\nConnection: keep-alive, upgrade\r\nUpgrade: IRC/6.9", Some("IRC/6.9")),
            ("HTTP/1.1\r\nUpgrade: websocket", None),
            ("HTTP/1.1\r\nConnection: Upgrade", None),
            ("HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket", None),
            ("HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket, x", None),
            ("HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: x", None),
            ("HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c", None),
            ("HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: HTTP/2.0", None),
            ("HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0", None),
        ] {
            assert_eq!(of(lines).as_deref(), protocol, "{lines}");
        }
    }
}
