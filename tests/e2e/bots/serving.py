"""What the Python bots share: a server on a free port, and lines of JSON to the test that started them."""

import json
import sys

from werkzeug.serving import WSGIRequestHandler, make_server


def say(**what):
    print(json.dumps(what), flush=True)


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def serve(flask, track):
    @flask.after_request
    def name_the_track(response):
        response.headers["X-Track"] = track
        return response

    server = make_server("127.0.0.1", 0, flask, threaded=True, request_handler=Handler)
    say(port=server.server_port)
    sys.stderr.flush()
    server.serve_forever()
