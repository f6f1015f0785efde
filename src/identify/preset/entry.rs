//! The form of one platform's entry.

use std::time::Duration;

use super::mark::{Mark, RetryMark};

#[derive(Debug)]
pub struct Preset {
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// The sources are from memory, not checked against the vendor's documentation. `serin check` says so.
    pub experimental: bool,
    pub sources: &'static [&'static str],
    /// The platform stops waiting for the first byte after this.
    pub deadline: Option<Duration>,
    /// Larger bodies are not parsed; in bytes.
    pub body_cap: usize,
    /// Statuses besides 2xx that the platform counts as a success.
    pub also_ok: &'static [u16],
    /// If it is not empty, only these statuses are a success, instead of 2xx.
    pub only_ok: &'static [u16],
    /// Words that the platform writes if there is no id.
    pub(in crate::identify) never: &'static [&'static str],
    pub(in crate::identify) handshakes: &'static [Mark],
    pub(in crate::identify) retry: Option<RetryMark>,
}

pub(super) const MIB: usize = 1 << 20;

/// The values for a platform without anything special.
pub(super) const PLAIN: Preset = Preset {
    name: "",
    about: "",
    experimental: false,
    sources: &[],
    deadline: None,
    body_cap: MIB,
    also_ok: &[],
    only_ok: &[],
    never: &[],
    handshakes: &[],
    retry: None,
};

pub(super) const fn secs(secs: u64) -> Option<Duration> {
    Some(Duration::from_secs(secs))
}
