"""discord-interactions behind serin: Ed25519 over the exact bytes, pings, and the bad signatures that Discord sends as a test and
expects to be refused with 401."""

import json

import pytest
from conftest import COUNT, flip, one_track_each, python_bot, refused_by_the_bot
from nacl.signing import SigningKey

KEY = SigningKey(bytes(range(32)))
GUILDS = [str(81384788765712384 + n * 7919) for n in range(min(COUNT, 120))]


@pytest.fixture(scope="module")
def discord(start):
    return start("games", python_bot("discord_bot.py", KEY.verify_key.encode().hex()), preset="discord_interactions")


def signed(document):
    body, now = json.dumps(document, ensure_ascii=False).encode(), "1700000000"
    return "/interactions", body, {"Content-Type": "application/json", "X-Signature-Ed25519": KEY.sign(now.encode() + body).signature.hex(), "X-Signature-Timestamp": now}


def every_shape(guild):
    member = {"user": {"id": "53908232506183680", "username": "ana"}, "roles": []}
    yield signed({"type": 2, "id": "1", "guild_id": guild, "member": member, "data": {"name": "sing", "guild_id": "1"}})
    yield signed({"type": 3, "id": "2", "guild_id": guild, "member": member, "data": {"custom_id": "b"}, "message": {"content": "🐤" * 500}})
    yield signed({"type": 5, "id": "3", "member": member, "data": {"custom_id": "modal"}, "guild_id": guild})
    yield signed({"type": 2, "id": "4", "authorizing_integration_owners": {"0": guild}, "user": {"id": "1"}, "data": {"name": "sing"}})


def test_every_signature_verifies_and_each_guild_stays_on_one_track(discord):
    one_track_each(discord.send_for(GUILDS, every_shape))


def test_ping_is_answered_by_stable_and_counted_apart(discord):
    before = discord.serin.metric("serin_handshakes_total")
    answer = discord.send(*signed({"type": 1, "id": "1"}))
    assert answer.status == 200 and json.loads(answer.body) == {"type": 1} and answer.track == "stable"
    assert discord.serin.metric("serin_handshakes_total") == before + 1


def test_a_changed_byte_is_refused_by_the_bot(discord):
    for guild in GUILDS[:10]:
        for path, body, headers in every_shape(guild):
            assert refused_by_the_bot(discord.send(path, flip(body), headers), 401)


def test_a_ping_with_a_bad_signature_is_refused_by_the_bot(discord):
    path, body, headers = signed({"type": 1})
    assert refused_by_the_bot(discord.send(path, body, {**headers, "X-Signature-Ed25519": "00" * 64}), 401)
