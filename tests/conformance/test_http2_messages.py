"""Requests and answers in HTTP/2: the same bytes reach the upstream and the client as in HTTP/1.1 (RFC 9113, 8)."""

import hashlib
import os
import threading

import pytest

from cases import BREAKS_OFF, TARGETS
from harness import CLOSE, OK, PROXY, RESET, SILENCE, STATUS, answer, case, differs, get, in_chunks, ok, only_serin, table
from http2 import DATA, END_HEADERS, END_STREAM, HEADERS, NO_ERROR, PADDED, fields_of, raw_frame

BIG = os.urandom(3 * 1024 * 1024)
JSON = b'{"team_id":"T1","text":"' + b"x" * 2000 + b'"}'


def digest(body):
    """Without printing megabytes if it fails."""
    return len(body), hashlib.sha256(body).hexdigest()


# ------------------------------------------------------------------------------------------------------- requests


@table(
    "target",
    [
        *TARGETS,
        case("parameters_and_sub_delimiters", b"/a;b=c;d/e!$&'()*+,;=:@-._~"),
        case("a_long_path", b"/" + b"a" * 20_000),
        case("a_query_that_looks_like_a_url", b"/?http://other.example/"),
        case("a_path_that_looks_like_a_url", b"/http://other.example/a"),
    ],
)
def test_the_target_passes_byte_for_byte(client2_either, upstream, target):
    assert client2_either.request(path=target).status == 200
    assert upstream.request().line == b"GET " + target + b" HTTP/1.1"


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"BREW", b"VERSION-CONTROL"])
def test_the_method_passes(client2, upstream, method):
    assert client2.request(method=method, path=b"/a").status == 200
    assert upstream.request().line == method + b" /a HTTP/1.1"


def test_options_for_the_whole_server_passes(client2, upstream):
    """RFC 9113, 8.3.1: a path of `*` is for OPTIONS."""
    response = client2.request(method=b"OPTIONS", path=b"*")
    assert response.status == 200
    assert upstream.request().line == b"OPTIONS * HTTP/1.1"


@only_serin
def test_options_stops_after_max_forwards(client2, upstream):
    response = client2.request((b"max-forwards", b"0"), method=b"OPTIONS", path=b"/")
    assert response.status == 200 and b"POST" in response.get("allow")
    assert client2.request((b"max-forwards", b"2"), method=b"OPTIONS", path=b"/").status == 200
    assert upstream.request().get("max-forwards") == b"1" and upstream.heads == 1


@table(
    "fields",
    [
        case("a_plain_field", [(b"x-a", b"b")]),
        case("duplicates_in_their_order", [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-a", b"0"), (b"x-a", b"1")]),
        case("an_empty_value", [(b"x-a", b"")]),
        case("an_empty_value_among_others", [(b"x-a", b"1"), (b"x-a", b""), (b"x-a", b"2")]),
        case("obs_text", [(b"x-a", b"caf\xe9 \xc3\xa9 \xff\x80")]),
        case("a_tab_inside_a_value", [(b"x-a", b"a\tb")]),
        case("blanks_inside_a_value", [(b"x-a", b"a   b")]),
        case("a_colon_and_commas", [(b"x-a", b"a:b,c, d;e=\"f\\\"\"")]),
        case("a_value_of_20_kb", [(b"x-a", b"a" * 20_000)]),
        case("every_token_character", [(b"x!#$%&'*+-.^`|~0a", b"1")], nginx="drops such names"),
        case("authorization", [(b"authorization", b"Bearer abc==")]),
        case("slacks_signature", [(b"x-slack-signature", b"v0=00ff"), (b"x-slack-request-timestamp", b"1531420618")]),
        case("githubs_signature", [(b"x-hub-signature-256", b"sha256=00ff"), (b"x-github-event", b"push")]),
        case("accept_encoding", [(b"accept-encoding", b"gzip, br;q=0.5")]),
        case("date", [(b"date", b"Tue, 15 Nov 1994 08:12:31 GMT")]),
        case("range_and_conditions", [(b"range", b"bytes=0-1"), (b"if-none-match", b'"a"')]),
        case("ninety_fields", [(b"x-%d" % n, b"%d" % n) for n in range(90)]),
    ],
)
def test_a_field_passes_as_it_came(client2, upstream, fields):
    for _ in range(2):  # the second time from HPACK's dynamic table
        assert client2.request(*fields).status == 200
    for n in range(2):
        for name in dict(fields):
            assert upstream.request(n).all(name.decode()) == [v for f, v in fields if f == name]


def test_fields_pass_in_their_order(client2, upstream):
    names = [b"x-c", b"x-a", b"accept", b"x-b", b"user-agent", b"x-0"]
    assert client2.request(*[(name, b"1") for name in names]).status == 200
    assert [name for name, _ in upstream.request().fields if name.encode() in names] == [name.decode() for name in names]


def test_cookies_in_several_fields_become_one(client2, upstream):
    """RFC 9113, 8.2.3."""
    assert client2.request((b"cookie", b"a=1"), (b"x-a", b"1"), (b"cookie", b"b=2"), (b"cookie", b"c=3")).status == 200
    assert upstream.request().get("cookie") == b"a=1; b=2; c=3"


def test_nothing_is_invented(client2, upstream):
    assert client2.request().status == 200
    mine = {"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via", "connection", "traceparent"}
    assert {name for name, _ in upstream.request().fields} - mine == set()


@table(
    "authority",
    [
        case("a_name", b"bot.example"),
        case("a_name_and_port", b"bot.example:8443"),
        case("capitals", b"Bot.Example"),
        case("an_ipv6_address", b"[2001:db8::1]:443"),
        case("an_underscore", b"my_bot.example"),
    ],
)
def test_the_authority_is_the_host(client2, upstream, authority):
    assert client2.request(authority=authority).status == 200
    assert upstream.request().get("host") == authority


def test_a_host_stands_for_a_missing_authority(client2, upstream):
    assert client2.request((b"host", b"bot.example"), authority=None).status == 200
    assert upstream.request().get("host") == b"bot.example"


@differs(nginx="takes both")
def test_a_host_beside_the_same_authority_is_one(client2, upstream):
    assert client2.request((b"host", b"bot.example")).status == 200
    assert upstream.request().get("host") == b"bot.example"


@only_serin
def test_what_is_said_of_the_client_is_as_in_http_1(connect2, how, upstream):
    scheme = {"plain": b"http", "tls": b"https"}[how]
    client = connect2(how)
    # What the client itself says of the scheme is not believed.
    assert client.request((b"x-forwarded-for", b"192.0.2.7"), (b"via", b"2 front"), scheme=b"https", authority=b"bot.example:81").status == 200
    request = upstream.request()
    assert request.get("x-forwarded-for") == b"192.0.2.7, 127.0.0.1"
    assert request.get("x-forwarded-proto") == scheme
    assert request.get("x-forwarded-host") == b"bot.example:81"
    assert request.get("via") == b"2 front, 1.1 serin"
    assert request.get("connection") is None


def test_te_trailers_passes_alone(client2, upstream):
    assert client2.request((b"te", b"trailers")).status == 200
    request = upstream.request()
    if PROXY == "serin":
        assert request.get("te") == b"trailers" and request.get("connection") == b"te"


@only_serin
def test_hop_by_hop_fields_that_http_2_allows_end_here(client2, upstream):
    assert client2.request((b"proxy-authorization", b"Basic YTpi"), (b"x-other", b"1")).status == 200
    assert not upstream.request().has("proxy-authorization") and upstream.request().get("x-other") == b"1"


@only_serin
@table(
    "fields, how, status, code",
    [
        case("connect", [], {"method": b"CONNECT", "scheme": None, "path": None}, 405, b"method"),
        case("trace", [], {"method": b"TRACE"}, 405, b"method"),
        case("another_host", [(b"host", b"other.example")], {}, 400, b"bad_host"),
        case("two_hosts", [(b"host", b"bot.example"), (b"host", b"bot.example")], {"authority": None}, 400, b"bad_host"),
        case("no_host_at_all", [], {"authority": None}, 400, b"bad_host"),
        case("user_information", [], {"authority": b"a@bot.example"}, 400, b"bad_host"),
        case("an_asterisk_for_get", [], {"path": b"*"}, 400, b"bad_target"),
        case("an_underscore", [(b"x_team", b"T1")], {}, 400, b"header_name"),
        case("an_unknown_expectation", [(b"expect", b"bread")], {}, 417, b"expectation"),
        case("101_fields", [(b"x-%d" % n, b"1") for n in range(101)], {}, 431, b"head_too_large"),
        case("a_refused_upstream", [], {"path": b"/refused"}, 502, b"connect_failed"),
    ],
)
def test_a_refusal_says_why(client2, upstream, fields, how, status, code):
    response = client2.request(*fields, **how)
    assert (response.status, response.from_serin) == (status, code)
    assert response.get("content-type") == b"application/problem+json" and code in response.body
    assert client2.request().status == 200, "the refusal of one request is not the connection's end"
    assert [r.line for r in upstream.seen] == [b"GET / HTTP/1.1"]


@only_serin
def test_a_hundred_fields_pass(client2, upstream):
    fields = [(b"x-%d" % n, b"1") for n in range(99)]
    assert client2.request(*fields).status == 200
    assert sum(name.startswith("x-") and name[2:].isdigit() for name, _ in upstream.request().fields) == 99


@table(
    "fields",
    [
        case("one_field", [(b"x-a", b"a" * 70_000)]),
        case("many_fields", [(b"x-%d" % n, b"a" * 1000) for n in range(70)]),
        case("a_path", []),
    ],
)
def test_a_head_that_is_too_large_is_431(client2, upstream, fields):
    response = client2.request(*fields, path=b"/" + b"a" * (0 if fields else 70_000))
    assert response.status in (431, 414) or response.reset is not None or client2.goaway is not None
    assert upstream.heads == 0
    if PROXY == "serin":
        assert response.status == 431
        assert client2.request().status == 200


# --------------------------------------------------------------------------------------------------------- bodies


SOUND = [
    case("empty", b"", True),
    case("empty_without_a_length", b"", False),
    case("five_bytes", b"hello", True),
    case("without_a_length", b"hello", False),
    case("json", JSON, True),
    case("json_without_a_length", JSON, False),
    case("every_byte", bytes(range(256)) * 4, True),
    case("what_looks_like_a_request", get(b"/smuggled"), False),
    case("a_frame_and_a_byte", BIG[:16_385], True),
    case("a_window_and_a_byte", BIG[:65_536], False),
    case("a_byte_over_a_mebibyte", BIG[: 1024 * 1024 + 1], True),
    case("3_mib", BIG, False),
]


@table("body, has_length", SOUND)
def test_a_body_passes_byte_for_byte(client2_either, upstream, target, body, has_length):
    fields = [(b"content-length", b"%d" % len(body))] if has_length else []
    upstream.will(ok(b"done"))
    response = client2_either.request(*fields, body=body, path=target)
    assert response.status == 200 and response.body == b"done" and response.whole
    request = upstream.request()
    assert digest(request.body) == digest(body) and len(upstream.seen) == 1
    if has_length:
        assert request.get("content-length") == b"%d" % len(body)


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"PUT", b"BREW"])
def test_any_method_may_have_a_body(client2, upstream, target, method):
    assert client2.request(body=b"hello", method=method, path=target).status == 200
    assert upstream.request().body == b"hello" and upstream.request().line == method + b" " + target + b" HTTP/1.1"


def test_a_body_can_come_in_frames_of_a_byte(client2, upstream, target):
    stream = client2.begin(fields_of(method=b"POST", path=target))
    client2.upload(stream, JSON[:300], piece=1)
    assert client2.response(stream).status == 200
    assert upstream.request().body == JSON[:300]


def test_a_body_can_come_in_padded_frames(client2, upstream, target):
    stream = client2.begin(fields_of(method=b"POST", path=target))
    for n in range(40):
        client2.send(raw_frame(DATA, PADDED, stream, b"\xff" + b"%03d" % n + bytes(255)))
        client2.sent(stream, 259)
    client2.data(stream, b"", end=True)
    assert client2.response(stream).status == 200
    assert upstream.request().body == b"".join(b"%03d" % n for n in range(40))


def test_a_body_streams_before_it_is_whole(client2, upstream):
    upstream.will(answer(ok(b"early"), early=True))
    stream = client2.begin(fields_of(method=b"POST", path=b"/streamed"))
    client2.data(stream, b"hello")
    assert client2.response(stream).body == b"early"


def test_trailers_of_a_request(client2, upstream, target):
    response = client2.request((b"trailer", b"x-sum"), body=b"hello", trailers=[(b"x-sum", b"1"), (b"host", b"evil.example")], path=target)
    assert response.status == 200
    request = upstream.request()
    assert request.body == b"hello" and request.get("host") == b"bot.example"
    if PROXY == "serin":
        assert request.trailers == [("x-sum", b"1")]


def test_trailers_without_a_body(client2, upstream, target):
    assert client2.request(trailers=[(b"x-sum", b"1")], path=target).status == 200
    assert upstream.request().body == b""


@table(
    "end",
    [
        case("a_reset", lambda client, stream: client.cancel(stream)),
        case("a_closed_connection", lambda client, _: client.sock.close()),
    ],
)
def test_a_client_that_leaves_in_its_body_is_not_finished_for_it(client2, upstream, target, end):
    stream = client2.begin(fields_of(method=b"POST", path=target))
    client2.data(stream, b"hello")
    if target == b"/streamed":
        upstream.begun()
    else:
        client2.settle()
    end(client2, stream)
    if target == b"/streamed":
        assert upstream.broken_request().connection.ended()
    elif client2.sock.fileno() >= 0:
        client2.settle()
    assert upstream.seen == []


@differs(nginx="ends the connection", haproxy="waits for the server's timeout")
def test_a_client_that_stalls_in_its_body_is_told_so(client2, upstream, target):
    stream = client2.begin(fields_of(method=b"POST", path=target))
    client2.data(stream, b"hello")
    response = client2.response(stream)
    assert response.status == 408 and response.whole
    assert upstream.seen == []
    assert client2.request().status == 200, "the other requests of the connection do not suffer"


@differs(nginx="takes the whole body first", haproxy="ends the stream without the answer")
def test_an_early_answer_reaches_a_client_that_is_still_sending(client2, upstream):
    upstream.will(answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig", early=True))
    stream = client2.begin(fields_of((b"content-length", b"%d" % len(BIG)), method=b"POST", path=b"/streamed"))
    client2.data(stream, BIG[:10_000])
    response = client2.response(stream)
    assert response.status == 413 and response.body == b"big" and response.whole
    # RFC 9113, 8.1: the rest is not wanted, and that is no error.
    client2.until(lambda: response.reset is not None)
    assert response.reset == NO_ERROR
    assert client2.request().status == 200


@only_serin
def test_a_body_over_the_cap_is_refused(client2, upstream):
    big = client2.begin(fields_of((b"content-length", b"5000"), method=b"POST", path=b"/small"))
    assert client2.response(big).status == 413
    unknown = client2.begin(fields_of(method=b"POST", path=b"/small"))
    client2.data(unknown, b"x" * 5000)
    response = client2.response(unknown)
    assert response.status == 413 and response.from_serin == b"body_too_large"
    assert client2.request(body=b"x" * 1000, path=b"/small").status == 200


def test_refused_bodies_do_not_use_up_the_connections_window(client2, upstream):
    """A body that nobody reads must not keep the window that all streams share."""
    for _ in range(30):
        upstream.will(answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", early=True))
        stream = client2.begin(fields_of(method=b"POST", path=b"/streamed"))
        room = min(client2.window[0], client2.window[stream], 60_000)
        assert room > 1000, "the connection's window is used up"
        for at in range(0, room, 15_000):
            client2.data(stream, BIG[at : min(at + 15_000, room)])
        client2.response(stream)
        upstream.forget()
        client2.settle()
    assert client2.request(body=BIG[:200_000]).status == 200


# -------------------------------------------------------------------------------------------------------- answers


@table(
    "steps, status, body",
    [
        case("a_length", [ok(b"hello")], 200, b"hello"),
        case("a_length_of_zero", [ok(b"")], 200, b""),
        case("chunks", [in_chunks(b"hello world", size=3)], 200, b"hello world"),
        case("no_chunks", [in_chunks(b"")], 200, b""),
        case("trailers", [in_chunks(b"hello", b"Trailer: X-Sum", trailers=b"X-Sum: 1\r\n")], 200, b"hello"),
        case("until_the_end", [STATUS + b"\r\nhello", CLOSE], 200, b"hello"),
        case("until_the_end_and_empty", [STATUS + b"\r\n", CLOSE], 200, b""),
        case("until_the_end_in_http_1_0", [b"HTTP/1.0 200 OK\r\n\r\nhello", CLOSE], 200, b"hello"),
        case("a_close", [ok(b"hello", b"Connection: close")], 200, b"hello"),
        case("every_byte", [ok(bytes(range(256)))], 200, bytes(range(256))),
        case("gzip_is_not_undone", [ok(b"\x1f\x8b\x08\0", b"Content-Encoding: gzip")], 200, b"\x1f\x8b\x08\0"),
        case("byte_by_byte", [bytes([b]) for b in ok(b"hello")], 200, b"hello"),
        case("64_kib", [ok(BIG[:65_536])], 200, BIG[:65_536]),
        case("3_mib", [ok(BIG)], 200, BIG),
        case("3_mib_in_chunks", [in_chunks(BIG)], 200, BIG),
        case("3_mib_until_the_end", [STATUS + b"\r\n" + BIG, CLOSE], 200, BIG),
        case("204", [b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        case("304", [b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'], 304, b""),
        case("302", [ok(b"", b"Location: http://internal:81/a?b#c", line=b"HTTP/1.1 302 Found")], 302, b""),
        case("404", [ok(b"no", line=b"HTTP/1.1 404 Not Found")], 404, b"no"),
        case("500", [ok(b"oh", line=b"HTTP/1.1 500 Internal Server Error")], 500, b"oh"),
        case("an_unknown_status", [ok(b"oh", line=b"HTTP/1.1 599 What")], 599, b"oh"),
    ],
)
def test_an_answer_passes_byte_for_byte(client2_either, upstream, steps, status, body):
    upstream.will(answer(*steps))
    response = client2_either.request()
    assert response.status == status and response.whole
    assert digest(response.body) == digest(body)
    assert response.from_serin is None
    assert client2_either.request().body == b"ok"


def test_an_answers_fields_pass(client2, upstream):
    fields = [b"X-ODD-Name: 1", b"Set-Cookie: a=1; Path=/", b"Set-Cookie: b=2", b"X-Empty:", b"X-Text: caf\xe9", b"Server: bot/1"]
    upstream.will(ok(b"ok", *fields))
    response = client2.request()
    assert response.get("x-odd-name") == b"1" and response.all("set-cookie") == [b"a=1; Path=/", b"b=2"]
    assert response.get("x-empty") == b"" and response.get("x-text") == b"caf\xe9" and response.get("date")
    if PROXY == "serin":
        assert response.get("server") == b"bot/1" and not response.all("via")


def test_an_answers_fields_of_the_connection_are_removed(client2, upstream):
    """The reader of the harness refuses them in HTTP/2."""
    upstream.will(ok(b"ok", b"Connection: keep-alive, X-Mine", b"Keep-Alive: timeout=5", b"X-Mine: 1", b"Proxy-Connection: a", b"Upgrade: h2c"))
    response = client2.request()
    assert response.status == 200
    if PROXY == "serin":
        assert not response.all("x-mine")


@table(
    "upstream_answer, length",
    [
        case("a_length", STATUS + b"Content-Length: 5\r\n\r\n", b"5"),
        case("chunks", STATUS + b"Transfer-Encoding: chunked\r\n\r\n", None),
        case("nothing", STATUS + b"\r\n", None),
        case("a_204", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    ],
)
def test_head_has_no_body(client2, upstream, upstream_answer, length):
    upstream.will(upstream_answer)
    response = client2.request(method=b"HEAD")
    assert response.whole and response.body == b"" and response.get("content-length") == length
    assert client2.request().body == b"ok"


@only_serin
def test_a_refused_head_has_no_body(client2, upstream):
    response = client2.request(method=b"HEAD", path=b"/refused")
    assert response.status == 502 and response.body == b"" and int(response.get("content-length")) > 0


def test_the_length_of_a_304_passes(client2, upstream):
    upstream.will(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")
    response = client2.request()
    assert response.status == 304 and response.get("content-length") == b"5" and response.body == b""


@differs(nginx="sends no trailers", haproxy="passes every trailer on")
def test_trailers_reach_a_client_that_takes_them(client2, upstream):
    upstream.will(in_chunks(b"hello", trailers=b"X-Sum: 1\r\nHost: evil.example\r\n"))
    response = client2.request((b"te", b"trailers"))
    assert response.body == b"hello" and response.trailers == [(b"x-sum", b"1")]
    upstream.will(in_chunks(b"hello", trailers=b"X-Sum: 1\r\n"))
    assert not client2.request().trailers, "a client that does not ask for them gets none"


@only_serin
def test_trailers_of_which_none_may_pass_are_an_end(client2, upstream):
    upstream.will(in_chunks(b"hello", trailers=b"Host: evil.example\r\n"))
    response = client2.request((b"te", b"trailers"))
    assert response.body == b"hello" and response.whole


@table(
    "steps",
    [
        *BREAKS_OFF,
        case("after_3_mib", [STATUS + b"Content-Length: 9000000\r\n\r\n" + BIG, CLOSE]),
    ],
)
def test_an_answer_that_breaks_off_is_a_reset(client2, upstream, steps):
    upstream.will(answer(*steps))
    response = client2.request()
    assert not response.whole or response.status == 502
    assert response.status == 502 or response.reset not in (None, NO_ERROR) or client2.ended
    assert response.status == 502 or b"hello".startswith(response.body) or BIG.startswith(response.body)
    if PROXY == "serin":
        assert response.reset is not None
        assert client2.request().body == b"ok", "the other requests of the connection do not suffer"


def test_a_broken_answer_is_a_502(client2, upstream):
    for steps in ([b"hello there\r\n\r\n", CLOSE], [CLOSE], [RESET], [STATUS + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"]):
        upstream.will(answer(*steps))
        assert client2.request().status == 502


def test_a_silent_upstream_is_a_504(client2, upstream):
    upstream.will(answer(SILENCE))
    assert client2.request(path=b"/impatient").status == 504
    assert client2.request().body == b"ok"


@differs(nginx="ends the stream as if nothing were missing")
def test_an_upstream_that_stalls_in_its_body_is_cut_off(client2, upstream):
    upstream.will(answer(STATUS + b"Content-Length: 10\r\n\r\nhello", SILENCE))
    response = client2.request(path=b"/impatient")
    assert response.status == 200 and not response.whole and response.reset is not None
    assert client2.request().body == b"ok"


@pytest.mark.skipif(PROXY == "nginx", reason="takes an interim answer for the final one")
def test_interim_answers_reach_the_client_before_the_final_one(client2, upstream):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: close\r\n\r\n"
    upstream.will(answer(hints, OK), b"HTTP/1.1 102 Processing\r\n\r\n" + hints + OK, b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    for statuses in ([b"103"], [b"102", b"103"], []):
        response = client2.request()
        assert response.status == 200 and response.body == b"ok"
        if PROXY == "serin":
            assert [dict(interim)[b":status"] for interim in response.interim] == statuses
            assert statuses == [] or response.interim[-1] == [(b":status", b"103"), (b"link", b"</a>; rel=preload")]


def test_a_flood_of_interim_answers_has_an_end(client2, upstream):
    upstream.will(answer(*[b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"a" * 500 + b">\r\n\r\n"] * 200, OK))
    assert client2.request().status in (200, 502)
    upstream.will(answer(*[b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"a" * 9000 + b">\r\n\r\n"] * 4, OK))
    response = client2.request()
    assert response.status == 200
    if PROXY == "serin":
        assert len(response.interim) == 1


def test_an_answer_streams_before_it_is_whole(client2, upstream):
    go = threading.Event()
    upstream.will(answer(STATUS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", go.wait, b"5\r\nworld\r\n0\r\n\r\n"))
    stream = client2.ask()
    client2.until(lambda: client2.answers[stream].body == b"hello")
    go.set()
    assert client2.response(stream).body == b"helloworld"


def test_an_expectation_is_met(client2, upstream, target):
    """RFC 9110, 10.1.1."""
    stream = client2.begin(fields_of((b"expect", b"100-continue"), method=b"POST", path=target))
    client2.until(lambda: client2.answers[stream].interim)
    assert client2.answers[stream].interim == [[(b":status", b"100")]]
    client2.upload(stream, b"hello")
    response = client2.response(stream)
    assert response.status == 200 and len(response.interim) == 1 and upstream.request().body == b"hello"


@only_serin
def test_a_client_that_does_not_wait_is_told_nothing(client2, upstream, target):
    stream = client2.begin_by_hand()
    head = client2.block(fields_of((b"expect", b"100-continue"), method=b"POST", path=target))
    client2.send(raw_frame(HEADERS, END_HEADERS, stream, head) + raw_frame(DATA, END_STREAM, stream, b"hello"))
    response = client2.response(stream)
    assert response.status == 200 and response.interim == [] and upstream.request().body == b"hello"


@only_serin
def test_an_expectation_of_nothing_is_no_reason_to_wait(client2, upstream, target):
    response = client2.request((b"expect", b"100-continue"), path=target)
    assert response.status == 200 and response.interim == []


@only_serin
def test_an_expectation_that_is_refused_gets_the_refusal(client2, upstream):
    stream = client2.begin(fields_of((b"expect", b"100-continue"), (b"content-length", b"5000"), method=b"POST", path=b"/small"))
    response = client2.response(stream)
    assert response.status == 413 and response.interim == []
