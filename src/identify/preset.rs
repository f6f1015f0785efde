//! What is known of each platform.

use std::time::Duration;

#[derive(Debug)]
pub struct Preset {
    pub name: &'static str,
    /// Its id row is from memory, not checked against the vendor: said by `serin check`.
    pub experimental: bool,
    pub sources: &'static [&'static str],
    /// The platform gives up waiting for the first byte then.
    pub deadline: Option<Duration>,
    /// Bodies up to this are looked into, in bytes.
    pub body_cap: usize,
    /// Statuses besides 2xx that the platform takes for a success.
    pub also_ok: &'static [u16],
    /// Where only these are a success, instead of 2xx.
    pub only_ok: &'static [u16],
}

pub fn find(_name: &str) -> Option<&'static Preset> {
    None
}

pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::empty()
}
