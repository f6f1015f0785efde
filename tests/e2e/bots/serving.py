"""What the Python bots share: a server on a free port, lines of JSON to the test that started them, and a bug that the test
can put into a running one."""

import json
import os
import sys
import time

from flask import request
from werkzeug.serving import WSGIRequestHandler, make_server


def say(**what):
    print(json.dumps(what), flush=True)


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def bug(track):
    """The bug that this track's process has now: a word in a file that the test writes."""
    try:
        with open(os.environ["SERIN_TEST_BUGS"] + "." + track) as file:
            return file.read().strip()
    except (KeyError, FileNotFoundError):
        return ""


def suffer(track):
    """Lets the bug happen to this request; an answer, if it ends here."""
    kind, _, of = bug(track).partition(" ")
    if kind == "slow":
        time.sleep(float(of))
    if kind == "fails" or (kind == "fails_for" and f'"{of}"'.encode() in request.get_data()):
        raise RuntimeError("a bug")
    if kind == "wrong_secret":
        # What a bot with another app's secret sees: nothing that it is sent has its signature.
        request.environ["HTTP_X_SLACK_SIGNATURE"] = "v0=" + "0" * 64


def serve(flask, track):
    flask.before_request(lambda: suffer(track))

    @flask.after_request
    def name_the_track(response):
        response.headers["X-Track"] = track
        return response

    server = make_server("127.0.0.1", 0, flask, threaded=True, request_handler=Handler)
    say(port=server.server_port)
    sys.stderr.flush()
    server.serve_forever()
