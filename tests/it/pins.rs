//! Pins and the tester's header: they work at any weight, and are no evidence.

use crate::harness::{Ask, Config, Serin, two_upstreams};

#[test]
fn a_pinned_workspace_is_on_its_track_at_any_weight() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).bot("pins = { canary = [\"T1\", \"ws:T2\"], stable = [\"T3\"] }");
    let serin = Serin::start(&config);
    for percent in [0.0, 50.0, 100.0] {
        serin.set_weight(percent);
        for (workspace, wanted) in [("T1", "green"), ("T2", "green"), ("T3", "blue")] {
            assert_eq!(serin.ask(&Ask::of(workspace)).text(), wanted, "{workspace} at {percent} %");
            assert_eq!(serin.explain(workspace)["upstream"], wanted, "{workspace} at {percent} %");
        }
        serin.counted_in_all(if percent == 0.0 {
            3
        } else if percent == 50.0 {
            6
        } else {
            9
        });
        assert_eq!((serin.evidence("stable"), serin.evidence("canary")), ([0; 4], [0; 4]), "a pin is no evidence");
    }
}

#[test]
fn a_tester_with_the_secret_chooses_the_track() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address).bot("tester = { secret = \"sesame-sesame-sesame\" }"));
    let ask = |value: &str| serin.ask(&Ask::of("T1").field("serin-override", value)).text().to_owned();
    for (percent, otherwise) in [(0.0, "blue"), (100.0, "green")] {
        serin.set_weight(percent);
        assert_eq!(ask("canary sesame-sesame-sesame"), "green", "at {percent} %");
        assert_eq!(ask("stable sesame-sesame-sesame"), "blue", "at {percent} %");
        for wrong in
            ["canary sesame-sesame-sesamf", "stable sesame", "canary", "canary ", "sesame-sesame-sesame", "Canary sesame-sesame-sesame"]
        {
            assert_eq!(ask(wrong), otherwise, "{wrong} at {percent} %");
        }
    }
    for request in blue.requests().iter().chain(&green.requests()) {
        assert_eq!(request.field("serin-override"), None, "stripped, right or wrong: {}", request.head);
    }
    serin.counted_in_all(16);
    // Since the last change: the wrong secrets alone.
    serin.evidence_is("canary", [6, 0, 0, 0]);
    assert_eq!(serin.evidence("stable"), [0; 4]);
}

#[test]
fn a_tester_names_the_header() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).bot("tester = { header = \"X-Try\", secret = \"sesame-sesame-sesame\" }");
    let serin = Serin::start(&config);
    let tried = Ask::of("T1").field("X-Try", "canary sesame-sesame-sesame").field("Serin-Override", "passes");
    assert_eq!(serin.ask(&tried).text(), "green");
    let request = green.only_request();
    assert_eq!((request.field("x-try"), request.field("serin-override")), (None, Some("passes")));
}

#[test]
fn without_a_tester_the_header_is_nothing() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address));
    assert_eq!(serin.ask(&Ask::of("T1").field("Serin-Override", "canary ")).text(), "blue");
    assert_eq!(green.count(), 0);
}
