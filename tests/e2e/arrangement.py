"""What docker/compose.yml starts, but as plain processes without a container engine: the same commands, configs and secrets, with
other addresses and paths. Grafana is left out."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import yaml
from conftest import wait_until
from servers import PATIENCE_SECS, ROOT, SERIN, accepts_connections, unused_port

DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yml").read_text())
BOT = "support"


def replaced(text, changes):
    """Replaces each key of `changes` by its value. A key that is not in the text fails the test: the shipped file has changed."""
    for old, new in changes.items():
        assert old in text, f"{old} is not there any more"
        text = text.replace(old, new)
    return text


class Arrangement:
    """All processes; each has its log in the folder."""

    def __init__(self, folder):
        self.folder, self.running = folder, {}
        self.ports = {name: unused_port() for name in ("proxy", "admin", "probes", "blue", "green", "prometheus")}
        self.secrets = folder / "secrets"
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        subprocess.run([DOCKER / "secrets.sh", self.secrets], check=True, timeout=PATIENCE_SECS)
        for bot in ("blue", "green"):
            self.run(bot, [*self.command(bot), "--listen", self.address(bot)])
        for bot in ("blue", "green"):
            wait_until(f"{bot} listens", lambda bot=bot: accepts_connections(self.ports[bot]))
        self.start_serin()
        self.start_prometheus()

    def address(self, name):
        return f"127.0.0.1:{self.ports[name]}"

    def command(self, service, **changes):
        """The command of a service in compose.yml, with the paths of this machine."""
        argv = COMPOSE["services"][service]["command"]
        places = {"/bots/": f"{DOCKER}/bots/", "/run/secrets/": f"{self.secrets}/", **changes}
        for old, new in places.items():
            argv = [word.replace(old, new) for word in argv]
        return [sys.executable if word == "python3" else word for word in argv]

    def run(self, name, argv, **environment):
        log = (self.folder / f"{name}.log").open("wb")
        self.running[name] = subprocess.Popen([str(word) for word in argv], stdout=log, stderr=log, env=os.environ | environment, cwd=self.folder)

    def start_serin(self):
        config = self.folder / "serin.toml"
        changes = {
            "0.0.0.0:8080": self.address("proxy"),
            "0.0.0.0:9400": self.address("admin"),
            "127.0.0.1:9401": self.address("probes"),
            "/run/secrets/serin-": f"{self.secrets}/",
            "/var/lib/serin/": f"{self.folder}/",
            "blue:3000": self.address("blue"),
            "green:3000": self.address("green"),
            # A late answer takes 300 ms then, and not 3 s.
            'preset = "slack"\n': 'preset = "slack"\ndeadline = "300ms"\n',
        }
        config.write_text(replaced((DOCKER / "config/serin.toml").read_text(), changes))
        self.run("serin", [SERIN, "run", "--config", config])
        wait_until("serin is ready", lambda: accepts_connections(self.ports["admin"]) and self.admin("GET", "/readyz", token=None)[0] == 200)

    def start_prometheus(self):
        folder = self.folder / "prometheus"
        folder.mkdir()
        changes = {"scrape_interval: 15s": "scrape_interval: 500ms", "evaluation_interval: 15s": "evaluation_interval: 500ms", "serin:9400": self.address("admin"), "/run/secrets/serin-": f"{self.secrets}/"}
        (folder / "prometheus.yml").write_text(replaced((DOCKER / "prometheus/prometheus.yml").read_text(), changes))
        (folder / "rules").symlink_to(DOCKER / "prometheus/rules")
        argv = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={self.address('prometheus')}"]
        self.run("prometheus", ["prometheus", *argv])
        wait_until("prometheus listens", lambda: accepts_connections(self.ports["prometheus"]))

    def start_traffic(self, per_second):
        self.run("traffic", [*self.command("traffic", **{"http://serin:8080": f"http://{self.address('proxy')}"}), "--per-second", str(per_second)])

    def admin(self, method, path, document=None, token="operate"):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + ((self.secrets / token).read_text() if (self.secrets / token).exists() else token)
        return call(f"http://{self.address('admin')}{path}", method, document, headers)

    def act(self, action, **document):
        status, answer = self.admin("POST", f"/v1/bots/{BOT}/{action}", document)
        assert status == 200, answer
        return answer

    def status(self):
        return self.admin("GET", f"/v1/bots/{BOT}")[1]

    def fault(self, bot, **fault):
        assert call(f"http://{self.address(bot)}/fault", "PUT", fault)[0] == 200

    def send(self, path, body, headers=None):
        """Sends a webhook without a signature, and returns the status."""
        return call(f"http://{self.address('proxy')}{path}", "POST", body, {"Content-Type": "application/json", **(headers or {})})[0]

    def prometheus(self, path, **query):
        status, answer = call(f"http://{self.address('prometheus')}/api/v1/{path}?" + urllib.parse.urlencode(query, doseq=True), "GET")
        assert status == 200 and answer["status"] == "success", (query, answer)
        return answer["data"]

    def query(self, expression):
        return self.prometheus("query", query=expression)["result"]

    def stop(self):
        for name in reversed(self.running):
            process = self.running[name]
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_SECS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{name} did not stop within {PATIENCE_SECS} s of SIGTERM") from None

    def said(self, name):
        return (self.folder / f"{name}.log").read_text()


def call(url, method, document=None, headers=None):
    """The status and the JSON of the answer; None instead of a body that is no JSON."""
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECS) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read()
    except ConnectionError:
        return 0, None
    try:
        return status, json.loads(body)
    except ValueError:
        return status, None


def documented_metrics():
    """The names in the table of docs/operations.md, which is held against the code."""
    text = (pathlib.Path(ROOT) / "docs/operations.md").read_text()
    names = set(re.findall(r"^\| `(serin_\w+)", text, re.MULTILINE))
    assert len(names) > 20, names
    return names


def metrics_of(expression):
    """The names of serin's metrics in a query, a histogram's parts as the histogram."""
    names = re.findall(r"(?<![:\w])serin_\w+(?!\w*:)", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
