//! What one request costs on the worker before it goes upstream: finding its workspace, assigning it to a track; and what
//! its record costs afterwards, with the workspaces' names and without.
//!
//! `cargo bench --bench hot_path`

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::Method;
use http::uri::PathAndQuery;
use serin::core::{Bucket, LatencyMarks, Outcome, Pins, Salt, Sample, Split, Track, Weight, Workspace};
use serin::http1::Fields;
use serin::identify::{Extractor, Found, Head, Mixed, Source, find};
use serin::live::{Ledger, Names};

fn identify(c: &mut Criterion) {
    let (small, large, prose) = (slack_event(2_000), slack_event(27_000), slack_text(2_000));
    let one = vec![Source::parse("json:/team_id").expect("a source")];
    for (name, sources, preset, content_type, body) in [
        ("slack event 2 kB", vec![], "slack", "application/json", &small),
        ("slack event 27 kB", vec![], "slack", "application/json", &large),
        ("slack event 2 kB, one long text", vec![], "slack", "application/json", &prose),
        // The cost of reading a body if the extractor has no preset, and so looks for little.
        ("one pointer, 2 kB, one long text", one.clone(), "", "application/json", &prose),
        ("one pointer, 27 kB", one, "", "application/json", &large),
        ("slack interactivity 2 kB", vec![], "slack", FORM, &slack_interactivity(2_000)),
        ("slack command", vec![], "slack", FORM, &SLACK_COMMAND.to_owned()),
        // A wildcard over every key of the body.
        ("telegram update 2 kB", vec![], "telegram", "application/json", &telegram_update(2_000)),
    ] {
        let extractor = Extractor::new(sources, find(preset), Mixed::Stable).expect("a extractor");
        let target = PathAndQuery::from_static("/hook");
        let mut fields = Fields::default();
        fields.push("Content-Type", content_type.as_bytes()).expect("a content type");
        let head = Head { method: &Method::POST, target: &target, fields: &fields };
        assert!(matches!(extractor.read(head, Some(body.as_bytes())).found, Found::Workspace { .. }), "{name}");
        let mut group = c.benchmark_group("identify");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| b.iter(|| black_box(&extractor).read(black_box(head), Some(black_box(body.as_bytes())))));
    }
}

fn assign(c: &mut Criterion) {
    let weight = Weight::from_percent(5.0).expect("a weight");
    let split = Split::new(Salt::new("serin"), "support", 1, weight, Pins::default());
    let workspace = Workspace { namespace: "team", id: "T061EG9R6".into() };
    c.bench_function("assign", |b| b.iter(|| black_box(&split).assign(black_box(&workspace))));
}

fn record(c: &mut Criterion) {
    let ledger = Ledger::new(1, LatencyMarks::NONE);
    let buckets: Vec<_> = Bucket::all().collect();
    let mut next = buckets.iter().cycle();
    let sample = Sample { outcome: Outcome::Ok, latency_micros: Some(1_234) };
    c.bench_function("record", |b| {
        b.iter(|| ledger.shard(0).record(*next.next().expect("a cycle"), false, Track::Stable, black_box(sample)))
    });
}

/// What `[admin] show_workspaces` adds: a copy of the name for the time of the request, and its note at the end. With places for
/// all workspaces, and with many more workspaces than places.
fn note(c: &mut Criterion) {
    for (title, workspaces) in [("note, 300 workspaces", 300), ("note, 10,000 workspaces", 10_000)] {
        let ids: Vec<String> = (0..workspaces).map(|number| format!("T{number:08}")).collect();
        let salt = Salt::new("serin");
        let workspace = |id| Workspace { namespace: "team", id: Cow::Borrowed(id) };
        let all: Vec<_> = ids.iter().map(|id| (salt.bucket(&workspace(id)), workspace(id))).collect();
        let (names, mut next) = (Names::new(1), all.iter().cycle());
        c.bench_function(title, |b| {
            b.iter(|| {
                let (bucket, workspace) = next.next().expect("a cycle");
                let name = Names::name(black_box(workspace));
                names.note(0, *bucket, &name, Outcome::Ok);
            })
        });
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

const SLACK_COMMAND: &str = "token=gIkuvaNzQIHg97ATvDxqgjtO&team_id=T0001&team_domain=example&channel_id=C2147483705&\
    channel_name=test&user_id=U2147483697&user_name=Steve&command=%2Fweather&text=94070&api_app_id=A123456&\
    response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F1234%2F5678&trigger_id=13345224609.738474920.8088930838d88f008e0";

/// A message with as many blocks as make up the length; the authorisations come last, as Slack sends them.
fn slack_event(len: usize) -> String {
    let event = |blocks: &str| {
        format!(
            r#"{{"token":"one-long-verification-token","team_id":"T061EG9R6","context_team_id":"T061EG9R6","context_enterprise_id":null,"api_app_id":"A0PNCHHK2","event":{{"user":"U2147483697","type":"message","ts":"1355517523.000005","client_msg_id":"f5c1b3a2-9f6c-4c3e-8f7e-0c6b8a1d2e3f","text":"Live long and prospect.","team":"T061EG9R6","blocks":[{blocks}],"channel":"C024BE91L","event_ts":"1355517523.000005","channel_type":"channel"}},"type":"event_callback","event_id":"Ev0PV52K21","event_time":1355517523,"authorizations":[{{"enterprise_id":null,"team_id":"T061EG9R6","user_id":"U222222222","is_bot":true,"is_enterprise_install":false}}],"is_ext_shared_channel":false,"event_context":"4-eyJldCI6Im1lc3NhZ2UifQ"}}"#
        )
    };
    fill(len, event, |i| {
        format!(
            r#"{{"type":"rich_text","block_id":"b{i}","elements":[{{"type":"rich_text_section","elements":[{{"type":"text","text":"Line {i} of a message, \"quoted\" and so on.\n","style":{{"bold":true}}}},{{"type":"emoji","name":"wave","unicode":"1f44b"}}]}}]}}"#
        )
    })
}

/// A message with one text that makes up the length, as a person or another bot's alert writes it.
fn slack_text(len: usize) -> String {
    let event = |text: &str| {
        format!(
            r#"{{"token":"one-long-verification-token","team_id":"T061EG9R6","api_app_id":"A0PNCHHK2","event":{{"type":"message","channel":"C024BE91L","user":"U2147483697","text":"{text}","ts":"1355517523.000005"}},"type":"event_callback","event_id":"Ev0PV52K21","event_time":1355517523}}"#
        )
    };
    fill(len, event, |i| format!("Line {i} of a message that goes on for a while.\\n"))
}

fn slack_interactivity(len: usize) -> String {
    let actions = |options: &str| {
        let json = format!(
            r#"{{"type":"block_actions","user":{{"id":"UA8RXUSPL","username":"jtorrance","team_id":"T9TK3CUKW"}},"api_app_id":"AABA1ABCD","team":{{"id":"T9TK3CUKW","domain":"example"}},"enterprise":null,"actions":[{options}]}}"#
        );
        form_urlencoded::Serializer::new(String::new()).append_pair("payload", &json).finish()
    };
    fill(len, actions, |i| format!(r#"{{"action_id":"a{i}","block_id":"b{i}","value":"click me {i}","type":"button"}}"#))
}

fn telegram_update(len: usize) -> String {
    let update = |entities: &str| {
        format!(
            r#"{{"update_id":10000,"message":{{"message_id":1365,"from":{{"id":1111111,"is_bot":false,"first_name":"T","language_code":"en"}},"chat":{{"id":-1001234567890,"title":"G","type":"supergroup"}},"date":1441645532,"text":"a long text","entities":[{entities}]}}}}"#
        )
    };
    fill(len, update, |i| format!(r#"{{"offset":{i},"length":7,"type":"text_link","url":"https://example.com/{i}"}}"#))
}

/// `whole` around as many parts as make it at least `len` bytes long.
fn fill(len: usize, whole: impl Fn(&str) -> String, part: impl Fn(usize) -> String) -> String {
    let mut parts = String::new();
    for i in 0.. {
        let body = whole(&parts);
        if body.len() >= len {
            return body;
        }
        parts += if i == 0 { "" } else { "," };
        parts += &part(i);
    }
    unreachable!("the parts grow")
}

criterion_group!(benches, identify, assign, record, note);
criterion_main!(benches);
