//! `[history]`, `[bot.release]`, `[bot.preflight]` and `[bot.freeze]`.

use super::*;

#[test]
fn a_release_is_on_an_upstream_of_the_bot() {
    assert_told(&bots(&[
        ("[bot.release]\nversion = \"v1\"", "6:1 [bot.release] names no upstream: add `upstream = \"green\"`"),
        ("[bot.release]\nupstream = \"grene\"", "7:12 there is no upstream `grene`: write \"blue\" or \"green\""),
        ("[bot.release]\nupstream = \"green\"\nversion = \"\"", "8:11 a version is 1 to 128 bytes: write a label such as \"v42\""),
        ("undo_window = \"1s\"", "6:15 `undo_window` is too little: write \"1m\" or more, up to \"8760h\""),
    ]));
}

#[test]
fn a_preflight_is_a_path_and_statuses_and_a_file_that_can_be_read() {
    assert_told(&bots(&[
        ("[bot.preflight]\npath = \"healthz\"", "7:8 this is no path: write \"/healthz\""),
        ("[bot.preflight]\nexpect = [99]", "7:11 this is no status of an answer: write 200 to 599"),
        ("[bot.preflight]\ntimeout = \"2h\"", "7:11 `timeout` is too much: write \"1m\" or less, down to \"10ms\""),
        (
            "[bot.preflight]\nsmoke = \"not-there.jsonl\"",
            "7:9 the smoke requests cannot be read: not-there.jsonl: No such file or directory (os error 2)",
        ),
    ]));
}

#[test]
fn a_freeze_is_windows_in_a_time_zone() {
    let windows = "write \"Fri 16:00 - Mon 08:00\", \"Mon-Fri 18:00 - 08:00\" or \"2026-12-20 - 2027-01-06\"";
    assert_told(&bots(&[
        ("[bot.freeze]\nwindows = [\"Friday\"]", format!("7:12 this is no window of time: {windows}").leak()),
        (
            "[bot.freeze]\ntime_zone = \"Berlin\"",
            "7:13 there is no such time zone: write \"Europe/Berlin\", \"America/New_York\" or \"UTC\"",
        ),
    ]));
}

#[test]
fn a_history_is_a_file_and_a_time() {
    assert_told(&bots(&[
        ("[history]\npath = \"\"", "7:8 `path` names no file: write \"/var/lib/serin/serin.db\", or leave it out"),
        ("[history]\nkeep = \"1h\"", "7:8 `keep` is too little: write \"24h\" or more, up to \"8760h\""),
    ]));
}
