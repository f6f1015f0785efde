//! Where unsafe code may be. The lints of Cargo.toml deny it, a room allows it again, and this list is the whole of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, read, root, rows, words};

/// The files with unsafe code. docs/security.md gives the argument for each one of `src`.
const ROOMS: [&str; 11] = [
    "src/app/signals.rs",
    "src/app/systemd.rs",
    "src/app/systemd/sockets.rs",
    "src/cli/run.rs",
    "src/core/evidence/bets.rs",
    "src/http1/fields.rs",
    "src/identify/json/block.rs",
    "src/proxy/backlog.rs",
    "src/proxy/memory.rs",
    "src/proxy/wire/stream.rs",
    "tests/it/systemd.rs",
];

/// In two parts, so that this file does not have the word.
const KEYWORD: &str = concat!("un", "safe");

#[test]
fn unsafe_code_is_only_in_the_rooms() {
    assert_eq!(with_unsafe_code(), ROOMS.map(str::to_owned).into());
}

#[test]
fn a_module_without_a_room_forbids_unsafe_code() {
    let rooms = with_unsafe_code();
    for (module, files) in modules() {
        let forbids = files.iter().any(|file| read(&root().join(file)).contains("\n#![forbid(unsafe_code)]\n"));
        let has_a_room = files.iter().any(|file| rooms.contains(file));
        assert!(forbids != has_a_room, "{module}: forbid(unsafe_code) stands in a module's first file, if the module has no room");
    }
}

#[test]
fn the_rooms_are_documented() {
    let security = read(&root().join("docs/security.md"));
    let written: BTreeSet<String> = rows(&security, "Room").into_iter().map(|row| link_target(&row[0])).collect();
    let meant: BTreeSet<String> = with_unsafe_code().into_iter().filter(|file| file.starts_with("src/")).collect();
    assert_eq!(written, meant);
}

/// The files below the project's root that have the keyword outside of comments.
fn with_unsafe_code() -> BTreeSet<String> {
    let code = |text: &str| text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let all = ["src", "tests/it", "benches", "fuzz/fuzz_targets"].into_iter().flat_map(|folder| files(&root().join(folder), "rs"));
    let found = all.filter(|path| words(&code(&read(path))).any(|word| word == KEYWORD));
    found.map(|path| path.strip_prefix(root()).expect("it was found below").to_string_lossy().into_owned()).collect()
}

/// The modules at the root of `src`, each with its files.
fn modules() -> BTreeMap<String, Vec<String>> {
    let mut modules: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files(&root().join("src"), "rs") {
        let below = path.strip_prefix(root()).expect("it was found below").to_string_lossy().into_owned();
        let name = below["src/".len()..].split(['/', '.']).next().unwrap_or_default();
        if name != "lib" {
            modules.entry(name.to_owned()).or_default().push(below);
        }
    }
    modules
}

/// `src/a.rs` for `[a](../src/a.rs)`.
fn link_target(cell: &str) -> String {
    cell.split("](../").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default().to_owned()
}
