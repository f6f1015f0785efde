//! A compiled source. Its pointers are slots of the walk, so asking it only reads the walk's result.

use http::HeaderName;

use super::answer::Answer;
use super::body::{Body, Kind};
use super::form::JsonFields;
use super::plan::Head;
use super::source::Place;
use super::trie::{Pointers, Slot, Trie};
use super::{SourceError, head};

/// A source's compiled place.
#[derive(Clone, Debug)]
pub(super) enum Look {
    Header(HeaderName),
    Query(String),
    Path(usize),
    Jwt { header: HeaderName, trie: Trie, claim: Slot },
    Const(String),
    Json(Slot),
    Form(String),
    FormJson { field: usize, slot: Slot },
}

/// Where a look finds its answer, in a request whose body is of some kind.
pub(super) enum Where {
    Head,
    Body,
    /// In a body of another kind.
    Elsewhere,
}

impl Look {
    pub(super) fn new(place: &Place, pointers: &mut Pointers, fields: &mut JsonFields) -> Result<Look, SourceError> {
        Ok(match place {
            Place::Header(name) => Look::Header(name.clone()),
            Place::Query(name) => Look::Query(name.clone()),
            Place::Path(segment) => Look::Path(*segment),
            Place::Const(id) => Look::Const(id.clone()),
            Place::Jwt { header, claim } => {
                let mut pointers = Pointers::default();
                let claim = pointers.slot(claim);
                Look::Jwt { header: header.clone(), trie: pointers.compile()?, claim }
            }
            Place::Json(pointer) => Look::Json(pointers.slot(pointer)),
            Place::Form(name) => Look::Form(name.clone()),
            Place::FormJson { field, pointer } => {
                let (field, slot) = fields.slot(field, pointer);
                Look::FormJson { field, slot }
            }
        })
    }

    pub(super) fn is_in(&self, kind: Kind) -> Where {
        match (self, kind) {
            (Look::Header(_) | Look::Query(_) | Look::Path(_) | Look::Jwt { .. } | Look::Const(_), _) => Where::Head,
            (Look::Json(_), Kind::Json) | (Look::Form(_) | Look::FormJson { .. }, Kind::Form) => Where::Body,
            (Look::Json(_) | Look::Form(_) | Look::FormJson { .. }, Kind::Json | Kind::Form | Kind::Opaque) => Where::Elsewhere,
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Look::Const(_))
    }

    /// Whether the look reads the body, and this body is not one that it can read.
    pub(super) fn is_blind(&self, body: &Body<'_>) -> bool {
        match self {
            Look::Header(_) | Look::Query(_) | Look::Path(_) | Look::Jwt { .. } | Look::Const(_) => false,
            Look::Json(_) => !matches!(body, Body::Json(_)),
            Look::Form(_) | Look::FormJson { .. } => !matches!(body, Body::Form(_)),
        }
    }

    pub(super) fn ask<'a>(&'a self, head: Head<'a>, body: &Body<'a>) -> Answer<'a> {
        match (self, body) {
            (Look::Header(name), _) => head::header(head.fields, name),
            (Look::Query(name), _) => head::query(head.target, name),
            (Look::Path(segment), _) => head::path(head.target, *segment),
            (Look::Jwt { header, trie, claim }, _) => head::jwt(head.fields, header, trie, *claim),
            (Look::Const(id), _) => Answer::Id(id.as_str().into()),
            (Look::Json(slot), Body::Json(seen)) => Answer::of_all(seen.at(*slot).map(Answer::of_value)),
            (Look::Json(_), Body::Broken) => Answer::Unfit,
            (Look::Form(name), Body::Form(form)) => form.field(name),
            (Look::FormJson { field, slot }, Body::Form(form)) => form.json(*field, *slot),
            (Look::Json(_) | Look::Form(_) | Look::FormJson { .. }, _) => Answer::Nothing,
        }
    }
}
