//! Tests that the walk reads the same as the bots' own parsers.
//!
//! `ALIKE` and `UNLIKE` are the results of Python 3.11's `json.loads` and Node 20's `JSON.parse` on these bodies, for `team.id`: a
//! string that is not empty, or an integer. The properties compare with `serde_json::Value`.

use proptest::prelude::*;
use serde_json::Value as Tree;

use super::example::{extractor, json};
use super::json::{Value, walk};
use super::pointer::{Pointer, Step};
use super::trie::Pointers;

#[derive(Clone, Copy, Debug)]
enum Read {
    Id(&'static str),
    /// Valid JSON without an id at that place.
    Nothing,
    /// Not JSON.
    Refused,
}

use Read::{Id, Nothing, Refused};

/// Bodies that Python and Node read alike.
#[rustfmt::skip]
const ALIKE: &[(&[u8], Read)] = &[
    (br#"{"team":{"id":"T1"}}"#, Id("T1")),
    (b" \t\r\n{\"team\" : {\"id\" :\n\"T1\"} } \n", Id("T1")),
    (br#"{"team":{"id":12}}"#, Id("12")),
    (br#"{"team":{"id":-12}}"#, Id("-12")),
    (br#"{"team":{"id":0}}"#, Id("0")),
    (br#"{"team":{"id":1.5}}"#, Nothing),
    (br#"{"team":{"id":true}}"#, Nothing),
    (br#"{"team":{"id":null}}"#, Nothing),
    (br#"{"team":{"id":""}}"#, Nothing),
    (br#"{"team":{"id":["T1"]}}"#, Nothing),
    (br#"{"team":{"id":{"id":"T1"}}}"#, Nothing),
    (br#"{"team":null}"#, Nothing),
    (br#"{"team":["id"]}"#, Nothing),
    (br#"{"team":"T1"}"#, Nothing),
    (br#"[{"team":{"id":"T1"}}]"#, Nothing),
    (br#""team""#, Nothing),
    (b"null", Nothing),
    (b"12", Nothing),
    (br#"{"team":{"id":"A"},"team":{"id":"B"}}"#, Id("B")),
    (br#"{"team":{"id":"A","id":"B"}}"#, Id("B")),
    (br#"{"team":{"id":"A"},"team":null}"#, Nothing),
    (br#"{"team":{"id":"A"},"team":{}}"#, Nothing),
    (br#"{"team":{"id":"A"},"team":"B"}"#, Nothing),
    (br#"{"team":null,"team":{"id":"B"}}"#, Id("B")),
    (br#"{"team":{"id":"A","id":null}}"#, Nothing),
    (br#"{"team":{"id":"A"},"te\u0061m":{"id":"B"}}"#, Id("B")),
    (br#"{"team":{"id":"A"},"Team":{"id":"B"}}"#, Id("A")),
    (br#"{"team":{"id":"A"},"x":{"team":{"id":"B"}}}"#, Id("A")),
    (br#"{"team":{"id":"T\u0031"}}"#, Id("T1")),
    (br#"{"team":{"id":"T\/1"}}"#, Id("T/1")),
    (br#"{"team":{"id":"\ud83d\udca5"}}"#, Id("\u{1f4a5}")),
    (b"{\"team\":{\"id\":\"\xc3\x9cn\xc3\xaf-\xf0\x9f\x92\xa5\"}}", Id("\u{dc}n\u{ef}-\u{1f4a5}")),
    (br#"{"t\u0065am":{"id":"T1"}}"#, Id("T1")),
    (br#"{"team":{"id":"T1\u0000"}}"#, Id("T1\u{0}")),
    (br#"{"team":{"id":"a\x31"}}"#, Refused),
    (b"{\"team\":{\"id\":\"T\n1\"}}", Refused),
    (b"{\"x\":\"a\tb\",\"team\":{\"id\":\"T1\"}}", Refused),
    (br#"{"x":"\q","team":{"id":"T1"}}"#, Refused),
    (br#"{"x":"\u12","team":{"id":"T1"}}"#, Refused),
    (br#"{"x":"\ud800","team":{"id":"T1"}}"#, Id("T1")),
    (br#"{"x":{"\ud800":1},"team":{"id":"T1"}}"#, Id("T1")),
    (b"", Refused),
    (b" ", Refused),
    (b"{", Refused),
    (br#"{"team":{"id":"T1"}"#, Refused),
    (br#"{"team":{"id":"T1""#, Refused),
    (br#"{"team":{"id":"T1"}}}"#, Refused),
    (br#"{"team":{"id":"T1"}} x"#, Refused),
    (br#"{"team":{"id":"T1"}}{}"#, Refused),
    (b"{\"team\":{\"id\":\"T1\"}}\x00", Refused),
    (br#"{"team":{"id":"T1"},}"#, Refused),
    (br#"{"team":{"id":"T1",}}"#, Refused),
    (br#"{"x":[1,],"team":{"id":"T1"}}"#, Refused),
    (br#"{"x":[1 2],"team":{"id":"T1"}}"#, Refused),
    (br#"{"x" 1,"team":{"id":"T1"}}"#, Refused),
    (br#"{team:{"id":"T1"}}"#, Refused),
    (b"{'team':{'id':'T1'}}", Refused),
    (br#"{"team":{"id":T1}}"#, Refused),
    (br#"{"x":01,"team":{"id":"T1"}}"#, Refused),
    (br#"{"team":{"id":012}}"#, Refused),
    (br#"{"team":{"id":+12}}"#, Refused),
    (br#"{"team":{"id":0x12}}"#, Refused),
    (br#"{"team":{"id":1_000}}"#, Refused),
    (br#"{"x":.5,"team":{"id":"T1"}}"#, Refused),
    (br#"{"x":1.,"team":{"id":"T1"}}"#, Refused),
    (br#"{"x":True,"team":{"id":"T1"}}"#, Refused),
    (br#"{"x":nul,"team":{"id":"T1"}}"#, Refused),
    (br#"{"x":1e999,"team":{"id":"T1"}}"#, Id("T1")),
    (br#"{"team":{"id":"T1"}}//x"#, Refused),
    (br#"/**/{"team":{"id":"T1"}}"#, Refused),
    (b"\x0c{\"team\":{\"id\":\"T1\"}}", Refused),
    (b"\xc2\xa0{\"team\":{\"id\":\"T1\"}}", Refused),
];

/// What Python, Node and serin read. serin finds no id if a bot might read another one.
#[rustfmt::skip]
const UNLIKE: &[(&[u8], Read, Read, &str)] = &[
    // Node rounds above 2^53, so two tenants may be one to Node; to serin they stay two.
    (br#"{"team":{"id":9007199254740993}}"#, Id("9007199254740993"), Id("9007199254740992"), "ws:9007199254740993"),
    (br#"{"team":{"id":18446744073709551615}}"#, Id("18446744073709551615"), Id("18446744073709551616"), "ws:18446744073709551615"),
    (br#"{"team":{"id":18446744073709551616}}"#, Id("18446744073709551616"), Id("18446744073709551616"), "invalid"),
    (br#"{"team":{"id":1.0}}"#, Nothing, Id("1"), "invalid"),
    (br#"{"team":{"id":1e2}}"#, Nothing, Id("100"), "invalid"),
    (br#"{"team":{"id":-0}}"#, Id("0"), Id("0"), "invalid"),
    (br#"{"team":{"id":1e999}}"#, Nothing, Nothing, "invalid"),
    // Half a surrogate pair is not a character, so a Rust string cannot hold it: refused where it would be read.
    (br#"{"team":{"id":"\ud800"}}"#, Id("half a pair"), Id("half a pair"), "invalid"),
    (br#"{"\ud800":1,"team":{"id":"T1"}}"#, Id("T1"), Id("T1"), "invalid"),
    (b"{\"x\":\"\xed\xa0\x80\",\"team\":{\"id\":\"T1\"}}", Id("T1"), Id("T1"), "invalid"),
    (b"{\"team\":{\"id\":\"T\xff\"}}", Refused, Id("T\u{fffd}"), "invalid"),
    (b"{\"x\":\"\xff\",\"team\":{\"id\":\"T1\"}}", Refused, Id("T1"), "invalid"),
    (br#"{"x":NaN,"team":{"id":"T1"}}"#, Id("T1"), Refused, "invalid"),
    (br#"{"x":-Infinity,"team":{"id":"T1"}}"#, Id("T1"), Refused, "invalid"),
    (b"\xef\xbb\xbf{\"team\":{\"id\":\"T1\"}}", Id("T1"), Refused, "invalid"),
    // UTF-16.
    (b"{\0\"\0t\0e\0a\0m\0\"\0:\0{\0\"\0i\0d\0\"\0:\0\"\0T\x001\0\"\0}\0}\0", Id("T1"), Refused, "invalid"),
];

#[test]
fn what_python_and_node_read_alike_we_read_too() {
    let extractor = extractor(&["json:/team/id"]);
    for (body, read) in ALIKE {
        let told = json(*body).to(&extractor);
        let text = String::from_utf8_lossy(body);
        match read {
            Id(id) => assert_eq!(told, format!("ws:{id}"), "{text}"),
            Nothing => assert!(["missing", "invalid"].contains(&told.as_str()), "{text}: {told}"),
            Refused => assert_eq!(told, if body.is_empty() { "missing" } else { "invalid" }, "{text}"),
        }
    }
}

#[test]
fn where_a_bot_might_read_another_id_there_is_none() {
    let extractor = extractor(&["json:/team/id"]);
    for (body, python, node, ours) in UNLIKE {
        assert_eq!(json(*body).to(&extractor), *ours, "{}: {python:?}, {node:?}", String::from_utf8_lossy(body));
    }
}

#[test]
fn depth_is_no_danger() {
    let extractor = extractor(&["json:/team/id", "json:/x/*/team"]);
    let deep = |open: &str, n: usize, close: &str| format!(r#"{{"x":{}1{},"team":{{"id":"T1"}}}}"#, open.repeat(n), close.repeat(n));
    assert_eq!(json(deep("[", 200, "]")).to(&extractor), "ws:T1");
    assert_eq!(json(deep(r#"{"a":"#, 100_000, "}")).to(&extractor), "ws:T1");
    assert_eq!(json("[".repeat(1 << 20)).to(&extractor), "invalid");
    assert_eq!(json(r#"{"team":"#.repeat(1 << 17)).to(&extractor), "invalid");
    assert_eq!(json(r#"{"x":"#.to_owned() + &"[".repeat(1 << 20)).to(&extractor), "invalid");
}

#[test]
fn a_body_with_more_tenants_than_anyone_sends_has_none() {
    let elements = |n: usize| format!(r#"{{"entry":[{}]}}"#, vec![r#"{"id":"A"}"#; n].join(","));
    let entries = extractor(&["json:/entry/*/id"]);
    assert_eq!(json(elements(1_024)).to(&entries), "ws:A");
    assert_eq!(json(elements(1_025)).to(&entries), "invalid");
    let keys = |n: usize| format!("{{{}}}", (0..n).map(|i| format!(r#""k{i}":{{"id":"A"}}"#)).collect::<Vec<_>>().join(","));
    let parts = extractor(&["json:/*/id"]);
    assert_eq!(json(keys(16)).to(&parts), "ws:A");
    assert_eq!(json(keys(17)).to(&parts), "invalid");
}

/// Computes the walk's expected result with a tree: the values at `steps`, sorted, as text.
fn by_tree(tree: &Tree, pointers: &[Pointer], pointer: &Pointer) -> Vec<String> {
    let mut at: Vec<(Vec<String>, &Tree)> = vec![(Vec::new(), tree)];
    for step in pointer.steps() {
        let mut next = Vec::new();
        for (path, tree) in at {
            let children: Vec<(String, &Tree)> = match tree {
                Tree::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
                Tree::Array(list) => list.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
                Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => Vec::new(),
            };
            for (key, value) in children.into_iter().filter(|(key, _)| matches(step, key)) {
                next.push(([path.clone(), vec![key]].concat(), value));
            }
        }
        at = next;
    }
    let looked_into =
        |path: &[String]| pointers.iter().any(|p| p.steps().len() > path.len() && p.steps().iter().zip(path).all(|(s, k)| matches(s, k)));
    let mut said: Vec<String> = at.iter().filter_map(|(path, tree)| as_value(tree, looked_into(path))).map(|v| format!("{v:?}")).collect();
    said.sort();
    said
}

fn matches(step: &Step, key: &str) -> bool {
    match step {
        Step::Any => true,
        Step::Key(k) => **k == *key,
    }
}

fn as_value(tree: &Tree, looked_into: bool) -> Option<Value<'_>> {
    match tree {
        Tree::Null => None,
        Tree::Bool(b) => Some(Value::Bool(*b)),
        Tree::Number(n) => Some(match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => Value::Unsigned(n),
            (None, Some(n)) => Value::Negative(n),
            (None, None) => Value::Unfit,
        }),
        Tree::String(text) => (!text.is_empty()).then(|| Value::Text(text.as_str().into())),
        Tree::Array(list) if list.is_empty() => Some(Value::EmptyArray),
        Tree::Array(_) | Tree::Object(_) => (!looked_into).then_some(Value::Unfit),
    }
}

/// JSON as text, so that keys may be duplicated; some keys have an escape.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"\"".to_owned()),
        Just("-7".to_owned()),
        Just("1.5".to_owned()),
        Just("18446744073709551615".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("\"\\u0041\\n\"".to_owned()),
        (0u8..4).prop_map(|n| n.to_string()),
        "[A-C]".prop_map(|s| format!("\"{s}\"")),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key = prop_oneof![4 => "[ab01]".prop_map(|k| format!("\"{k}\"")), 1 => Just("\"\\u0061\"".to_owned())];
        let pair = (key, inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
        prop_oneof![
            2 => proptest::collection::vec(pair, 0..6).prop_map(|pairs| format!("{{{}}}", pairs.join(" , "))),
            1 => proptest::collection::vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(","))),
        ]
    })
}

fn any_pointers() -> impl Strategy<Value = Vec<Pointer>> {
    let step = prop_oneof![5 => "/[ab01]", 2 => Just("/*".to_owned())];
    let pointer = proptest::collection::vec(step, 1..5).prop_map(|steps| Pointer::parse(&steps.concat()).unwrap());
    proptest::collection::vec(pointer, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_walk_equals_a_tree(text in any_json(), pointers in any_pointers()) {
        let mut all = Pointers::default();
        let indices: Vec<_> = pointers.iter().map(|pointer| all.index_of(pointer)).collect();
        let values = walk(&all.compile().unwrap(), text.as_bytes()).unwrap();
        let tree: Tree = serde_json::from_str(&text).unwrap();
        for (pointer, index) in pointers.iter().zip(indices) {
            let mut said: Vec<String> = values.at(index).map(|value| format!("{value:?}")).collect();
            said.sort();
            prop_assert_eq!(said, by_tree(&tree, &pointers, pointer), "{:?}", pointer);
        }
    }

    #[test]
    fn a_body_that_is_cut_off_has_no_id(text in any_json(), cut in any::<prop::sample::Index>()) {
        let body = format!(r#"{{"team":{{"id":"T1"}},"x":{text}}}"#);
        let extractor = extractor(&["json:/team/id", "json:/x/*/a"]);
        prop_assert_eq!(json(body.clone()).to(&extractor), "ws:T1");
        let cut = cut.index(body.len());
        prop_assert_eq!(json(&body.as_bytes()[..cut]).to(&extractor), if cut == 0 { "missing" } else { "invalid" });
    }

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200), form in any::<bool>()) {
        for preset in super::all() {
            let request = if form { super::example::form(body.clone()) } else { json(body.clone()) };
            request.to(&super::example::preset(preset.name));
        }
    }

    #[test]
    fn no_almost_json_panics(body in r#"([{}\[\],:"\\]|"team"|"id"|null|12|-|e|\\u00|é| ){0,40}"#) {
        for preset in super::all() {
            json(body.clone()).to(&super::example::preset(preset.name));
        }
    }
}
