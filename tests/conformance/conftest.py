"""Starts the proxy under test (`PROXY=serin|nginx|haproxy`, serin's binary by `SERIN_BIN`) before one raw upstream."""

import os
import pathlib
import shutil
import subprocess
import time

import pytest

from harness import PROXY, Client, Upstream
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


@pytest.fixture(scope="session")
def port(upstream_server, tmp_path_factory):
    """The proxy's port."""
    template, command = START[PROXY]
    folder = tmp_path_factory.mktemp("proxy")
    port, admin, refused = unused_port(), unused_port(), unused_port()
    text = (HERE / "proxies" / template).read_text()
    for key, value in {"PORT": port, "ADMIN": admin, "UPSTREAM": upstream_server.port, "REFUSED": refused, "DIR": folder}.items():
        text = text.replace(f"@{key}@", str(value))
    file = folder / template
    file.write_text(text)
    argv = command(str(file))
    if not shutil.which(argv[0]):
        pytest.exit(f"{argv[0]} is missing: build it, or name it with SERIN_BIN", returncode=2)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + PATIENCE_SECS
    while not accepts_connections(port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.exit(f"{argv[0]} did not start:\n{(folder / 'log').read_text()}", returncode=2)
        time.sleep(0.02)
    yield port
    died = process.poll()
    process.terminate()
    process.wait(PATIENCE_SECS)
    assert died is None, f"the proxy died during the tests:\n{(folder / 'log').read_text()[-4000:]}"


@pytest.fixture
def upstream(upstream_server):
    """The upstream, without the records of earlier tests. In every test it asserts that the proxy sent valid messages."""
    upstream_server.forget()
    yield upstream_server
    assert not upstream_server.trouble, upstream_server.trouble


@pytest.fixture
def connect(port):
    """Opens client connections; all are closed when the test ends."""
    clients = []

    def open_one():
        clients.append(Client(port))
        return clients[-1]

    yield open_one
    for client in clients:
        client.sock.close()


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture(params=["streamed", "inspected"])
def target(request):
    """serin handles bodies in two ways: it streams them, or it holds and inspects them. A test with this fixture runs for both."""
    return {"streamed": b"/streamed", "inspected": b"/inspected"}[request.param]
