"""Pebble, the ACME authority for tests, with a DNS of its own in which every name leads to this machine."""

import http.client
import json
import os
import ssl
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from conftest import wait_until
from servers import PATIENCE_SECS, accepts_connections, unused_port


class Pebble:
    """An authority that checks names at these two ports of this machine. `stop` and `start` make it forget everything."""

    def __init__(self, folder, plain, tls, settings=None, **environment):
        self.folder, self.port, self.management, self.dns = folder, unused_port(), unused_port(), unused_port()
        self.directory = f"https://127.0.0.1:{self.port}/dir"
        self.environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"} | environment
        self.ca, key = folder / "pebble.crt", folder / "pebble.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=pebble",
             "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", self.ca],
            check=True, capture_output=True, timeout=PATIENCE_SECS,
        )  # fmt: skip
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.ca),
            "privateKey": str(key),
            "httpPort": plain,
            "tlsPort": tls,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": config | (settings or {})}))
        self.running = []

    def start(self):
        names = ["-dns01", f"127.0.0.1:{self.dns}", "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", "127.0.0.1:0", "-defaultIPv6", ""]
        self._run("dns", ["pebble-challtestsrv", *names])
        self._run("pebble", ["pebble", "-config", self.folder / "pebble.json", "-dnsserver", f"127.0.0.1:{self.dns}"])
        wait_until("pebble listens", lambda: accepts_connections(self.port) and accepts_connections(self.management))

    def _run(self, name, argv):
        log = (self.folder / f"{name}.log").open("ab")
        self.running.append(subprocess.Popen([str(word) for word in argv], stdout=log, stderr=log, env=os.environ | self.environment))

    def stop(self):
        for process in self.running:
            process.kill()
            process.wait(PATIENCE_SECS)
        self.running = []

    def root(self):
        """The certificate, as PEM, that ends each chain it issues. A start makes another."""
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(f"https://127.0.0.1:{self.management}/roots/0", timeout=PATIENCE_SECS, context=context) as answer:
            return answer.read().decode()

    def said(self):
        return (self.folder / "pebble.log").read_text()


class WithRenewals:
    """What this version of Pebble lacks, in front of it: it says when it wants a certificate to be renewed (RFC 9773)."""

    def __init__(self, pebble):
        self.window, self.asked = ("2999-01-01T00:00:00Z", "2999-01-02T00:00:00Z"), []
        front = self

        class Handler(BaseHTTPRequestHandler):
            def forward(self):
                if self.path.startswith("/renewals/"):
                    front.asked.append(self.path.removeprefix("/renewals/"))
                    start, end = front.window
                    return self.reply(200, {"Retry-After": "21600"}, json.dumps({"suggestedWindow": {"start": start, "end": end}}).encode())
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                context = ssl.create_default_context(cafile=str(pebble.ca))
                connection = http.client.HTTPSConnection("127.0.0.1", pebble.port, timeout=PATIENCE_SECS, context=context)
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                answer = response.read()
                if self.path == "/dir":
                    answer = json.dumps(json.loads(answer) | {"renewalInfo": f"{front.url}/renewals"}).encode()
                kept = {name: value for name, value in response.getheaders() if name not in ("Content-Length", "Date", "Connection")}
                self.reply(response.status, kept, answer)

            def reply(self, status, headers, body):
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_HEAD = forward

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pebble.ca, pebble.ca.with_suffix(".key"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
