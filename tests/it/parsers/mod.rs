//! serin against the parsers that bots use: Python's and Node's read the same bodies, and where serin finds a workspace, they find the
//! same one. The bodies are those that the fuzz target `identify` has kept, changed at random. `SERIN_BODIES` is their number, and
//! `make fuzz-bodies` runs many; `SERIN_SEED` repeats a run.

mod bodies;
mod readers;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use http::uri::PathAndQuery;
use serin::http1::Fields;
use serin::identify::{Extractor, Found, Head, Mixed, all};

use bodies::{Bodies, Body, Kind};
use readers::{Answer, Reader};

/// So many bodies are asked at once. Each reader reads all of them before it answers.
const BATCH: usize = 250;

/// Where serin finds an id that a bot's parser does not find, by its name and the parsers' own marks of it (`special` in the answers).
/// Everything else is a failure.
const KNOWN: &[(&str, &str)] = &[
    // JavaScript has one kind of number. It rounds integers above 2^53, so that two ids may be one.
    ("rounded", "node"),
    // And `1.0`, `1e2` and `-0` are integers to it. To serin and to Python they are no ids, and the next source is asked.
    ("number", "node"),
    // `-0` is 0 to Python too. serde_json and serin read it as a number with a fraction.
    ("zero", "python"),
    // Python and V8 refuse JSON that is nested too deep for them, some hundred or thousand levels. A bot would answer with an error.
    ("deep", "python node"),
    // Python refuses integers of more than 4,300 digits, also where nobody asks for them.
    ("digits", "python"),
    // A form's value that is not UTF-8 is no id to serin, and the next source is asked. Both parsers replace what is wrong in it.
    ("replaced", "python node"),
];

#[test]
fn bots_parsers_find_the_workspaces_that_serin_finds() {
    let Some(mut readers) = Reader::all() else {
        let required = std::env::var("SERIN_PARSERS").is_ok_and(|value| value == "required");
        assert!(!required, "python3 and node must be there: tests/e2e/setup.sh installs them");
        return eprintln!("not run: python3 and node are not both there");
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let count = number("SERIN_BODIES").unwrap_or(2_000);
    let seed =
        number("SERIN_SEED").unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos().into()));
    eprintln!("SERIN_SEED={seed} SERIN_BODIES={count}");
    let extractors: Vec<Extractor> =
        all().map(|preset| Extractor::new(Vec::new(), Some(preset), Mixed::Stable).expect("a preset's extractor")).collect();
    let mut bodies = Bodies::new(seed);
    let (mut found, mut known) = ([0_u64; 2], BTreeMap::<String, u64>::new());
    let mut left = count as usize;
    while left > 0 {
        let batch: Vec<Body> = (0..left.min(BATCH)).map(|_| bodies.next()).collect();
        left -= batch.len();
        let answers: Vec<Vec<Answer>> = readers.iter_mut().map(|reader| reader.ask(&batch)).collect();
        for (at, body) in batch.iter().enumerate() {
            for (extractor, preset) in extractors.iter().enumerate() {
                let Some(ours) = workspace(preset, body) else { continue };
                found[body.kind as usize] += 1;
                for (reader, answers) in readers.iter().zip(&answers) {
                    let answer = &answers[at];
                    if answer.ids[extractor].as_deref() == Some(&ours) {
                        continue;
                    }
                    let excuse =
                        KNOWN.iter().find(|(mark, whose)| whose.contains(reader.name) && answer.special.iter().any(|is| is == mark));
                    let (mark, _) = excuse.unwrap_or_else(|| {
                        let name = all().nth(extractor).expect("as many presets as extractors").name;
                        panic!("{}, {name}: serin finds {ours}, it finds {:?}, in {}", reader.name, answer.ids[extractor], body.shown())
                    });
                    *known.entry(format!("{} {mark}", reader.name)).or_default() += 1;
                }
            }
        }
    }
    eprintln!("found {} in JSON, {} in forms; known differences: {known:?}", found[0], found[1]);
    // Otherwise the bodies would say nothing.
    assert!(found.iter().all(|found| *found >= count / 10), "{found:?}");
}

/// The workspace that serin finds in the body. A source that reads no body, such as a constant, is one too.
fn workspace(extractor: &Extractor, body: &Body) -> Option<String> {
    let content_type = match body.kind {
        Kind::Json => "application/json",
        Kind::Form => "application/x-www-form-urlencoded",
    };
    let mut fields = Fields::default();
    fields.push("Content-Type", content_type.as_bytes()).expect("a field");
    let head = Head { method: &Method::POST, target: &PathAndQuery::from_static("/"), fields: &fields };
    match extractor.read(head, Some(&body.bytes)).found {
        Found::Workspace { workspace, .. } => Some(workspace.to_string()),
        Found::Missing | Found::Invalid | Found::Mixed => None,
    }
}
