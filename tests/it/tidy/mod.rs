//! The rules of the house that a machine can hold: who may use whom, what a file looks like, and that the documents say
//! what the code says. The rules and their reasons: ARCHITECTURE.md and CONTRIBUTING.md.

mod unsafe_rooms;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use http::StatusCode;
use serin::identify::{self, Preset};

/// Longer files are two ideas.
const LINES_MAX: usize = 500;

/// Where the code breaks a rule today. These are faults to mend, not exceptions: a new fault fails the test, and so does
/// a line here that is no longer true.
const FLOORS_TO_MEND: [&str; 0] = [];

/// Documents that a comment names, and that are not there.
const DOCUMENTS_TO_WRITE: [&str; 0] = [];

/// One file under `src/`, without its tests.
struct Source {
    /// Below `src/`: `proxy/upstream/pool.rs`.
    path: PathBuf,
    text: String,
    /// Neither comments nor tests.
    code: String,
}

#[test]
fn a_floor_uses_only_the_floors_below_it() {
    let lib = read(&root().join("src/lib.rs"));
    let (floors, mut faults) = floors(&lib);
    for (from, used) in parts_used() {
        faults.extend(used.iter().filter(|to| floors[&from] <= floors[*to]).map(|to| format!("{from} uses {to}")));
    }
    assert_eq!(faults, FLOORS_TO_MEND.into_iter().map(str::to_owned).collect());
}

#[test]
fn proxy_and_controller_never_name_each_other() {
    let used = parts_used();
    for (one, other) in [("proxy", "controller"), ("controller", "proxy")] {
        assert!(!used[one].contains(other), "{one} names {other}: they meet in `live`");
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let uses = uses::of(&sources());
    let edges: usize = uses.values().map(|used| used.len()).sum();
    assert!(edges > 500, "only {edges} uses were found");
    let circle = uses::circle(&uses).map(|modules| modules.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" uses "));
    assert_eq!(circle, None);
}

#[test]
fn core_http1_and_identify_have_no_clock_and_no_io() {
    const WORDS: [&str; 10] = ["Instant", "SystemTime", "tokio", "rand", "async", "await", "thread_local", "OnceLock", "Mutex", "tracing"];
    const PATHS: [&str; 5] = ["std::fs", "std::net", "std::io", "std::env", "std::thread"];
    let pure = |source: &Source| matches!(source.top_module().as_deref(), Some("core" | "http1" | "identify"));
    for source in sources().iter().filter(|source| pure(source)) {
        let words: BTreeSet<&str> = words(&source.code).collect();
        for word in WORDS {
            assert!(!words.contains(word), "{} says {word}", source.path.display());
        }
        for path in PATHS {
            assert!(!source.code.contains(path), "{} says {path}", source.path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for path in files(&root().join("src"), "rs") {
        assert!(read(&path).starts_with("//! "), "{} does not begin with //!", path.display());
    }
}

#[test]
fn a_file_is_one_idea() {
    for folder in ["src", "tests/it", "benches"] {
        for path in files(&root().join(folder), "rs") {
            let lines = read(&path).lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn nothing_is_left_undone_and_names_say_something() {
    for source in sources() {
        let at = source.path.display();
        for unfinished in ["todo!(", "unimplemented!("] {
            assert!(!source.text.contains(unfinished), "{at} has {unfinished}…)");
        }
        for word in words(&source.code) {
            let empty = ["util", "utils", "helper", "helpers"].contains(&word) || word.contains("Manager") || word.contains("Helper");
            assert!(!empty, "{at}: {word} says nothing of what the thing is");
        }
        let stem = source.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(!["util", "utils", "helper", "helpers", "common"].contains(&stem), "{at}: the name says nothing");
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut checked = 0;
    for document in documents() {
        for target in links(&read(&document)) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let path = document.parent().expect("a file is in a folder").join(file);
            assert!(path.exists(), "{}: there is no {target}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links were found");
}

#[test]
fn documents_that_comments_name_are_there() {
    let mut missing = BTreeSet::new();
    for source in sources() {
        let named = source.text.split(|c: char| !(is_in_word(c) || "/.-".contains(c))).map(|word| word.trim_matches('.'));
        for document in named.filter(|word| word.starts_with("docs/") && word.ends_with(".md")) {
            if !root().join(document).exists() {
                missing.insert(format!("{}: {document}", source.path.display()));
            }
        }
    }
    assert_eq!(missing, DOCUMENTS_TO_WRITE.into_iter().map(str::to_owned).collect());
}

#[test]
fn the_preset_tables_agree_with_the_presets() {
    for document in ["README.md", "docs/identify.md"] {
        let text = read(&root().join(document));
        let written: Vec<[String; 2]> = rows(&text, "Preset").into_iter().map(|row| [row[0].clone(), row[2].clone()]).collect();
        let meant: Vec<[String; 2]> = identify::all().map(|preset| [written_name(preset), written_deadline(preset)]).collect();
        assert_eq!(written, meant, "{document}");
    }
}

#[test]
fn every_error_code_is_documented() {
    let mut meant = error_codes(&read(&root().join("src/proxy/problem.rs")));
    let http = read(&root().join("docs/http.md"));
    let mut written: Vec<[String; 2]> =
        rows(&http, "`serin-error`").into_iter().map(|row| [row[0].trim_matches('`').to_owned(), row[1].clone()]).collect();
    assert!(meant.len() > 10, "the codes were not found");
    meant.sort();
    written.sort();
    assert_eq!(written, meant);
}

#[test]
fn every_metric_is_documented() {
    let sources = ["src/telemetry/metrics.rs", "src/meters/process.rs"].map(|path| read(&root().join(path)));
    let quoted = |text: &str| text.split('"').filter(|part| part.starts_with("serin_")).map(str::to_owned).collect::<BTreeSet<_>>();
    let declared: BTreeSet<String> = sources.iter().flat_map(|source| quoted(&without_tests(source))).collect();
    let operations = read(&root().join("docs/operations.md"));
    let written: BTreeSet<String> =
        rows(&operations, "Metric").into_iter().map(|row| row[0].split(['`', '{']).nth(1).unwrap_or_default().to_owned()).collect();
    assert!(declared.len() > 10, "the metrics were not found");
    assert_eq!(written, declared);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// All files below a folder with this extension, sorted; not what is built or fetched.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display())) {
        let path = entry.expect("a folder's entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<PathBuf> {
    files(&root(), "md")
}

/// The product's files: what only tests see is left out.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let all: Vec<(PathBuf, String)> = files(&src, "rs").into_iter().map(|path| (path.clone(), read(&path))).collect();
    let tests: Vec<PathBuf> = all.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &Path| tests.iter().any(|test| path.starts_with(test) || path == test.with_extension("rs"));
    let kept = all.into_iter().filter(|(path, _)| !is_test(path));
    kept.map(|(path, text)| {
        let product = without_tests(&text);
        let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.map(|line| format!("{line}\n")).collect();
        Source { path: path.strip_prefix(&src).expect("it was found below").to_owned(), code, text }
    })
    .collect()
}

/// A file without its `mod tests`, which ends at the first brace that is not indented.
fn without_tests(text: &str) -> String {
    let Some((before, rest)) = text.split_once("#[cfg(test)]\nmod tests {") else { return text.to_owned() };
    let after = rest.split_once("\n}\n").map_or("", |(_, after)| after);
    format!("{before}{after}")
}

/// The modules that a file declares for tests only, as paths without an extension.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs") => path.parent().expect("a file is in a folder").to_owned(),
        _ => path.with_extension(""),
    };
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        if line.trim() == "#[cfg(test)]"
            && let Some(name) = next.trim().strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'))
        {
            found.push(folder.join(name));
        }
    }
    found
}

impl Source {
    /// `proxy` for `proxy/upstream/pool.rs` and for `proxy.rs`; none for the roots.
    fn top_module(&self) -> Option<String> {
        let first = self.path.iter().next()?.to_str()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!["lib", "main"].contains(&name)).then(|| name.to_owned())
    }
}

/// The modules at the crate's root, each with the others that its files use.
fn parts_used() -> BTreeMap<String, BTreeSet<String>> {
    let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, used) in uses::of(&sources()) {
        let Some(part) = module.first() else { continue };
        parts.entry(part.clone()).or_default().extend(used.iter().map(|used| used[0].clone()).filter(|other| other != part));
    }
    parts
}

/// Each module's floor, as the comments in `lib.rs` say it; who says none stands above all.
fn floors(lib: &str) -> (BTreeMap<String, u8>, BTreeSet<String>) {
    let (mut floors, mut faults) = (BTreeMap::new(), BTreeSet::new());
    for line in lib.lines() {
        let Some((name, comment)) = line.strip_prefix("pub mod ").and_then(|rest| rest.split_once(';')) else { continue };
        let said: Vec<u8> = comment.split("floor ").skip(1).filter_map(|rest| words(rest).next()?.parse().ok()).collect();
        if said.len() != 1 {
            faults.insert(format!("lib.rs: `{name}` names {} floors, not one", said.len()));
        }
        floors.insert(name.to_owned(), said.first().copied().unwrap_or(u8::MAX));
    }
    assert!(floors.len() > 5, "the modules of lib.rs were not found");
    (floors, faults)
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_in_word(c)).filter(|word| !word.is_empty())
}

/// The targets of `[…](…)`.
fn links(markdown: &str) -> Vec<&str> {
    markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains(' ')).collect()
}

/// The rows of the tables whose first column has this head, cell by cell.
fn rows(markdown: &str, head: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let (mut inside, mut rows) = (false, Vec::new());
    for line in markdown.lines() {
        if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|---") {
            rows.push(cells(line));
        } else if cells(line)[0] == head {
            inside = true;
        }
    }
    rows
}

fn written_name(preset: &Preset) -> String {
    let mark = if preset.experimental { " (experimental)" } else { "" };
    format!("`{}`{mark}", preset.name)
}

fn written_deadline(preset: &Preset) -> String {
    preset.deadline.map_or("none".to_owned(), |deadline| format!("{} s", deadline.as_secs_f64()))
}

/// `("no_bot", StatusCode::NOT_FOUND, …` as `no_bot`, `404`.
fn error_codes(source: &str) -> Vec<[String; 2]> {
    let mut codes = Vec::new();
    for (before, after) in source.match_indices("\", StatusCode::").map(|(at, found)| (&source[..at], &source[at + found.len()..])) {
        let code = before.rsplit('"').next().unwrap_or_default();
        let name = words(after).next().unwrap_or_default();
        codes.push([code.to_owned(), status(name).as_u16().to_string()]);
    }
    codes
}

/// `NOT_FOUND` is 404.
fn status(name: &str) -> StatusCode {
    let all = (100..600).filter_map(|status| StatusCode::from_u16(status).ok());
    let mut named = all.filter(|status| status.canonical_reason().is_some_and(|r| r.to_uppercase().replace([' ', '-'], "_") == name));
    named.next().unwrap_or_else(|| panic!("there is no status {name}"))
}
