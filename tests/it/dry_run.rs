//! A dry run changes nothing, and its answer is what the action then does.

use serde_json::{Value, json};

use crate::harness::{Answer, Ask, Closed, Config, Handle, LONG_BAKE, Serin, Upstream, two_upstreams};

fn asks(serin: &Handle, action: &str, body: &Value, dry_run: bool) -> Answer {
    let query = if dry_run { "?dry_run=true" } else { "" };
    let method = if action == "weight" { "PUT" } else { "POST" };
    serin.admin(Ask::new(method, &format!("/v1/bots/support/{action}{query}")).json(&body.to_string()))
}

/// The action is tried, is the same afterwards as before, and is then done.
#[track_caller]
fn does_what_the_dry_run_said(serin: &Handle, action: &str, body: &Value) -> Value {
    let before = serin.bot();
    let answer = asks(serin, action, body, true);
    assert_eq!(answer.status, 200, "{action}: {answer:?}");
    let would = answer.json();
    assert_eq!((&would["dry_run"], &would["revision"]), (&json!(true), &before["revision"]), "{action}");
    assert_eq!(serin.bot()["revision"], before["revision"], "{action} was done");
    let answer = asks(serin, action, body, false);
    assert_eq!(answer.status, 200, "{action}: {answer:?}");
    let after = answer.json();
    for (foretold, is) in [("to_percent", "weight_percent"), ("phase", "phase")] {
        assert_eq!(would[foretold], after[is], "{action}: {would}");
    }
    let side = |of: &Value| (of["upstream"].clone(), of["version"].clone());
    assert_eq!(side(&would["stable"]), side(&after["stable"]), "{action}");
    // Without a canary that serves, the status names the upstream that a weight would use.
    if !would["canary"].is_null() {
        assert_eq!(side(&would["canary"]), side(&after["canary"]), "{action}");
    }
    let quarantined = |bot: &Value| bot["quarantine"].as_array().unwrap().len();
    assert_eq!(!would["quarantines"].is_null(), quarantined(&after) > quarantined(&before), "{action}: {would}");
    would
}

fn lines(would: &Value) -> String {
    would["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_action_does_what_its_dry_run_said() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address).bot(LONG_BAKE));
    let none = json!({});
    let start = does_what_the_dry_run_said(&serin, "rollouts", &json!({ "version": "v2" }));
    assert!(lines(&start).starts_with("v2 starts at 50 % of the workspaces. The steps are 50 %, 75 %, 100 %;"), "{start}");
    let pause = does_what_the_dry_run_said(&serin, "pause", &none);
    assert!(lines(&pause).contains("v2 stays at 50 %"), "{pause}");
    assert_eq!(asks(&serin, "pause", &none, true).json()["decision"], "nothing");
    let resume = does_what_the_dry_run_said(&serin, "resume", &none);
    assert!(lines(&resume).contains("What has baked counts: 59 min are left."), "a pause costs no bake: {resume}");
    let advance = does_what_the_dry_run_said(&serin, "advance", &none);
    assert!(lines(&advance).contains("v2 goes from 50 % to 75 % of the workspaces. That step bakes for 1 h"), "{advance}");
    let freeze = does_what_the_dry_run_said(&serin, "freeze", &none);
    assert!(lines(&freeze).contains("Nothing rises until it is thawed."), "{freeze}");
    does_what_the_dry_run_said(&serin, "thaw", &none);
    let promote = does_what_the_dry_run_said(&serin, "promote", &none);
    assert!(lines(&promote).contains("Everybody goes to v2 now, and it becomes stable. blue stays there for an undo."), "{promote}");
    let undo = does_what_the_dry_run_said(&serin, "undo", &none);
    assert_eq!(undo["quarantines"], "v2 on green");
    assert!(lines(&undo).contains("v2 on green is quarantined"), "{undo}");
    does_what_the_dry_run_said(&serin, "rollouts", &json!({ "version": "v3" }));
    let abort = does_what_the_dry_run_said(&serin, "abort", &none);
    assert_eq!(abort["quarantines"], "v3 on green");
    does_what_the_dry_run_said(&serin, "weight", &json!({ "percent": 5 }));
    does_what_the_dry_run_said(&serin, "weight", &json!({ "percent": 0 }));
    does_what_the_dry_run_said(&serin, "switch", &json!({ "version": "v4" }));
    does_what_the_dry_run_said(&serin, "adopt", &json!({ "upstream": "blue", "version": "v1" }));
    let drill = asks(&serin, "drill", &json!({ "share_percent": 10, "seconds": 1 }), true).json();
    assert!(lines(&drill).contains("Then 10 % of the workspaces go to it for 1 s, and back."), "{drill}");
    assert_eq!(serin.bot()["weight_percent"], 0.0);
}

#[test]
fn a_dry_run_is_refused_with_the_same_words_as_the_action() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&Config::split(blue.address, green.address).bot(LONG_BAKE));
    let same = |action: &str, body: &Value, code: &str| {
        let [dry, wet] = [true, false].map(|dry_run| asks(&serin, action, body, dry_run));
        assert_eq!((dry.status, dry.json()["code"].as_str()), (wet.status, Some(code)), "{action}: {dry:?}");
        assert_eq!(dry.json()["detail"], wet.json()["detail"], "{action}");
    };
    same("rollouts", &json!({ "version": "v2" }), "preflight");
    same("advance", &json!({}), "no_rollout");
    same("undo", &json!({}), "nothing_to_undo");
    same("weight", &json!({ "percent": 101 }), "weight");
    assert_eq!(asks(&serin, "freeze", &json!({}), false).status, 200);
    same("weight", &json!({ "percent": 5 }), "frozen");
    assert_eq!(serin.admin(Ask::new("POST", "/v1/bots/support/abort?dry_run=perhaps").json("{}")).status, 400);
}

/// What the status offers is what the API does, and what it does not offer is refused.
#[test]
fn offered_actions_succeed_and_the_others_are_refused() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address).bot(LONG_BAKE));
    let does = |action: &str, body: &Value| assert_eq!(asks(&serin, action, body, false).status, 200, "{action}");
    let agree = |at: &str| {
        let actions = serin.bot()["actions"].as_array().unwrap().clone();
        assert_eq!(actions.len(), 13, "{at}");
        for action in actions {
            let name = action["name"].as_str().unwrap();
            let (path, body) = match name {
                "start" => ("rollouts", json!({ "version": "v9", "retry": true, "replace": true, "reason": "a test" })),
                "weight" => ("weight", json!({ "percent": if serin.bot()["weight_percent"] == 0.0 { 0.01 } else { 0.0 } })),
                "adopt" => ("adopt", json!({ "version": "v9" })),
                other => (other, json!({})),
            };
            let answer = asks(&serin, path, &body, true);
            // That it is so already is no refusal, and nothing to offer.
            let would = answer.status == 200 && (answer.json()["decision"] != "nothing" || name == "drill");
            assert_eq!(would, action["allowed"] == true, "{at}, {name}: {answer:?} {action}");
            assert_eq!(action["allowed"] == true, action["refusal"].is_null(), "{action}");
        }
    };
    agree("idle");
    does("weight", &json!({ "percent": 5 }));
    agree("by hand");
    does("abort", &json!({}));
    does("rollouts", &json!({ "version": "v2" }));
    agree("under way");
    does("pause", &json!({}));
    agree("paused");
    does("freeze", &json!({}));
    agree("paused and frozen");
    does("thaw", &json!({}));
    does("abort", &json!({}));
    agree("aborted");
    does("switch", &json!({ "version": "v3" }));
    agree("switched");
    does("undo", &json!({}));
    agree("undone");
}
