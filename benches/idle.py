#!/usr/bin/env python3
"""What serin costs while little happens: CPU time of a core and resident memory, by bots, listeners and active buckets.

Starts real processes of a release build, lets them settle, and measures for some seconds. Standard library only:

    cargo build --release --locked && benches/idle.py

`--serin PATH` names another binary, to compare; `--seconds N` measures longer; `--only WORD` takes the lines with that word.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

HTTP, ADMIN, UPSTREAM = 9150, 9450, 9051
SETTLE = 8

CONFIG = """
[proxy]
listen = "127.0.0.1:{http}"
workers = 2
[admin]
listen = "127.0.0.1:{admin}"
"""

BOT = """
[[bot]]
name = "bot{number}"
match = {{ path_prefix = "/bot{number}" }}
workspace = ["header:x-workspace"]
upstreams = {{ blue = "http://127.0.0.1:{upstream}", green = "http://127.0.0.1:{upstream}" }}
stable = "blue"
weight = "10%"
"""


class Serin:
    def __init__(self, binary, bots):
        self.folder = tempfile.TemporaryDirectory(prefix="serin-idle-")
        config = pathlib.Path(self.folder.name) / "serin.toml"
        bots = "".join(BOT.format(number=number, upstream=UPSTREAM) for number in range(bots))
        config.write_text(CONFIG.format(http=HTTP, admin=ADMIN) + bots)
        log = open(pathlib.Path(self.folder.name) / "log", "w")
        self.process = subprocess.Popen([binary, "run", "--config", config], stdout=log, stderr=log)
        self.listeners = []
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/readyz", timeout=1).read()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit((pathlib.Path(self.folder.name) / "log").read_text())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for listener in self.listeners:
            listener.close()
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def listen(self, count):
        for _ in range(count):
            listener = socket.create_connection(("127.0.0.1", ADMIN))
            listener.sendall(b"GET /v1/events?status=true HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % ADMIN)
            self.listeners.append(listener)
            threading.Thread(target=swallow, args=(listener,), daemon=True).start()

    def active_buckets(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/v1/bots/bot0") as answer:
            tracks = json.load(answer)["tracks"]
        return tracks["stable"]["active_buckets"] + tracks["canary"]["active_buckets"]

    def cpu_secs(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def measure(self, seconds):
        time.sleep(SETTLE)
        cpu, began = self.cpu_secs(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_secs() - cpu) / (time.monotonic() - began) * 100, self.resident_mb()


def swallow(connection):
    try:
        while connection.recv(1 << 20):
            pass
    except OSError:
        pass


def answer(connection):
    """Answers every request on the connection: none has a body."""
    rest = b""
    try:
        while data := connection.recv(1 << 16):
            rest += data
            *heads, rest = rest.split(b"\r\n\r\n")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * len(heads))
    except OSError:
        pass


def upstream():
    listener = socket.create_server(("127.0.0.1", UPSTREAM), backlog=128)

    def accept():
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def ask(workspaces):
    """One request for each workspace, to the first bot."""
    connection = socket.create_connection(("127.0.0.1", HTTP))
    head = b"GET /bot0 HTTP/1.1\r\nHost: bench\r\nX-Workspace: T%d\r\n\r\n"
    names = list(workspaces)
    for first in range(0, len(names), 20):
        batch = names[first : first + 20]
        connection.sendall(b"".join(head % name for name in batch))
        answers = b""
        while answers.count(b"\r\n\r\n") < len(batch):
            answers += connection.recv(1 << 16)
    connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serin", default=os.environ.get("CARGO_TARGET_DIR", "target") + "/release/serin")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    upstream()

    def line(what, bots, listeners=0, workspaces=0):
        if asked.only not in what:
            return
        with Serin(asked.serin, bots) as serin:
            ask(range(workspaces))
            serin.listen(listeners)
            cpu, resident = serin.measure(asked.seconds)
            active = f", {serin.active_buckets()} active buckets" if workspaces else ""
            print(f"{what + active:<60} {cpu:6.2f} % of a core  {resident:7.1f} MB", flush=True)

    for bots in (1, 20, 100, 200, 500):
        line(f"idle: {bots} bots", bots)
    for bots, listeners in ((20, 10), (100, 10), (200, 1), (200, 20), (500, 20)):
        line(f"listeners: {bots} bots, {listeners} listeners", bots, listeners)
    for workspaces in (10, 1_050, 30_000):
        line(f"rest: 1 bot after {workspaces} workspaces", 1, 0, workspaces)


if __name__ == "__main__":
    main()
