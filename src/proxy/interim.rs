//! Interim (1xx) answers pass from the upstream to the client (RFC 9110, 15.2). hyper's server cannot send them, so
//! they are written to the connection beside it.

use http::StatusCode;

use super::client::Session;
use super::headers::strip_hop_by_hop;
use super::upstream::Head;

/// `100 Continue` is not passed on: hyper's server has said it by itself by then.
pub fn pass_on(session: &Session, mut interim: Head) {
    if interim.status == StatusCode::CONTINUE {
        return;
    }
    strip_hop_by_hop(interim.minded, &mut interim.headers);
    let reason = interim.status.canonical_reason().unwrap_or("");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", interim.status.as_u16()).into_bytes();
    for (name, value) in &interim.headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    session.interim(&head);
}
