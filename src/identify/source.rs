//! A place in a request where a workspace's id may be, as written in the config. Operators write these by hand, so every error says
//! what is wrong, where, and what to write instead.

use std::fmt;

use http::HeaderName;

use super::error::SourceError;
use super::pointer::Pointer;
use super::{DEFAULT_NAMESPACE, ID_BYTES_MAX};

/// One source, parsed: `[namespace:]kind:rest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    text: String,
    /// The number of the text's first bytes that are the namespace; 0 if none is given.
    namespace_len: usize,
    place: Place,
}

/// The place in the request where a source looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header(HeaderName),
    Query(String),
    /// The nth segment of the path, from 0.
    Path(usize),
    Json(Pointer),
    Form(String),
    FormJson {
        field: String,
        pointer: Pointer,
    },
    Jwt {
        header: HeaderName,
        claim: Pointer,
    },
    /// For requests of no tenant, such as a platform's own events.
    Const(String),
}

const KINDS: &str = "header, query, path, json, form, form_json, jwt, const";

/// The greatest number of a segment. No webhook's path has that many.
const SEGMENT_MAX: usize = 63;

impl Source {
    pub fn parse(text: &str) -> Result<Source, SourceError> {
        let (first, rest) = text.split_once(':').ok_or_else(|| no_kind(text))?;
        if let Some(place) = place(first, rest) {
            return Source::from_parts(text, 0, place, first.len() + 1);
        }
        let Some((kind, rest)) = rest.split_once(':') else {
            return Err(unknown_kind(first, 0));
        };
        let kind_at = first.len() + 1;
        let place = place(kind, rest).ok_or_else(|| unknown_kind(kind, kind_at))?;
        if !is_namespace(first) {
            let message = format!("a namespace is lower case letters, digits and `_`: write `{}:{kind}:{rest}`", as_namespace(first));
            return Err(SourceError::new(message, 0..first.len()));
        }
        Source::from_parts(text, first.len(), place, kind_at + kind.len() + 1)
    }

    /// The namespace before the kind, if there is one.
    pub fn namespace(&self) -> Option<&str> {
        (self.namespace_len > 0).then(|| &self.text[..self.namespace_len])
    }

    pub(super) fn namespace_or_default(&self) -> &str {
        self.namespace().unwrap_or(DEFAULT_NAMESPACE)
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// `rest_at` is the index of the text after the kind, for an error's range.
    fn from_parts(text: &str, namespace_len: usize, place: Result<Place, SourceError>, rest_at: usize) -> Result<Source, SourceError> {
        match place {
            Ok(place) => Ok(Source { text: text.to_owned(), namespace_len, place }),
            Err(error) => Err(error.shifted(rest_at)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `None` if `kind` is not a kind. Errors count from the first byte of `rest`.
fn place(kind: &str, rest: &str) -> Option<Result<Place, SourceError>> {
    Some(match kind {
        "header" => header(rest).map(Place::Header),
        "query" => name(rest, "query parameter", "query:team").map(Place::Query),
        "path" => segment(rest).map(Place::Path),
        "json" => Pointer::parse(rest).map(Place::Json),
        "form" => name(rest, "form field", "form:team_id").map(Place::Form),
        "form_json" => form_json(rest),
        "jwt" => jwt(rest),
        "const" => constant(rest).map(Place::Const),
        _ => return None,
    })
}

fn header(rest: &str) -> Result<HeaderName, SourceError> {
    HeaderName::from_bytes(rest.as_bytes())
        .map_err(|_| SourceError::new(format!("`{rest}` is no header's name: write it like `header:X-Workspace-Id`"), 0..rest.len()))
}

fn name(rest: &str, what: &str, example: &str) -> Result<String, SourceError> {
    if rest.is_empty() {
        return Err(SourceError::new(format!("the {what}'s name is missing: write it like `{example}`"), 0..0));
    }
    if let Some(hash) = rest.find("#/") {
        let message = format!("JSON inside a form field is of kind form_json: write `form_json:{rest}`");
        return Err(SourceError::new(message, hash..rest.len()));
    }
    Ok(rest.to_owned())
}

fn segment(rest: &str) -> Result<usize, SourceError> {
    rest.parse().ok().filter(|segment| *segment <= SEGMENT_MAX).ok_or_else(|| {
        let message = format!("`path:` takes a segment's number from 0 to {SEGMENT_MAX}: `path:1` is `T1` in `/hooks/T1`");
        SourceError::new(message, 0..rest.len())
    })
}

fn form_json(rest: &str) -> Result<Place, SourceError> {
    match rest.split_once('#') {
        Some((field, pointer)) if !field.is_empty() => {
            let pointer = Pointer::parse(pointer).map_err(|error| error.shifted(field.len() + 1))?;
            Ok(Place::FormJson { field: field.to_owned(), pointer })
        }
        Some(_) | None => {
            let message = "`form_json:` takes a field and a pointer: write it like `form_json:payload#/team/id`";
            Err(SourceError::new(message, 0..rest.len()))
        }
    }
}

fn jwt(rest: &str) -> Result<Place, SourceError> {
    match rest.split_once('#') {
        Some((name, claim)) if !name.is_empty() && !claim.is_empty() => {
            let claim = match claim.starts_with('/') {
                true => Pointer::parse(claim).map_err(|error| error.shifted(name.len() + 1))?,
                false => Pointer::of_key(claim),
            };
            Ok(Place::Jwt { header: header(name)?, claim })
        }
        Some(_) | None => {
            let message = "`jwt:` takes a header and a claim: write it like `jwt:Authorization#tid`";
            Err(SourceError::new(message, 0..rest.len()))
        }
    }
}

fn constant(rest: &str) -> Result<String, SourceError> {
    if rest.is_empty() || rest.len() > ID_BYTES_MAX {
        let message = format!("`const:` takes an id of 1 to {ID_BYTES_MAX} bytes: write it like `const:platform`");
        return Err(SourceError::new(message, 0..rest.len()));
    }
    Ok(rest.to_owned())
}

fn no_kind(text: &str) -> SourceError {
    let message = match text.is_empty() {
        true => format!("a source is missing: write it like `json:/team_id`; the kinds are {KINDS}"),
        false if text.starts_with('/') => format!("the kind is missing before the pointer: write `json:{text}`"),
        false => format!("`{text}` has no kind: write it like `json:/team_id`; the kinds are {KINDS}"),
    };
    SourceError::new(message, 0..text.len())
}

fn unknown_kind(kind: &str, at: usize) -> SourceError {
    SourceError::new(format!("`{kind}` is no kind of source; the kinds are {KINDS}"), at..at + kind.len())
}

fn is_namespace(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn as_namespace(text: &str) -> String {
    let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if name.is_empty() { "team".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn error(text: &str) -> (String, Range<usize>) {
        let error = Source::parse(text).unwrap_err();
        (error.message, error.at)
    }

    #[test]
    fn every_kind_parses_and_prints_as_it_was_written() {
        for text in [
            "json:/team_id",
            "team:json:/team/id",
            "user:json:/member/user/id",
            "header:X-Workspace-Id",
            "query:team",
            "path:1",
            "form:team_id",
            "form_json:payload#/team/id",
            "jwt:Authorization#tid",
            "jwt:Authorization#/act/tid",
            "jwt:Authorization#https://example.com/tenant",
            "acct:const:platform",
            "const:a:b",
        ] {
            assert_eq!(Source::parse(text).map(|source| source.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn the_namespace_is_what_stands_before_the_kind() {
        let namespace = |text: &str| Source::parse(text).unwrap().namespace().map(str::to_owned);
        assert_eq!(namespace("team:json:/team/id"), Some("team".to_owned()));
        assert_eq!(namespace("json:/team/id"), None);
        // The text behind a kind belongs to the kind, with its colons.
        assert_eq!(namespace("query:json:x"), None);
        assert_eq!(namespace("const:json:/x"), None);
    }

    #[test]
    fn a_refusal_says_what_to_write_and_points_at_the_bytes() {
        for (text, says, at) in [
            ("", "`json:/team_id`", 0..0),
            ("/team_id", "`json:/team_id`", 0..8),
            ("team_id", "has no kind", 0..7),
            ("jsn:/team_id", "`jsn` is no kind", 0..3),
            ("team:jsn:/team_id", "`jsn` is no kind", 5..8),
            ("Team:json:/team_id", "`team:json:/team_id`", 0..4),
            (":json:/team_id", "`team:json:/team_id`", 0..0),
            ("json:team.id", "`/team/id`", 5..12),
            ("t:json:/team//id", "empty", 13..13),
            ("header:X Workspace", "`header:X-Workspace-Id`", 7..18),
            ("header:", "`header:X-Workspace-Id`", 7..7),
            ("query:", "`query:team`", 6..6),
            ("path:one", "`path:1`", 5..8),
            ("path:-1", "`path:1`", 5..7),
            ("path:64", "from 0 to 63", 5..7),
            ("form:", "`form:team_id`", 5..5),
            ("form:payload#/team/id", "`form_json:payload#/team/id`", 12..21),
            ("form_json:payload", "`form_json:payload#/team/id`", 10..17),
            ("form_json:payload#team", "`/team`", 18..22),
            ("jwt:Authorization", "`jwt:Authorization#tid`", 4..17),
            ("jwt:Authorization#/a//b", "empty", 21..21),
            ("jwt:Auth orization#tid", "header's name", 4..18),
            ("const:", "`const:platform`", 6..6),
        ] {
            let (message, range) = error(text);
            assert!(message.contains(says), "{text}: {message}");
            assert_eq!(range, at, "{text}: {message}");
        }
    }
}
