//! The one door for fuzzing: all that the fuzz targets in `fuzz` run, and what `make test` runs over the inputs that they have kept.
//! A check is a function from bytes to nothing, which panics if serin does what it must not. It stands beside the code that it
//! checks, in a file `fuzzing.rs`, because most of that code is private; the door is open to tests and to cargo-fuzz alone.

#![forbid(unsafe_code)]

use crate::{admin, config, controller, http1, identify, notify, proxy};

pub use admin::fuzzing::page;
pub use config::fuzzing::config;
pub use controller::fuzzing::history;
pub use http1::fuzzing::{answer, body, request};
pub use identify::fuzzing::identify;
pub use notify::link::fuzzing::link;
pub use proxy::fuzzing::proxy_header;

/// A fuzz target: `fuzz/fuzz_targets` has a file of its name, and `fuzz/corpus` a folder.
pub struct Target {
    pub name: &'static str,
    pub check: fn(&[u8]),
}

pub const TARGETS: &[Target] = &[
    Target { name: "request", check: request },
    Target { name: "answer", check: answer },
    Target { name: "body", check: body },
    Target { name: "http1", check: http1 },
    Target { name: "http2", check: http2 },
    Target { name: "identify", check: identify },
    Target { name: "config", check: config },
    Target { name: "certificates", check: certificates },
    Target { name: "link", check: link },
    Target { name: "page", check: page },
    Target { name: "history", check: history },
    Target { name: "proxy_header", check: proxy_header },
];

pub fn http1(data: &[u8]) {
    proxy::fuzzing::http1(data, controller::fuzzing::serving);
}

pub fn http2(data: &[u8]) {
    proxy::fuzzing::http2(data, controller::fuzzing::serving);
}

pub fn certificates(data: &[u8]) {
    if let Some(pair) = config::tls::fuzzing::certificates(data) {
        proxy::fuzzing::certificate_is_found(pair);
    }
}

#[cfg(test)]
mod replay;
