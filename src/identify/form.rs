//! `application/x-www-form-urlencoded`: the values of a field, and JSON inside one (Slack's `payload`). Only the fields of sources
//! and marks are decoded.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::SourceError;
use super::candidate::Candidate;
use super::json::{self, Unreadable, Values};
use super::pointer::Pointer;
use super::trie::{PointerIndex, Pointers, Trie};

/// The decoded values of a field as bytes, in their order: `+` is a space, `%41` is `A`.
pub(super) fn values<'a>(body: &'a [u8], name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    pairs(body).filter(move |(raw, _)| is_named(raw, name)).map(|(_, value)| decode(value))
}

/// A field that contains JSON, and the pointers into it.
#[derive(Clone, Debug)]
pub(super) struct JsonField {
    name: String,
    trie: Trie,
}

impl JsonField {
    fn walk(&self, body: &[u8]) -> Result<Values<'static>, Unreadable> {
        let mut values = values(body, &self.name).filter(|value| !value.is_empty());
        let Some(text) = values.next() else { return Ok(Values::default()) };
        // With two different documents, the bot's framework decides which one the bot reads.
        if values.any(|other| other != text) {
            return Err(Unreadable);
        }
        json::walk(&self.trie, &text).map(Values::into_owned)
    }
}

/// Collects the fields that contain JSON.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonFields(Vec<(String, Pointers)>);

impl JsonFields {
    /// The index of the field, and the pointer's index in it.
    pub(super) fn index_of(&mut self, name: &str, pointer: &Pointer) -> (usize, PointerIndex) {
        let index = self.0.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), Pointers::default()));
            self.0.len() - 1
        });
        (index, self.0[index].1.index_of(pointer))
    }

    pub(super) fn compile(self) -> Result<Vec<JsonField>, SourceError> {
        self.0.into_iter().map(|(name, pointers)| Ok(JsonField { name, trie: pointers.compile()? })).collect()
    }
}

/// A form, with the JSON of its fields parsed.
#[derive(Debug)]
pub(super) struct Form<'a> {
    body: &'a [u8],
    documents: Vec<Result<Values<'static>, Unreadable>>,
}

impl<'a> Form<'a> {
    pub(super) fn read(fields: &[JsonField], body: &'a [u8]) -> Form<'a> {
        Form { body, documents: fields.iter().map(|field| field.walk(body)).collect() }
    }

    pub(super) fn field(&self, name: &str) -> Candidate<'a> {
        Candidate::of_all(values(self.body, name).map(Candidate::of_bytes))
    }

    /// Whether this is one of the field's values.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        values(self.body, name).any(|v| *v == *value.as_bytes())
    }

    /// Whether the field has a document that is no JSON, or several different ones.
    pub(super) fn is_unreadable(&self, field: usize) -> bool {
        self.documents[field].is_err()
    }

    pub(super) fn json(&self, field: usize, pointer: PointerIndex) -> Candidate<'static> {
        match &self.documents[field] {
            Ok(values) => Candidate::of_all(values.at(pointer).map(Candidate::of_value)),
            Err(Unreadable) => Candidate::Unfit,
        }
    }
}

fn pairs(body: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let now = rest?;
        let pair = match memchr::memchr(b'&', now) {
            Some(end) => {
                rest = Some(&now[end + 1..]);
                &now[..end]
            }
            None => {
                rest = None;
                now
            }
        };
        Some(match memchr::memchr(b'=', pair) {
            Some(equals) => (&pair[..equals], &pair[equals + 1..]),
            None => (pair, &pair[..0]),
        })
    })
}

fn is_named(raw: &[u8], name: &str) -> bool {
    raw == name.as_bytes() || (memchr::memchr2(b'%', b'+', raw).is_some() && *decode(raw) == *name.as_bytes())
}

fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', raw).is_none() {
        return percent_decode(raw).into();
    }
    let spaced: Vec<u8> = raw.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(body: &str, name: &str) -> Candidate<'static> {
        match Form::read(&[], body.as_bytes()).field(name) {
            Candidate::Id(id) => Candidate::Id(Cow::Owned(id.into_owned())),
            Candidate::Differ(id) => Candidate::Differ(Cow::Owned(id.into_owned())),
            Candidate::Nothing => Candidate::Nothing,
            Candidate::Unfit => Candidate::Unfit,
        }
    }

    #[test]
    fn a_field_that_comes_twice_must_agree_with_itself() {
        assert_eq!(field("team_id=T1&x=1&team_id=T1", "team_id"), Candidate::Id("T1".into()));
        assert_eq!(field("team_id=T1&team_id=T2", "team_id"), Candidate::Differ("T1".into()));
        assert_eq!(field("team_id=&team_id=T2", "team_id"), Candidate::Id("T2".into()));
        assert_eq!(field("team_id", "team_id"), Candidate::Nothing);
        assert_eq!(field("team_id=%FF", "team_id"), Candidate::Unfit);
    }

    #[test]
    fn two_documents_in_one_field_are_read_as_none() {
        let mut fields = JsonFields::default();
        let (field, pointer) = fields.index_of("payload", &Pointer::parse("/team").unwrap());
        let fields = fields.compile().unwrap();
        let json = |body: &str| Form::read(&fields, body.as_bytes()).json(field, pointer);
        assert_eq!(json("payload=%7B%22team%22:%22T+1%22%7D"), Candidate::Id("T 1".into()));
        assert_eq!(json("payload={\"team\":\"A\"}&payload={\"team\":\"B\"}"), Candidate::Unfit);
        assert_eq!(json("payload={\"team\":\"A\"}&payload={\"team\":\"A\"}"), Candidate::Id("A".into()));
        assert_eq!(json("payload={\"team\":\"A\"}x"), Candidate::Unfit);
        assert_eq!(json("payload="), Candidate::Nothing);
        assert_eq!(json("other=1"), Candidate::Nothing);
    }

    proptest! {
        #[test]
        fn fields_decode_as_form_urlencoded_does(body in "[a-c%+=&0-9]{0,40}", name in "[a-c ]{0,2}") {
            let ours: Vec<String> = values(body.as_bytes(), &name).map(|v| String::from_utf8_lossy(&v).into_owned()).collect();
            // form_urlencoded ignores an empty pair; a source cannot name a field without a name.
            prop_assume!(!name.is_empty());
            let theirs: Vec<String> =
                form_urlencoded::parse(body.as_bytes()).filter(|(n, _)| *n == name).map(|(_, v)| v.into_owned()).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
