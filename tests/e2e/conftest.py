"""Real bots behind a real serin. Each bot runs as two processes, stable and canary. A bot writes a line of JSON to its standard
output for each request that it has verified."""

import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from servers import PATIENCE_SECS, SERIN, accepts_connections, unused_port
from xdist.scheduler import LoadScopeScheduling

HERE = pathlib.Path(__file__).parent
COUNT = int(os.environ.get("SERIN_TEST_COUNT", "500"))  # workspaces per test; fewer make a faster, weaker run
TRACKS = ("stable", "canary")


# Where the tests run in several processes: the longest come first, so that no process has one left when the others have ended.
LONGEST = ["bad_for_one_team_only", "a_good_release_is_promoted", "test_situations", "test_dashboard", "test_ratchet", "test_grafana", "test_pipelines"]


class ByModule(LoadScopeScheduling):
    """A process of pytest-xdist takes the tests of a whole module, which share fixtures. Those of `test_ratchet` share none."""

    def _split_scope(self, nodeid):
        return nodeid if "test_ratchet.py" in nodeid else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return ByModule(config, log)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: next((n for n, part in enumerate(LONGEST) if part in item.nodeid), len(LONGEST)))


def wait_until(what, true):
    deadline = time.monotonic() + PATIENCE_SECS
    while not true():
        assert time.monotonic() < deadline, f"{what}: not after {PATIENCE_SECS} s"
        time.sleep(0.02)


class Process:
    """A child process whose standard output and standard error go to files. A bot writes its line before it answers, so the line
    is in the file once the answer has come."""

    def __init__(self, argv, log):
        self.argv, self.log = argv, log
        said = log.with_suffix(".said")
        env = os.environ | {"SERIN_TEST_BUGS": str(log.with_name("bug"))}
        self.process = subprocess.Popen(argv, stdout=said.open("wb"), stderr=log.open("wb"), cwd=HERE, env=env)
        self.said = said.open("rb")

    def lines(self):
        """The complete lines since the last call."""
        out = []
        while (line := self.said.readline()).endswith(b"\n"):
            out.append(json.loads(line))
        self.said.seek(-len(line), os.SEEK_CUR)
        return out

    def first(self):
        wait_until(f"{self.argv} says its port", lambda: self._peek() or self.process.poll() is not None)
        lines = self.lines()
        assert lines, f"{self.argv} said nothing:\n{self.log.read_text()[-3000:]}"
        return lines[0]

    def _peek(self):
        line = self.said.readline()
        self.said.seek(-len(line), os.SEEK_CUR)
        return line.endswith(b"\n")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_SECS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE_SECS)


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def track(self):
        return self.headers["X-Track"]

    @property
    def from_serin(self):
        return self.headers["Serin-Error"]


class Client:
    """One keep-alive connection. It sends the bytes and the fields that the test passes."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECS)

    def send(self, path, body=b"", headers=None, method="POST"):
        self.connection.request(method, path, body=body, headers=headers or {})
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())


class Serin:
    """A running serin, its admin API, and its metrics."""

    def __init__(self, folder, bots):
        self.port, self.admin_port = unused_port(), unused_port()
        config = folder / "serin.toml"
        config.write_text(
            f'[proxy]\nlisten = "127.0.0.1:{self.port}"\nworkers = 2\n'
            f'[admin]\nlisten = "127.0.0.1:{self.admin_port}"\n'
            f'{bots}'
        )
        self.config, self.log = config, folder / "serin.log"
        self.start()

    def start(self):
        """Starts serin, also after `stop`: with the same config, ports and history."""
        self.process = subprocess.Popen([SERIN, "run", "--config", str(self.config)], stdout=self.log.open("ab"), stderr=subprocess.STDOUT)
        wait_until("serin is ready", self.ready)

    def ready(self):
        assert self.process.poll() is None, f"serin ended:\n{self.log.read_text()[-3000:]}"
        try:
            return self.admin("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def admin(self, method, path, document=None, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE_SECS)
        body = None if document is None else json.dumps(document)
        headers = {"Content-Type": "application/json"} if body else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, data

    def weigh(self, bot, percent):
        status, body = self.admin("PUT", f"/v1/bots/{bot}/weight", {"percent": percent})
        assert status == 200, body
        return json.loads(body)

    def status(self, bot):
        status, body = self.admin("GET", f"/v1/bots/{bot}")
        assert status == 200, body
        return json.loads(body)

    def metrics(self):
        status, body = self.admin("GET", "/metrics")
        assert status == 200, body
        return body.decode()

    def metric(self, name, /, **labels):
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            if match := re.fullmatch(re.escape(name) + r"(?:\{(.*)\})? (\S+)", line):
                has = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[1] or ""))
                if all(has.get(key) == value for key, value in labels.items()):
                    total += float(match[2])
        return total

    def client(self):
        return Client(self.port)

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_SECS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"serin did not stop within {PATIENCE_SECS} s of SIGTERM") from None


def bot_config(name, ports, weight="50%", tables="", **settings):
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    return (
        f'[[bot]]\nname = "{name}"\n{lines}'
        f'upstreams = {{ blue = "http://127.0.0.1:{ports[0]}", green = "http://127.0.0.1:{ports[1]}" }}\n'
        f'stable = "blue"\ncanary = "green"\nweight = "{weight}"\n{tables}'
    )


@dataclass
class Pair:
    """The two processes of a bot, and the serin before them."""

    serin: Serin
    bots: dict
    folder: pathlib.Path
    client: Client = field(init=False)

    def __post_init__(self):
        self.client = self.serin.client()

    def gets(self, bug, track="canary"):
        """Switches a bug of that track's process on; an empty name switches it off."""
        (self.folder / f"bug.{track}").write_text(bug)

    def act(self, bot, action, **document):
        status, body = self.serin.admin("POST", f"/v1/bots/{bot}/{action}", document)
        assert status == 200, body
        return json.loads(body)

    def send(self, *args, **kwargs):
        return self.client.send(*args, **kwargs)

    def seen(self):
        """The lines of each track's bot since the last call."""
        return {track: bot.lines() for track, bot in self.bots.items()}

    def send_for(self, workspaces, requests):
        """Sends each workspace every shape of request that `requests(workspace)` yields, round by round so that the
        workspaces mix; returns where each workspace went."""
        tracks = {workspace: Counter() for workspace in workspaces}
        rounds = zip(*[[(workspace, request) for request in requests(workspace)] for workspace in workspaces], strict=True)
        for turn in rounds:
            for workspace, (path, body, headers) in turn:
                answer = self.send(path, body, headers)
                assert answer.status == 200, (answer.status, answer.from_serin, answer.body[:300], body[:300])
                tracks[workspace][answer.track] += 1
        return tracks


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts the two processes of a bot and a serin before them. All end with the module."""
    running = []

    def run(name, argv, **settings):
        folder = tmp_path_factory.mktemp(name)
        bots = {track: Process(argv(track), folder / f"{track}.log") for track in TRACKS}
        running.extend(bots.values())
        ports = [bots[track].first()["port"] for track in TRACKS]
        for port in ports:
            wait_until(f"{name} listens", lambda port=port: accepts_connections(port))
        serin = Serin(folder, bot_config(name, ports, **settings))
        running.append(serin)
        return Pair(serin, bots, folder)

    yield run
    for process in reversed(running):
        process.stop()


def python_bot(file, *args):
    return lambda track: [sys.executable, str(HERE / "bots" / file), track, *args]


def node_bot(file, *args):
    return lambda track: ["node", str(HERE / "bots" / file), track, *args]


def stub(track):
    """An upstream that answers with its track in `X-Track`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(f"HTTP/1.1 200 OK\r\nX-Track: {track}\r\nContent-Length: 0\r\n\r\n".encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def one_track_each(tracks):
    """Asserts that each workspace was answered by one track, and that both tracks answered some. Returns the track of each."""
    torn = {workspace: dict(seen) for workspace, seen in tracks.items() if len(seen) != 1}
    assert torn == {}, "these workspaces were answered by both tracks"
    used = {next(iter(seen)) for seen in tracks.values()}
    assert used == set(TRACKS)
    return {workspace: next(iter(seen)) for workspace, seen in tracks.items()}


def refused_by_the_bot(answer, *statuses):
    """Asserts that the bot itself refused the request: one of these statuses, without a problem document of serin."""
    assert answer.status in statuses, (answer.status, answer.body[:300])
    assert answer.from_serin is None
    assert answer.headers["Content-Type"] != "application/problem+json"
    return True


def flip(body, at=None):
    """The body with one bit of one byte changed."""
    at = len(body) // 2 if at is None else at
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
