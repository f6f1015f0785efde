//! The split: which workspaces go to the canary at which weight. Once a change is answered, it is in force on every worker.

use std::collections::HashSet;

use crate::harness::{Ask, Client, Config, Serin, Upstream, turns, two_upstreams};

fn workspace(i: usize) -> String {
    format!("T{i:08}")
}

/// Which of so many workspaces the canary answers.
fn on_canary(client: &mut Client, workspaces: usize) -> HashSet<usize> {
    (0..workspaces).filter(|i| client.ask(&Ask::of(&workspace(*i))).text() == "green").collect()
}

/// 99.9 % bounds. Workspaces share buckets, which widens the binomial's variance by (1 + W/10,000).
#[test]
fn at_five_percent_ten_thousand_workspaces_land_within_the_bounds() {
    let (blue, green) = two_upstreams();
    // On a busy machine the canary can really be slower: its thread wakes up less often.
    let config = Config::split(blue.address, green.address).weight("5%").bot("guard = { abort_at = 1000000 }");
    let serin = Serin::start(&config);
    let (n, p) = (10_000, 0.05);
    let canary = on_canary(&mut serin.client(), n).len();
    let n = n as f64;
    let sd = (n * p * (1.0 - p) * (1.0 + n / 10_000.0)).sqrt();
    assert!((canary as f64 - n * p).abs() < 3.29 * sd, "{canary} of 10,000 at 5 %");
    assert_eq!((green.count(), blue.count()), (canary, 10_000 - canary));
    serin.counted("canary", "ok", canary);
    serin.counted("stable", "ok", 10_000 - canary);
    serin.evidence_is("canary", [canary as u64, 0, 0, 0]);
    serin.evidence_is("stable", [10_000 - canary as u64, 0, 0, 0]);
}

#[test]
fn no_workspace_moves_back_while_the_weight_rises() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address));
    let mut client = serin.client();
    let workspaces = turns(1_000);
    let mut before = on_canary(&mut client, workspaces);
    assert!(before.is_empty(), "at 0 %: {before:?}");
    for percent in [1.0, 5.0, 25.0, 50.0, 98.0, 100.0] {
        serin.set_weight(percent);
        let now = on_canary(&mut client, workspaces);
        assert!(before.is_subset(&now), "moved back at {percent} %: {:?}", before.difference(&now));
        before = now;
    }
    assert_eq!(before.len(), workspaces, "at 100 %");
}

#[test]
fn the_same_weight_again_is_the_same_workspaces() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address).weight("30%"));
    let mut client = serin.client();
    let first = on_canary(&mut client, 300);
    serin.set_weight(0.0);
    assert!(on_canary(&mut client, 300).is_empty());
    serin.set_weight(30.0);
    assert_eq!(on_canary(&mut client, 300), first);
}

#[test]
fn zero_sends_nothing_and_a_hundred_sends_all_handshakes_and_strangers_too() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::identified("preset = \"slack\"", blue.address, green.address));
    let mut client = serin.client();
    let kinds = [r#"{"team_id":"T1"}"#, r#"{"no":"team"}"#, r#"{"type":"url_verification","challenge":"c"}"#, "no JSON"];
    let asks: Vec<Ask> = kinds.iter().map(|body| Ask::new("POST", "/").json(body)).chain([Ask::new("GET", "/")]).collect();
    for (percent, wanted) in [(0.0, "blue"), (99.99, "blue"), (100.0, "green"), (0.0, "blue")] {
        serin.set_weight(percent);
        // At 99.99 % only those without a workspace are sure to be on stable.
        for ask in asks.iter().skip(usize::from(percent == 99.99)) {
            assert_eq!(client.ask(ask).text(), wanted, "{ask:?} at {percent} %");
        }
    }
    assert_eq!(serin.metrics().sum("serin_handshakes_total", &[("bot", "support")]), 4.0);
}

#[test]
fn json_numbers_and_strings_are_the_same_workspace() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::identified("workspace = \"json:/id\"", blue.address, green.address).weight("50%"));
    let mut client = serin.client();
    for id in 0..50 {
        let number = client.ask(&Ask::new("POST", "/").json(&format!("{{\"id\":{id}}}")));
        let string = client.ask(&Ask::new("POST", "/").json(&format!("{{\"id\":\"{id}\"}}")));
        assert_eq!(number.text(), string.text(), "{id}");
        let form = client.ask(&Ask::new("POST", "/").json(&format!(" {{\n\"other\": [1], \"id\" : {id} }}")));
        assert_eq!(number.text(), form.text(), "{id}");
    }
}

/// The promise that operators and pipelines rest on: once the answer to a change is there, it is true on every core.
#[test]
fn the_next_request_on_any_connection_obeys_an_answered_weight() {
    let (blue, green) = two_upstreams();
    for workers in [2, 4] {
        let serin = Serin::start(&Config::split(blue.address, green.address).workers(workers));
        let mut clients: Vec<Client> = (0..24).map(|_| serin.client()).collect();
        for turn in 0..turns(20) {
            let (percent, wanted) = if turn % 2 == 0 { (100.0, "green") } else { (0.0, "blue") };
            serin.set_weight(percent);
            let ask = Ask::of(&workspace(turn)).bytes();
            clients.iter_mut().for_each(|client| client.send(&ask));
            for client in &mut clients {
                assert_eq!(client.answer().unwrap().text(), wanted, "turn {turn}, {workers} workers");
            }
            assert_eq!(serin.ask(&Ask::of("T1")).text(), wanted, "a new connection, turn {turn}, {workers} workers");
        }
    }
}

#[test]
fn a_workspace_joins_at_the_weight_that_explain_names() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address));
    for i in 0..turns(10) {
        let workspace = workspace(i);
        let from = serin.explain(&workspace)["canary_from_percent"].as_f64().unwrap();
        let just_below = ((from * 100.0).round() - 1.0).max(0.0) / 100.0;
        serin.set_weight(from);
        assert_eq!(serin.ask(&Ask::of(&workspace)).text(), "green", "{workspace} at {from} %");
        assert_eq!(serin.explain(&workspace)["upstream"], "green");
        serin.set_weight(just_below);
        assert_eq!(serin.ask(&Ask::of(&workspace)).text(), "blue", "{workspace} at {just_below} %");
        assert_eq!(serin.explain(&workspace)["upstream"], "blue");
    }
}

#[test]
fn every_request_that_was_routed_is_counted_once() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address).weight("50%").workers(3));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let serin = &serin;
            scope.spawn(move || {
                let mut client = serin.client();
                (0..100).for_each(|i| assert_eq!(client.ask(&Ask::of(&workspace(thread * 100 + i))).status, 200));
            });
        }
    });
    serin.counted_in_all(800);
    serin.counted("canary", "ok", green.count());
    serin.counted("stable", "ok", blue.count());
    serin.evidence_is("canary", [green.count() as u64, 0, 0, 0]);
    serin.evidence_is("stable", [blue.count() as u64, 0, 0, 0]);
    let metrics = serin.metrics();
    assert_eq!(metrics.sum("serin_request_duration_seconds_count", &[]), 800.0);
    assert_eq!(metrics.sum("serin_upstream_first_byte_seconds_count", &[]), 800.0);
    assert_eq!(metrics.sum("serin_identify_total", &[("result", "found"), ("source", "header:X-Workspace")]), 800.0);
}

#[test]
fn counters_that_an_alert_can_use_start_at_zero() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let metrics = serin.metrics();
    for track in ["stable", "canary"] {
        for (outcome, class) in [("ok", "2xx"), ("error", "5xx"), ("error", "none"), ("late", "2xx"), ("rejected", "4xx")] {
            let labels = [("track", track), ("outcome", outcome), ("code_class", class)];
            assert_eq!(metrics.values("serin_requests_total", &labels), [0.0], "{labels:?}");
        }
    }
    for decision in ["advance", "retreat", "abort", "trip", "promote", "undo"] {
        let labels = [("decision", decision), ("actor_kind", "ratchet")];
        assert_eq!(metrics.values("serin_decisions_total", &labels), [0.0], "{decision}");
    }
    for (source, result) in [("header:X-Workspace", "found"), ("none", "missing")] {
        assert_eq!(metrics.values("serin_identify_total", &[("source", source), ("result", result)]), [0.0], "{source}");
    }
}

#[test]
fn a_new_split_starts_with_empty_tallies_and_the_same_weight_again_keeps_them() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address).weight("100%"));
    let mut client = serin.client();
    client.ask(&Ask::of("T1"));
    serin.evidence_is("canary", [1, 0, 0, 0]);
    let revision = serin.bot()["revision"].as_u64().unwrap();
    serin.set_weight(100.0);
    assert_eq!(serin.bot()["revision"], revision + 1);
    serin.evidence_is("canary", [1, 0, 0, 0]);
    serin.set_weight(0.0);
    assert_eq!((serin.evidence("canary"), serin.evidence("stable")), ([0; 4], [0; 4]));
}

/// A request is counted in the split that routed it, also if it ends after the change.
#[test]
fn a_request_in_flight_counts_where_it_was_routed() {
    let (release, green) = Upstream::on_demand("green");
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, green.address).weight("100%"));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    crate::harness::eventually("the request at the canary", || (green.count() == 1).then_some(()));
    assert_eq!(serin.metrics().sum("serin_inflight_requests", &[("track", "canary")]), 1.0);
    serin.set_weight(0.0);
    release.send(()).unwrap();
    assert_eq!(client.answer().unwrap().text(), "green");
    serin.counted("canary", "ok", 1);
    assert_eq!((serin.evidence("canary"), serin.evidence("stable")), ([0; 4], [0; 4]));
    assert_eq!(client.ask(&Ask::of("T1")).text(), "blue");
}
