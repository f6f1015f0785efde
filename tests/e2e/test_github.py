"""@octokit/webhooks behind serin, with the sample payloads of @octokit/webhooks-examples: real ones, of every event."""

import hashlib
import hmac
import json
from collections import Counter

import pytest
from conftest import HERE, flip, node_bot, one_track_each, refused_by_the_bot

SECRET = "a-webhook-secret"
EXAMPLES = HERE / "node_modules/@octokit/webhooks-examples/api.github.com/index.json"
# docs: of 329 payloads, 323 name an account.
PAYLOADS, FOUND = 329, 323


@pytest.fixture(scope="module")
def payloads():
    examples = [(event["name"], payload) for event in json.loads(EXAMPLES.read_text()) for payload in event["examples"]]
    assert len(examples) == PAYLOADS
    return examples


@pytest.fixture(scope="module")
def github(start):
    return start("app", node_bot("github_bot.mjs", SECRET), preset="github_app")


def signed(name, payload, number=0):
    body = json.dumps(payload, ensure_ascii=False, indent=1 if number % 2 else None).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return "/github", body, {"Content-Type": "application/json", "X-GitHub-Event": name, "X-GitHub-Delivery": f"d-{number}", "X-Hub-Signature-256": f"sha256={digest}"}


def account(payload):
    """The account as a bot's author would find it, written apart from serin's own rule."""
    for path in ("organization", "repository.owner", "installation.account", "marketplace_purchase.account", "sponsorship.sponsorable"):
        value = payload
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict) and value.get("id") is not None:
            return value["id"]
    return None


def test_every_payload_verifies_and_all_of_an_account_go_to_one_track(github, payloads):
    found = github.serin.metric("serin_identify_total", result="found")
    github.seen()
    tracks = {}
    for number, (name, payload) in enumerate(payloads):
        answer = github.send(*signed(name, payload, number))
        assert answer.status == 200, (name, answer.status, answer.from_serin, answer.body[:300])
        tracks.setdefault(account(payload), Counter())[answer.track] += 1
    unidentified = tracks.pop(None)
    assert dict(unidentified) == {"stable": PAYLOADS - FOUND}, "what names no account goes to stable"
    one_track_each(tracks)
    assert github.serin.metric("serin_identify_total", result="found") - found == FOUND
    assert sum(map(len, github.seen().values())) == PAYLOADS, "each delivery was handled once"


def test_accounts_stay_where_they_are(github, payloads):
    """More accounts than the samples have: the same payload with another owner."""
    name, payload = next((n, p) for n, p in payloads if n == "push")
    accounts = range(1000, 1100)

    def requests(owner):
        changed = {**payload, "repository": {**payload["repository"], "owner": {**payload["repository"]["owner"], "id": owner}}}
        changed.pop("organization", None)
        for number in range(3):
            yield signed(name, changed, number)

    one_track_each(github.send_for(accounts, requests))


def test_a_changed_byte_is_refused_by_the_bot(github, payloads):
    for number, (name, payload) in enumerate(payloads[::20]):
        path, body, headers = signed(name, payload, number)
        assert refused_by_the_bot(github.send(path, flip(body), headers), 400, 401, 403)
