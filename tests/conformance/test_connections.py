"""Connections: when they stay open, when they end, and that no message takes the place of another one."""

import threading
import time

import pytest

from harness import CLOSE, OK, SILENCE, STATUS, Ended, answer, case, chunked, differs, get, head, in_chunks, ok, post, table

# proxies/* give a head one second. Generous, for a busy machine.
HEAD_SECS_MAX = 10


# --------------------------------------------------------------------------------------------------- the client's


def test_a_connection_serves_many_requests(client, upstream):
    for n in range(50):
        upstream.will(ok(b"%d" % n))
        assert client.send(get(b"/%d" % n)).response().body == b"%d" % n


def test_pipelined_requests_are_answered_in_order(client, upstream):
    upstream.will(ok(b"one"), ok(b"two"), ok(b"three"))
    client.send(get(b"/1") + get(b"/2") + get(b"/3"))
    assert [client.response().body for _ in range(3)] == [b"one", b"two", b"three"]
    assert [upstream.request(n).line for n in range(3)] == [b"GET /%d HTTP/1.1" % n for n in (1, 2, 3)]


def test_pipelined_bodies_keep_to_their_requests(client, upstream, target):
    client.send(post(b"one", target=target) + chunked(b"two", b"two", target=target) + post(b"three", target=target) + get(b"/4"))
    assert [client.response().status for _ in range(4)] == [200] * 4
    assert [upstream.request(n).body for n in range(4)] == [b"one", b"twotwo", b"three", b""]


@differs(haproxy="ends the client's connection with the third")
def test_pipelined_answers_of_every_framing(client, upstream):
    upstream.will(in_chunks(b"one"), b"HTTP/1.1 204 No Content\r\n\r\n", answer(STATUS + b"\r\nthree", CLOSE), ok(b"four"))
    client.send(get(b"/1") + get(b"/2") + get(b"/3") + get(b"/4"))
    assert [client.response().body for _ in range(4)] == [b"one", b"", b"three", b"four"]


@table(
    "line, fields",
    [
        case("connection_close", b"GET / HTTP/1.1", [b"Connection: close"]),
        case("connection_close_in_capitals", b"GET / HTTP/1.1", [b"Connection: CLOSE"]),
        case("connection_close_in_a_list", b"GET / HTTP/1.1", [b"Connection: X-A, close"]),
        case("http_1_0", b"GET / HTTP/1.0", []),
        case("http_1_0_close", b"GET / HTTP/1.0", [b"Connection: close"]),
    ],
)
def test_a_client_that_wants_its_connection_closed_gets_it_closed(client, upstream, line, fields):
    response = client.send(head(line, *fields)).response()
    assert response.status == 200 and response.body == b"ok"
    assert client.closed()


def test_requests_after_close_are_not_served(client, upstream):
    client.send(head(b"GET /1 HTTP/1.1", b"Connection: close") + get(b"/2"))
    assert client.response().status == 200
    assert client.closed()
    assert [r.line for r in upstream.seen] == [b"GET /1 HTTP/1.1"]


@differs(nginx="takes a FIN for an abort")
def test_a_fin_after_a_whole_request_is_no_abort(client, upstream, target):
    go = threading.Event()
    upstream.will(answer(go.wait, OK))
    client.send(post(b"hello", target=target)).finish()
    upstream.request()
    time.sleep(0.2)  # time for a proxy to see the FIN while the answer is still out
    go.set()
    assert client.response().body == b"ok"


@table(
    "upstream_answer",
    [
        case("an_upstreams_close", ok(b"ok", b"Connection: close")),
        case("an_upstreams_http_1_0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        case("a_401", ok(b"no", line=b"HTTP/1.1 401 Unauthorized")),
        case("a_404", ok(b"no", line=b"HTTP/1.1 404 Not Found")),
        case("a_500", ok(b"no", line=b"HTTP/1.1 500 Internal Server Error")),
        case("a_304", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
)
def test_the_clients_connection_outlives(client, upstream, upstream_answer):
    upstream.will(upstream_answer)
    response = client.send(get()).response()
    assert response.whole and b"close" not in b",".join(response.all("connection"))
    assert client.send(get()).response().body == b"ok"


def test_the_clients_connection_outlives_a_504(client, upstream):
    upstream.will(answer(SILENCE))
    assert client.send(get(b"/impatient")).response().status == 504
    assert client.send(get()).response().body == b"ok"


def test_a_head_that_never_ends_is_cut_off(client, upstream):
    started = time.monotonic()
    client.send(b"GET / HTTP/1.1\r\nHost: bot.example\r\nX-A: ")
    try:
        assert client.response().status == 408
    except Ended:
        pass
    assert 0.5 < time.monotonic() - started < HEAD_SECS_MAX
    assert upstream.heads == 0


def test_a_head_that_trickles_is_cut_off(client, upstream):
    """A byte now and then must not keep a connection: the limit is for the head as a whole."""
    started = time.monotonic()
    client.send(b"GET / HTTP/1.1\r\nHost: bot.example\r\nX-A: ")
    while time.monotonic() - started < HEAD_SECS_MAX and client.silent(0.1):
        client.try_send(b"a")
    assert 0.5 < time.monotonic() - started < HEAD_SECS_MAX
    assert upstream.heads == 0


def test_a_second_head_that_never_ends_is_cut_off(client, upstream):
    assert client.send(get()).response().status == 200
    client.send(b"GET / HTTP/1.1\r\nHo")
    try:
        assert client.response().status == 408
    except Ended:
        pass
    assert upstream.heads == 1


def test_half_a_head_and_a_fin_is_no_request(client, upstream):
    client.send(b"GET / HTTP/1.1\r\nHost: bot.example\r\n").finish()
    try:
        assert client.response().status in (400, 408)
    except Ended:
        pass
    assert upstream.heads == 0


def test_a_connection_can_end_without_a_request(client, upstream):
    client.finish()
    try:
        assert client.response().status in (400, 408)
    except Ended:
        pass


# ------------------------------------------------------------------------------------------------- the upstream's


@table(
    "request_bytes, method, upstream_answer",
    [
        case("a_get", get(), b"GET", OK),
        case("a_length", post(b"hello"), b"POST", OK),
        case("a_length_of_zero", post(b""), b"POST", OK),
        case("chunks", chunked(b"hello"), b"POST", OK),
        case("an_answer_in_chunks", get(), b"GET", in_chunks(b"hello")),
        case("an_answer_in_chunks_with_trailers", get(), b"GET", in_chunks(b"hello", trailers=b"X-A: b\r\n")),
        case("head", head(b"HEAD / HTTP/1.1"), b"HEAD", STATUS + b"Content-Length: 5\r\n\r\n"),
        case("a_204", get(), b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        case("a_304", get(), b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        case("a_404", get(), b"GET", ok(b"no", line=b"HTTP/1.1 404 Not Found")),
        case("a_500", get(), b"GET", ok(b"no", line=b"HTTP/1.1 500 Internal Server Error")),
        case("an_empty_answer", get(), b"GET", ok(b"")),
        case("a_client_that_closes", get(b"/", b"Connection: close"), b"GET", OK),
        case("a_client_of_http_1_0", head(b"GET / HTTP/1.0"), b"GET", OK),
        case("a_big_body", post(b"x" * 300_000), b"POST", OK),
    ],
)
def test_the_upstreams_connection_is_used_again_after(connect, upstream, request_bytes, method, upstream_answer):
    upstream.will(upstream_answer)
    client = connect()
    client.send(request_bytes)
    assert client.response(method).whole
    if client.reader.ended is None and b"close" not in request_bytes and b"HTTP/1.0" not in request_bytes:
        second = client
    else:
        second = connect()
    assert second.send(get(b"/again")).response().status == 200
    assert upstream.request(1).connection is upstream.request(0).connection


@table(
    "steps",
    [
        case("connection_close", [ok(b"ok", b"Connection: close")]),
        case("http_1_0", [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"]),
        case("an_answer_until_the_end", [STATUS + b"\r\nok", CLOSE], haproxy="ends the client's connection, too"),
        case("a_second_answer_unasked", [OK + OK]),
    ],
)
def test_the_upstreams_connection_is_not_used_again_after(client, upstream, steps):
    upstream.will(answer(*steps))
    assert client.send(get()).response().body == b"ok"
    assert client.send(get(b"/again")).response().body == b"ok"
    assert upstream.request(1).connection is not upstream.request(0).connection


@pytest.mark.parametrize("request_bytes", [get(b"/again"), post(b"hello"), chunked(b"hello")], ids=["get", "post", "chunks"])
def test_a_connection_that_the_upstream_closed_while_idle_loses_no_request(client, upstream, request_bytes):
    for n in range(5):
        assert client.send(get()).response().status == 200
        upstream.close_idle(upstream.request(2 * n).connection)
        assert client.send(request_bytes).response().body == b"ok"


@differs(haproxy="ends the client's connection without an answer")
def test_a_request_that_was_sent_is_never_sent_twice(client, upstream):
    """On a reused connection, too: once the upstream has it, its silence is a 502, not a second delivery."""
    assert client.send(get()).response().status == 200
    upstream.will(answer(CLOSE), answer(CLOSE))
    assert client.send(post(b"charge the card")).response().status == 502
    assert [r.body for r in upstream.seen] == [b"", b"charge the card"]


def test_concurrent_requests_do_not_share_a_connection(connect, upstream):
    go = threading.Event()
    upstream.will(answer(go.wait, ok(b"one")), answer(go.wait, ok(b"two")))
    first, second = connect(), connect()
    first.send(get(b"/1"))
    upstream.request(0)
    second.send(get(b"/2"))
    assert upstream.request(1).connection is not upstream.request(0).connection
    go.set()
    assert first.response().body == b"one" and second.response().body == b"two"


def test_an_abandoned_answer_does_not_reach_the_next_client(connect, upstream):
    go = threading.Event()
    upstream.will(answer(go.wait, ok(b"for the first")))
    first = connect()
    first.send(get(b"/1"))
    upstream.request(0)
    first.reset()
    second = connect()
    second.send(get(b"/2"))
    assert second.response().body == b"ok"
    go.set()
    for _ in range(3):
        assert connect().send(get(b"/3")).response().body == b"ok"


def test_the_head_and_the_body_of_an_answer_can_come_in_pieces(client, upstream):
    upstream.will(answer(b"HTTP/1.1 200", b" OK\r\nContent-", b"Length: 5\r\n\r", b"\nhel", b"lo"))
    assert client.send(get()).response().body == b"hello"


def test_many_connections_at_once(connect, upstream):
    clients = [connect() for _ in range(60)]
    for n, one in enumerate(clients):
        one.send(post(b"%d" % n))
    assert all(one.response().status == 200 for one in clients)
    assert sorted(int(r.body) for r in upstream.seen) == list(range(60))
