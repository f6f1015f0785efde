"""Connections in HTTP/2: many requests at once, flow control, time limits, clients that leave, and the end of a connection."""

import signal
import threading
import time

import pytest

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import SettingsFrame

from harness import CLOSE, OK, PROXY, SILENCE, STATUS, answer, ok, only_serin
from http2 import (
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    NO_ERROR,
    PING,
    Http2,
    fields_of,
    over_tls,
    plain,
    raw_frame,
)

REQUESTS = "serin_requests_total"


@pytest.fixture(scope="module")
def hasty(start2):
    """A serin with short limits."""
    return start2(limits='idle_timeout = "1s"\nwrite_timeout = "1s"\nmax_streams = 20')


def took(since):
    return time.monotonic() - since


# ---------------------------------------------------------------------------------------------------- many at once


def test_a_connection_serves_many_requests(client2_either, upstream):
    for n in range(300):
        upstream.will(ok(b"%d" % n))
        assert client2_either.request(path=b"/%d" % n).body == b"%d" % n


def test_many_requests_at_once(client2_either, upstream):
    streams = [client2_either.ask(body=b"%d" % n) for n in range(90)]
    assert [client2_either.response(s).status for s in streams] == [200] * 90
    assert sorted(int(r.body) for r in upstream.seen) == list(range(90))


def test_a_slow_answer_does_not_keep_the_others_waiting(client2, upstream):
    go = threading.Event()
    upstream.will(answer(go.wait, ok(b"slow")))
    slow = client2.ask()
    upstream.request(0)
    for n in range(20):
        assert client2.request(path=b"/%d" % n).body == b"ok"
    go.set()
    assert client2.response(slow).body == b"slow"


def test_a_common_client_is_served(proxy2, upstream, how):
    """The client of the library `h2`, which checks what it receives in its own way."""
    sock = plain(proxy2.port) if how == "plain" else over_tls(proxy2.tls)
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    conn.initiate_connection()
    body = b"x" * 10_000
    head = [(":method", "POST"), (":scheme", "http"), (":path", "/inspected"), (":authority", "bot.example"), ("content-length", "10000")]
    for n in range(5):
        conn.send_headers(2 * n + 1, head)
        conn.send_data(2 * n + 1, body, end_stream=True)
    sock.sendall(conn.data_to_send())
    ended, got = set(), b""
    while len(ended) < 5:
        for event in conn.receive_data(sock.recv(65_536)):
            if isinstance(event, h2.events.DataReceived):
                got += event.data
                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                ended.add(event.stream_id)
        sock.sendall(conn.data_to_send())
    assert got == b"ok" * 5 and [r.body for r in upstream.seen] == [body] * 5
    sock.close()


def test_the_upstreams_connections_are_used_again(client2, upstream):
    for n in range(10):
        assert client2.request(body=b"%d" % n).status == 200
    assert len({id(r.connection) for r in upstream.seen}) == 1


# ----------------------------------------------------------------------------------------------------- flow control


def test_an_answer_keeps_to_a_window_of_a_byte(connect2, upstream):
    """The reader of the harness refuses DATA beyond the window."""
    client = connect2(settings={INITIAL_WINDOW_SIZE: 1})
    upstream.will(ok(b"x" * 300))
    assert client.request().body == b"x" * 300


def test_no_window_at_first(connect2, upstream):
    client = connect2(settings={INITIAL_WINDOW_SIZE: 0}, windows=False)
    upstream.will(ok(b"x" * 100_000))
    stream = client.ask()
    client.until(lambda: client.answers[stream].fields)
    client.settle()
    assert client.answers[stream].body == b""
    client.grant(stream, 100_000)
    client.until(lambda: len(client.answers[stream].body) == 65_535)
    client.settle()
    assert len(client.answers[stream].body) == 65_535, "the connection's window bounds it"
    client.grant(0, 100_000)
    assert client.response(stream).body == b"x" * 100_000


def test_a_window_can_shrink_below_zero(connect2, upstream):
    """RFC 9113, 6.9.2."""
    client = connect2(settings={INITIAL_WINDOW_SIZE: 1000}, windows=False)
    upstream.will(ok(b"x" * 3000))
    stream = client.ask()
    client.until(lambda: len(client.answers[stream].body) == 1000)
    client.send_frame(SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: 0}))
    client.settle()
    client.granted[stream] -= 1000
    client.grant(stream, 1000)
    client.settle()
    assert len(client.answers[stream].body) == 1000
    client.grant(stream, 2000)
    assert client.response(stream).body == b"x" * 3000


def test_an_answer_that_is_not_taken_stops_the_upstream(connect2, upstream):
    """What the proxy holds of an answer is bounded."""
    sent, big = [], b"x" * 65_536
    client = connect2(windows=False)
    upstream.will(answer(STATUS + b"Content-Length: %d\r\n\r\n" % (400 * len(big)), *[step for n in range(400) for step in (big, lambda: sent.append(1))]))
    stream = client.ask()
    client.until(lambda: len(client.answers[stream].body) == 65_535)
    before = -1
    while len(sent) != before:
        before = len(sent)
        time.sleep(0.3)
    assert len(sent) < 300, "the kernel's buffers take some megabytes, the proxy little"
    client.cancel(stream)


def test_a_body_that_is_not_taken_keeps_to_its_window(client2, upstream):
    """The proxy grants no more than it can pass on, so what it holds is bounded."""
    over = threading.Event()
    upstream.will(answer(over.wait, early=True))
    stream = client2.begin(fields_of(method=b"POST", path=b"/streamed"))
    total = 0
    while total < 64 << 20:
        room = min(client2.window[0], client2.window[stream], 16_384)
        if room <= 0:
            client2.settle()
            time.sleep(0.1)
            client2.settle()
            if min(client2.window[0], client2.window[stream]) <= 0:
                break
            continue
        client2.data(stream, bytes(room))
        total += room
    assert total < 32 << 20
    client2.cancel(stream)
    over.set()
    assert client2.request(body=b"x" * 100).status == 200, "other streams have a window still"


def test_bodies_that_stall_leave_room_for_others(client2, upstream):
    """Three streams whose bodies are not taken fill their windows, and a fourth still has one."""
    streams = [client2.begin(fields_of(method=b"POST", path=b"/inspected")) for _ in range(3)]
    client2.settle()
    for stream in streams:
        room = min(client2.window[0], client2.window[stream])
        for at in range(0, room, 16_384):
            client2.data(stream, bytes(min(16_384, room - at)))
    assert client2.request(body=b"x" * 50_000).status == 200
    for stream in streams:
        client2.cancel(stream)


# ------------------------------------------------------------------------------------------------- time and limits


@only_serin
def test_a_silent_connection_is_closed(connect2, hasty, how):
    """`head_timeout` is 1 s."""
    before, since = hasty.metric("serin_client_connections_closed_total", reason="silent"), time.monotonic()
    client = connect2(how, proxy=hasty)
    assert client.closed() and 0.8 < took(since) < 10 and client.goaway == NO_ERROR
    client.sock.close()
    hasty.counts(before + 1, "serin_client_connections_closed_total", reason="silent")


@only_serin
@pytest.mark.parametrize("sent", [b"PRI * HTTP/2.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=["half_a_preface", "no_settings"])
def test_half_a_preface_is_cut_off(connect2, hasty, sent):
    since = time.monotonic()
    client = connect2(proxy=hasty, begins=False)
    client.send(sent)
    assert client.closed() and took(since) < 10


@only_serin
def test_half_a_head_is_cut_off(connect2, hasty, upstream):
    since = time.monotonic()
    client = connect2(proxy=hasty)
    client.send(raw_frame(HEADERS, END_STREAM, client.begin_by_hand(), client.block(fields_of())))
    assert client.closed() and took(since) < 10 and upstream.heads == 0


@only_serin
def test_an_idle_connection_is_closed(connect2, hasty, upstream, how):
    client = connect2(how, proxy=hasty)
    assert client.request().status == 200
    since = time.monotonic()
    assert client.closed() and 0.8 < took(since) < 10 and client.goaway == NO_ERROR
    assert client.ended == "fin"


@only_serin
def test_pings_do_not_keep_an_idle_connection(connect2, hasty, upstream):
    client, since = connect2(proxy=hasty), time.monotonic()
    assert client.request().status == 200
    while not client.ended and took(since) < 10:
        client.try_send(raw_frame(PING, payload=bytes(8)))
        client.pump(ends=True)
        time.sleep(0.05)
    assert client.ended and client.goaway == NO_ERROR


@only_serin
@pytest.mark.parametrize("window", [0, 1, 1000])
def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(connect2, hasty, upstream, window):
    """`write_timeout` is 1 s. The upstream's connection is not kept for it."""
    client = connect2(proxy=hasty, settings={INITIAL_WINDOW_SIZE: window}, windows=False)
    upstream.will(answer(STATUS + b"Content-Length: 9000000\r\n\r\n", b"x" * 1_000_000, SILENCE))
    since = time.monotonic()
    stream = client.ask()
    client.until(lambda: client.answers[stream].fields)
    upstream.request()
    client.response(stream)
    assert took(since) < 8 and not client.answers[stream].whole
    assert upstream.request().connection.ended()


@only_serin
def test_a_small_answer_that_is_not_taken_is_no_hindrance(connect2, hasty, upstream):
    client = connect2(proxy=hasty, settings={INITIAL_WINDOW_SIZE: 0}, windows=False)
    since = time.monotonic()
    client.ask()
    assert client.closed() and took(since) < 10


@only_serin
def test_a_client_that_takes_its_answer_slowly_gets_it(connect2, hasty, upstream):
    """Something within each `write_timeout` is enough, though all of it takes longer."""
    client = connect2(proxy=hasty, windows=False, settings={INITIAL_WINDOW_SIZE: 0})
    upstream.will(ok(b"x" * 100_000))
    stream = client.ask()
    client.until(lambda: client.answers[stream].fields)
    client.grant(0, 100_000)
    for n in range(10):
        time.sleep(0.4)
        client.grant(stream, 10_000)
        client.until(lambda: len(client.answers[stream].body) >= 10_000 * (n + 1))
    assert client.response(stream).body == b"x" * 100_000


@only_serin
def test_a_client_that_reads_nothing_at_all_is_cut_off(hasty, upstream):
    """Its socket is full, so that serin cannot even write frames."""
    sock = plain(hasty.port)
    client = Http2(sock, settings={INITIAL_WINDOW_SIZE: 2**31 - 1}, windows=False)
    client.grant(0, 2**31 - 1 - 65_535)
    upstream.will(answer(STATUS + b"Content-Length: 90000000\r\n\r\n", *[b"x" * 1_000_000] * 90))
    client.ask()
    connection = upstream.request().connection
    assert connection.ended()
    sock.close()


@only_serin
def test_one_request_too_many_is_503(start2, connect2, upstream):
    proxy = start2(limits="max_inflight = 2")
    client, go = connect2(proxy=proxy), threading.Event()
    upstream.will(*[answer(go.wait, OK)] * 2)
    waiting = [client.ask() for _ in range(2)]
    upstream.request(1)
    response = client.request()
    assert (response.status, response.from_serin, response.get("retry-after")) == (503, b"overloaded", b"1")
    go.set()
    assert [client.response(s).status for s in waiting] == [200, 200]
    assert client.request().status == 200


# ---------------------------------------------------------------------------------------------- clients that leave


@only_serin
@pytest.mark.parametrize("end", ["reset", "close"])
def test_the_bots_work_goes_on_when_its_client_leaves(connect2, proxy2, upstream, end):
    """The upstream's connection stays, its answer is read, and the request is recorded once."""
    before = proxy2.metric(REQUESTS, bot="streamed", outcome="aborted")
    client, go = connect2(), threading.Event()
    upstream.will(answer(go.wait, OK))
    stream = client.ask(body=b"hello")
    connection = upstream.request().connection
    if end == "reset":
        client.cancel(stream)
        assert client.request().status == 200, "the client's other requests go on"
    else:
        client.sock.close()
        time.sleep(0.1)
    go.set()
    proxy2.counts(before + 1, REQUESTS, bot="streamed", outcome="aborted")
    assert connection.how is None, "the upstream's connection is whole"


@only_serin
@pytest.mark.parametrize("end", ["reset", "close"])
def test_a_client_that_leaves_within_its_answer(connect2, proxy2, upstream, end):
    before = proxy2.metric(REQUESTS, bot="streamed", outcome="aborted")
    client, go = connect2(), threading.Event()
    upstream.will(answer(STATUS + b"Content-Length: 10\r\n\r\nhello", go.wait, b"world"))
    stream = client.ask()
    client.until(lambda: client.answers[stream].body == b"hello")
    client.cancel(stream) if end == "reset" else client.sock.close()
    time.sleep(0.1)
    go.set()
    proxy2.counts(before + 1, REQUESTS, bot="streamed", outcome="aborted")
    assert proxy2.metric("serin_inflight_requests", bot="streamed") == 0


@only_serin
def test_outcomes_are_counted_as_in_http_1(connect2, proxy2, upstream):
    def now(outcome):
        return proxy2.metric(REQUESTS, bot="streamed", outcome=outcome)

    before = {outcome: now(outcome) for outcome in ("ok", "rejected", "error")}
    client = connect2()
    upstream.will(OK, ok(b"no", line=b"HTTP/1.1 404 Not Found"), ok(b"oh", line=b"HTTP/1.1 500 Oh"), answer(CLOSE), answer(STATUS + b"Content-Length: 9\r\n\r\nhi", CLOSE))
    for _ in range(5):
        client.request()
    proxy2.counts(before["ok"] + 1, REQUESTS, bot="streamed", outcome="ok")
    proxy2.counts(before["rejected"] + 1, REQUESTS, bot="streamed", outcome="rejected")
    proxy2.counts(before["error"] + 3, REQUESTS, bot="streamed", outcome="error")


@only_serin
def test_refusals_are_counted(connect2, proxy2, upstream):
    before = proxy2.metric("serin_proxy_errors_total", code="method")
    assert connect2().request(method=b"TRACE").status == 405
    proxy2.counts(before + 1, "serin_proxy_errors_total", code="method")


@only_serin
def test_the_workspace_decides_as_in_http_1(proxy2, connect2, connect, upstream):
    """Found in a header or in a body, one workspace takes one way in both protocols."""
    before = {bot: proxy2.metric("serin_identify_total", bot=bot, result="found") for bot in ("streamed", "inspected")}
    client = connect2("tls")
    for n in range(3):
        assert client.request((b"x-workspace-id", b"T%d" % n), body=b"hello").status == 200
        assert client.request(body=b'{"a":"' + b"x" * 40_000 + b'","team_id":"T%d"}' % n, path=b"/inspected").status == 200
    for bot, was in before.items():
        proxy2.counts(was + 3, "serin_identify_total", bot=bot, result="found")


# ------------------------------------------------------------------------------------------------------- the end


@only_serin
def test_a_drain_says_goodbye_and_finishes_what_is_in_flight(start2, connect2, upstream):
    proxy, go = start2(), threading.Event()
    client, idle = connect2(proxy=proxy), connect2("tls", proxy=proxy)
    assert idle.request().status == 200
    upstream.forget()
    upstream.will(answer(STATUS + b"Content-Length: 10\r\n\r\nhello", go.wait, b"world"))
    stream = client.ask()
    client.until(lambda: client.answers[stream].body == b"hello")
    proxy.process.send_signal(signal.SIGTERM)
    assert idle.closed() and idle.goaway == NO_ERROR and idle.ended == "fin"
    client.until(lambda: client.goaway is not None)
    assert client.goaway == NO_ERROR and client.last_allowed >= stream
    go.set()
    assert client.response(stream).body == b"helloworld" and client.answers[stream].whole
    assert client.closed() and client.ended == "fin"
    assert proxy.process.wait(10) == 0


@only_serin
def test_a_lame_duck_says_goodbye_and_still_serves(start2, connect2, upstream):
    """RFC 9113, 6.8: the first GOAWAY allows every stream, so what is under way is served; then one names the last."""
    proxy = start2(proxy='lame_duck = "3s"')
    client = connect2(proxy=proxy)
    assert client.request().status == 200
    client.acknowledges = False  # no answer to the PING behind the first GOAWAY: these streams are under way
    proxy.process.send_signal(signal.SIGTERM)
    client.until(lambda: client.goaway is not None)
    assert client.goaways[0][:2] == (NO_ERROR, 2**31 - 1)
    assert client.request().status == 200, "a request that was under way"
    late = connect2(proxy=proxy)
    assert late.request().status == 200, "new connections are still taken"
    proxy.process.wait(15)


@only_serin
def test_requests_behind_the_last_goaway_are_not_served(start2, connect2, upstream):
    """The client may repeat them: their streams are above the last that GOAWAY names (6.8)."""
    proxy, go = start2(), threading.Event()
    client = connect2(proxy=proxy)
    upstream.will(answer(go.wait, OK))
    stream = client.ask()
    upstream.request()
    proxy.process.send_signal(signal.SIGTERM)
    client.until(lambda: len(client.goaways) == 2)
    assert client.last_allowed == stream
    late = client.ask()
    time.sleep(0.2)
    go.set()
    assert client.response(stream).status == 200
    assert client.closed() and client.answers[late].fields is None
    assert len(upstream.seen) == 1
    assert proxy.process.wait(10) == 0


@only_serin
def test_a_second_signal_does_not_leave_a_whole_looking_answer(start2, connect2, upstream):
    proxy = start2(proxy='drain = "500ms"')
    client = connect2(proxy=proxy)
    upstream.will(answer(STATUS + b"Content-Length: 10\r\n\r\nhello", SILENCE))
    stream = client.ask()
    client.until(lambda: client.answers[stream].body == b"hello")
    proxy.process.send_signal(signal.SIGTERM)
    assert client.closed() and not client.answers[stream].whole
    assert proxy.process.wait(10) == 0


@only_serin
def test_a_client_says_goodbye_and_gets_its_answers(connect2, upstream):
    client, go = connect2(), threading.Event()
    upstream.will(answer(go.wait, OK))
    stream = client.ask()
    upstream.request()
    client.send(raw_frame(GOAWAY, payload=bytes(8)))
    client.settle()
    go.set()
    assert client.response(stream).status == 200
