"""The ratchet on real bots and real traffic. The bots are two processes of Bolt for Python. The canary gets a bug while it has 10 % of
the teams. A bug may spoil at most as many requests as the 95th percentile of `serin simulate` for the same policy."""

import json
import subprocess
import threading
import time
from collections import Counter

import pytest
from conftest import Client, python_bot, wait_until
from servers import PATIENCE_SECS, SERIN
from test_slack import SECRET, event

TEAMS = [f"T{n:06d}" for n in range(200)]
PER_SECOND = 60
SENDERS = 6
LEARN_SECS = 8
# Only ends a hang, as PATIENCE_SECS does.
EVIDENCE_SECS = 600
ROLLOUT = """
[bot.rollout]
steps = ["10%", "50%", "98%", "100%"]
bake = "{bake}"
[bot.guard]
harm = "2%"
"""


class Traffic:
    """A steady stream of signed events from several threads. Few teams are large, most are small."""

    def __init__(self, port):
        self.answers = Counter()  # (track, status)
        self.by_team = {team: Counter() for team in TEAMS}
        self.slowest = 0.0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.keep_sending, args=(port, n), daemon=True) for n in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def keep_sending(self, port, number):
        client = Client(port)
        due = time.monotonic()
        while not self.over.is_set():
            due += SENDERS / PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            number += SENDERS
            # Zipf's law: team k sends 1/k of what the first one sends.
            team = TEAMS[int(len(TEAMS) ** ((number * 0.6180339887) % 1.0)) - 1]
            answer = client.send(*event(team))
            with self.lock:
                self.answers[answer.track, answer.status] += 1
                self.by_team[team][answer.track] += 1

    def bad(self):
        with self.lock:
            return sum(count for (_, status), count in self.answers.items() if status != 200)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(PATIENCE_SECS)


@pytest.fixture
def stage(start):
    """A pair of bots with traffic since LEARN_SECS, and a rollout of v2 that has just begun."""
    going = []

    def begin(name, bake="10m", **document):
        pair = start(name, python_bot("slack_bot.py", SECRET), preset="slack", weight="0%", tables=ROLLOUT.format(bake=bake))
        traffic = Traffic(pair.serin.port)
        going.append(traffic)
        time.sleep(LEARN_SECS)
        pair.act(name, "rollouts", upstream="green", version="v2", **document)
        return pair, traffic

    yield begin
    for traffic in going:
        traffic.stop()


def simulated(scenario, folder):
    """The 95th percentile of bad requests that the simulator finds for this policy."""
    policy = folder / "policy.toml"
    policy.write_text('[[bot]]\nname = "b"\npreset = "slack"\nstable = "blue"\nupstreams = { blue = "http://127.0.0.1:1", green = "http://127.0.0.1:2" }\n' + ROLLOUT.format(bake="10m"))
    wanted = ["--scenario", scenario, "--volume", str(PER_SECOND), "--workspaces", str(len(TEAMS)), "--seeds", "40", "--rules", "serin"]
    said = subprocess.run([SERIN, "simulate", *wanted, "--config", policy, "--bot", "b", "--json"], capture_output=True, check=True, text=True, timeout=300)
    (line,) = said.stdout.splitlines()
    figures = json.loads(line)
    assert figures["caught"] == figures["seeds"], figures
    return figures["bad_requests_p95"]


def becomes(pair, name, phase):
    """Waits until a bot is in this phase, which takes minutes where the evidence grows slowly. Returns the weights on the way."""
    weights, deadline = [], time.monotonic() + EVIDENCE_SECS
    while (status := pair.serin.status(name))["phase"] != phase:
        if status["weight_percent"] not in weights[-1:]:
            weights.append(status["weight_percent"])
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    return weights + [status["weight_percent"]]


def taken_back(pair, name):
    wait_until(f"{name} is taken back", lambda: pair.serin.status(name)["phase"] == "aborted")
    status = pair.serin.status(name)
    assert status["weight_percent"] == 0
    assert status["quarantine"][0]["version"] == "v2"
    return status


@pytest.mark.parametrize(
    "name, bug, scenario",
    [("fails", "fails", "R_hardfail"), ("forbids", "wrong_secret", "R_401all")],
)
def test_a_canary_that_turns_bad_goes_back_to_zero(stage, tmp_path, name, bug, scenario):
    pair, traffic = stage(name)
    assert traffic.bad() == 0, traffic.answers
    pair.gets(bug)
    status = taken_back(pair, name)
    assert status["evidence"]["verdict"] == "fail"
    assert status["evidence"]["e_value"] >= 150
    most = simulated(scenario, tmp_path)
    bad = traffic.bad()
    assert 0 < bad <= max(most, 5), f"{bad} bad answers; the simulator's 95th percentile is {most}"
    time.sleep(1)
    assert traffic.bad() <= bad + SENDERS, "v2 gets no more requests"
    assert pair.serin.metric("serin_decisions_total", decision="abort", actor_kind="ratchet") == 1


def test_a_slow_canary_goes_back_to_zero(stage):
    pair, traffic = stage("sleeps")
    before = pair.serin.status("sleeps")["tracks"]["canary"]["requests"]
    pair.gets("slow 0.05")
    status = taken_back(pair, "sleeps")
    assert status["evidence"]["leading"] in ("latency", "slow answers", "very slow answers")
    assert traffic.bad() == 0, traffic.answers
    assert before < 10 * PER_SECOND


def test_a_canary_that_refuses_connections_goes_to_zero_and_stable_answers(stage):
    pair, traffic = stage("refuses")
    pair.bots["canary"].process.kill()
    wait_until("the brake", lambda: pair.serin.status("refuses")["phase"] == "paused")
    status = pair.serin.status("refuses")
    assert (status["weight_percent"], status["hold_reason"], status["quarantine"]) == (0, "breaker", [])
    assert status["waits_for_human"]["reason"] == "breaker" and pair.serin.metric("serin_waits_for_human") == 1
    # What was being answered when the process died is lost; all others were rescued.
    assert traffic.bad() <= SENDERS, traffic.answers
    # Two seconds from the eighth refusal; 10 % of the traffic is six requests a second.
    refused = pair.serin.metric("serin_rescues_total", bot="refuses")
    assert 8 <= refused <= 8 + 3 * PER_SECOND * 0.5, refused


def test_a_canary_that_is_bad_for_one_team_only_goes_back_to_zero(stage):
    pair, traffic = stage("one_team")
    time.sleep(5)
    with traffic.lock:
        on_canary = {team: seen["canary"] for team, seen in traffic.by_team.items() if seen["canary"]}
    largest = max(on_canary, key=on_canary.get)
    pair.gets(f"fails_for {largest}")
    wait_until("an examination", lambda: pair.serin.status("one_team")["evidence"]["examinations"]["buckets"])
    (exam,) = pair.serin.status("one_team")["evidence"]["examinations"]["buckets"]
    assert exam["suspected_for"] == "errors"
    becomes(pair, "one_team", "aborted")
    # An examination sends the team to both tracks: stable served it well, so the canary is to blame.
    assert traffic.by_team[largest]["stable"] > 0


def test_a_good_release_is_promoted(stage):
    pair, traffic = stage("good", bake="5s")
    assert becomes(pair, "good", "promoted") == [10, 50, 98, 0]
    status = pair.serin.status("good")
    assert (status["stable"]["upstream"], status["stable"]["version"], status["canary"]) == ("green", "v2", None)
    assert traffic.bad() == 0, traffic.answers
    with traffic.lock:
        before = Counter(traffic.answers)
    time.sleep(2)
    with traffic.lock:
        since = traffic.answers - before
    assert {track for track, _ in since} == {"canary"}, "green answers all requests, and its process was started as the canary"


def test_reports_of_later_failures_take_a_canary_back(stage):
    pair, traffic = stage("reports")
    time.sleep(2)
    on_canary = [team for team, seen in traffic.by_team.items() if seen["canary"]]
    for _ in range(40):
        outcomes = [{"workspace": team, "ok": False} for team in on_canary]
        pair.act("reports", "outcomes", outcomes=outcomes)
        if pair.serin.status("reports")["phase"] == "aborted":
            break
        time.sleep(0.5)
    assert pair.serin.status("reports")["phase"] == "aborted"
    assert traffic.bad() == 0, traffic.answers
