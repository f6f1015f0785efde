"""Floods in HTTP/2, each after a published attack: serin ends the connection or bounds what it costs, its memory stays small, and other
clients are served meanwhile. The figures of memory and CPU time are serin's own, from /proc."""

import os
import threading
import time

import pytest

from harness import PROXY, answer, ok
from http2 import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2,
    fields_of,
    plain,
    raw_frame,
    u32,
)

pytestmark = pytest.mark.skipif(PROXY != "serin", reason="the limits are serin's own")
FLOOD_SECS = 1.5
# What a flood may add to serin's memory: one connection's windows and buffers, and what the allocator keeps of them.
KIB_MAX = 24 * 1024


@pytest.fixture(scope="module")
def target(start2, upstream_server):
    """A serin of its own for the floods."""
    return start2(limits="max_streams = 100")


@pytest.fixture
def bystander(target, connect2, upstream):
    """Asks serin itself, all the time, on another connection. Fails if it waits for 2 s, or if serin's memory grows too much."""
    client, waits, most, over = connect2(proxy=target), [], [], threading.Event()
    ask_serin = {"method": b"OPTIONS", "path": b"/"}
    assert client.request((b"max-forwards", b"0"), **ask_serin).status == 200
    before = target.rss_kib()

    def ask():
        while len(waits) < 3 or not over.wait(0.02):
            since = time.monotonic()
            assert client.request((b"max-forwards", b"0"), **ask_serin).status == 200
            waits.append(time.monotonic() - since)
            most.append(target.rss_kib())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield client
    over.set()
    thread.join(20)
    assert not thread.is_alive() and max(waits) < 2, f"the others waited: {waits[-3:]}"
    assert max(most) - before < KIB_MAX, f"the flood took {max(most) - before} KiB"
    assert target.process.poll() is None


class Flood(Http2):
    """A client that sends as fast as it can and reads only what is needed to notice its end."""

    def __init__(self, port, reads=True, **how):
        super().__init__(plain(port), **how)
        self.sock.settimeout(0.2)
        self.reads = reads

    def go(self, make, secs=FLOOD_SECS):
        """Sends `make(n)` again and again. Returns the number of turns until the end."""
        since, n, rest = time.monotonic(), 0, b""
        while time.monotonic() - since < secs and not self.ended:
            rest = rest or make(n)
            try:
                rest = rest[self.sock.send(rest) :]
            except TimeoutError:
                pass  # serin reads no more, which is a bound too
            except OSError:
                self.look()
                self.ended = self.ended or "reset"
            n += not rest
            if self.reads:
                self.look()
        return n

    def look(self):
        """Reads what has arrived."""
        self.sock.settimeout(0)
        try:
            while not self.ended:
                self.buffer += self.sock.recv(1 << 18) or self.end()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.ended = "reset"
        finally:
            if self.sock.fileno() >= 0:
                self.sock.settimeout(0.2)
        self.parse()

    def end(self):
        self.ended = "fin"
        return b""

    def parse(self):
        while len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3], "big"):
            length, kind = int.from_bytes(self.buffer[:3], "big"), self.buffer[3]
            if kind == 7:
                self.goaway = int.from_bytes(self.buffer[13:17], "big")
            del self.buffer[: 9 + length]

    def over(self, secs=5):
        """Whether serin ends the connection within this time."""
        since = time.monotonic()
        while not self.ended and time.monotonic() - since < secs:
            self.look()
            time.sleep(0.01)
        return bool(self.ended)


@pytest.fixture
def flood(target, bystander):
    flood = Flood(target.port)
    yield flood
    flood.sock.close()


HEAD = b"\x82\x86\x84\x41\x0bbot.example"  # GET / with an authority that is not put into the table


def head_of(stream, flags=END_HEADERS | END_STREAM):
    return raw_frame(HEADERS, flags, stream, b"\x82\x86\x84\x01\x0bbot.example")


def test_rapid_reset(flood, target, upstream):
    """CVE-2023-44487: requests that are broken off at once."""
    flood.go(lambda n: b"".join(head_of(s) + raw_frame(RST_STREAM, 0, s, u32(CANCEL)) for s in range(200 * n + 1, 200 * n + 201, 2)))
    assert flood.over() and flood.goaway == ENHANCE_YOUR_CALM
    assert upstream.heads < 10_000


def test_rapid_reset_that_waits_for_each_request_to_begin(flood, target, upstream):
    """The variant that stays below the library's limits: the bot's work goes on, so requests in flight must be bounded still."""
    go = threading.Event()
    # The requests of the flood before this one have left.
    target.counts(0, "serin_inflight_requests", bot="streamed")
    upstream.will(*[answer(go.wait, ok())] * 5000)
    stream = -1
    since = time.monotonic()
    most = 0
    while (time.monotonic() - since < FLOOD_SECS or stream <= 250) and not flood.ended:
        stream += 2
        if not flood.try_send(head_of(stream)):
            break
        time.sleep(0.002)
        if not flood.try_send(raw_frame(RST_STREAM, 0, stream, u32(CANCEL))):
            break
        flood.look()
        if stream % 100 == 1:
            most = max(most, target.metric("serin_inflight_requests", bot="streamed"))
    go.set()
    assert stream > 250, "the flood was too slow to tell"
    assert most <= 101 + 1, f"{most} requests of one connection were in flight; max_streams is 100"


def test_made_you_reset(flood, upstream):
    """CVE-2025-8671: the client makes serin reset the streams that it opens."""
    flood.go(lambda n: b"".join(head_of(s, END_HEADERS) + raw_frame(WINDOW_UPDATE, 0, s, u32(0)) for s in range(200 * n + 1, 200 * n + 201, 2)))
    assert flood.over()
    assert upstream.heads < 10_000


def test_made_you_reset_by_malformed_requests(flood, upstream):
    bad = b"\x82\x86\x84\x01\x0bbot.example\x00\x0aconnection\x05close"
    flood.go(lambda n: b"".join(raw_frame(HEADERS, END_HEADERS | END_STREAM, s, bad) for s in range(200 * n + 1, 200 * n + 201, 2)))
    assert flood.over()
    assert upstream.heads < 100


def test_continuation_flood(flood, upstream):
    """CVE-2024-27316: a header block without end."""
    flood.send(raw_frame(HEADERS, END_STREAM, 1, HEAD))
    flood.go(lambda n: raw_frame(CONTINUATION, 0, 1, b"\x00\x04x-%02d\x01a" % (n % 100) * 100))
    assert flood.over() and not upstream.heads


def test_continuation_flood_of_empty_frames(flood, upstream):
    flood.send(raw_frame(HEADERS, END_STREAM, 1, HEAD))
    flood.go(lambda n: raw_frame(CONTINUATION, 0, 1, b""))
    assert flood.over() and not upstream.heads


def test_hpack_bomb(flood, upstream):
    """A large field in the table, and a thousand references to it, in each of many requests."""
    flood.send(raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, HEAD + b"\x40\x03x-a\x7f\x81\x1e" + b"a" * 4000))
    flood.go(lambda n: raw_frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 3, HEAD + b"\xbe" * 16_000))
    assert upstream.heads < 3000


def test_a_table_that_changes_all_the_time(flood, upstream):
    flood.go(lambda n: raw_frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, b"\x20\x3f\xe1\x1f" * 1 + HEAD + b"\x40\x03x-a\x01a" * 90))


@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(raw_frame(PING, payload=bytes(8)), id="pings"),
        pytest.param(raw_frame(SETTINGS, payload=b"\0\x04\0\0\xff\xff"), id="settings"),
        pytest.param(raw_frame(SETTINGS), id="empty_settings"),
        pytest.param(raw_frame(PRIORITY, 0, 1, u32(0) + b"\x0f"), id="priorities"),
        pytest.param(raw_frame(WINDOW_UPDATE, 0, 0, u32(1)), id="window_updates"),
        pytest.param(raw_frame(0xBE, 0, 0, bytes(100)), id="unknown_frames"),
        pytest.param(raw_frame(PING, ACK, payload=bytes(8)), id="pongs"),
        pytest.param(raw_frame(RST_STREAM, 0, 1, u32(CANCEL)), id="resets_of_an_ended_stream"),
    ],
)
def test_frames_that_ask_for_little(target, bystander, upstream, frame, reads):
    """CVE-2019-9512, 9515 and their relatives, also by a client that reads no answers."""
    flood = Flood(target.port, reads)
    flood.send(head_of(1))
    flood.go(lambda n: frame * 500, secs=0.7)
    flood.sock.close()


@pytest.mark.parametrize("path", [b"/streamed", b"/inspected"])
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(raw_frame(DATA, 0, 1, b""), id="empty_data"),
        pytest.param(raw_frame(DATA, PADDED, 1, b"\0"), id="padding_alone"),
        pytest.param(raw_frame(DATA, 0, 1, b"x"), id="data_of_a_byte"),
    ],
)
def test_a_body_of_nothing(target, bystander, upstream, frame, path):
    """CVE-2019-9518: frames that carry nothing, to a request whose body waits."""
    over = threading.Event()
    upstream.will(answer(over.wait, early=True))
    flood = Flood(target.port)
    flood.send(raw_frame(HEADERS, END_HEADERS, flood.begin_by_hand(), flood.block(fields_of(method=b"POST", path=path))))
    flood.go(lambda n: frame * 200)
    over.set()
    flood.sock.close()


def test_a_body_that_trickles_is_no_way_to_stay(target, upstream, bystander):
    """Empty frames are no piece of a body: `body_timeout` (2 s) is for what they do not bring."""
    flood = Flood(target.port)
    flood.send(raw_frame(HEADERS, END_HEADERS, flood.begin_by_hand(), flood.block(fields_of(method=b"POST", path=b"/inspected"))))
    since, timeouts = time.monotonic(), 0
    while time.monotonic() - since < 10 and not flood.ended and not timeouts:
        flood.try_send(raw_frame(DATA, 0, 1, b""))
        time.sleep(0.05)
        timeouts = target.metric("serin_proxy_errors_total", code="body_timeout")
    assert timeouts or flood.ended
    flood.sock.close()


def test_answers_that_nobody_takes(target, bystander, upstream):
    """CVE-2019-9517 and 9511: many large answers, and a window that stays shut."""
    flood = Flood(target.port, settings={INITIAL_WINDOW_SIZE: 0})
    upstream.will(*[answer(ok(bytes(1_000_000)))] * 100)
    flood.send(b"".join(head_of(s) for s in range(1, 200, 2)))
    time.sleep(1)
    flood.sock.close()


def test_many_connections_that_do_nothing(target, upstream):
    """What an idle connection in HTTP/2 costs."""
    before, socks = target.rss_kib(), []
    for _ in range(400):
        client = Http2(plain(target.port))
        client.send(head_of(client.begin_by_hand()))
        socks.append(client)
        assert client.response(1).status == 200
    each = (target.rss_kib() - before) / len(socks)
    for client in socks:
        client.sock.close()
    assert each < 64, f"{each:.0f} KiB for each connection"


def test_a_connect_with_a_body_is_not_the_connections_end(target, connect2, upstream):
    client, go = connect2(proxy=target), threading.Event()
    upstream.will(answer(go.wait, ok()))
    other = client.ask()
    upstream.request()
    stream = client.begin(fields_of((b"content-length", b"5"), method=b"CONNECT", scheme=None, path=None))
    client.data(stream, b"hello", end=True)
    response = client.response(stream)
    assert response.status == 405 or response.reset is not None
    go.set()
    assert client.response(other).status == 200


def test_random_bytes(target, bystander, upstream):
    for n in range(60):
        flood = Flood(target.port)
        flood.try_send(os.urandom(200) if n % 2 else b"".join(raw_frame(os.urandom(1)[0] % 12, os.urandom(1)[0], n % 7, os.urandom(n)) for _ in range(20)))
        flood.look()
        flood.sock.close()
    assert upstream.broken == []


def test_serin_is_idle_afterwards(target, upstream):
    """No flood leaves a task that runs on, or requests in flight."""
    target.counts(0, "serin_inflight_requests", bot="streamed")
    target.counts(0, "serin_client_connections")
    before = target.cpu_secs()
    time.sleep(1)
    assert target.cpu_secs() - before < 0.2
