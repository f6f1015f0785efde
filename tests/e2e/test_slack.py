"""Bolt for Python behind serin: signatures stay valid, and a team stays on its track for all shapes of requests."""

import hashlib
import hmac
import json
import time
from urllib.parse import urlencode

import pytest
from conftest import COUNT, flip, one_track_each, python_bot, refused_by_the_bot

SECRET = "a-signing-secret"
TEAMS = [f"T{n:06d}" for n in range(min(COUNT, 120))]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def slack(start):
    return start("support", python_bot("slack_bot.py", SECRET), preset="slack")


def signed(body, kind, **headers):
    now = str(int(time.time()))
    digest = hmac.new(SECRET.encode(), f"v0:{now}:".encode() + body, hashlib.sha256).hexdigest()
    fields = {"Content-Type": kind, "X-Slack-Request-Timestamp": now, "X-Slack-Signature": f"v0={digest}", **headers}
    return "/slack/events", body, fields


def event(team, kind="app_mention", **more):
    inner = {"type": kind, "user": "U1", "channel": "C1", "ts": "1.1", "event_ts": "1.1", "text": "<@U0> café 🐤", **more}
    outer = {"token": "x", "team_id": team, "api_app_id": "A1", "event": inner, "type": "event_callback", "event_id": f"Ev{team}{kind}", "event_time": 1}
    return signed(json.dumps(outer, ensure_ascii=False).encode(), JSON)


def command(team):
    form = {"token": "x", "team_id": team, "team_domain": "d", "channel_id": "C1", "user_id": "U1", "command": "/canary", "text": "sing & dance=ü", "api_app_id": "A1", "trigger_id": "1.2"}
    return signed(urlencode(form).encode(), FORM)


def interactive(payload):
    return signed(urlencode({"payload": json.dumps(payload)}).encode(), FORM)


def action(team):
    return interactive({"type": "block_actions", "team": {"id": team, "domain": "d"}, "user": {"id": "U1", "team_id": team}, "api_app_id": "A1", "token": "x", "actions": [{"type": "button", "action_id": "approve", "block_id": "b", "value": "1"}]})


def action_of_an_org_install(team):
    return interactive({"type": "block_actions", "team": None, "enterprise": {"id": "E1"}, "user": {"id": "U1", "team_id": team}, "is_enterprise_install": True, "api_app_id": "A1", "token": "x", "actions": [{"type": "button", "action_id": "approve", "block_id": "b", "value": "1"}]})


def submission(team):
    return interactive({"type": "view_submission", "team": {"id": team}, "user": {"id": "U1", "team_id": team}, "api_app_id": "A1", "token": "x", "view": {"id": "V1", "team_id": team, "type": "modal", "callback_id": "form", "state": {"values": {}}}})


def every_shape(team):
    authorizations = [{"team_id": team, "user_id": "U0", "is_bot": True}]
    yield event(team)
    yield event(team, "message", text="x" * 3000, blocks=[{"type": "rich_text", "team_id": "T-inside"}])
    yield event(team, "reaction_added", reaction="bird", item={"type": "message", "team": "T-inside"})
    yield command(team)
    yield action(team)
    yield action_of_an_org_install(team)
    yield submission(team)
    outer = {"authorizations": authorizations, "team_id": "T-shared", "event": {"type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.1", "event_ts": "1.1", "text": ""}, "type": "event_callback", "api_app_id": "A1", "token": "x", "event_id": f"Ex{team}", "event_time": 1}
    yield signed(json.dumps(outer).encode(), JSON)


def test_every_signature_verifies_and_each_team_stays_on_one_track(slack):
    slack.seen()
    assigned = one_track_each(slack.send_for(TEAMS, every_shape))
    # Bolt and serin find the same team in every shape.
    for track, lines in slack.seen().items():
        assert {line["team"] for line in lines} <= {team for team, at in assigned.items() if at == track} | {None}
        assert {line["kind"] for line in lines} == {"app_mention", "message", "reaction_added", "command", "action", "view"}


def test_the_answer_to_a_command_is_the_bots_own(slack):
    answer = slack.send(*command(TEAMS[0]))
    assert answer.body.decode() == f"{answer.track} heard sing & dance=ü"


@pytest.mark.parametrize("shape", [event, command, action], ids=["event", "command", "action"])
def test_a_changed_byte_is_refused_by_the_bot(slack, shape):
    slack.seen()
    for team in TEAMS[:10]:
        path, body, headers = shape(team)
        assert refused_by_the_bot(slack.send(path, flip(body, body.index(b"A1")), headers), 401)
        assert refused_by_the_bot(slack.send(path, body, {**headers, "X-Slack-Signature": "v0=" + "0" * 64}), 401)
    assert slack.seen() == {"stable": [], "canary": []}


def test_the_handshake_is_answered_by_stable_and_counted_apart(slack):
    before = slack.serin.metric("serin_handshakes_total")
    for n in range(5):
        answer = slack.send(*signed(json.dumps({"type": "url_verification", "token": "x", "challenge": f"c{n}"}).encode(), JSON))
        assert answer.status == 200 and answer.track == "stable" and f"c{n}".encode() in answer.body
    assert slack.serin.metric("serin_handshakes_total") == before + 5


def test_slacks_own_retry_goes_where_its_team_is_and_is_counted(slack):
    before = slack.serin.metric("serin_platform_retries_total")
    for team in TEAMS[:10]:
        first = slack.send(*event(team))
        path, body, headers = event(team)
        again = slack.send(path, body, {**headers, "X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"})
        assert again.track == first.track
    assert slack.serin.metric("serin_platform_retries_total") == before + 10


def test_a_404_of_the_bot_passes(slack):
    path, body, headers = signed(json.dumps({"type": "event_callback", "team_id": "T1", "event": {"type": "unheard_of"}}).encode(), JSON)
    assert refused_by_the_bot(slack.send(path, body, headers), 404)
