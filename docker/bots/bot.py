"""An example bot for docker/compose.yml, with nothing but the standard library: it verifies Slack's signature, answers with
its version, and can be told to misbehave.

    python3 bot.py --version v1 --secret-file FILE [--listen 0.0.0.0:3000]
    curl -X PUT -d '{"fails": 0.25}' http://127.0.0.1:3000/fault     # from now on it fails one webhook in four

Faults: `fails`, `rejects` (shares of webhooks, 0 to 1) and `slow_seconds`; `{}` is none. They are for the example: a real bot
has no such door.
"""

import argparse
import hashlib
import hmac
import json
import pathlib
import random
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_MAX = 1 << 20
CLOCK_MAY_DIFFER_SECS = 300
FAULTS = {"fails", "rejects", "slow_seconds"}
SLOW_SECS_MAX = 30


def sign(secret, timestamp, body):
    """Slack's signature, version 0."""
    return "v0=" + hmac.new(secret, f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()


def is_signed(secret, headers, body):
    timestamp = headers.get("X-Slack-Request-Timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > CLOCK_MAY_DIFFER_SECS:
        return False
    return hmac.compare_digest(sign(secret, timestamp, body).encode(), headers.get("X-Slack-Signature", "").encode())


def read_faults(body):
    """What a PUT says; None if it says nothing that makes sense."""
    try:
        wanted = json.loads(body or b"{}")
        faults = {name: float(value) for name, value in wanted.items()}
    except (ValueError, TypeError, AttributeError):
        return None
    fits = set(faults) <= FAULTS and all(0 <= value <= (SLOW_SECS_MAX if name == "slow_seconds" else 1) for name, value in faults.items())
    return faults if fits else None


class Bot(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 75  # longer than serin keeps an idle connection
    disable_nagle_algorithm = True
    version, secret, faults = "", b"", {}

    def do_GET(self):
        self.answer(200 if self.path == "/healthz" else 404)

    def do_PUT(self):
        faults = read_faults(self.body())
        if self.path != "/fault" or faults is None:
            return self.answer(404 if self.path != "/fault" else 422)
        type(self).faults = faults
        return self.answer(200)

    def do_POST(self):
        body = self.body()
        if body is None:
            return self.answer(413)
        if not is_signed(self.secret, self.headers, body) or random.random() < self.faults.get("rejects", 0):
            return self.answer(401, b"the signature is wrong")
        time.sleep(self.faults.get("slow_seconds", 0))
        if random.random() < self.faults.get("fails", 0):
            return self.answer(500, b"a bug")
        return self.answer(200, challenge(body))

    def body(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX:
            self.close_connection = True
            return None
        return self.rfile.read(length)

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("X-Version", self.version)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def challenge(body):
    """The answer to Slack's handshake; nothing for everything else."""
    try:
        event = json.loads(body)
    except ValueError:
        return b""
    return event["challenge"].encode() if isinstance(event, dict) and isinstance(event.get("challenge"), str) else b""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser(description="An example bot.")
    parser.add_argument("--version", required=True)
    parser.add_argument("--secret-file", required=True, type=pathlib.Path)
    parser.add_argument("--listen", default="0.0.0.0:3000")
    chosen = parser.parse_args()
    host, port = chosen.listen.rsplit(":", 1)
    Bot.version, Bot.secret = chosen.version, chosen.secret_file.read_bytes().strip()
    server = Server((host, int(port)), Bot)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{chosen.version} listens on {host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
