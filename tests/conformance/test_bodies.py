"""Request bodies: whole and byte for byte, or not at all. Each case is sent to a bot whose workspace is in a header
(the body streams through) and to one whose workspace is in the body (it is held and looked into first)."""

import hashlib
import os
import threading

import pytest

from harness import CLOSE, OK, Ended, answer, case, chunked, differs, get, head, ok, post, table

ALL_BYTES = bytes(range(256)) * 4
JSON = b'{"team_id":"T1","text":"' + b"x" * 2000 + b'"}'
BIG = os.urandom(5 * 1024 * 1024)


def digest(body):
    """Without printing 5 MiB if it fails."""
    return len(body), hashlib.sha256(body).hexdigest()


def raw_chunks(target, *lines, fields=()):
    return head(b"POST " + target + b" HTTP/1.1", b"Transfer-Encoding: chunked", *fields) + b"".join(lines)


SOUND = [
    case("a_length", lambda t: post(b"hello", target=t), b"hello"),
    case("a_length_of_zero", lambda t: post(b"", target=t), b""),
    case("no_length_at_all", lambda t: head(b"POST " + t + b" HTTP/1.1"), b""),
    case("json", lambda t: post(JSON, b"Content-Type: application/json", target=t), JSON),
    case("every_byte", lambda t: post(ALL_BYTES, target=t), ALL_BYTES),
    case("what_looks_like_a_request", lambda t: post(get(b"/smuggled"), target=t), get(b"/smuggled")),
    case("gzip_is_not_undone", lambda t: post(b"\x1f\x8b\x08\0\0\0", b"Content-Encoding: gzip", target=t), b"\x1f\x8b\x08\0\0\0"),
    case("get_with_a_body", lambda t: post(b"hello", target=t, method=b"GET"), b"hello"),
    case("delete_with_a_body", lambda t: post(b"hello", target=t, method=b"DELETE"), b"hello"),
    case("put_with_a_body", lambda t: post(JSON, target=t, method=b"PUT"), JSON),
    case("an_unknown_method_with_a_body", lambda t: post(b"hello", target=t, method=b"BREW"), b"hello"),
    case("one_chunk", lambda t: chunked(b"hello", target=t), b"hello"),
    case("many_chunks", lambda t: chunked(*[b"%d," % n for n in range(500)], target=t), b"".join(b"%d," % n for n in range(500))),
    case("chunks_of_one_byte", lambda t: chunked(*[bytes([b]) for b in ALL_BYTES], target=t), ALL_BYTES),
    case("no_chunks", lambda t: chunked(target=t), b""),
    case("json_in_chunks", lambda t: chunked(JSON[:9], JSON[9:11], JSON[11:], target=t), JSON),
    case("a_chunk_size_in_capitals", lambda t: raw_chunks(t, b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"), b"x" * 26),
    case("a_chunk_extension", lambda t: raw_chunks(t, b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), b"hello"),
    case("a_quoted_chunk_extension", lambda t: raw_chunks(t, b'5;a="b c"\r\nhello\r\n0\r\n\r\n'), b"hello"),
    case("several_zeros_at_the_end", lambda t: raw_chunks(t, b"5\r\nhello\r\n000\r\n\r\n"), b"hello"),
    case("trailers", lambda t: chunked(b"hello", target=t, fields=[b"Trailer: X-Sum"], trailers=b"X-Sum: 1\r\n"), b"hello"),
    case("the_coding_in_capitals", lambda t: head(b"POST " + t + b" HTTP/1.1", b"Transfer-Encoding: Chunked") + b"2\r\nhi\r\n0\r\n\r\n", b"hi"),
    case("a_length_in_http_1_0", lambda t: head(b"POST " + t + b" HTTP/1.0", b"Content-Length: 5") + b"hello", b"hello"),
    case("100_kb", lambda t: post(BIG[:100_000], target=t), BIG[:100_000]),
    case("a_byte_over_a_mebibyte", lambda t: post(BIG[: 1024 * 1024 + 1], target=t), BIG[: 1024 * 1024 + 1]),
    case("5_mib", lambda t: post(BIG, target=t), BIG),
    case("5_mib_in_chunks", lambda t: chunked(*[BIG[at : at + 70_000] for at in range(0, len(BIG), 70_000)], target=t), BIG),
]


@table("make, body", SOUND)
def test_a_body_passes_byte_for_byte(client, upstream, target, make, body):
    upstream.will(ok(b"done"))
    response = client.send(make(target)).response()
    assert response.status == 200 and response.body == b"done"
    assert digest(upstream.request().body) == digest(body)
    assert len(upstream.seen) == 1


@table("make, body", [c for c in SOUND if c.name in ("a_length", "one_chunk", "trailers", "no_length_at_all", "json_in_chunks")])
def test_the_connection_is_good_for_another_request_after(client, upstream, target, make, body):
    for n in range(3):
        assert client.send(make(target)).response().status == 200
        assert upstream.request(n).body == body


@pytest.mark.parametrize("size", [1, 7], ids=["byte_by_byte", "seven_bytes_at_a_time"])
@table("make, body", [c for c in SOUND if c.name in ("json", "json_in_chunks", "a_chunk_extension", "trailers")])
def test_a_body_can_come_in_pieces(client, upstream, target, make, body, size):
    client.trickle(make(target), size)
    assert client.response().status == 200
    assert upstream.request().body == body


def test_a_body_can_come_slowly(client, upstream, target):
    client.trickle(post(b"x" * 12, target=target), size=20, pause=0.05)
    assert client.response().status == 200
    assert upstream.request().body == b"x" * 12


def test_a_body_streams_before_it_is_whole(client, upstream):
    """What the proxy needn't look into must not wait in it: the upstream gets the head while the body is on its way."""
    upstream.will(answer(ok(b"early"), early=True))
    client.send(head(b"POST /streamed HTTP/1.1", b"Content-Length: 10") + b"hello")
    assert client.response().body == b"early"


# What breaks off or breaks the rules must never look whole to the bot.
BROKEN = [
    case("a_chunk_size_in_words", b"zz\r\nhello\r\n0\r\n\r\n"),
    case("an_empty_chunk_size", b"\r\nhello\r\n0\r\n\r\n"),
    case("a_negative_chunk_size", b"-5\r\nhello\r\n0\r\n\r\n"),
    case("a_chunk_size_with_a_plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    case("a_chunk_size_with_0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    case("a_chunk_size_with_an_underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    case("a_chunk_size_over_64_bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    case("a_chunk_size_of_a_hundred_digits", b"f" * 100 + b"\r\nhello\r\n0\r\n\r\n"),
    case("a_chunk_longer_than_its_size", b"5\r\nhelloworld\r\n0\r\n\r\n"),
    case("a_chunk_without_its_line_end", b"5\r\nhello0\r\n\r\n"),
    case("a_chunk_ended_by_a_bare_cr", b"5\r\nhello\r0\r\n\r\n"),
    case("a_size_line_ended_by_a_bare_cr", b"5\rhello\r\n0\r\n\r\n"),
    case("a_bare_lf_in_an_extension", b"5;a\nhello\r\n0\r\n\r\n", nginx="takes it for the line's end", haproxy="passes over it"),
    case("a_space_before_the_chunk_size", b" 5\r\nhello\r\n0\r\n\r\n"),
    case("a_bad_second_chunk", b"5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n"),
]


@table("rest", BROKEN)
def test_a_broken_chunk_is_refused_and_ends_the_connection(client, upstream, target, rest):
    client.send(raw_chunks(target, rest) + get(b"/smuggled"))
    try:
        response = client.response()
        if response.status == 200:
            client.response()  # what follows was taken for a request, and must not be left to the next test
        assert response.status == 400
        assert client.closed()
    except Ended:
        pass  # cut off without a word is allowed too
    assert upstream.seen == [], "a broken body looked whole to the upstream"


CUT = [
    case("in_a_length", lambda t: post(JSON, target=t)[:-5]),
    case("before_the_first_byte", lambda t: post(JSON, target=t)[: -len(JSON)]),
    case("in_a_chunk", lambda t: chunked(JSON, target=t)[:-20]),
    case("between_chunks", lambda t: chunked(JSON, target=t)[:-5]),
    case("before_the_last_line_end", lambda t: chunked(JSON, target=t)[:-2]),
    case("in_a_trailer", lambda t: chunked(JSON, target=t, trailers=b"X-Sum: 1\r\n")[:-6]),
]


@pytest.mark.parametrize("end", ["reset", "fin"])
@table("make", CUT)
def test_a_client_that_leaves_in_its_body_is_not_finished_for_it(client, upstream, target, make, end):
    client.send(make(target))
    if target == b"/streamed":
        upstream.begun()
    getattr(client, {"reset": "reset", "fin": "finish"}[end])()
    if target == b"/streamed":
        assert upstream.broken_request().connection.ended()
    elif end == "fin":
        assert not client_got_success(client)
    assert upstream.seen == []


def client_got_success(client):
    try:
        return client.response().status < 400
    except Ended:
        return False


@differs(haproxy="waits for the server's timeout")
def test_a_client_that_stalls_in_its_body_is_cut_off(client, upstream, target):
    client.send(post(JSON, target=target)[:-5])
    try:
        assert client.response().status in {408, 400, 504}
    except Ended:
        pass
    assert upstream.seen == []


def test_an_early_answer_reaches_a_client_that_is_still_sending(client, upstream):
    """A bot may refuse an upload by its head; the client must see that, not a reset."""
    upstream.will(answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig", early=True))
    client.send(head(b"POST /streamed HTTP/1.1", b"Content-Length: %d" % len(BIG)) + BIG[:100_000])
    response = client.response()
    assert response.status == 413 and response.body == b"big" and response.whole


def test_an_early_answer_with_a_close_reaches_the_client(client, upstream):
    upstream.will(answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", CLOSE, early=True))
    sender = threading.Thread(target=client.try_send, args=(post(BIG, target=b"/streamed"),), daemon=True)
    sender.start()
    response = client.response()
    assert response.status == 401 and response.body == b"no"
    client.sock.close()
    sender.join(4)


def test_after_an_early_answer_the_rest_of_the_body_is_no_request(client, upstream):
    upstream.will(answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", early=True))
    client.send(head(b"POST /streamed HTTP/1.1", b"Content-Length: 200") + b"x" * 50)
    assert client.response().status == 413
    client.try_send(b"y" * 50 + get(b"/smuggled") + get(b"/smuggled") + b"z" * 300)
    try:
        client.response()
    except (Ended, TimeoutError):
        pass
    assert all(b"smuggled" not in request.line for request in upstream.seen)


# --------------------------------------------------------------------------------------------- 100-continue


def test_100_continue_comes_before_the_body(client, upstream, target):
    client.send(head(b"POST " + target + b" HTTP/1.1", b"Content-Length: 5", b"Expect: 100-continue"))
    assert client.head().status == 100
    client.send(b"hello")
    assert client.response().status == 200
    assert upstream.request().body == b"hello"


def test_100_continue_with_chunks(client, upstream, target):
    client.send(head(b"POST " + target + b" HTTP/1.1", b"Transfer-Encoding: chunked", b"Expect: 100-continue"))
    assert client.head().status == 100
    client.send(b"5\r\nhello\r\n0\r\n\r\n")
    assert client.response().status == 200
    assert upstream.request().body == b"hello"


def test_a_body_that_does_not_wait_for_100_is_taken(client, upstream, target):
    client.send(post(b"hello", b"Expect: 100-continue", target=target))
    assert client.response().status == 200
    assert upstream.request().body == b"hello"
    assert client.send(post(b"again", target=target)).response().status == 200


def test_100_continue_without_a_body_needs_no_100(client, upstream):
    client.send(get(b"/", b"Expect: 100-continue"))
    assert client.response().status == 200


def test_an_answer_instead_of_100_continue(client, upstream):
    """The bot may refuse before the body: the client sees the bot's status, and no body was wanted."""
    upstream.will(answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", early=True))
    client.send(head(b"POST /streamed HTTP/1.1", b"Content-Length: 5", b"Expect: 100-continue"))
    response = client.response()
    assert response.status == 401 and response.body == b"no"


@differs(haproxy="passes the expectation on")
def test_a_client_of_http_1_0_gets_no_100(client, upstream):
    client.send(head(b"POST /streamed HTTP/1.0", b"Content-Length: 5", b"Expect: 100-continue") + b"hello")
    response = client.response()
    assert response.status == 200 and response.interim == []


@differs(nginx="takes 100 for the final answer")
def test_an_upstream_that_sends_100_itself(client, upstream, target):
    upstream.will(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    response = client.send(post(b"hello", target=target)).response()
    assert response.status == 200 and response.body == b"ok"
    assert client.send(get()).response().status == 200


def test_trailers_reach_the_upstream(client, upstream, target):
    client.send(chunked(b"hello", target=target, fields=[b"Trailer: X-Sum", b"TE: trailers", b"Connection: TE"], trailers=b"X-Sum: 1\r\n"))
    assert client.response().status == 200
    request = upstream.request()
    assert request.body == b"hello"
    # RFC 9110, 6.5.1: they may be dropped, but never moved into the head.
    assert request.trailers in ([], [("x-sum", b"1")]) and not request.has("x-sum")


@table(
    "trailer",
    [case("a_length", b"Content-Length: 50"), case("a_coding", b"Transfer-Encoding: chunked"), case("a_host", b"Host: evil.example"), case("a_workspace", b"X-Workspace-Id: T9")],
)
def test_a_trailer_cannot_change_the_message(client, upstream, target, trailer):
    client.send(chunked(b"hello", target=target, trailers=trailer + b"\r\n"))
    status = client.response().status
    if status == 200:
        request = upstream.request()
        assert request.body == b"hello" and request.get("host") == b"bot.example" and not request.has("x-workspace-id")
    else:
        assert status == 400
    assert len(upstream.seen) <= 1
