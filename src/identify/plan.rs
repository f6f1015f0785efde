//! The sources of one bot, compiled, and what they say of one request.

use std::borrow::Cow;

use http::{HeaderMap, Method, Uri};

use super::{Preset, Source, SourceError};
use crate::core::Workspace;

/// What to do when a body names several tenants that disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mixed {
    /// The whole request goes to stable, counted.
    #[default]
    Stable,
    /// The first tenant decides.
    First,
}

/// The sources of one bot, compiled.
#[derive(Clone, Debug)]
pub struct Plan {}

/// A request's head, as the listener read it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Workspace {
        workspace: Workspace<'a>,
        /// Index into the plan's sources.
        source: usize,
    },
    Missing,
    /// There is a value, but none that can be an id (an object, a boolean, broken JSON).
    Invalid,
    /// Several tenants that disagree.
    Mixed,
}

/// The platform says that it sends this webhook again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// One of a closed set of words, fit for a metric's label.
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    pub found: Found<'a>,
    pub handshake: bool,
    pub retry: Option<Retry>,
}

impl Plan {
    /// The preset's sources where `sources` is empty.
    pub fn new(_sources: Vec<Source>, _preset: Option<&'static Preset>, _mixed: Mixed) -> Result<Plan, SourceError> {
        Ok(Plan {})
    }

    pub fn sources(&self) -> &[Source] {
        &[]
    }

    /// Must the body be read to say which workspace this is?
    pub fn wants_body(&self, _head: Head<'_>) -> bool {
        false
    }

    /// `body` is the whole body, or `None` where it was not wanted or could not be had.
    pub fn read<'a>(&'a self, _head: Head<'a>, _body: Option<&'a [u8]>) -> Reading<'a> {
        let _ = Cow::Borrowed("");
        Reading { found: Found::Missing, handshake: false, retry: None }
    }
}
