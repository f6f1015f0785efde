"""A bot on port 3001 and clients of it through serin on port 8080, in one network: webhooks with numbers, one half of them on connections
of their own. Says on standard output when it sends; with a line on standard input it ends, and says what became of the webhooks.
Standard library only."""

import collections
import http.client
import json
import socketserver
import sys
import threading
import time

CLIENTS, PAUSE_SECS = 16, 0.02
seen, answers, broken = collections.Counter(), collections.Counter(), []
stopped = threading.Event()


class Bot(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline():
            fields = {}
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode().partition(":")
                fields[name.lower()] = value.strip()
            self.rfile.read(int(fields["content-length"]))
            seen[fields["x-id"]] += 1
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 1024


def client(number):
    kept = None
    for turn in range(1_000_000):
        if stopped.is_set():
            return
        webhook = f"{number}-{turn}"
        connection = kept or http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
        fields = {"Content-Type": "application/json", "X-Id": webhook}
        if number % 2:
            fields["Connection"] = "close"
        try:
            connection.request("POST", "/slack/events", b'{"type": "event_callback", "team_id": "T%d"}' % (turn % 50), fields)
            answer = connection.getresponse()
            answer.read()
            answers[answer.status] += 1
            # http.client closes it if serin wants no more requests on it.
            kept = None if number % 2 or connection.sock is None else connection
        except (OSError, http.client.HTTPException) as error:
            broken.append(f"{webhook}: {error!r}")
            kept = None
        time.sleep(PAUSE_SECS)


threading.Thread(target=Server(("127.0.0.1", 3001), Bot).serve_forever, daemon=True).start()
clients = [threading.Thread(target=client, args=[number]) for number in range(CLIENTS)]
for one in clients:
    one.start()
print("sends", flush=True)
sys.stdin.readline()
stopped.set()
for one in clients:
    one.join()
twice = [webhook for webhook, times in seen.items() if times > 1]
print(json.dumps({"answers": answers, "broken": broken, "delivered": len(seen), "twice": twice}), flush=True)
