//! `[bot.rollout]` and `[bot.guard]`.

use super::*;

/// Checks the messages; `lines` begin in line 7.
fn in_table(table: &str, cases: &[(&str, &str)]) {
    let cases: Vec<(String, &str)> = cases.iter().map(|(lines, told)| (bot_with(&format!("[bot.{table}]\n{lines}")), *told)).collect();
    assert_told(&cases);
}

#[test]
fn all_that_is_wrong_with_a_rollout_is_shown_at_once() {
    let lines = "[bot.rollout]\nsteps = [\"5%\", \"1%\", \"10% for 5\", \"50%\"]\npolcy = \"manual\"\ndeadline = \"10\"";
    assert_eq!(
        shown(&bot_with(lines)),
        r#"error: the steps do not rise: 1% comes after 5%
 --> serin.toml:7:16
  |
7 | steps = ["5%", "1%", "10% for 5", "50%"]
  |          ----  ^^^^ write more than 5%, or take it out

error: a step's bake is not a duration
 --> serin.toml:7:22
  |
7 | steps = ["5%", "1%", "10% for 5", "50%"]
  |                      ^^^^^^^^^^^ add a unit, as in "5s" (one of ms, s, m, h, d)

error: a rollout ends at 100%, and the last step is 50%
 --> serin.toml:7:35
  |
7 | steps = ["5%", "1%", "10% for 5", "50%"]
  |                                   ^^^^^ add "100%" behind it

error: unknown key `polcy`; did you mean `policy`?
 --> serin.toml:8:1
  |
8 | polcy = "manual"
  | ^^^^^ not a key of [bot.rollout]

error: `deadline` is not a duration
 --> serin.toml:9:12
  |
9 | deadline = "10"
  |            ^^^^ add a unit, as in "10s" (one of ms, s, m, h, d)"#
    );
}

#[test]
fn the_error_of_a_bad_step_shows_a_good_one() {
    let no_step = "7:10 a step is a weight, with a bake of its own where it needs one: write \"5%\" or \"5% for 24h\"";
    in_table(
        "rollout",
        &[
            ("steps = \"100%\"", "7:9 `steps` is not a list of steps: write [\"1%\", \"10%\", \"50%\", \"100%\"]"),
            ("steps = []", "7:9 `steps` names no step: write [\"1%\", \"10%\", \"50%\", \"100%\"], or leave it out"),
            ("steps = [1, \"100%\"]", no_step),
            ("steps = [{ weight = \"1%\" }, \"100%\"]", no_step),
            ("steps = [\"1\", \"100%\"]", no_step),
            ("steps = [\"1% or so\", \"100%\"]", no_step),
            (
                "steps = [\"one%\", \"100%\"]",
                "7:10 a step's weight is not a share from 0% to 100%: a weight is a percentage such as \"5%\" or \"12.5%\"",
            ),
            ("steps = [\"0%\", \"100%\"]", "7:10 a step of 0% sends nobody to the canary: write \"0.01%\" or more, or take it out"),
            (
                "steps = [\"0.001%\", \"100%\"]",
                "7:10 a step's weight is not a share from 0% to 100%: a weight has at most two decimals (steps of 0.01%)",
            ),
            ("steps = [\"1%\", \"101%\"]", "7:16 a step's weight is not a share from 0% to 100%: a weight is between 0% and 100%"),
            ("steps = [\"1%\", \"1%\", \"100%\"]", "7:16 the steps do not rise: 1% comes after 1%: write more than 1%, or take it out"),
            ("steps = [\"1%\", \"100%\", \"50%\"]", "7:24 the steps do not rise: 50% comes after 100%: take it out"),
            ("steps = [\"1%\", \"98%\"]", "7:16 a rollout ends at 100%, and the last step is 98%: add \"100%\" behind it"),
        ],
    );
    let many: Vec<String> = (1..=101).map(|half| format!("\"{}%\"", f64::from(half) / 2.0)).collect();
    let text = shown(&bot_with(&format!("[bot.rollout]\nsteps = [{}]", many.join(", "))));
    assert!(text.starts_with("error: `steps` names 101 steps\n --> serin.toml:7:9\n") && text.ends_with(" write 100 or fewer"), "{text}");
}

#[test]
fn the_errors_of_a_bake_and_a_deadline_name_their_bounds() {
    in_table(
        "rollout",
        &[
            ("steps = [\"1% for 0s\", \"100%\"]", "7:10 a step's bake is too little: write \"1s\" or more, up to \"720h\""),
            ("steps = [\"1% for 31d\", \"100%\"]", "7:10 a step's bake is too much: write \"720h\" or less, down to \"1s\""),
            ("steps = [\"1%\", \"100% for 31d\"]", "7:16 a step's bake is too much: write \"720h\" or less, down to \"1s\""),
            ("bake = 600", "7:8 `bake` is not a duration: write it with a unit: \"600s\" or \"600ms\""),
            ("bake = \"0s\"", "7:8 `bake` is too little: write \"1s\" or more, up to \"720h\""),
            ("bake = \"31d\"", "7:8 `bake` is too much: write \"720h\" or less, down to \"1s\""),
            ("deadline = \"0s\"", "7:12 `deadline` is too little: write \"1s\" or more, up to \"720h\""),
            ("deadline = \"31d\"", "7:12 `deadline` is too much: write \"720h\" or less, down to \"1s\""),
            ("deadline = \"5m\"", "7:12 `deadline` is shorter than `bake`: 5m < 10m: write \"10m\" or more, or a shorter `bake`"),
            (
                "bake = \"1h\"\ndeadline = \"30m\"",
                "8:12 `deadline` is shorter than `bake`: 30m < 1h: write \"1h\" or more, or a shorter `bake`",
            ),
        ],
    );
}

#[test]
fn the_error_of_a_policy_lists_the_policies() {
    in_table(
        "rollout",
        &[
            ("policy = \"auto\"", "7:10 `policy` cannot be \"auto\": write \"automatic\", \"guarded\" or \"manual\""),
            ("policy = \"manuel\"", "7:10 `policy` cannot be \"manuel\": did you mean \"manual\"?"),
            ("at_deadline = \"x\"", "7:15 `at_deadline` cannot be \"x\": write \"proceed\", \"wait\", \"ask\" or \"by_traffic\""),
            ("on_marginal = \"abort\"", "7:15 `on_marginal` cannot be \"abort\": write \"hold\" or \"retreat\""),
            ("on_limit = \"hold\"", "7:12 `on_limit` cannot be \"hold\": write \"abort\" or \"retreat\""),
            ("guard = 1", "7:1 unknown key `guard`: not a key of [bot.rollout]"),
        ],
    );
    assert_told(&bots(&[("rollout = \"automatic\"", "6:11 `rollout` is not a table: write it as [bot.rollout]")]));
}

#[test]
fn the_error_of_a_guard_names_its_bounds() {
    in_table(
        "guard",
        &[
            ("abort_at = 20", "7:12 `abort_at` is too little: write more than 20, up to 1000000"),
            ("abort_at = -5", "7:12 `abort_at` is too little: write more than 20, up to 1000000"),
            ("abort_at = 1e7", "7:12 `abort_at` is too much: write more than 20, up to 1000000"),
            ("abort_at = nan", "7:12 `abort_at` is not a number: write a number, without quotes"),
            ("abort_at = \"150\"", "7:12 `abort_at` is not a number: write a number, without quotes"),
            ("harm = 1", "7:8 `harm` is not a share: write it as a percentage: \"1%\""),
            ("harm = 0.005", "7:8 `harm` is not a share: write a percentage such as \"5%\" or \"0.5%\""),
            ("harm = \"0.005%\"", "7:8 `harm` is not a share: at most two decimals (steps of 0.01%)"),
            ("harm = \"0%\"", "7:8 `harm` is too little: write \"0.01%\" or more, up to \"50%\""),
            ("harm = \"51%\"", "7:8 `harm` is too much: write \"50%\" or less, down to \"0.01%\""),
            ("examine = 1", "7:11 `examine` is not `true` or `false`: write true or false, without quotes"),
            ("brake = \"on\"", "7:9 `brake` is not `true` or `false`: write true or false, without quotes"),
            ("p95 = \"1s\"", "7:1 unknown key `p95`; did you mean `p90`?: not a key of [bot.guard]"),
        ],
    );
    assert_told(&bots(&[("guard = true", "6:9 `guard` is not a table: write it as [bot.guard]")]));
}

#[test]
fn the_error_of_a_limit_shows_what_to_write() {
    in_table(
        "guard",
        &[
            ("error_rate = 5", "7:14 `error_rate` is not a share: write it as a percentage: \"5%\""),
            ("error_rate = \"100%\"", "7:14 `error_rate` is too much: write \"99.99%\" or less, down to \"0.01%\""),
            ("late = \"0%\"", "7:8 `late` is too little: write \"0.01%\" or more, up to \"99.99%\""),
            ("p50 = 300", "7:7 `p50` is not a duration: write it with a unit: \"300s\" or \"300ms\""),
            ("p90 = \"0s\"", "7:7 `p90` is too little: write \"1ms\" or more, up to \"1h\""),
            ("p99 = \"2h\"", "7:7 `p99` is too much: write \"1h\" or less, down to \"1ms\""),
            ("p99 = { least_requests = 5 }", "7:7 `p99` has no `most`: write { most = \"1s\" }"),
            ("p99 = { most = \"5%\" }", "7:16 `most` is not a duration: the unit is one of ms, s, m, h, d, as in \"10s\""),
            ("late = { most = \"5%\", least_requests = 0 }", "7:40 `least_requests` is too little: write 1 or more, up to 1000000"),
            ("late = { most = \"5%\", least = 9 }", "7:23 unknown key `least`: not a key of a limit"),
            ("least_requests = \"50\"", "7:18 `least_requests` is not a whole number: write a whole number, without quotes"),
            ("least_requests = 1000001", "7:18 `least_requests` is too much: write 1000000 or less, down to 1"),
        ],
    );
    assert_eq!(told(&bot_with("[bot.guard]\nlate = 5\np99 = 3\nharm = 1\nabort_at = 1")).len(), 4);
}
