"""The processes of docker/compose.yml, with a rollout that is raised and taken back. The tests send every query of the dashboard to
its Prometheus. Grafana itself does not run: how it draws the answers is not tested."""

import json
import math
import os
import re
import subprocess
import sys
import time

import pytest
from arrangement import BOT, DOCKER, Arrangement, call, documented_metrics, metrics_of
from conftest import wait_until
from servers import PATIENCE_SECS, SERIN, unused_port
from slack_sdk.signature import SignatureVerifier

DASHBOARD = json.loads((DOCKER / "grafana/dashboards/serin.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PER_SECOND = 100
LEARN_SECS = 8
# The values that Grafana would fill in for its variables.
VARIABLES = {"$bot": BOT, "$__rate_interval": "5s", "$__interval": "1s", "$__range": "60s"}
# Panels without data in this test, and the reason.
EMPTY = {"Certificates": "compose.yml has no TLS on the admin listener"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Traffic before the rollout, one of each unusual webhook, a drill, two raises, and a release that turns bad."""
    arrangement = Arrangement(tmp_path_factory.mktemp("arrangement"))
    try:
        arrangement.began = time.time()
        arrangement.start_traffic(PER_SECOND)
        time.sleep(LEARN_SECS)
        arrangement.send("/slack/events", {"type": "url_verification", "challenge": "x", "token": "x"})
        arrangement.send("/slack/events", {"team_id": "T1"}, {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"})
        arrangement.send("/slack/events", {"no": "team"})
        assert arrangement.send("/elsewhere", {}) == 404
        assert arrangement.admin("GET", "/v1/bots", token="a-token-that-nobody-has")[0] == 401
        arrangement.act("drill")
        arrangement.act("rollouts", upstream="green", version="v2", reason="a test")
        for _ in range(3):
            arrangement.act("advance", force=True, reason="a test")
        wait_until("the canary is judged", lambda: arrangement.query(f'serin_evidence_log_e{{bot="{BOT}"}}'))
        arrangement.fault("green", fails=0.3, rejects=0.2, slow_seconds=0.35)
        wait_until("it is taken back", lambda: arrangement.status()["phase"] == "aborted")
        arrangement.fault("green")
        aborted = 'serin_decisions_total{decision="abort", actor_kind="ratchet"}'
        wait_until("that is scraped", lambda: [row["value"][1] for row in arrangement.query(aborted)] == ["1"])
        wait_until("and alerted", lambda: arrangement.query('ALERTS{alertstate="firing", alertname="SerinCanaryTakenBack"}'))
        yield arrangement
    finally:
        arrangement.stop()


def interpolated(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that Grafana would fill in, and this test does not: {expression}"
    return expression


def asked(told, expression, instant):
    """All numbers of the answer. The query is sent as Grafana sends it."""
    if instant:
        return [float(row["value"][1]) for row in told.query(interpolated(expression))]
    now = time.time()
    data = told.prometheus("query_range", query=interpolated(expression), start=told.began, end=now, step=1)
    return [float(value) for row in data["result"] for _, value in row["values"]]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_data(told, panel):
    for target in panel["targets"]:
        numbers = asked(told, target["expr"], target["instant"])
        if panel["title"] in EMPTY:
            assert numbers == [], f"{panel['title']} is not empty any more: {EMPTY[panel['title']]}"
        else:
            assert any(math.isfinite(number) for number in numbers), f"no data: {interpolated(target['expr'])}"


@pytest.mark.parametrize("title, track", [("Errors", "canary"), ("Late", "canary"), ("Rejected", "canary"), ("Requests", "stable")])
def test_failures_are_shown_for_the_track_that_had_them(told, title, track):
    (panel,) = [panel for panel in PANELS if panel["title"] == title]
    data = told.prometheus("query_range", query=interpolated(panel["targets"][0]["expr"]), start=told.began, end=time.time(), step=1)
    most = {row["metric"]["track"]: max(float(value) for _, value in row["values"] if math.isfinite(float(value))) for row in data["result"]}
    assert most[track] > 0.05, most
    if track == "canary":
        assert most[track] < 1 and most["stable"] < most[track], most


def test_the_variables_have_values(told):
    by_name = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert (by_name["datasource"]["type"], by_name["datasource"]["query"]) == ("datasource", "prometheus")
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", by_name["bot"]["query"]["query"]).groups()
    assert told.prometheus(f"label/{label}/values", **{"match[]": metric}) == [BOT]


def test_each_change_of_the_rollout_is_an_annotation(told):
    asks = [one for one in DASHBOARD["annotations"]["list"] if "expr" in one]
    seen = {one["name"]: {row["metric"]["decision"] for row in told.query(interpolated(one["expr"]))} for one in asks}
    assert seen == {"Started and raised": {"start", "advance"}, "Taken back": {"abort"}, "Held and other": {"drilled"}}


def test_the_dashboard_names_only_documented_metrics():
    asks = [target["expr"] for panel in PANELS for target in panel["targets"]]
    asks += [one["expr"] for one in DASHBOARD["annotations"]["list"] if "expr" in one]
    asked_for = set().union(*map(metrics_of, asks))
    assert len(asked_for) > 20
    assert asked_for <= documented_metrics()


def test_the_dashboard_can_be_provisioned_anywhere():
    assert DASHBOARD["uid"] == "serin" and "id" not in DASHBOARD
    for panel in PANELS:
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}, panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [(x, y) for panel in DASHBOARD["panels"] for x, y in cells(panel["gridPos"])]
    assert len(places) == len(set(places)), "two panels overlap"


def cells(place):
    assert place["x"] + place["w"] <= 24
    return [(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]


def test_every_rule_works_on_real_metrics(told):
    rules = [rule for group in told.prometheus("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 15
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    assert {name for name in recorded if not told.query(name)} == set()


def test_one_alert_fires_and_it_is_the_right_one(told):
    firing = {row["metric"]["alertname"] for row in told.query('ALERTS{alertstate="firing"}')}
    assert firing == {"SerinCanaryTakenBack"}


def test_the_containers_healthcheck_fails_without_a_serin(told, tmp_path):
    if "healthcheck" not in subprocess.run([SERIN, "--help"], capture_output=True, text=True, timeout=PATIENCE_SECS).stdout:
        pytest.skip("this serin has no healthcheck")
    last = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)[-1]
    argv = [SERIN if word == "serin" else word for word in json.loads(last)]
    alive = told.folder / "serin.toml"
    dead = tmp_path / "serin.toml"
    dead.write_text(alive.read_text().replace(told.address("probes"), f"127.0.0.1:{unused_port()}"))
    code = lambda config: subprocess.run(argv, env=os.environ | {"SERIN_CONFIG": str(config)}, timeout=PATIENCE_SECS).returncode
    assert (code(alive), code(dead)) == (0, 1)


def test_an_example_bot_accepts_only_requests_that_slack_signed(told):
    sys.path.insert(0, str(DOCKER / "bots"))
    import bot

    assert bot.sign(b"secret", "1531420618", b"a=b") == SignatureVerifier("secret").generate_signature(timestamp="1531420618", body=b"a=b")
    assert told.send("/slack/events", {"team_id": "T1"}) == 401
    url = f"http://{told.address('blue')}"
    assert [call(url + path, "GET")[0] for path in ("/healthz", "/elsewhere")] == [200, 404]
    assert [call(url + "/fault", "PUT", fault)[0] for fault in ({"fails": 2}, {"falls": 0.1}, [], {"slow_seconds": "x"}, {})] == [422, 422, 422, 422, 200]


def test_the_traffic_was_answered_by_both_versions(told):
    wait_until("traffic says what it saw", lambda: "200 from v2" in told.said("traffic"))
    said = told.said("traffic")
    assert "200 from v1" in said and "401 from v1" not in said, said
