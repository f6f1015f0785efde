"""python-telegram-bot's webhook server behind serin. Its answers are empty, so the lines of the bots show which one handled an
update."""

import json

import pytest
from conftest import COUNT, flip, python_bot, refused_by_the_bot, wait_until

SECRET = "a-secret-token"
CHATS = [-1001234567890 - n * 31 for n in range(min(COUNT, 120))]


@pytest.fixture(scope="module")
def telegram(start):
    return start("chat", python_bot("telegram_bot.py", SECRET), preset="telegram")


def update(number, **what):
    return "/telegram", json.dumps({"update_id": number, **what}).encode(), {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": SECRET}


def every_shape(chat, number):
    user = {"id": 42, "is_bot": False, "first_name": "Ana"}
    place = {"id": chat, "type": "supergroup", "title": "Finches"}
    message = {"message_id": 1, "date": 1700000000, "chat": place, "from": user, "text": "tweet"}
    yield update(number, message=message)
    yield update(number + 1, edited_message={**message, "edit_date": 1700000001})
    yield update(number + 2, callback_query={"id": "1", "from": user, "message": message, "chat_instance": "1", "data": "x"})
    yield update(number + 3, my_chat_member={"chat": place, "from": user, "date": 1700000000, "old_chat_member": {"user": user, "status": "member"}, "new_chat_member": {"user": user, "status": "left"}})


def test_each_chat_stays_on_one_track(telegram):
    telegram.seen()
    wanted = {}
    for n, chat in enumerate(CHATS):
        for at, (path, body, headers) in enumerate(every_shape(chat, n * 10)):
            assert telegram.send(path, body, headers).status == 200
            wanted[n * 10 + at] = chat
    handled = {"stable": [], "canary": []}

    def all_handled():
        for track, lines in telegram.seen().items():
            handled[track] += lines
        return sum(map(len, handled.values())) >= len(wanted)

    wait_until("every update is handled", all_handled)
    by_track = {track: {line["update"]: line["chat"] for line in lines} for track, lines in handled.items()}
    assert by_track["stable"] | by_track["canary"] == wanted, "each update was handled once, with the chat that it names"
    chats = {track: set(lines.values()) for track, lines in by_track.items()}
    assert chats["stable"] and chats["canary"] and not chats["stable"] & chats["canary"]


def test_a_wrong_secret_is_refused_by_the_bot(telegram):
    telegram.seen()
    for chat in CHATS[:10]:
        path, body, headers = update(1, message={"chat": {"id": chat}})
        assert refused_by_the_bot(telegram.send(path, body, {**headers, "X-Telegram-Bot-Api-Secret-Token": "wrong"}), 403)
        assert refused_by_the_bot(telegram.send(path, body, {"Content-Type": "application/json"}), 403)
    assert telegram.seen() == {"stable": [], "canary": []}


def test_a_body_that_is_no_json_is_the_bots_to_refuse(telegram):
    path, body, headers = update(1, message={"chat": {"id": CHATS[0]}})
    answer = telegram.send(path, flip(body, 0), headers)
    assert refused_by_the_bot(answer, 400, 500) and answer.headers["Server"].startswith("TornadoServer")
