//! A rollout on a running serin: the actions of operators, refusals, what serves meanwhile, and what takes a release back.

use std::time::{Duration, Instant};

use serde_json::Value;
use serin::core::{Bucket, Pins, Salt, Split, Weight};

use crate::harness::{Ask, Closed, Config, LONG_BAKE, Serin, Upstream, eventually, ok, post_action, two_upstreams};

fn pair() -> (Upstream, Upstream, Serin) {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address).bot(LONG_BAKE));
    (blue, green, serin)
}

#[track_caller]
fn start(serin: &Serin) -> Value {
    serin.act("rollouts", "{\"upstream\": \"green\", \"version\": \"v2\"}")
}

fn standing(bot: &Value) -> (&str, f64, &str) {
    let text = |name: &str| bot[name].as_str().unwrap_or("");
    (text("phase"), bot["weight_percent"].as_f64().unwrap(), text("hold_reason"))
}

#[test]
fn an_operator_leads_a_rollout_from_its_start_to_its_abort() {
    let (_blue, _green, serin) = pair();
    let bot = start(&serin);
    let (phase, weight, hold) = standing(&bot);
    assert_eq!((phase, weight), ("progressing", 50.0));
    // A tick may come between the decision and its answer.
    assert!(["", "stale_evidence", "baking"].contains(&hold), "{hold}");
    assert_eq!((&bot["canary"]["upstream"], &bot["canary"]["version"]), (&"green".into(), &"v2".into()));
    assert_eq!((&bot["step"], &bot["rollout"]["next_percent"], &bot["revision"]), (&0.into(), &75.0.into(), &2.into()));
    eventually("the first tick", || (serin.bot()["hold_reason"] == "baking").then_some(()));
    assert_eq!(standing(&serin.act("pause", "")), ("paused", 50.0, "paused"));
    serin.admin(post_action("advance", "{}")).is_refusal(409, "paused", "resume it first");
    assert_eq!(standing(&serin.act("resume", "{}")).0, "progressing");
    serin.admin(post_action("resume", "{}")).is_refusal(409, "not_paused", "not paused");
    assert_eq!(standing(&serin.act("advance", "{}")), ("progressing", 75.0, ""));
    let bot = serin.act("abort", "");
    assert_eq!(standing(&bot), ("aborted", 0.0, ""));
    assert_eq!((&bot["canary"], &bot["quarantine"][0]["version"]), (&Value::Null, &"v2".into()));
    assert_eq!(serin.act("abort", "{}")["revision"], bot["revision"], "a second abort changes nothing");
    let metrics = serin.metrics();
    for decision in ["start", "pause", "resume", "advance", "abort"] {
        assert_eq!(metrics.sum("serin_decisions_total", &[("decision", decision), ("actor_kind", "operator")]), 1.0, "{decision}");
    }
    assert_eq!(metrics.sum("serin_rollout_phase", &[("phase", "aborted")]), 1.0);
}

#[test]
fn a_request_that_makes_no_sense_is_refused_with_the_reason() {
    let (_blue, _green, serin) = pair();
    for action in ["pause", "resume", "advance", "promote", "abort"] {
        serin.admin(post_action(action, "{}")).is_refusal(409, "no_rollout", "no rollout");
    }
    serin.admin(post_action("rollouts", "{\"upstream\": \"blue\"}")).is_refusal(409, "is_stable", "blue is stable already");
    serin.admin(post_action("rollouts", "{\"upstream\": \"pink\"}")).is_refusal(422, "unknown_upstream", "it has \"blue\", \"green\"");
    serin.admin(post_action("rollouts", "{\"version\": \" \"}")).is_refusal(422, "version", "128 characters");
    serin.admin(post_action("rollouts", "{\"to\": \"green\"}")).is_refusal(422, "body", "unknown field");
    serin.admin(post_action("rollouts", "green")).is_refusal(400, "json", "not JSON");
    serin.admin(Ask::new("POST", "/v1/bots/nobody/abort").json("{}")).is_refusal(404, "unknown_bot", "support");
    assert_eq!(serin.bot()["revision"], 1, "nothing has changed");
    start(&serin);
    serin.admin(post_action("rollouts", "{\"version\": \"v3\"}")).is_refusal(409, "under_way", "v2 on green is under way");
    serin.admin(post_action("abort", "{}").field("If-Match", "\"1\"")).is_refusal(412, "stale", "look again");
    serin.admin(post_action("pause", "{\"why\": 1}")).is_refusal(422, "body", "unknown field");
    assert_eq!(standing(&serin.bot()).0, "progressing");
    serin.act("abort", "{}");
    serin.admin(post_action("rollouts", "{\"upstream\": \"green\", \"version\": \"v2\"}")).is_refusal(409, "quarantined", "taken back");
    let retry = "{\"upstream\": \"green\", \"version\": \"v2\", \"retry\": true}";
    serin.admin(post_action("rollouts", retry)).is_refusal(422, "reason", "takes a reason");
    let again = serin.act("rollouts", &retry.replace("true", "true, \"reason\": \"it was the network\""));
    assert_eq!((&again["quarantine"], &again["rollout"]["attempt"]), (&Value::Array(Vec::new()), &2.into()));
}

#[test]
fn a_first_step_on_which_hardly_anybody_is_found_is_warned_of() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address));
    everybody(&serin);
    let bot = start(&serin);
    let warning = bot["warning"].as_str().unwrap();
    assert!(warning.contains("the first step, 1%, has about 0.4 of 40 active buckets"), "{warning}");
    assert_eq!(serin.act("abort", "{}")["warning"], Value::Null);
}

#[test]
fn a_weight_by_hand_pauses_a_rollout() {
    let (_blue, _green, serin) = pair();
    start(&serin);
    let bot = serin.put_weight(60.0).json();
    assert_eq!(standing(&bot), ("paused", 60.0, "set_by_hand"));
    assert_eq!(standing(&serin.act("resume", "{}")), ("progressing", 50.0, ""));
}

#[test]
fn a_promotion_makes_the_canary_stable_for_everyone() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).bot(LONG_BAKE).table("pins", &["canary = [\"T1\"]"]);
    let serin = Serin::start(&config);
    start(&serin);
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "green");
    let bot = serin.act("promote", "{}");
    assert_eq!(standing(&bot), ("promoted", 0.0, ""));
    assert_eq!((&bot["stable"]["upstream"], &bot["stable"]["version"], &bot["canary"]), (&"green".into(), &"v2".into(), &Value::Null));
    for n in 0..50 {
        assert_eq!(serin.ask(&Ask::of(&format!("T{n}"))).text(), "green");
    }
    // The next one goes the other way.
    let bot = serin.act("rollouts", "{\"version\": \"v3\"}");
    assert_eq!((&bot["canary"]["upstream"], &bot["canary"]["version"]), (&"blue".into(), &"v3".into()));
}

/// The weight falls from 1 to 0 after a promotion, which is no rollback: `serin_release_info` shows the roles.
#[test]
fn the_releases_in_the_metrics_change_their_roles_at_a_promotion() {
    let (_blue, _green, serin) = pair();
    let roles = || {
        let metrics = serin.metrics();
        let mut roles = Vec::new();
        for track in ["stable", "canary"] {
            for (upstream, version) in [("blue", ""), ("green", ""), ("green", "v2"), ("blue", "v3")] {
                let labels = [("bot", "support"), ("track", track), ("upstream", upstream), ("version", version)];
                roles.extend(metrics.values("serin_release_info", &labels).iter().map(|is| (track, upstream, version, *is)));
            }
        }
        assert_eq!(metrics.values("serin_release_info", &[]).len(), roles.len(), "and no other release");
        roles
    };
    start(&serin);
    assert_eq!(roles(), [("stable", "blue", "", 1.0), ("canary", "green", "v2", 1.0)]);
    serin.act("promote", "{}");
    assert_eq!(roles(), [("stable", "green", "v2", 1.0)]);
    serin.act("rollouts", "{\"version\": \"v3\"}");
    assert_eq!(roles(), [("stable", "green", "v2", 1.0), ("canary", "blue", "v3", 1.0)]);
    serin.act("abort", "{}");
    assert_eq!(roles(), [("stable", "green", "v2", 1.0)]);
}

/// Buckets fall one by one, so that the weight is hardly ever met.
#[test]
fn the_share_that_is_on_the_canary_is_shown_beside_the_weight() {
    let (_blue, _green, serin) = pair();
    let share = |attempt, percent| {
        let split = Split::new(Salt::new("serin"), "support", attempt, Weight::from_percent(percent).unwrap(), Pins::default());
        split.canary_buckets() as f64 / 100.0
    };
    for percent in [0.0, 5.0, 33.33, 100.0] {
        serin.set_weight(percent);
        assert_eq!(serin.bot()["actual_percent"], share(0, percent), "by hand");
    }
    let bot = start(&serin);
    assert_eq!((&bot["weight_percent"], &bot["actual_percent"]), (&50.0.into(), &share(1, 50.0).into()));
    assert!(share(1, 50.0) != 50.0 && (share(1, 50.0) - 50.0).abs() < 2.0);
}

#[test]
fn a_release_that_was_taken_back_serves_no_workspace_not_even_a_pinned_one() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).bot(LONG_BAKE).table("pins", &["canary = [\"T1\"]"]);
    let serin = Serin::start(&config);
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "green", "a pin holds at 0 %");
    start(&serin);
    serin.act("abort", "{}");
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "blue");
    assert_eq!(serin.explain("T1")["track"], "stable");
}

/// Each attempt ranks the buckets anew, and its ranks stay in force until it has ended.
#[test]
fn explain_gives_the_rank_in_the_rollout_while_it_is_paused_at_zero_or_held() {
    let (blue, green) = two_upstreams();
    let soon = "rollout = { steps = [\"50%\", \"100%\"], bake = \"1s\", deadline = \"1s\", at_deadline = \"ask\" }";
    let serin = Serin::start(&Config::split(blue.address, green.address).bot(soon));
    let bucket = serin.explain("T1")["bucket"].as_u64().unwrap() as usize;
    let ranks = |attempt: u64| {
        let weight = Weight::from_percent(serin.bot()["weight_percent"].as_f64().unwrap()).unwrap();
        let split = Split::new(Salt::new("serin"), "support", attempt, weight, Pins::default());
        let explained = serin.explain("T1");
        assert_eq!(
            (&explained["attempt"], &explained["rank"]),
            (&attempt.into(), &split.rank(Bucket::all().nth(bucket).unwrap()).to_string().into())
        );
        assert_eq!(explained["track"], split.track(Bucket::all().nth(bucket).unwrap()).name());
    };
    ranks(0);
    start(&serin);
    ranks(1);
    eventually("the rollout asks a human", || (serin.bot()["phase"] == "held").then_some(()));
    ranks(1);
    serin.set_weight(0.0);
    assert_eq!(serin.bot()["phase"], "paused");
    ranks(1);
    serin.act("resume", "{}");
    ranks(1);
    serin.act("abort", "{}");
    ranks(0);
    serin.set_weight(30.0);
    ranks(0);
    serin.act("rollouts", "{\"version\": \"v3\"}");
    ranks(2);
    serin.act("promote", "{}");
    ranks(0);
}

/// Sends a request of each of 40 workspaces, so that both tracks answer some.
fn everybody(serin: &Serin) {
    for n in 0..40 {
        assert_eq!(serin.ask(&Ask::of(&format!("T{n}"))).status, 200);
    }
}

#[test]
fn a_limit_that_only_the_canary_crosses_takes_it_back() {
    let blue = Upstream::answering("blue");
    let green = Upstream::scripted(|_, wire| {
        std::thread::sleep(Duration::from_millis(60));
        let _ = wire.write(&ok("green"));
        crate::harness::Then::KeepAlive
    });
    let guard = "guard = { p50 = { most = \"50ms\", least_requests = 10 }, abort_at = 1000000 }";
    let serin = Serin::start(&Config::split(blue.address, green.address).bot(LONG_BAKE).bot(guard));
    start(&serin);
    everybody(&serin);
    let bot = eventually("the abort", || Some(serin.bot()).filter(|bot| bot["phase"] == "aborted"));
    let why = bot["quarantine"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("p50 is 0.0") && why.contains("the limit is 0.050 s (stable: 0.0"), "{why}");
}

#[test]
fn refused_connections_take_a_canary_to_zero_within_two_seconds_and_stable_answers() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&Config::split(blue.address, green.address).bot(LONG_BAKE));
    let refused = serin.admin(post_action("rollouts", "{}"));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("preflight")), "{refused:?}");
    let insists = serin.admin(post_action("rollouts", "{\"version\": \"v2\", \"force\": true}"));
    assert_eq!(insists.status, 200, "{insists:?}");
    everybody(&serin);
    let eighth = Instant::now();
    let bot = eventually("the brake", || Some(serin.bot()).filter(|bot| bot["weight_percent"] == 0.0));
    assert!(eighth.elapsed() < Duration::from_secs(2), "{:?}", eighth.elapsed());
    assert_eq!(standing(&bot), ("paused", 0.0, "breaker"));
    assert_eq!(bot["canary"]["version"], "v2", "the release that is tried is still shown");
    assert!(bot["hold_text"].as_str().unwrap().ends_with("were refused or reset"), "{bot}");
    assert_eq!(bot["quarantine"], Value::Array(Vec::new()));
    assert_eq!(blue.count(), 40, "stable answered for all");
    assert_eq!(standing(&serin.act("resume", "{}")), ("progressing", 50.0, ""));
}

#[test]
fn a_split_by_hand_is_braked_too() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&Config::split(blue.address, green.address));
    serin.set_weight(50.0);
    everybody(&serin);
    eventually("the brake", || (standing(&serin.bot()) == ("manual", 0.0, "breaker")).then_some(()));
}

#[test]
fn a_bots_token_can_report_later_failures_and_nothing_else() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).bot(LONG_BAKE).table("pins", &["stable = [\"T9\"]"]);
    let config = config.admin("metrics_open = true").token("bot", "report", "a-report-token").token("ana", "operate", "an-operate-token");
    let serin = Serin::with_token(&config, Some("a-report-token"));
    let report = |body: &str| serin.admin(post_action("outcomes", body));
    let answer = report(
        "{\"outcomes\": [{\"workspace\": \"T1\", \"ok\": false}, {\"workspace\": \"T1\", \"ok\": true}, {\"workspace\": \"T9\", \"ok\": false}, {\"workspace\": \"T2\", \"ok\": false, \"kind\": \"engagement\"}]}",
    );
    assert_eq!((answer.status, answer.json()["counted"].as_u64(), answer.json()["pinned"].as_u64()), (200, Some(3), Some(1)), "{answer:?}");
    report("{\"outcomes\": [{\"workspace\": \"T1\"}]}").is_refusal(422, "body", "missing field `ok`");
    let many = vec!["{\"workspace\": \"T1\", \"ok\": true}"; 1_001].join(", ");
    report(&format!("{{\"outcomes\": [{many}]}}")).is_refusal(422, "too_many", "at most 1000");
    serin.admin(post_action("abort", "{}")).is_refusal(403, "forbidden", "scope operate");
    serin.admin(Ask::new("GET", "/v1/bots")).is_refusal(403, "forbidden", "scope read");
    drop(serin);
    let serin = Serin::with_token(&config, Some("an-operate-token"));
    assert_eq!(
        serin
            .admin(post_action(
                "outcomes",
                "{\"outcomes\": [{\"workspace\": \"T1\", \"ok\": false}, {\"workspace\": \"T2\", \"ok\": false, \"kind\": \"engagement\"}]}"
            ))
            .status,
        200
    );
    assert_eq!(serin.evidence("stable"), [2, 1, 0, 1]);
}
