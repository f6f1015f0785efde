"""schemathesis sends requests that the API's document allows, and others that it does not allow."""

import pathlib
import subprocess
import sys

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from conftest import COUNT, Serin

HERE = pathlib.Path(__file__).parent
TOKEN = "a-token-for-the-description"


class Ok(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def upstream():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ok)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def test_the_api_agrees_with_its_document(tmp_path):
    serin = Serin(tmp_path, f"""
[[admin.token]]
name = "everything"
scope = "operate"
secret = "{TOKEN}"
[[bot]]
name = "support"
workspace = "header:X-Workspace-Id"
upstreams = {{ blue = "{upstream()}", green = "{upstream()}" }}
stable = "blue"
""")
    try:
        tried = subprocess.run(
            [
                str(pathlib.Path(sys.executable).with_name("schemathesis")),
                "--config-file", str(HERE / "schemathesis.toml"),
                "run", f"http://127.0.0.1:{serin.admin_port}/openapi.json",
                "--header", f"Authorization: Bearer {TOKEN}",
                # The stream never ends, and a drill takes as long as the request says.
                "--exclude-path", "/v1/events", "--exclude-path", "/v1/bots/{bot}/drill",
                "--max-examples", str(max(10, COUNT // 20)), "--seed", "1", "--request-timeout", "30", "--no-color",
            ],
            capture_output=True, text=True, timeout=600, cwd=tmp_path,
        )
    finally:
        serin.stop()
    assert tried.returncode == 0, tried.stdout[-8_000:] + tried.stderr
