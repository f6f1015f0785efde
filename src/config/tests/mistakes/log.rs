//! `[log]`.

use super::*;

#[test]
fn the_error_of_a_log_shows_what_to_write() {
    let log = |line: &str| bot_with("") + &format!("[log]\n{line}\n");
    assert_told(&[
        (log("level = \"inof\""), "8:9 `level` cannot be \"inof\": did you mean \"info\"?"),
        (log("format = \"xml\""), "8:10 `format` cannot be \"xml\": write \"auto\", \"human\" or \"json\""),
        (log("access = \"on\""), "8:10 `access` cannot be \"on\": write \"off\", \"full\" or \"1%\""),
        (log("access = \"0%\""), "8:10 `access` cannot be \"0%\": write \"off\""),
        (log("access = \"101%\""), "8:10 `access` cannot be \"101%\": between 0% and 100%"),
        (log("access = \"0.001%\""), "8:10 `access` cannot be \"0.001%\": at most two decimals (steps of 0.01%)"),
        (log("access = true"), "8:10 `access` is not a text: write it in quotes"),
        (log("access_workspace = \"yes\""), "8:20 `access_workspace` is not `true` or `false`: write true or false, without quotes"),
    ]);
}

#[test]
fn a_share_of_the_access_log_is_one_or_a_word() {
    for (written, access_bp) in [("off", 0), ("0.01%", 1), ("1%", 100), ("100%", 10_000), ("full", 10_000)] {
        let config = parse(&(bot_with("") + &format!("[log]\naccess = \"{written}\"\n"))).unwrap();
        assert_eq!(config.log.access_bp, access_bp, "{written}");
    }
}
