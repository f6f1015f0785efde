//! A request's head, and the sources in it: header, query, path, jwt.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::uri::PathAndQuery;
use http::{HeaderName, Method};
use percent_encoding::percent_decode_str;

use super::candidate::Candidate;
use super::form;
use super::json;
use super::trie::{PointerIndex, Trie};
use crate::http1::Fields;

/// A request's head, as the listener read it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub method: &'a Method,
    pub target: &'a PathAndQuery,
    pub fields: &'a Fields,
}

pub(super) fn header<'a>(fields: &'a Fields, name: &'a HeaderName) -> Candidate<'a> {
    Candidate::of_all(fields.named(name.as_str()).map(|value| Candidate::of_bytes(Cow::Borrowed(value))))
}

pub(super) fn query<'a>(target: &'a PathAndQuery, name: &str) -> Candidate<'a> {
    let Some(query) = target.query() else { return Candidate::Nothing };
    Candidate::of_all(form::values(query.as_bytes(), name).map(Candidate::of_bytes))
}

/// The nth segment of the path, from 0: segment 1 of `/hooks/T1` is `T1`.
pub(super) fn path(target: &PathAndQuery, segment: usize) -> Candidate<'_> {
    match target.path().split('/').nth(segment + 1) {
        Some(text) => Candidate::of_bytes(percent_decode_str(text).into()),
        None => Candidate::Nothing,
    }
}

/// A claim of a token. serin does not verify the token: the bot does, and a forged token can only choose a bucket.
pub(super) fn jwt<'a>(fields: &Fields, name: &HeaderName, trie: &Trie, claim: PointerIndex) -> Candidate<'a> {
    Candidate::of_all(fields.named(name.as_str()).map(|value| of_token(value, trie, claim)))
}

fn of_token<'a>(value: &[u8], trie: &Trie, claim: PointerIndex) -> Candidate<'a> {
    const BEARER: &[u8] = b"bearer ";
    let token = match value.get(..BEARER.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(BEARER) => value[BEARER.len()..].trim_ascii(),
        Some(_) | None => value,
    };
    if token.is_empty() {
        return Candidate::Nothing;
    }
    let payload = token.split(|b| *b == b'.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let Some(payload) = payload else { return Candidate::Unfit };
    match json::walk(trie, &payload) {
        Ok(values) => Candidate::of_all(values.into_owned().at(claim).map(Candidate::of_value)),
        Err(json::Unreadable) => Candidate::Unfit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::pointer::Pointer;
    use crate::identify::trie::Pointers;

    fn id(text: &str) -> Candidate<'_> {
        Candidate::Id(text.into())
    }

    #[test]
    fn a_header_that_comes_twice_must_agree_with_itself() {
        let name = HeaderName::from_static("x-workspace-id");
        let mut fields = Fields::default();
        assert_eq!(header(&fields, &name), Candidate::Nothing);
        fields.push("X-Workspace-Id", b"T1").unwrap();
        fields.push("x-workspace-id", b"T1").unwrap();
        assert_eq!(header(&fields, &name), id("T1"));
        fields.push("X-Workspace-Id", b"T2").unwrap();
        assert_eq!(header(&fields, &name), Candidate::Differ("T1".into()));
        fields.set("X-Workspace-Id", b"\xff").unwrap();
        assert_eq!(header(&fields, &name), Candidate::Unfit);
    }

    #[test]
    fn a_query_is_decoded_as_a_form_is() {
        let target: PathAndQuery = "/hook?a=1&te%61m=T%2B1+x&empty=".parse().unwrap();
        assert_eq!(query(&target, "team"), id("T+1 x"));
        assert_eq!(query(&target, "empty"), Candidate::Nothing);
        assert_eq!(query(&target, "none"), Candidate::Nothing);
        assert_eq!(query(&PathAndQuery::from_static("/hook"), "a"), Candidate::Nothing);
    }

    #[test]
    fn path_segments_count_from_zero() {
        let target = PathAndQuery::from_static("/hooks/123%3AABC//x?y");
        assert_eq!(path(&target, 0), id("hooks"));
        assert_eq!(path(&target, 1), id("123:ABC"));
        assert_eq!(path(&target, 2), Candidate::Nothing);
        assert_eq!(path(&target, 3), id("x"));
        assert_eq!(path(&target, 4), Candidate::Nothing);
        assert_eq!(path(&PathAndQuery::from_static("*"), 0), Candidate::Nothing);
        assert_eq!(path(&PathAndQuery::from_static("/%FF"), 0), Candidate::Unfit);
    }

    #[test]
    fn a_claim_is_read_without_verifying_the_token() {
        let mut pointers = Pointers::default();
        let claim = pointers.index_of(&Pointer::of_key("tid"));
        let trie = pointers.compile().unwrap();
        let of = |value: &str| of_token(value.as_bytes(), &trie, claim);
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(r#"{"aud":"x","tid":"72f988bf"}"#));
        assert_eq!(of(&token), id("72f988bf"));
        assert_eq!(of(&format!("bEARER {token}")), id("72f988bf"));
        assert_eq!(of("Bearer "), Candidate::Nothing);
        for broken in ["Bearer x", "Basic dXNlcjpwYXNz", "a.!.c", "a.e30x.c", "é"] {
            assert_eq!(of(broken), Candidate::Unfit, "{broken}");
        }
        assert_eq!(of("e30.e30."), Candidate::Nothing);
    }
}
