"""Answers: whole and byte for byte, or visibly broken. What the upstream garbles becomes a 502, not the client's puzzle."""

import hashlib
import os
import re
import threading

import pytest

from cases import BREAKS_OFF
from harness import CLOSE, OK, RESET, SILENCE, STATUS, WAIT_SECS, Ended, Malformed, answer, case, chunked, differs, get, head, in_chunks, ok, post, table

BIG = os.urandom(5 * 1024 * 1024)


def digest(body):
    return len(body), hashlib.sha256(body).hexdigest()


@table(
    "steps, status, body",
    [
        case("a_length", [ok(b"hello")], 200, b"hello"),
        case("a_length_of_zero", [ok(b"")], 200, b""),
        case("chunks", [in_chunks(b"hello world", size=3)], 200, b"hello world"),
        case("no_chunks", [in_chunks(b"")], 200, b""),
        case("a_chunk_extension", [STATUS + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\n\r\n"], 200, b"hello"),
        case("a_chunk_size_in_capitals", [STATUS + b"Transfer-Encoding: chunked\r\n\r\n1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"], 200, b"x" * 26),
        case("trailers", [in_chunks(b"hello", b"Trailer: X-Sum", trailers=b"X-Sum: 1\r\n")], 200, b"hello"),
        case("until_the_end", [STATUS + b"\r\nhello", CLOSE], 200, b"hello"),
        case("until_the_end_and_empty", [STATUS + b"\r\n", CLOSE], 200, b""),
        case("until_the_end_in_http_1_0", [b"HTTP/1.0 200 OK\r\n\r\nhello", CLOSE], 200, b"hello", haproxy="ends the client's connection, too"),
        case("a_length_in_http_1_0", [b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", CLOSE], 200, b"hello"),
        case("every_byte", [ok(bytes(range(256)))], 200, bytes(range(256))),
        case("gzip_is_not_undone", [ok(b"\x1f\x8b\x08\0", b"Content-Encoding: gzip")], 200, b"\x1f\x8b\x08\0"),
        case("byte_by_byte", [bytes([b]) for b in ok(b"hello")], 200, b"hello"),
        case("chunks_byte_by_byte", [bytes([b]) for b in in_chunks(b"hello", size=2)], 200, b"hello"),
        case("5_mib", [ok(BIG)], 200, BIG),
        case("5_mib_in_chunks", [in_chunks(BIG)], 200, BIG),
        case("5_mib_until_the_end", [STATUS + b"\r\n" + BIG, CLOSE], 200, BIG),
        case("204", [b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        case("304", [b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'], 304, b""),
        case("304_with_a_length", [b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"], 304, b""),
        case("205", [b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"], 205, b""),
        case("302", [ok(b"", b"Location: http://internal:81/a?b#c", line=b"HTTP/1.1 302 Found")], 302, b""),
        case("401", [ok(b"no", b"WWW-Authenticate: Basic", line=b"HTTP/1.1 401 Unauthorized")], 401, b"no"),
        case("404", [ok(b"no", line=b"HTTP/1.1 404 Not Found")], 404, b"no"),
        case("429", [ok(b"no", b"Retry-After: 7", line=b"HTTP/1.1 429 Too Many Requests")], 429, b"no"),
        case("500", [ok(b"oh", line=b"HTTP/1.1 500 Internal Server Error")], 500, b"oh"),
        case("503", [ok(b"oh", b"Retry-After: 7", line=b"HTTP/1.1 503 Service Unavailable")], 503, b"oh"),
        case("an_unknown_status", [ok(b"oh", line=b"HTTP/1.1 599 What")], 599, b"oh"),
    ],
)
def test_an_answer_passes_byte_for_byte(client, upstream, steps, status, body):
    upstream.will(answer(*steps))
    response = client.send(get()).response()
    assert response.status == status and response.whole
    assert digest(response.body) == digest(body)
    assert response.from_serin is None
    # The client's connection still serves.
    if not (response.has("connection") and b"close" in response.get("connection").lower()):
        assert client.send(get(b"/next")).response().body == b"ok"


@table(
    "status_line, status, reasons",
    [
        case("the_usual", b"HTTP/1.1 200 OK", 200, {b"OK"}),
        case("an_unusual_one", b"HTTP/1.1 200 Fine By Me", 200, {b"Fine By Me"}),
        case("one_for_an_unknown_status", b"HTTP/1.1 299 Perhaps", 299, {b"Perhaps"}),
        case("an_empty_one", b"HTTP/1.1 200 ", 200, {b"", b"OK"}),
        case("none_at_all", b"HTTP/1.1 200", 200, {b"", b"OK"}, nginx="passes it on without the space"),
    ],
)
def test_the_reason_phrase_passes(client, upstream, status_line, status, reasons):
    upstream.will(ok(line=status_line))
    response = client.send(get()).response()
    assert response.status == status and response.reason in reasons


@table(
    "fields",
    [
        case("a_plain_field", [(b"X-A", b"b")]),
        case("cookies_in_their_order", [(b"Set-Cookie", b"b=2; Path=/"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=3")]),
        case("an_empty_value", [(b"X-A", b"")]),
        case("obs_text", [(b"X-A", b"caf\xe9 \xff")]),
        case("a_date_of_its_own", [(b"Date", b"Tue, 15 Nov 1994 08:12:31 GMT")], nginx="says its own"),
        case("a_server_of_its_own", [(b"Server", b"bot/1.0")], nginx="says its own"),
        case("challenges", [(b"WWW-Authenticate", b"Basic"), (b"WWW-Authenticate", b"Bearer")]),
        case("validators", [(b"ETag", b'W/"a"'), (b"Last-Modified", b"Tue, 15 Nov 1994 08:12:31 GMT")]),
        case("slacks_no_retry", [(b"X-Slack-No-Retry", b"1")]),
        case("a_long_value", [(b"X-A", b"a" * 3000)]),
        case("fifty_fields", [(b"X-%d" % n, b"%d" % n) for n in range(50)]),
    ],
)
def test_an_answers_field_passes_as_it_came(client, upstream, fields):
    upstream.will(ok(b"ok", *[n + b": " + v for n, v in fields]))
    response = client.send(get()).response()
    for name in dict(fields):
        assert response.all(name.decode()) == [v for n, v in fields if n == name]


@table(
    "fields, absent",
    [
        case("keep_alive", [b"Connection: keep-alive", b"Keep-Alive: timeout=977"], b"977", haproxy="passes Keep-Alive on"),
        case("a_nominated_field", [b"Connection: X-Mine", b"X-Mine: secret"], b"secret", nginx="passes it on", haproxy="passes it on"),
        case("proxy_connection", [b"Proxy-Connection: secret"], b"secret", nginx="passes it on", haproxy="passes it on"),
        case("upgrade", [b"Upgrade: secret/1"], b"secret", nginx="passes it on", haproxy="passes it on"),
    ],
)
def test_fields_for_the_proxy_are_removed(client, upstream, fields, absent):
    upstream.will(ok(b"ok", *fields, b"X-Other: 1"))
    response = client.send(get()).response()
    assert response.get("x-other") == b"1"
    assert absent not in response.raw_head
    assert client.send(get()).response().status == 200


# ------------------------------------------------------------------------------------------- HEAD and old clients


@table(
    "upstream_answer, length",
    [
        case("with_a_length", STATUS + b"Content-Length: 5000\r\n\r\n", b"5000"),
        case("without", STATUS + b"X-A: b\r\n\r\n", None),
        case("with_chunked", STATUS + b"Transfer-Encoding: chunked\r\n\r\n", None),
        case("not_found", b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", b"9"),
    ],
)
def test_head_has_no_body(client, upstream, upstream_answer, length):
    upstream.will(upstream_answer)
    response = client.send(head(b"HEAD /a HTTP/1.1")).response(b"HEAD")
    assert response.get("content-length") == length
    assert upstream.request().line == b"HEAD /a HTTP/1.1"
    assert client.send(get()).response().body == b"ok", "a body followed the answer to HEAD"


@table(
    "steps, body",
    [
        case("a_length", [ok(b"hello")], b"hello"),
        case("chunks", [in_chunks(b"hello world", size=3)], b"hello world", haproxy="speaks HTTP/1.0 on, and believes its upstream"),
        case("until_the_end", [STATUS + b"\r\nhello", CLOSE], b"hello"),
    ],
)
@pytest.mark.parametrize("keep_alive", [False, True], ids=["by_default", "asking_for_keep_alive"])
def test_a_client_of_http_1_0_gets_no_chunks(client, upstream, steps, body, keep_alive):
    upstream.will(answer(*steps))
    client.send(head(b"GET / HTTP/1.0", *([b"Connection: keep-alive"] if keep_alive else [])))
    response = client.response()
    assert response.framing in ("length", "close") and response.body == body
    kept = keep_alive and b"keep-alive" in b",".join(response.all("connection")).lower() and response.framing == "length"
    if kept:
        assert client.send(get()).response().status == 200
    else:
        assert client.closed()


# -------------------------------------------------------------------------------------------------- interim ones


@table(
    "interim",
    [
        case("103", b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", nginx="takes it for the final one"),
        case("102", b"HTTP/1.1 102 Processing\r\n\r\n", nginx="takes it for the final one"),
        case("several", b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", nginx="takes them for the final one"),
        case("a_stray_100", b"HTTP/1.1 100 Continue\r\n\r\n", nginx="takes it for the final one"),
        case("an_unknown_one", b"HTTP/1.1 142 Hm\r\n\r\n", nginx="takes it for the final one"),
    ],
)
def test_an_interim_answer_does_not_stand_for_the_final_one(client, upstream, interim):
    upstream.will(answer(interim, OK), interim + OK)
    for _ in range(2):  # in two packets, then in one
        response = client.send(get()).response()
        assert response.status == 200 and response.body == b"ok"
        assert client.silent(0.1), "an interim answer came after the final one"
    assert client.send(get(b"/next")).response().interim == []


def test_an_interim_answer_in_the_packet_of_the_final_one_reaches_the_client_first(client, upstream):
    upstream.will(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    response = client.send(get()).response()
    assert [r.status for r in response.interim] == [103] and response.body == b"ok"


def test_the_length_of_a_304_passes(client, upstream):
    upstream.will(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")
    assert client.send(get()).response().get("content-length") == b"5"
    assert client.send(get()).response().body == b"ok"


@differs(nginx="sends no trailers", haproxy="passes every trailer on")
def test_trailers_reach_a_client_that_takes_them(client, upstream):
    upstream.will(in_chunks(b"hello", trailers=b"X-Sum: 1\r\nHost: evil.example\r\n"))
    response = client.send(get(b"/", b"TE: trailers", b"Connection: TE")).response()
    assert response.body == b"hello" and response.trailers == [("x-sum", b"1")]
    upstream.will(in_chunks(b"hello", trailers=b"X-Sum: 1\r\n"))
    assert client.send(get()).response().trailers == [], "who does not ask for them gets none"


def test_103_reaches_the_client_before_the_final_answer(client, upstream):
    upstream.will(answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", OK))
    response = client.send(get()).response()
    assert [r.status for r in response.interim] == [103]
    assert response.interim[0].get("link") == b"</a>; rel=preload"


@differs(nginx="sends it", haproxy="sends it")
def test_an_old_client_gets_no_interim_answer(client, upstream):
    """RFC 9110, 15.2: a server must not send a 1xx to a client of HTTP/1.0."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    upstream.will(answer(hints, OK))
    client.send(head(b"GET / HTTP/1.0"))
    assert client.response().interim == []


def test_a_flood_of_interim_answers_has_an_end(client, upstream):
    upstream.will(answer(*[b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"a" * 500 + b">\r\n\r\n"] * 200, OK))
    response = client.send(get()).response()
    assert response.status in (200, 502)


# ------------------------------------------------------------------------------------------------ broken answers


BROKEN = [
    case("words", [b"hello there\r\n\r\n", CLOSE], nginx="takes it for HTTP/0.9"),
    case("a_bad_version", [b"HTTX/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CLOSE], nginx="takes it for HTTP/0.9", haproxy="passes over it"),
    case("a_status_of_words", [b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"], nginx="takes it for HTTP/0.9"),
    case("a_status_of_two_digits", [b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n"], nginx="takes it for HTTP/0.9", haproxy="passes it on"),
    case("a_status_of_four_digits", [b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"], nginx="takes it for HTTP/0.9", haproxy="passes it on"),
    case("a_status_of_zero", [b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"], nginx="passes it on", haproxy="passes it on"),
    case("no_status", [b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n", CLOSE], nginx="takes it for HTTP/0.9"),
    case("a_field_without_a_colon", [STATUS + b"hello\r\nContent-Length: 0\r\n\r\n"], nginx="drops it"),
    case("a_space_in_a_name", [STATUS + b"X A: b\r\nContent-Length: 0\r\n\r\n"]),
    case("an_empty_name", [STATUS + b": b\r\nContent-Length: 0\r\n\r\n"]),
    case("a_nul_in_a_value", [STATUS + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n"], haproxy="passes it on"),
    case("lengths_that_differ", [STATUS + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"], nginx="takes the last"),
    case("lengths_that_differ_in_one_field", [STATUS + b"Content-Length: 2, 3\r\n\r\nokk"], nginx="reads until the end"),
    case("a_length_with_a_plus", [STATUS + b"Content-Length: +2\r\n\r\nok"], nginx="reads until the end"),
    case("a_negative_length", [STATUS + b"Content-Length: -2\r\n\r\nok"], nginx="reads until the end"),
    case("a_length_in_words", [STATUS + b"Content-Length: two\r\n\r\nok"], nginx="reads until the end"),
    case("a_length_over_64_bits", [STATUS + b"Content-Length: 18446744073709551618\r\n\r\nok"], nginx="reads until the end", haproxy="passes it on"),
    case("an_unknown_coding", [STATUS + b"Transfer-Encoding: xchunked\r\n\r\nok", CLOSE], nginx="reads until the end"),
    case("chunked_twice", [STATUS + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", CLOSE], nginx="takes it for one"),
    case("no_answer", [CLOSE]),
    case("a_reset", [RESET]),
    case("half_a_status_line", [b"HTTP/1.1 2", CLOSE]),
    case("half_a_head", [STATUS + b"X-A: b", CLOSE]),
    case("a_head_of_2_mb", [STATUS + b"X-A: b\r\n" * 250_000 + b"\r\n"]),
    case("101_that_nobody_asked_for", [b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"], nginx="passes it on"),
    case("an_interim_answer_and_no_more", [b"HTTP/1.1 103 Early Hints\r\n\r\n", CLOSE], nginx="takes it for the final one"),
]


@table("steps", BROKEN)
def test_a_broken_answer_is_a_502(client, upstream, steps):
    upstream.will(answer(*steps), answer(*steps), answer(*steps), answer(*steps))
    response = client.send(get()).response()
    assert response.status == 502 and response.whole
    if response.from_serin is not None:
        assert response.get("content-type") == b"application/problem+json"
    upstream.forget()
    assert client.closed() if response.has("connection") and response.get("connection") == b"close" else client.send(get()).response().body == b"ok"


@table(
    "upstream_answer, joined",
    [
        case("a_fold", STATUS + b"X-A: one\r\n two\r\nContent-Length: 2\r\n\r\nok", b"one two"),
        case("a_fold_with_a_tab", STATUS + b"X-A: one\r\n\ttwo\r\nContent-Length: 2\r\n\r\nok", b"one two"),
        case("a_space_before_a_colon", STATUS + b"X-A : one two\r\nContent-Length: 2\r\n\r\nok", b"one two"),
        case("a_bare_cr_in_a_value", STATUS + b"X-A: one\rtwo\r\nContent-Length: 2\r\n\r\nok", b"one two"),
        case("bare_lf_everywhere", b"HTTP/1.1 200 OK\nX-A: one two\nContent-Length: 2\n\nok", b"one two"),
        case("the_same_length_twice", STATUS + b"X-A: one two\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"one two"),
        case("the_same_length_twice_in_one_field", STATUS + b"X-A: one two\r\nContent-Length: 2, 2\r\n\r\nok", b"one two", nginx="reads until the end"),
        case("a_length_and_chunked", STATUS + b"X-A: one two\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"one two"),
        case("http_1_2", b"HTTP/1.2 200 OK\r\nX-A: one two\r\nContent-Length: 2\r\n\r\nok", b"one two"),
        case("http_2_0", b"HTTP/2.0 200 OK\r\nX-A: one two\r\nContent-Length: 2\r\n\r\nok", b"one two"),
        case("empty_lines_first", b"\r\n\r\n" + STATUS + b"X-A: one two\r\nContent-Length: 2\r\n\r\nok", b"one two", nginx="takes it for HTTP/0.9"),
        case("204_with_a_length", b"HTTP/1.1 204 No Content\r\nX-A: one two\r\nContent-Length: 2\r\n\r\n", b"one two"),
        case("204_with_chunked", b"HTTP/1.1 204 No Content\r\nX-A: one two\r\nTransfer-Encoding: chunked\r\n\r\n", b"one two"),
    ],
)
def test_a_doubtful_answer_is_a_502_or_made_plain(client, upstream, upstream_answer, joined):
    """The reader of the harness refuses what is not plain, so a 200 here is a clean one."""
    upstream.will(upstream_answer)
    response = client.send(get()).response()
    if response.status == 502:
        return
    assert response.status in (200, 204) and response.whole
    assert response.body in (b"ok", b"")
    values = response.all("x-a")
    assert not values or re.fullmatch(rb"one[ \t]+two", values[0])
    if response.status == 204:  # RFC 9110, 8.6 and 9112, 6.1: none of them in a 204
        assert not response.has("transfer-encoding")


@table(
    "steps",
    [
        *BREAKS_OFF,
        case("at_a_chunk_that_is_too_long", [STATUS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n"]),
        case("at_a_chunk_size_over_64_bits", [STATUS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"]),
        case("after_5_mib", [STATUS + b"Content-Length: 9000000\r\n\r\n" + BIG, CLOSE]),
    ],
)
def test_an_answer_that_breaks_off_does_not_look_whole(client, upstream, steps):
    upstream.will(answer(*steps))
    try:
        response = client.send(get()).response()
    except Ended:
        return
    assert not response.whole or response.status == 502
    if response.status != 502:
        assert b"hello".startswith(response.body) or BIG.startswith(response.body)
        assert client.closed()


def test_bytes_after_an_answer_are_not_the_next_answer(client, connect, upstream):
    """RFC 9112, 6.3: bytes that the upstream sends without a request must not become an answer."""
    upstream.will(ok(b"first") + ok(b"EVIL"))
    assert client.send(get(b"/1")).response().body == b"first"
    for n in range(3):
        assert client.send(get(b"/2")).response().body == b"ok"
        assert connect().send(get(b"/3")).response().body == b"ok"


@pytest.mark.parametrize("after", [0, 0.05], ids=["at_once", "after_a_while"])
def test_bytes_that_come_later_are_not_the_next_answer(client, upstream, after):
    """The same, in a packet of their own, while the connection is idle."""
    sent = threading.Event()
    upstream.will(answer(ok(b"first"), ok(b"EVIL"), sent.set))
    assert client.send(get(b"/1")).response().body == b"first"
    assert sent.wait(WAIT_SECS)
    client.silent(after)
    for n in range(3):
        assert client.send(get(b"/2")).response().body == b"ok"


@table(
    "upstream_answer",
    [
        case("head_with_a_body", STATUS + b"Content-Length: 4\r\n\r\nEVIL"),
        case("head_with_an_answer_in_its_body", STATUS + b"Content-Length: 42\r\n\r\n" + ok(b"EVIL")),
    ],
)
def test_a_body_after_head_is_not_the_next_answer(client, upstream, upstream_answer):
    upstream.will(upstream_answer)
    assert client.send(head(b"HEAD / HTTP/1.1")).response(b"HEAD").status == 200
    for _ in range(3):
        try:
            response = client.send(get()).response()
        except Malformed as trouble:
            raise AssertionError(f"the body was taken for an answer: {trouble}") from None
        assert b"EVIL" not in response.body


# ------------------------------------------------------------------------------------------- no answer, no upstream


def test_a_refused_connection_is_a_502_or_503(client, upstream):
    response = client.send(get(b"/refused")).response()
    assert response.status in (502, 503)
    assert client.send(get()).response().status == 200, "the client's connection serves on"


def test_a_silent_upstream_is_a_504(client, upstream):
    upstream.will(answer(SILENCE))
    response = client.send(get(b"/impatient")).response()
    assert response.status == 504 and response.whole
    assert upstream.request().connection.ended(), "the upstream's connection must not be used again"


def test_an_upstream_that_stalls_in_its_body_is_cut_off(client, upstream):
    upstream.will(answer(STATUS + b"Content-Length: 10\r\n\r\nhello", SILENCE))
    try:
        response = client.send(get(b"/impatient")).response()
        assert not response.whole
    except Ended:
        pass
    assert upstream.request().connection.ended()


def test_the_body_of_an_answer_can_take_longer_than_its_first_byte(client, upstream):
    upstream.will(answer(*[STATUS + b"Content-Length: 10\r\n\r\nhello", b"world"]))
    assert client.send(get(b"/impatient")).response().body == b"helloworld"


def test_a_post_to_a_refused_connection_is_a_502_or_503(client, upstream, target):
    response = client.send(post(b"hello" * 1000, target=b"/refused" + target)).response()
    assert response.status in (502, 503)


@differs(haproxy="waits for the server's timeout")
def test_a_client_that_leaves_lets_go_of_the_upstreams_body(client, upstream):
    """A big answer whose client has left: the proxy closes the upstream's connection, or reads and discards the rest."""
    upstream.will(answer(STATUS + b"Content-Length: 9000000\r\n\r\n", BIG[:1000], SILENCE))
    client.send(get())
    assert client.head().status == 200
    connection = upstream.request().connection
    client.reset()
    assert connection.ended()


def test_response_trailers_are_not_moved_into_the_head(client, upstream):
    upstream.will(in_chunks(b"hello", b"Trailer: X-Sum", trailers=b"X-Sum: 1\r\n"))
    response = client.send(get(b"/", b"TE: trailers", b"Connection: TE")).response()
    assert response.body == b"hello" and not response.has("x-sum")
    assert response.trailers in ([], [("x-sum", b"1")])


def test_an_answer_to_chunks_in_chunks(client, upstream):
    upstream.will(in_chunks(b"hello world", size=4))
    response = client.send(chunked(b"a", b"b")).response()
    assert response.body == b"hello world" and upstream.request().body == b"ab"


def test_an_answer_streams_before_it_is_whole(client, upstream):
    go = threading.Event()
    upstream.will(answer(STATUS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", go.wait, b"5\r\nworld\r\n0\r\n\r\n"))
    client.send(get())
    response = client.head()
    while b"hello" not in client.reader.buffer:
        client.reader.fill()
    go.set()
    client.reader.body(response, *client.reader.framing(response))
    assert response.body == b"helloworld"
