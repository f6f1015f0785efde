"""What both black-box suites need to start a server: the binary, a port for it, and a check that it listens."""

import os
import pathlib
import random
import re
import socket

ROOT = pathlib.Path(__file__).parents[1]
# A test fails if it has waited this long for something. The limit only ends a hang, so it is far above what a busy machine needs.
PATIENCE_SECS = 120
SERIN = os.environ.get("SERIN_BIN", str(ROOT / "target/ci/serin"))
# Tests run in several processes of pytest-xdist at once. Each process has ports of its own, so that no two processes choose
# the same one between the check and the server's start.
PROCESSES_MAX = 16
PROCESS = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "gw0"))) % PROCESSES_MAX
# Below the ports that the kernel gives to outgoing connections, so that none of those takes the port either.
PORTS = range(12_000 + PROCESS, 32_000, PROCESSES_MAX)

_given = set()


def unused_port():
    """A port that nothing listens on, and that this function has not returned before."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def accepts_connections(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
