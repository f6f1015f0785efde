"""Raw sockets on both sides of a proxy: a client that sends exact bytes, and an upstream that records and answers exact bytes. Neither
corrects anything: an HTTP library would hide what is tested here."""

import contextlib
import os
import re
import select
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field

import pytest

PROXY = os.environ.get("PROXY", "serin")
# Longer than every timeout that proxies/* configure: a silence of this length is a failure.
WAIT_SECS = 30.0
STATUS = b"HTTP/1.1 200 OK\r\n"
OK = STATUS + b"Content-Length: 2\r\n\r\nok"
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# Steps of an answer that are not bytes.
CLOSE = "close"  # FIN
RESET = "reset"  # RST
SILENCE = "silence"  # never answer; the proxy must give up


@dataclass
class Answer:
    """What the upstream does with one request. `early`: once it has the head, before the whole body."""

    steps: tuple
    early: bool = False


def answer(*steps, early=False):
    return Answer(steps, early)


@dataclass
class Case:
    """A row of a table. `peers` says how another proxy differs from what the test expects of serin."""

    name: str
    args: tuple
    peers: dict


def case(name, *args, **peers):
    return Case(name, args, peers)


def table(names, cases):
    """A parametrised test from rows; a row that the proxy under test is known to fail is a strict xfail."""
    rows = [pytest.param(*c.args, id=c.name, marks=_marks(c.peers)) for c in cases]
    assert len({c.name for c in cases}) == len(cases), "two cases of one name"
    return pytest.mark.parametrize(names, rows)


def differs(**peers):
    """The same for a test that is not a table."""

    def mark(test):
        for xfail in _marks(peers):
            test = xfail(test)
        return test

    return mark


def _marks(peers):
    return [pytest.mark.xfail(reason=f"{PROXY}: {peers[PROXY]}", strict=True)] if PROXY in peers else []


only_serin = pytest.mark.skipif(PROXY != "serin", reason="this is serin's own")


@contextlib.contextmanager
def opened(connect):
    """A function that connects as `connect` does. At the end all its connections are closed."""
    clients = []

    def open_one(*arguments, **options):
        clients.append(connect(*arguments, **options))
        return clients[-1]

    yield open_one
    for client in clients:
        client.sock.close()


# ---------------------------------------------------------------------------------------------------- messages


class Ended(Exception):
    """The other side closed (or reset) before the message was whole."""


class Malformed(Exception):
    """The proxy itself sent something that is not HTTP/1.1."""


class HasFields:
    """What has fields that `all` gives by name."""

    def get(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None


@dataclass
class Message(HasFields):
    """A message as it came. Field names are in lower case, values are bytes, in the order of the message."""

    line: bytes
    fields: list
    raw_head: bytes
    body: bytes = b""
    trailers: list = field(default_factory=list)
    framing: str = "none"  # none, length, chunked, close
    whole: bool = False  # the framing says that nothing is missing

    def all(self, name):
        return [v for n, v in self.fields if n == name.lower()]

    def has(self, name):
        return bool(self.all(name))


@dataclass
class Request(Message):
    connection: "Connection" = None


@dataclass
class Response(Message):
    interim: list = field(default_factory=list)

    @property
    def status(self):
        return int(self.line.split(b" ", 2)[1])

    @property
    def reason(self):
        return (self.line.split(b" ", 2) + [b""])[2]

    @property
    def from_serin(self):
        return self.get("serin-error")


class Reader:
    """Reads messages strictly. The proxy's output must be exact: CRLF, no fold, one framing."""

    def __init__(self, sock):
        self.sock, self.buffer, self.ended = sock, bytearray(), None

    def fill(self):
        if self.ended:
            raise Ended(self.ended)
        try:
            piece = self.sock.recv(65536)
        except ConnectionError:
            self.ended = "reset"
            raise Ended("reset") from None
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            self.ended = "reset"
            raise Ended("closed here") from None
        if not piece:
            self.ended = "fin"
            raise Ended("fin")
        self.buffer += piece

    def until(self, mark):
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark) + 1)
            self.fill()
        return self.take(at + len(mark))

    def take(self, n):
        while len(self.buffer) < n:
            self.fill()
        out = bytes(self.buffer[:n])
        del self.buffer[:n]
        return out

    def head(self):
        raw = self.until(b"\r\n\r\n")
        lines = raw[:-4].split(b"\r\n")
        return raw, lines[0], [self.field(line) for line in lines[1:]]

    @staticmethod
    def field(line):
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name) or re.search(rb"[\r\n\0]", value):
            raise Malformed(f"the proxy sent the field line {line!r}")
        return name.decode().lower(), value.strip(b" \t")

    def body(self, message, framing, length=0):
        """Fills `message.body` as far as it comes; raises `Ended` where it breaks off."""
        message.framing = framing
        if framing == "length":
            while len(self.buffer) < length:
                try:
                    self.fill()
                except Ended:
                    message.body = bytes(self.buffer)
                    raise
            message.body = self.take(length)
        elif framing == "chunked":
            pieces = []
            try:
                while True:
                    line = self.until(b"\r\n")[:-2]
                    if not re.fullmatch(rb"[0-9A-Fa-f]+(\s*;.*)?", line):
                        raise Malformed(f"the proxy sent the chunk size line {line!r}")
                    size = int(line.split(b";")[0], 16)
                    if size == 0:
                        break
                    pieces.append(self.take(size))
                    if self.take(2) != b"\r\n":
                        raise Malformed("the proxy sent a chunk that is longer than its size")
                while (line := self.until(b"\r\n")) != b"\r\n":
                    message.trailers.append(self.field(line[:-2]))
            finally:
                message.body = b"".join(pieces)
        elif framing == "close":
            try:
                while True:
                    self.fill()
            except Ended as ended:
                message.body = bytes(self.buffer)
                self.buffer.clear()
                if str(ended) != "fin":
                    raise
        message.whole = True

    @staticmethod
    def framing(message):
        """The framing of a message that the proxy sent. It must be unambiguous."""
        lengths, codings = message.all("content-length"), message.all("transfer-encoding")
        if (lengths and codings) or len(lengths) > 1 or len(codings) > 1:
            raise Malformed(f"the proxy sent an ambiguous framing: {lengths} {codings}")
        if codings:
            if codings[0].lower() != b"chunked":
                raise Malformed(f"the proxy passed on the transfer coding {codings[0]!r}")
            return "chunked", 0
        if lengths:
            if not re.fullmatch(rb"[0-9]+", lengths[0]):
                raise Malformed(f"the proxy passed on the length {lengths[0]!r}")
            return "length", int(lengths[0])
        return None, 0


# ---------------------------------------------------------------------------------------------------- the client


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)

    def send(self, *pieces):
        for piece in pieces:
            self.sock.sendall(piece)
        return self

    def try_send(self, data):
        """Sends until the other side closes. True if all bytes were sent."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def trickle(self, data, size=1, pause=0.0):
        for at in range(0, len(data), size):
            self.sock.sendall(data[at : at + size])
            if pause:
                time.sleep(pause)
        return self

    def silent(self, seconds):
        """Waits for bytes or for a close. True if neither came within this time."""
        return not select.select([self.sock], [], [], seconds)[0]

    def finish(self):
        """Sends a FIN. Answers can still be read."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def head(self):
        raw, line, fields = self.reader.head()
        if not re.fullmatch(rb"HTTP/1\.[01] [1-9][0-9]{2} [^\r\n\0]*", line):
            raise Malformed(f"the proxy sent the status line {line!r}")
        return Response(line, fields, raw)

    def response(self, method=b"GET"):
        """The next final response. One that breaks off comes back with `whole` false."""
        interim = []
        while (response := self.head()).status // 100 == 1 and response.status != 101:
            interim.append(response)
        response.interim = interim
        framing, length = self.reader.framing(response)
        if method == b"HEAD" or response.status in (101, 204, 304):
            response.whole = True
            return response
        try:
            self.reader.body(response, framing or "close", length)
        except (Ended, Malformed):
            response.whole = False
        return response

    def closed(self):
        """Waits for the end of the connection. Bytes before it are an error."""
        try:
            self.reader.fill()
        except Ended:
            return True
        except TimeoutError:
            return False
        raise AssertionError(f"unexpected bytes: {bytes(self.reader.buffer[:200])!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


# -------------------------------------------------------------------------------------------------- the upstream


class Connection:
    def __init__(self, sock):
        self.sock, self.reader = sock, Reader(sock)
        self.over = threading.Event()
        self.how = None  # fin or reset, once the proxy ended it

    def ended(self):
        return self.over.wait(WAIT_SECS)


class Upstream:
    """Answers requests in the order in which they come, whichever connection they come on."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Condition()
        self.forget()
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self):
        with self.lock:
            self.script, self.heads, self.seen, self.broken, self.trouble = deque(), 0, [], [], []

    def will(self, *answers):
        """What to do with the next requests; after these, everything is answered `OK`."""
        with self.lock:
            self.script.extend(a if isinstance(a, Answer) else answer(a) for a in answers)

    def request(self, n=0):
        """The nth whole request since `forget`, waited for."""
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.seen) > n, WAIT_SECS):
                raise AssertionError(f"the upstream got {len(self.seen)} whole requests, and {len(self.broken)} broken; wanted number {n}")
            return self.seen[n]

    def begun(self):
        """Waits until a head has come, whole body or not."""
        with self.lock:
            assert self.lock.wait_for(lambda: self.heads, WAIT_SECS), "no request reached the upstream"

    def broken_request(self):
        """The first request that broke off, waited for."""
        with self.lock:
            assert self.lock.wait_for(lambda: self.broken, WAIT_SECS), "no request broke off"
            return self.broken[0]

    def close_idle(self, connection):
        """Closes a connection that the proxy may hold for reuse."""
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.over.wait(WAIT_SECS)

    def _accept(self):
        while True:
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(Connection(sock),), daemon=True).start()

    def _serve(self, connection):
        try:
            while self._one(connection):
                pass
        except Ended as ended:
            connection.how = str(ended)
        except Malformed as trouble:
            with self.lock:
                self.trouble.append(trouble)
        except OSError as error:
            connection.how = repr(error)
        finally:
            connection.over.set()
            connection.sock.close()

    def _one(self, connection):
        raw, line, fields = connection.reader.head()
        request = Request(line, fields, raw, connection=connection)
        with self.lock:
            plan = self.script.popleft() if self.script else answer(OK)
            self.heads += 1
            self.lock.notify_all()
        framing, length = Reader.framing(request)
        if request.has("expect") and not plan.early:
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if plan.early and not self._play(connection, plan.steps):
            return False
        try:
            connection.reader.body(request, framing or "none", length)
        except Ended:
            with self.lock:
                self.broken.append(request)
                self.lock.notify_all()
            raise
        with self.lock:
            self.seen.append(request)
            self.lock.notify_all()
        return plan.early or self._play(connection, plan.steps)

    def _play(self, connection, steps):
        for step in steps:
            if step is CLOSE:
                connection.sock.shutdown(socket.SHUT_WR)
                while True:  # what still comes is read, or the kernel would answer it with a reset
                    connection.reader.buffer.clear()
                    connection.reader.fill()
            elif step is RESET:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            elif step is SILENCE:
                connection.reader.fill()
            elif callable(step):
                step()
            else:
                connection.sock.sendall(step)
        return True


# ------------------------------------------------------------------------------------------------------ shorthand


def head(line, *fields, host=b"bot.example"):
    """A request head. `host=None` leaves the Host field out."""
    hosts = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([line, *hosts, *fields]) + b"\r\n\r\n"


def get(target=b"/", *fields):
    return head(b"GET " + target + b" HTTP/1.1", *fields)


def post(body, *fields, target=b"/", method=b"POST"):
    return head(method + b" " + target + b" HTTP/1.1", b"Content-Length: %d" % len(body), *fields) + body


def chunked(*pieces, fields=(), target=b"/", trailers=b""):
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    return head(b"POST " + target + b" HTTP/1.1", b"Transfer-Encoding: chunked", *fields) + body + b"0\r\n" + trailers + b"\r\n"


def ok(body=b"ok", *fields, line=b"HTTP/1.1 200 OK"):
    return b"\r\n".join([line, b"Content-Length: %d" % len(body), *fields]) + b"\r\n\r\n" + body


def in_chunks(body, *fields, size=65536, trailers=b"", line=b"HTTP/1.1 200 OK"):
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailers + b"\r\n"
    return b"\r\n".join([line, b"Transfer-Encoding: chunked", *fields]) + b"\r\n\r\n" + coded
