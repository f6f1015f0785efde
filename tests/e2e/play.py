"""Bots for the tests of the page. Each has two upstreams, which fail, refuse and answer as a test says, and a steady stream of
requests. `Way` is a connection between the browser and serin that can be stalled."""

import http.client
import itertools
import json
import random
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from conftest import Serin, wait_until
from servers import PATIENCE_SECS

WORKSPACES = 120
TOKENS = {"ana": ("operate", "ana-may-do-all-of-it"), "ben": ("operate", "ben-may-do-all-of-it"), "eve": ("read", "eve-looks-at-all-of-it")}
STEPS = """
[bot.rollout]
steps = {steps}
bake = "{bake}"
deadline = "{deadline}"
at_deadline = "{at_deadline}"
[bot.guard]
harm = "{harm}"
abort_at = {abort_at}
"""
USUAL = {"steps": ["5%", "10%", "25%", "50%", "98%", "100%"], "bake": "1h", "deadline": "1h", "at_deadline": "ask", "harm": "2%", "abort_at": 150}


class Upstream:
    """Answers 200, but 500 to the share `fails` of the requests and to all requests of the workspace `broken`."""

    def __init__(self):
        self.fails, self.broken = 0.0, None
        self.server = self.listens(0)
        self.port = self.server.server_port

    def listens(self, port):
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(200)

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                wrong = self.headers["X-Workspace-Id"] == upstream.broken or random.random() < upstream.fails
                self.answer(500 if wrong else 200)

            def answer(self, status):
                if upstream.gone:
                    self.close_connection = True
                    return
                self.wfile.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n".encode())

            def log_message(self, *_):
                pass

        self.gone = False
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def goes(self):
        """Stops listening, and closes its connections."""
        self.gone = True
        self.server.shutdown()
        self.server.server_close()

    def comes_back(self):
        self.server = self.listens(self.port)


class World:
    """`bots`: by name, the settings that differ from USUAL, and `per_second`."""

    def __init__(self, folder, bots, admin=""):
        self.pairs = {name: (Upstream(), Upstream()) for name in bots}
        texts = [self.config(name, {**USUAL, **wanted}) for name, wanted in bots.items()]
        tokens = "".join(f'[[admin.token]]\nname = "{name}"\nscope = "{scope}"\nsecret = "{secret}"\n' for name, (scope, secret) in TOKENS.items())
        self.serin = Serin(folder, admin + tokens + "".join(texts))
        self.over = threading.Event()
        self.senders = [threading.Thread(target=self.send, args=(name, wanted.get("per_second", 25)), daemon=True) for name, wanted in bots.items()]
        for sender in self.senders:
            sender.start()

    def config(self, name, wanted):
        blue, green = self.pairs[name]
        rollout = STEPS.format(**{**wanted, "steps": json.dumps(wanted["steps"])})
        return (f'[[bot]]\nname = "{name}"\nmatch = {{ path_prefix = "/{name}" }}\nworkspace = ["header:X-Workspace-Id"]\nstable = "blue"\n'
                f'[bot.upstreams]\nblue = {{ url = "http://127.0.0.1:{blue.port}", version = "v41" }}\n'
                f'green = {{ url = "http://127.0.0.1:{green.port}", version = "v42" }}\n{rollout}')

    def send(self, name, per_second):
        client = http.client.HTTPConnection("127.0.0.1", self.serin.port, timeout=PATIENCE_SECS)
        due = time.monotonic()
        for number in itertools.count():
            due += 1 / per_second
            if self.over.wait(max(0.0, due - time.monotonic())):
                return
            # Zipf's law: workspace k sends 1/k of what the first one sends.
            workspace = f"T{int(WORKSPACES ** ((number * 0.6180339887) % 1.0)) - 1:05d}"
            try:
                client.request("POST", f"/{name}", body=b"{}", headers={"X-Workspace-Id": workspace})
                client.getresponse().read()
            except (OSError, http.client.HTTPException):
                client.close()

    def bot(self, name):
        status, body = self.serin.admin("GET", f"/v1/bots/{name}", token=TOKENS["ana"][1])
        assert status == 200, body
        return json.loads(body)

    def act(self, name, action, by="ana", method="POST", **document):
        status, body = self.serin.admin(method, f"/v1/bots/{name}/{action}", document, TOKENS[by][1])
        assert status == 200, body
        return json.loads(body)

    def is_so(self, name, what, true):
        wait_until(f"{name} {what}", lambda: true(self.bot(name)))

    def stop(self):
        self.over.set()
        for sender in self.senders:
            sender.join(PATIENCE_SECS)
        self.serin.stop()


class Way:
    """Forwards bytes between a browser and serin. While it is stalled, connections stay open and no answer arrives."""

    def __init__(self, port):
        self.to, self.flows = port, threading.Event()
        self.flows.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            for one, other in [(client, server), (server, client)]:
                threading.Thread(target=self.passes, args=(one, other, one is server), daemon=True).start()

    def passes(self, one, other, may_stall):
        try:
            while data := one.recv(65536):
                if may_stall:
                    self.flows.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.flows.set()
        self.listener.close()
