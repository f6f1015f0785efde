//! Tests that serin's reader and serde_json agree about every body, JSON or not, and about its values.

use proptest::prelude::*;
use proptest::sample::Index;
use serde::de::IgnoredAny;

use super::super::pointer::Pointer;
use super::super::trie::{Pointers, Trie};
use super::{reference, scan, token, walk};

/// Pointers that match nothing in most bodies, so that nearly all is skipped; and some that match everywhere.
const POINTERS: &[&[&str]] = &[&["/nothing"], &["/a"], &["/a/b", "/*/a"], &["/*", "/*/*", "/*/*/*/*"], &["/0/1", "/1", "/a/0"]];

fn tries() -> impl Iterator<Item = Trie> {
    POINTERS.iter().map(|pointers| {
        let mut all = Pointers::default();
        for pointer in *pointers {
            all.index_of(&Pointer::parse(pointer).unwrap());
        }
        all.compile().unwrap()
    })
}

fn agree(body: &[u8]) {
    let shown = String::from_utf8_lossy(body);
    for trie in tries() {
        assert_eq!(walk(&trie, body), reference::walk(&trie, body), "{shown:?}");
    }
    if std::str::from_utf8(body).is_ok() {
        let ours = scan::skip_value(body, token::token(body, 0)).is_ok_and(|end| token::token(body, end).1 == body.len());
        assert_eq!(ours, serde_json::from_slice::<IgnoredAny>(body).is_ok(), "{shown:?}");
    }
}

/// Runs long enough to fill several blocks, with special bytes at any place.
fn any_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[ -!#-\\[\\]-~]{0,40}",
        2 => r#"\\["\\/bfnrt]"#,
        2 => r"\\u[0-9a-fA-F]{4}",
        1 => r"\\u[dD][89abAB][0-9a-f]{2}\\u[dD][c-fC-F][0-9a-f]{2}",
        1 => r"\\u[dD][89a-f][0-9a-f]{2}(\\[nu])?",
        1 => "[é€💥\u{7f}\u{2028}]{1,3}",
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn any_number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => r"-?(0|[1-9][0-9]{0,4})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
        1 => r"-?[1-9][0-9]{17,21}",
        1 => r"-?(922337203685477580[6-9]|1844674407370955161[4-6]|0|0\.0|0e999|1e30[789]|1[0-9]{305,312})",
    ]
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![6 => r#""[ab01]""#, 1 => Just(r#""\u0061""#.to_owned()), 1 => any_string()]
}

fn any_json() -> impl Strategy<Value = String> {
    let word = prop_oneof![Just("null"), Just("true"), Just("false"), Just("{}"), Just("[ ]"), Just("{\t}")].prop_map(str::to_owned);
    prop_oneof![2 => any_string(), 2 => any_number(), 1 => word].prop_recursive(6, 40, 5, |inner| {
        let pair = (any_key(), any_space(), inner.clone()).prop_map(|(key, space, value)| format!("{key}{space}:{space}{value}"));
        let object = (proptest::collection::vec(pair, 0..6), any_space()).prop_map(|(pairs, space)| wrap('{', &pairs, '}', &space));
        let array = (proptest::collection::vec(inner, 0..5), any_space()).prop_map(|(list, space)| wrap('[', &list, ']', &space));
        prop_oneof![2 => object, 1 => array]
    })
}

fn any_space() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

fn wrap(open: char, parts: &[String], close: char, space: &str) -> String {
    format!("{space}{open}{space}{}{space}{close}{space}", parts.join(&format!("{space},{space}")))
}

/// A change of one byte or a few. Most results are nearly JSON.
#[derive(Clone, Debug)]
enum Change {
    Delete(Index, usize),
    Insert(Index, Vec<u8>),
    Replace(Index, u8),
    Swap(Index, Index),
    Repeat(Index, Index),
}

fn any_change() -> impl Strategy<Value = Change> {
    let near = || prop_oneof![4 => prop::sample::select(br#"{}[]",:\0123456789-+.eEutfnrb/ "#.as_slice()), 1 => any::<u8>()];
    let index = any::<Index>;
    prop_oneof![
        (index(), 1usize..4).prop_map(|(at, len)| Change::Delete(at, len)),
        (index(), proptest::collection::vec(near(), 1..4)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (index(), near()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (index(), index()).prop_map(|(a, b)| Change::Swap(a, b)),
        (index(), index()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn changed(mut body: Vec<u8>, change: &Change) -> Vec<u8> {
    if body.is_empty() {
        return body;
    }
    let len = body.len();
    match change {
        Change::Delete(at, n) => drop(body.drain(at.index(len)..(at.index(len) + n).min(len))),
        Change::Insert(at, bytes) => drop(body.splice(at.index(len)..at.index(len), bytes.iter().copied())),
        Change::Replace(at, byte) => body[at.index(len)] = *byte,
        Change::Swap(a, b) => body.swap(a.index(len), b.index(len)),
        Change::Repeat(from, to) => {
            let (from, to) = (from.index(len).min(to.index(len)), from.index(len).max(to.index(len)));
            body.extend_from_within(from..to);
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn json_is_read_alike(text in any_json()) {
        agree(text.as_bytes());
    }

    #[test]
    fn nearly_json_is_read_alike(text in any_json(), changes in proptest::collection::vec(any_change(), 1..4)) {
        agree(&changes.iter().fold(text.into_bytes(), changed));
    }

    #[test]
    fn any_bytes_are_read_alike(body in proptest::collection::vec(any::<u8>(), 0..60)) {
        agree(&body);
    }

    #[test]
    fn a_stop_is_seen_at_every_place_of_a_string(before in 0usize..70, stop in any::<u8>(), after in 0usize..40) {
        let text = [vec![b'x'; before], vec![stop], vec![b'n'; after]].concat();
        agree(&[b"[\"".as_slice(), &text, b"\"]"].concat());
        agree(&[b"{\"a\":\"".as_slice(), &text, b"\"}"].concat());
        agree(&[b"{\"a\":1,\"".as_slice(), &text, b"\":2}"].concat());
    }

    #[test]
    fn containers_close_as_they_opened(open in proptest::collection::vec(any::<bool>(), 0..300), wrong in proptest::option::of(any::<Index>())) {
        let mut body: String = open.iter().map(|object| if *object { r#"{"k":"# } else { "[" }).collect();
        body.push('1');
        let wrong = wrong.filter(|_| !open.is_empty()).map(|at| at.index(open.len()));
        for (i, object) in open.iter().enumerate().rev() {
            body.push(if *object == (wrong == Some(i)) { ']' } else { '}' });
        }
        // serde_json refuses more than 127 levels only where it builds values; here it skips them.
        let body = format!(r#"{{"x":{body}}}"#);
        let trie = tries().next().unwrap();
        prop_assert_eq!(walk(&trie, body.as_bytes()), reference::walk(&trie, body.as_bytes()));
        prop_assert_eq!(walk(&trie, body.as_bytes()).is_ok(), wrong.is_none());
    }
}

#[test]
fn a_cut_anywhere_is_read_alike() {
    let body = r#" {"a":{"b":[1,-2.5e+3,true,null,"\u00e9\ud83d\udca5é \"x\""]},"\u0061":[{"a":"A"},[]], "0":false} "#;
    for cut in 0..=body.len() {
        agree(&body.as_bytes()[..cut]);
        agree(&body.as_bytes()[cut..]);
    }
}
