//! W3C Trace Context: what passes, what begins anew, and where its id can be found.

use serde_json::Value;

use crate::harness::{Ask, Closed, Config, Process, Serin, Upstream};

const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const STATE: &str = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

fn split(upstream: &Upstream) -> Config {
    Config::split(upstream.address, upstream.address)
}

/// What the upstream saw of an ask with these fields.
fn seen(config: impl Fn(&Upstream) -> Config, fields: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let upstream = Upstream::answering("ok");
    let serin = Serin::start(&config(&upstream));
    let ask = fields.iter().fold(Ask::of("T1"), |ask, (name, value)| ask.field(name, value));
    assert_eq!(serin.ask(&ask).status, 200);
    let head = upstream.only_request().head;
    let all = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    };
    (all("traceparent"), all("tracestate"))
}

/// One of serin's own, to be recorded.
#[track_caller]
fn assert_new(parents: &[String]) {
    assert_new_with(parents, "03");
}

#[track_caller]
fn assert_new_with(parents: &[String], flags: &str) {
    let [parent] = parents else { panic!("{parents:?}") };
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "00", flags), "{parent}");
    assert_eq!((parts[1].len(), parts[2].len()), (32, 16), "{parent}");
    assert!(parts.iter().all(|part| part.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))), "{parent}");
    assert!(!GOOD.contains(parts[1]), "{parent}");
}

#[test]
fn a_valid_trace_passes_as_it_came() {
    let future = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
    for parent in [GOOD, future] {
        let passed = seen(split, &[("TraceParent", parent), ("tracestate", "a=1"), ("tracestate", STATE)]);
        assert_eq!(passed, (vec![parent.to_owned()], vec!["a=1".to_owned(), STATE.to_owned()]));
    }
}

#[test]
fn without_one_a_trace_begins() {
    let (parents, states) = seen(split, &[]);
    assert_new(&parents);
    assert!(states.is_empty());
}

#[test]
fn an_invalid_trace_is_replaced_and_loses_its_state() {
    let invalid: [&[&str]; 7] = [
        &[&GOOD[..54]],
        &["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"],
        &["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
        &["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
        &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"],
        &[GOOD, GOOD],
    ];
    for parents in invalid {
        let fields: Vec<_> = parents.iter().map(|parent| ("traceparent", *parent)).chain([("tracestate", STATE)]).collect();
        let (parents, states) = seen(split, &fields);
        assert_new(&parents);
        assert!(states.is_empty(), "{states:?}");
    }
    let (parents, states) = seen(split, &[("tracestate", STATE)]);
    assert_new(&parents);
    assert!(states.is_empty(), "a state without its trace");
}

#[test]
fn how_many_are_to_be_recorded_is_the_configs_choice() {
    let none = |upstream: &Upstream| split(upstream).proxy("trace_sampled = \"0%\"");
    assert_new_with(&seen(none, &[]).0, "02");
    assert_eq!(seen(none, &[("traceparent", GOOD)]).0, [GOOD], "the sender has chosen");
}

#[test]
fn with_trace_off_the_trace_fields_pass_unchanged() {
    let off = |upstream: &Upstream| split(upstream).proxy("trace = false");
    assert_eq!(seen(off, &[]), (vec![], vec![]));
    let broken = ("broken".to_owned(), STATE.to_owned());
    assert_eq!(seen(off, &[("traceparent", "broken"), ("tracestate", STATE)]), (vec![broken.0], vec![broken.1]));
}

#[test]
fn the_second_try_has_the_same_trace() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let process = Process::start(&Config::split(blue.address, green.address).weight("99.99%").log("access = \"full\""));
    assert_eq!(process.ask(&Ask::of("T1")).text(), "blue");
    // Only the log line shows the first attempt: the canary takes no connections.
    let line: Value = serde_json::from_str(&process.logged("\"log\":\"access\"")).unwrap();
    let request = blue.only_request();
    let parent = request.field("traceparent").unwrap();
    assert_eq!((&line["rescued"], line["trace_id"].as_str()), (&true.into(), parent.split('-').nth(1)));
}

#[test]
fn an_answer_of_serins_own_names_the_trace() {
    let closed = Closed::new();
    let serin = Serin::start(&Config::split(closed.address, closed.address));
    let document = |ask: Ask| -> Value { serin.ask(&ask).json() };
    let failed = document(Ask::of("T1").field("traceparent", GOOD));
    assert_eq!((&failed["code"], &failed["trace_id"]), (&"connect_failed".into(), &"0af7651916cd43dd8448eb211c80319c".into()));
    let refused = document(Ask::new("TRACE", "/"));
    assert_eq!(refused["code"], "method");
    assert_eq!(refused["trace_id"].as_str().map(str::len), Some(32), "{refused}");
}
