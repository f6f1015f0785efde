"""Starts the proxy under test (`PROXY=serin|nginx|haproxy`, serin's binary by `SERIN_BIN`) before one raw upstream."""

import fnmatch
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.request

import pytest

from harness import PROXY, Client, Upstream, opened
from http2 import Http2, over_tls, plain
from peers import DIFFERS
from servers import PATIENCE_SECS, SERIN, accepts_connections, unused_port

HERE = pathlib.Path(__file__).parent
START = {
    "serin": ("serin.toml", lambda file: [SERIN, "run", "--config", file]),
    "nginx": ("nginx.conf", lambda file: ["nginx", "-p", os.path.dirname(file), "-c", file]),
    "haproxy": ("haproxy.cfg", lambda file: ["haproxy", "-db", "-f", file]),
}


@pytest.fixture(scope="session")
def upstream_server():
    return Upstream()


class Proxy:
    """A running proxy, its ports and its process."""

    def __init__(self, folder, start, **values):
        template, command = start
        self.folder, self.port, self.tls, self.admin = folder, unused_port(), unused_port(), unused_port()
        ports = {"PORT": self.port, "TLS": self.tls, "ADMIN": self.admin, "REFUSED": unused_port(), "DIR": folder}
        text = (HERE / "proxies" / template).read_text()
        for key, value in {**ports, "PROXY": "", "LIMITS": "", **values}.items():
            text = text.replace(f"@{key}@", str(value))
        file = folder / template
        file.write_text(text)
        argv = command(str(file))
        if not shutil.which(argv[0]):
            pytest.exit(f"{argv[0]} is missing: build it, or name it with SERIN_BIN", returncode=2)
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE_SECS
        while not accepts_connections(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                pytest.exit(f"{argv[0]} did not start:\n{self.log()}", returncode=2)
            time.sleep(0.02)

    def log(self):
        return (self.folder / "log").read_text()[-4000:]

    def metrics(self):
        """The metrics, by name and labels as they are written."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=PATIENCE_SECS) as answer:
            lines = answer.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line and line[0] != "#"}

    def metric(self, name, **labels):
        """The sum of a metric's values with these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(v for k, v in self.metrics().items() if k.partition("{")[0] == name and all(label in k for label in wanted))

    def counts(self, n, name, **labels):
        """Waits until the metric has this value."""
        deadline = time.monotonic() + PATIENCE_SECS
        while (now := self.metric(name, **labels)) != n:
            assert time.monotonic() < deadline, f"{name}{labels} is {now}, not {n}"
            time.sleep(0.05)

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text()).group(1))

    def cpu_secs(self):
        parts = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        died = self.process.poll()
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_SECS)
        finally:
            self.process.kill()
        assert died is None, f"the proxy died during the tests:\n{self.log()}"
        assert "panicked" not in (self.folder / "log").read_text(), self.log()


@pytest.fixture(scope="session")
def port(upstream_server, tmp_path_factory):
    """The proxy's port."""
    proxy = Proxy(tmp_path_factory.mktemp("proxy"), START[PROXY], UPSTREAM=upstream_server.port)
    yield proxy.port
    proxy.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Where the certificates for `bot.example` and for `other.example` are, with their keys: files of one name and other endings."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("bot", "other"):
        make = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 30"
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
        whose = ["-subj", f"/CN={name}.example", "-addext", f"subjectAltName=DNS:{name}.example"]
        subprocess.run([*make.split(), *files, *whose], check=True, capture_output=True)
        # HAProxy reads both from one file.
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
    return folder / "bot"


@pytest.fixture(scope="session")
def start2(upstream_server, certificate, tmp_path_factory):
    """Starts a proxy that speaks HTTP/2, with and without TLS. serin takes further lines for `[proxy]` and `[proxy.limits]`."""
    running = []

    def start(proxy="", limits="", http2="all"):
        template, command = START[PROXY]
        template = template.replace(".", "-http2.")
        files = {"CERTIFICATE": f"{certificate}.crt", "KEY": f"{certificate}.key", "PEM": f"{certificate}.pem"}
        folder = tmp_path_factory.mktemp("proxy")
        running.append(Proxy(folder, (template, command), UPSTREAM=upstream_server.port, HTTP2=http2, PROXY=proxy, LIMITS=limits, **files))
        return running[-1]

    yield start
    for proxy in running:
        if proxy.process.returncode is None:
            proxy.stop()


@pytest.fixture(scope="session")
def proxy2(start2):
    """The proxy that most tests of HTTP/2 and TLS share."""
    return start2()


@pytest.fixture(params=["plain", "tls"])
def how(request):
    """How a client in HTTP/2 arrives: with prior knowledge, or by TLS and ALPN."""
    return request.param


@pytest.fixture
def connect2(proxy2):
    """Opens client connections in HTTP/2; all are closed when the test ends."""

    def open_one(how="plain", proxy=proxy2, **settings):
        return Http2(plain(proxy.port) if how == "plain" else over_tls(proxy.tls), **settings)

    with opened(open_one) as connect2:
        yield connect2


@pytest.fixture
def client2(connect2):
    return connect2()


@pytest.fixture
def client2_either(connect2, how):
    """A client that arrives in both ways: the test runs twice."""
    return connect2(how)


@pytest.fixture
def upstream(upstream_server):
    """The upstream, without the records of earlier tests. In every test it asserts that the proxy sent valid messages."""
    upstream_server.forget()
    yield upstream_server
    assert not upstream_server.trouble, upstream_server.trouble


@pytest.fixture
def connect(port):
    """Opens client connections; all are closed when the test ends."""
    with opened(lambda: Client(port)) as connect:
        yield connect


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture(params=["streamed", "inspected"])
def target(request):
    """serin handles bodies in two ways: it streams them, or it holds and inspects them. A test with this fixture runs for both."""
    return {"streamed": b"/streamed", "inspected": b"/inspected"}[request.param]


def pytest_collection_modifyitems(items):
    """Marks what the proxy under test is known to do in another way. Whole groups of cases have one reason, so some of them pass."""
    for item in items:
        for pattern, reason in DIFFERS.get(PROXY, {}).items():
            if item.path.name.startswith(("test_http2", "test_tls")) and fnmatch.fnmatchcase(item.name, pattern.replace("[", "[[]")):
                item.add_marker(pytest.mark.xfail(reason=f"{PROXY}: {reason}", strict=False), append=False)
