"""Raising the weight under load: 0 % and 100 % are exact, and a raise takes no workspace off the canary."""

import json
import threading

import pytest
from conftest import COUNT, Serin, bot_config, stub

STEPS = [0, 1, 5, 25, 50, 100]
WORKSPACES = [f"W{n:05d}" for n in range(COUNT)]


@pytest.fixture(scope="module")
def stubs():
    servers = [stub("stable"), stub("canary")]
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()


@pytest.fixture
def sweep(stubs, tmp_path):
    started = []

    def start(**settings):
        started.append(Serin(tmp_path, bot_config("support", stubs, weight="0%", **settings)))
        return started[-1]

    yield start
    for serin in started:
        serin.stop()


SHAPES = {
    "in_a_header": (dict(workspace=["header:X-Workspace-Id"]), lambda w: (b"hello", {"X-Workspace-Id": w})),
    "in_json": (dict(preset="slack"), lambda w: (json.dumps({"token": "x", "team_id": w, "type": "event_callback"}).encode(), {"Content-Type": "application/json"})),
    "in_a_form": (dict(preset="slack"), lambda w: (f"token=x&team_id={w}&command=%2Fx".encode(), {"Content-Type": "application/x-www-form-urlencoded"})),
}


def on_the_canary(client, make):
    canary = set()
    for workspace in WORKSPACES:
        answer = client.send("/hook", *make(workspace))
        assert answer.status == 200, (answer.status, answer.body)
        if answer.track == "canary":
            canary.add(workspace)
    return canary


@pytest.mark.parametrize("shape", SHAPES)
def test_a_raise_only_adds_workspaces(sweep, shape):
    settings, make = SHAPES[shape]
    serin = sweep(**settings)
    client = serin.client()
    before = set()
    for percent in STEPS:
        if percent:
            assert serin.weigh("support", percent)["weight_percent"] == percent
        now = on_the_canary(client, make)
        assert before <= now, f"{sorted(before - now)[:5]} were taken off the canary by a raise to {percent} %"
        if percent in (0, 100):
            assert len(now) == len(WORKSPACES) * percent // 100, f"{percent} % is exact"
        elif len(WORKSPACES) >= 300 and percent >= 5:
            share = 100 * len(now) / len(WORKSPACES)
            spread = 400 * (percent / 100 * (1 - percent / 100) / len(WORKSPACES)) ** 0.5  # four standard deviations
            assert abs(share - percent) <= spread, f"{share:.1f} % of the workspaces at {percent} %"
        before = now


def test_the_same_weight_again_is_the_same_workspaces(sweep):
    settings, make = SHAPES["in_a_header"]
    serin = sweep(**settings)
    client = serin.client()
    serin.weigh("support", 5)
    first = on_the_canary(client, make)
    serin.weigh("support", 0)
    assert on_the_canary(client, make) == set()
    serin.weigh("support", 5)
    assert on_the_canary(client, make) == first


def test_a_lowering_removes_the_workspaces_that_came_last(sweep):
    settings, make = SHAPES["in_a_header"]
    serin = sweep(**settings)
    client = serin.client()
    serin.weigh("support", 25)
    quarter = on_the_canary(client, make)
    serin.weigh("support", 50)
    half = on_the_canary(client, make)
    serin.weigh("support", 25)
    assert on_the_canary(client, make) == quarter and quarter <= half


def test_a_raise_under_load_loses_no_request(sweep):
    """Clients that send without pause while the weight goes up and down see nothing but 200."""
    settings, make = SHAPES["in_json"]
    serin = sweep(**settings)
    stop, bad, sent = threading.Event(), [], []

    def load(offset):
        client, n = serin.client(), offset
        while not stop.is_set():
            n += 1
            answer = client.send("/hook", *make(WORKSPACES[n % len(WORKSPACES)]))
            sent.append(1)
            if answer.status != 200:
                bad.append((answer.status, answer.body))

    threads = [threading.Thread(target=load, args=(at * 101,)) for at in range(4)]
    for thread in threads:
        thread.start()
    try:
        for percent in [1, 5, 25, 50, 100, 50, 0, 10, 100, 0]:
            seen = len(sent)
            serin.weigh("support", percent)
            while len(sent) < seen + 40 and not bad:
                stop.wait(0.005)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert bad == []
    assert serin.metric("serin_requests_total") == len(sent), "requests sent = requests counted"


def test_an_invalid_weight_is_refused(sweep):
    serin = sweep(**SHAPES["in_a_header"][0])
    for percent in (-1, 101, 0.001, "5", None):
        status, body = serin.admin("PUT", "/v1/bots/support/weight", {"percent": percent})
        assert status in (400, 422), (percent, status, body)
    assert serin.status("support")["weight_percent"] == 0
    assert serin.admin("PUT", "/v1/bots/nobody/weight", {"percent": 5})[0] == 404
