//! A compiled source. Its pointers are pointers of the walk, so asking it only reads the walk's result.

use http::HeaderName;

use super::body::{Body, Kind};
use super::candidate::Candidate;
use super::form::JsonFields;
use super::head::Head;
use super::source::Place;
use super::trie::{PointerIndex, Pointers, Trie};
use super::{SourceError, head};

/// A source's compiled place.
#[derive(Clone, Debug)]
pub(super) enum Lookup {
    Header(HeaderName),
    Query(String),
    Path(usize),
    Jwt { header: HeaderName, trie: Trie, claim: PointerIndex },
    Const(String),
    Json(PointerIndex),
    Form(String),
    FormJson { field: usize, pointer: PointerIndex },
}

/// Where a look finds its answer, in a request whose body is of some kind.
pub(super) enum Where {
    Head,
    Body,
    /// In a body of another kind.
    Elsewhere,
}

impl Lookup {
    pub(super) fn new(place: &Place, pointers: &mut Pointers, fields: &mut JsonFields) -> Result<Lookup, SourceError> {
        Ok(match place {
            Place::Header(name) => Lookup::Header(name.clone()),
            Place::Query(name) => Lookup::Query(name.clone()),
            Place::Path(segment) => Lookup::Path(*segment),
            Place::Const(id) => Lookup::Const(id.clone()),
            Place::Jwt { header, claim } => {
                let mut pointers = Pointers::default();
                let claim = pointers.index_of(claim);
                Lookup::Jwt { header: header.clone(), trie: pointers.compile()?, claim }
            }
            Place::Json(pointer) => Lookup::Json(pointers.index_of(pointer)),
            Place::Form(name) => Lookup::Form(name.clone()),
            Place::FormJson { field, pointer } => {
                let (field, pointer) = fields.index_of(field, pointer);
                Lookup::FormJson { field, pointer }
            }
        })
    }

    pub(super) fn is_in(&self, kind: Kind) -> Where {
        match (self, kind) {
            (Lookup::Header(_) | Lookup::Query(_) | Lookup::Path(_) | Lookup::Jwt { .. } | Lookup::Const(_), _) => Where::Head,
            (Lookup::Json(_), Kind::Json) | (Lookup::Form(_) | Lookup::FormJson { .. }, Kind::Form) => Where::Body,
            (Lookup::Json(_) | Lookup::Form(_) | Lookup::FormJson { .. }, Kind::Json | Kind::Form | Kind::Opaque) => Where::Elsewhere,
        }
    }

    pub(super) fn reads_body(&self) -> bool {
        match self {
            Lookup::Json(_) | Lookup::Form(_) | Lookup::FormJson { .. } => true,
            Lookup::Header(_) | Lookup::Query(_) | Lookup::Path(_) | Lookup::Jwt { .. } | Lookup::Const(_) => false,
        }
    }

    /// Whether the look reads a document in a form, and serin cannot read that document.
    pub(super) fn cannot_read(&self, body: &Body<'_>) -> bool {
        match (self, body) {
            (Lookup::FormJson { field, .. }, Body::Form(form)) => form.is_unreadable(*field),
            (_, Body::Unread | Body::Broken | Body::Json(_) | Body::Form(_)) => false,
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Lookup::Const(_))
    }

    /// Whether the look reads the body, and this body is not one that it can read.
    pub(super) fn is_blind(&self, body: &Body<'_>) -> bool {
        match self {
            Lookup::Header(_) | Lookup::Query(_) | Lookup::Path(_) | Lookup::Jwt { .. } | Lookup::Const(_) => false,
            Lookup::Json(_) => !matches!(body, Body::Json(_)),
            Lookup::Form(_) | Lookup::FormJson { .. } => !matches!(body, Body::Form(_)),
        }
    }

    pub(super) fn ask<'a>(&'a self, head: Head<'a>, body: &Body<'a>) -> Candidate<'a> {
        match (self, body) {
            (Lookup::Header(name), _) => head::header(head.fields, name),
            (Lookup::Query(name), _) => head::query(head.target, name),
            (Lookup::Path(segment), _) => head::path(head.target, *segment),
            (Lookup::Jwt { header, trie, claim }, _) => head::jwt(head.fields, header, trie, *claim),
            (Lookup::Const(id), _) => Candidate::Id(id.as_str().into()),
            (Lookup::Json(pointer), Body::Json(values)) => Candidate::of_all(values.at(*pointer).map(Candidate::of_value)),
            (Lookup::Json(_), Body::Broken) => Candidate::Unfit,
            (Lookup::Form(name), Body::Form(form)) => form.field(name),
            (Lookup::FormJson { field, pointer }, Body::Form(form)) => form.json(*field, *pointer),
            (Lookup::Json(_) | Lookup::Form(_) | Lookup::FormJson { .. }, _) => Candidate::Nothing,
        }
    }
}
