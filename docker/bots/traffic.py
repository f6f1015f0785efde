"""Signed Slack events of some hundred teams, a few large and most of them small, for the example in docker/compose.yml. It says
each 10 s what was answered, and by which version.

    python3 traffic.py --to http://127.0.0.1:8080 --secret-file FILE [--teams 200] [--per-second 50]
"""

import argparse
import http.client
import itertools
import json
import pathlib
import signal
import threading
import time
import urllib.parse
from collections import Counter

from bot import sign

SENDERS = 8
SAY_EVERY_SECS = 10
# Its multiples modulo 1 are spread evenly.
GOLDEN = 0.6180339887498949


def team(number, teams):
    """Zipf's law: team k sends 1/k of what the first one sends."""
    return f"T{int(teams ** (number * GOLDEN % 1.0)):06d}"


def event(team_id, number):
    text = {"type": "event_callback", "team_id": team_id, "event_id": f"Ev{number:010d}", "event": {"type": "app_mention", "user": "U1", "text": "hello"}}
    return json.dumps(text).encode()


class Traffic:
    def __init__(self, chosen):
        self.address = urllib.parse.urlsplit(chosen.to)
        self.secret = chosen.secret_file.read_bytes().strip()
        self.teams, self.per_second = chosen.teams, chosen.per_second
        self.numbers, self.answers = itertools.count(), Counter()
        self.over = threading.Event()

    def run(self):
        senders = [threading.Thread(target=self.keep_sending, daemon=True) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        while not self.over.wait(SAY_EVERY_SECS):
            self.say()
        for sender in senders:
            sender.join(SAY_EVERY_SECS)
        self.say()

    def keep_sending(self):
        connection, due = None, time.monotonic()
        while not self.over.is_set():
            due = max(due + SENDERS / self.per_second, time.monotonic() - 1)
            if self.over.wait(max(0.0, due - time.monotonic())):
                break
            try:
                connection = connection or http.client.HTTPConnection(self.address.hostname, self.address.port or 80, timeout=15)
                seen = self.send(connection)
            except (OSError, http.client.HTTPException) as error:
                connection, seen = None, (type(error).__name__, "-")
            self.answers[seen] += 1

    def send(self, connection):
        number = next(self.numbers)
        body, now = event(team(number, self.teams), number), str(int(time.time()))
        headers = {"Content-Type": "application/json", "X-Slack-Request-Timestamp": now, "X-Slack-Signature": sign(self.secret, now, body)}
        connection.request("POST", "/slack/events", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["X-Version"] or "-"

    def say(self):
        seen, self.answers = self.answers, Counter()
        print("  ".join(f"{status} from {version}: {count}" for (status, version), count in sorted(seen.items(), key=str)) or "nothing", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Signed traffic for the example bots.")
    parser.add_argument("--to", required=True)
    parser.add_argument("--secret-file", required=True, type=pathlib.Path)
    parser.add_argument("--teams", type=int, default=200)
    parser.add_argument("--per-second", type=float, default=50)
    traffic = Traffic(parser.parse_args())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: traffic.over.set())
    traffic.run()


if __name__ == "__main__":
    main()
