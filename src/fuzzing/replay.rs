//! Runs every kept input of every fuzz target. `cargo fuzz` is not needed for it.

use std::fs;
use std::path::{Path, PathBuf};

use super::TARGETS;

/// The limits of one target's inputs and of all, so that the repository stays small and the replay short.
const FILES_MAX: usize = 300;
const BYTES_MAX: u64 = 500_000;
const ALL_BYTES_MAX: u64 = 3_000_000;

/// One test for each target. `every_target_is_whole` fails for a target without a line here.
macro_rules! replay {
    ($($name:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*
    };
}

replay!(request answer body http1 http2 identify config certificates link page history proxy_header);

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    for path in inputs(name) {
        let data = fs::read(&path).expect("a file of the repository");
        // The path is the last line before a panic's message.
        eprintln!("{}", path.display());
        (target.check)(&data);
    }
}

/// A target is an entry of `TARGETS`, a binary for cargo-fuzz, inputs, and a test.
#[test]
fn every_target_is_whole() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, REPLAYED);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("fuzz has a manifest");
    let mut all = 0;
    for name in &names {
        let source = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap_or_default();
        assert!(source.contains(&format!("serin::fuzzing::{name}(data)")), "fuzz/fuzz_targets/{name}.rs");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "fuzz/Cargo.toml: {name}");
        let files = inputs(name);
        let bytes: u64 = files.iter().map(|path| fs::metadata(path).expect("a file").len()).sum();
        assert!(files.len() <= FILES_MAX && bytes <= BYTES_MAX, "{name}: {} files, {bytes} bytes", files.len());
        all += bytes;
    }
    assert!(all <= ALL_BYTES_MAX, "{all} bytes");
    let mut folders: Vec<String> =
        entries(&fuzz().join("corpus")).iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    folders.retain(|folder| !names.contains(&folder.as_str()));
    assert_eq!(folders, [""; 0], "inputs of no target");
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The inputs of a target; there is at least one.
fn inputs(name: &str) -> Vec<PathBuf> {
    let files = entries(&fuzz().join("corpus").join(name));
    assert!(!files.is_empty(), "{name} has no inputs");
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder's entry").path()).collect();
    entries.sort();
    entries
}
