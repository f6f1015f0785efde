//! Interim (1xx) answers pass from the upstream to the client (RFC 9110, 15.2). hyper's client tells of them by a
//! callback that must be `Send`, while a session belongs to one thread: so the callback carries the session's number,
//! and the thread keeps the sessions that wait.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use http::{Request, StatusCode};

use super::body::RequestBody;
use super::client::Session;

thread_local! {
    static SESSIONS: RefCell<HashMap<u64, Weak<Session>>> = RefCell::default();
}

/// While this lives, interim answers find their session.
pub struct Registered(u64);

pub fn register(session: &Rc<Session>) -> Registered {
    SESSIONS.with_borrow_mut(|sessions| sessions.insert(session.id, Rc::downgrade(session)));
    Registered(session.id)
}

impl Drop for Registered {
    fn drop(&mut self) {
        SESSIONS.with_borrow_mut(|sessions| sessions.remove(&self.0));
    }
}

/// `100 Continue` is not passed on: hyper's server has said it by itself by then.
pub fn pass_on(request: &mut Request<RequestBody>, session: &Session) {
    let id = session.id;
    hyper::ext::on_informational(request, move |answer| {
        if answer.status() == StatusCode::CONTINUE {
            return;
        }
        if let Some(session) = SESSIONS.with_borrow(|sessions| sessions.get(&id).and_then(Weak::upgrade)) {
            session.interim(&head(answer.status(), answer.headers()));
        }
    });
}

fn head(status: StatusCode, headers: &http::HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or("");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in headers {
        if name == http::header::CONNECTION {
            continue;
        }
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
