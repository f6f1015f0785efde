"""Requests that no two parsers need read alike. They are refused by the proxy itself, and the upstream sees nothing.
RFC 9112 unless said otherwise."""

import re

import pytest

from harness import PROXY, case, chunked, get, head, ok, post, table

BAD = {400}
UNKNOWN_CODING = {400, 501}  # 6.1: 501 for a coding that is not understood
GET = b"GET / HTTP/1.1"
POST = b"POST / HTTP/1.1"


def framed(*fields, body=b"hello"):
    return head(POST, *fields) + body


# What follows the head must not be taken for a request, so these end the connection.
FRAMING = [
    case("lengths_that_differ", framed(b"Content-Length: 5", b"Content-Length: 6"), BAD),
    case("lengths_that_differ_in_one_field", framed(b"Content-Length: 5, 6"), BAD),
    case("a_length_with_a_plus", framed(b"Content-Length: +5"), BAD),
    case("a_negative_length", framed(b"Content-Length: -1"), BAD),
    case("a_hexadecimal_length", framed(b"Content-Length: 0x5"), BAD),
    case("a_length_with_a_space_inside", framed(b"Content-Length: 5 5"), BAD),
    case("a_length_with_a_fraction", framed(b"Content-Length: 5.0"), BAD),
    case("a_length_in_words", framed(b"Content-Length: five"), BAD),
    case("an_empty_length", framed(b"Content-Length:"), BAD),
    case("a_length_over_64_bits", framed(b"Content-Length: 18446744073709551621"), {400, 413}),
    case("a_length_of_a_hundred_digits", framed(b"Content-Length: " + b"9" * 100), {400, 413}),
    case("a_length_with_a_vertical_tab", framed(b"Content-Length: \x0b5"), BAD),
    case("an_unknown_coding", framed(b"Transfer-Encoding: xchunked"), UNKNOWN_CODING),
    case("the_identity_coding", framed(b"Transfer-Encoding: identity"), UNKNOWN_CODING),
    case("gzip_before_chunked", framed(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), UNKNOWN_CODING, haproxy="passes it on"),
    case("chunked_twice", framed(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), UNKNOWN_CODING),
    case("chunked_before_gzip", framed(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), UNKNOWN_CODING),
    case("chunked_and_identity_in_two_fields", framed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"), UNKNOWN_CODING),
    case("a_coding_after_a_vertical_tab", framed(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), UNKNOWN_CODING),
    case("a_coding_in_quotes", framed(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), UNKNOWN_CODING),
    case("an_unknown_coding_beside_a_length", framed(b"Content-Length: 5", b"Transfer-Encoding: xchunked"), UNKNOWN_CODING),
    case("a_space_before_the_colon_of_the_length", framed(b"Content-Length : 5"), BAD),
    case("a_space_before_the_colon_of_the_coding", framed(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), BAD),
]

SYNTAX = [
    case("a_space_before_a_colon", get(b"/", b"X-A : b"), BAD),
    case("a_tab_before_a_colon", get(b"/", b"X-A\t: b"), BAD),
    case("a_space_before_the_first_field", b"GET / HTTP/1.1\r\n Host: bot.example\r\n\r\n", BAD),
    case("a_bare_cr_in_a_value", get(b"/", b"X-A: a\rb"), BAD),
    case("a_nul_in_a_value", get(b"/", b"X-A: a\0b"), BAD, haproxy="passes it on"),
    case("a_nul_in_a_name", get(b"/", b"X\0A: b"), BAD),
    case("a_bracket_in_a_name", get(b"/", b"X(A: b"), BAD, nginx="drops the field"),
    case("an_empty_name", get(b"/", b": b"), BAD),
    case("a_field_without_a_colon", get(b"/", b"X-A"), BAD, nginx="drops the line"),
    case("no_host", head(GET, host=None), BAD, haproxy="passes it on"),
    case("two_hosts", get(b"/", b"Host: other.example"), BAD),
    case("the_same_host_twice", get(b"/", b"Host: bot.example"), BAD, haproxy="drops one"),
    case("a_host_with_a_space", head(GET, host=b"bot example"), BAD, haproxy="passes it on"),
    case("a_host_with_a_slash", head(GET, host=b"bot/example"), BAD, haproxy="passes it on"),
    case("a_host_with_user_information", head(GET, host=b"a@bot.example"), BAD, nginx="passes it on", haproxy="passes it on"),
    case("a_host_with_a_port_in_letters", head(GET, host=b"bot.example:http"), BAD, nginx="passes it on", haproxy="passes it on"),
    case("http_2_0", head(b"GET / HTTP/2.0"), {400, 505}, haproxy="passes it on"),
    case("http_3_0", head(b"GET / HTTP/3.0"), {400, 505}, haproxy="passes it on"),
    case("a_version_in_lower_case", head(b"GET / http/1.1"), {400, 505}),
    case("a_version_with_a_tail", head(b"GET / HTTP/1.1x"), {400, 505}),
    case("a_version_with_leading_zeros", head(b"GET / HTTP/01.1"), {400, 505}),
    case("a_space_in_the_target", head(b"GET /a b HTTP/1.1"), {400, 505}),
    case("a_target_without_a_slash", head(b"GET foo HTTP/1.1"), BAD),
    case("a_nul_in_the_target", head(b"GET /a\0b HTTP/1.1"), BAD),
    case("a_tab_in_the_target", head(b"GET /a\tb HTTP/1.1"), {400, 505}),
    case("a_bracket_in_the_method", head(b"GE(T / HTTP/1.1"), {400, 405, 501}),
    case("a_nul_in_the_method", head(b"GE\0T / HTTP/1.1"), {400, 405, 501}),
    case("connect", head(b"CONNECT bot.example:443 HTTP/1.1"), {400, 403, 405, 501}, haproxy="passes it on"),
    case("trace", head(b"TRACE / HTTP/1.1"), {405, 501}, haproxy="passes it on, as RFC 9110 allows"),
    case("a_target_of_100_kb", get(b"/" + b"a" * 100_000), {414, 431}, haproxy="400"),
    case("fields_of_200_kb", get(b"/", *[b"X-%d: %s" % (n, b"a" * 4000) for n in range(50)]), {431}, nginx="400", haproxy="400"),
    case("a_field_of_200_kb", get(b"/", b"X-A: " + b"a" * 200_000), {431}, nginx="400", haproxy="400"),
    case("5000_fields", get(b"/", *[b"X-%d: a" % n for n in range(5000)]), {431}, nginx="400", haproxy="400"),
]


@table("request_bytes, statuses", FRAMING)
def test_unclear_framing_is_refused_and_ends_the_connection(client, upstream, request_bytes, statuses):
    client.send(request_bytes + get(b"/smuggled"))
    response = client.response()
    assert response.status in statuses
    assert client.closed(), "the connection must end: it is not known where the next request begins"
    assert upstream.seen == [] and upstream.broken == []


@table("request_bytes, statuses", SYNTAX)
def test_bad_syntax_is_refused(client, upstream, request_bytes, statuses):
    client.try_send(request_bytes)
    response = client.response()
    assert response.status in statuses
    assert upstream.seen == [] and upstream.broken == []


NOT_HTTP = [
    case("http_0_9", b"GET /\r\n", nginx="serves it"),
    case("the_preface_of_http_2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", haproxy="speaks HTTP/2"),
    case("a_tls_hello", bytes.fromhex("16030100050100000103030a0a0d0a0d0a")),
    case("zeros", b"\0" * 64 + b"\r\n\r\n"),
    case("high_bytes", b"\xff" * 64 + b"\r\n\r\n"),
    case("a_line_of_words", b"this is not a request at all\r\n\r\n"),
]


@table("request_bytes", NOT_HTTP)
def test_a_request_that_is_not_http_is_cut_off(client, upstream, request_bytes):
    client.send(request_bytes)
    rest = b""
    try:
        while True:
            client.reader.fill()
    except TimeoutError:
        raise AssertionError("the connection stays open") from None
    except Exception:
        rest = bytes(client.reader.buffer)
    assert rest == b"" or re.match(rb"HTTP/1\.[01] (4\d\d|505) ", rest) or rest.startswith(b"<html>")
    assert upstream.seen == []


@pytest.mark.skipif(PROXY != "serin", reason="the codes are serin's")
@table(
    "request_bytes, status, code",
    [
        case("no_request_at_all", b"hello there\r\n\r\n", 400, b"bad_request"),
        case("a_fold", get(b"/", b"X-A: one\r\n two"), 400, b"bad_request"),
        case("http_2_0", head(b"GET / HTTP/2.0"), 400, b"bad_request"),
        case("lengths_that_differ", framed(b"Content-Length: 5", b"Content-Length: 6"), 400, b"bad_framing"),
        case("a_length_and_chunked", framed(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nX"), 400, b"bad_framing"),
        case("chunked_in_http_1_0", head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400, b"bad_framing"),
        case("an_unknown_coding", framed(b"Transfer-Encoding: xchunked"), 400, b"bad_framing"),
        case("gzip_before_chunked", framed(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501, b"transfer_coding"),
        case("a_fragment", get(b"/a#b"), 400, b"bad_target"),
        case("a_fragment_in_the_absolute_form", get(b"http://bot.example/a#b"), 400, b"bad_target"),
        case("a_target_without_a_slash", get(b"foo"), 400, b"bad_target"),
        case("an_asterisk_for_get", get(b"*"), 400, b"bad_target"),
        case("a_target_of_100_kb", get(b"/" + b"a" * 100_000), 414, b"target_too_long"),
        case("a_target_of_65535_bytes", get(b"/" + b"a" * 65_534), 414, b"target_too_long"),
        case("a_field_of_200_kb", get(b"/", b"X-A: " + b"a" * 200_000), 431, b"head_too_large"),
        case("101_fields", get(b"/", *[b"X-%d: a" % n for n in range(100)]), 431, b"head_too_large"),
        case("connect", head(b"CONNECT bot.example:443 HTTP/1.1"), 405, b"method"),
    ],
)
def test_a_refusal_says_why(client, upstream, request_bytes, status, code):
    client.try_send(request_bytes)
    response = client.response()
    assert (response.status, response.from_serin) == (status, code)
    assert response.get("content-type") == b"application/problem+json" and code in response.body
    if status != 405:
        assert response.get("connection") == b"close" and client.closed()
    assert upstream.seen == [] and upstream.broken == []


# A proxy may refuse these or repair them. What it passes on has one meaning, and what follows is not smuggled.
EITHER = [
    case("a_length_and_chunked", framed(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nX"), b""),
    case("chunked_and_a_length", framed(b"Transfer-Encoding: chunked", b"Content-Length: 6", body=b"0\r\n\r\nX"), b""),
    case("chunked_in_http_1_0", head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n", b"hi", haproxy="speaks HTTP/1.0 on"),
    case("the_same_length_twice", framed(b"Content-Length: 5", b"Content-Length: 5"), b"hello"),
    case("the_same_length_twice_in_one_field", framed(b"Content-Length: 5, 5"), b"hello"),
    case("a_length_with_leading_zeros", framed(b"Content-Length: 0005"), b"hello"),
    case("a_fold", framed(b"Content-Length: 5", b"X-A: one\r\n two"), b"hello"),
    case("a_folded_length", framed(b"Content-Length:\r\n 5"), b"hello"),
    case("a_folded_coding", framed(b"Transfer-Encoding:\r\n chunked", body=b"2\r\nhi\r\n0\r\n\r\n"), b"hi"),
    case("bare_lf_everywhere", b"POST / HTTP/1.1\nHost: bot.example\nContent-Length: 5\n\nhello", b"hello"),
    case("a_control_byte_in_a_value", framed(b"Content-Length: 5", b"X-A: a\x01b"), b"hello"),
    case("an_unknown_expectation", framed(b"Content-Length: 5", b"Expect: bread"), b"hello"),
    case("http_1_2", head(b"POST / HTTP/1.2", b"Content-Length: 5") + b"hello", b"hello"),
    case("two_spaces_in_the_request_line", head(b"POST  / HTTP/1.1", b"Content-Length: 5") + b"hello", b"hello"),
    case("a_bare_percent_in_the_target", post(b"hello", target=b"/a%zz"), b"hello"),
    case("raw_utf8_in_the_target", post(b"hello", target=b"/\xc3\xa4"), b"hello"),
    case("quotes_and_braces_in_the_target", post(b"hello", target=b'/a"{b}|^`<>'), b"hello"),
    case("a_fragment_in_the_target", post(b"hello", target=b"/a#b"), b"hello"),
    case("a_backslash_in_the_target", post(b"hello", target=b"/a\\b"), b"hello"),
    case("an_empty_host", head(POST, b"Content-Length: 5", host=b"") + b"hello", b"hello"),
    case("options_asterisk", head(b"OPTIONS * HTTP/1.1", b"Content-Length: 5") + b"hello", b"hello"),
    case("150_fields", post(b"hello", *[b"X-%d: a" % n for n in range(150)]), b"hello"),
    case("a_chunk_size_with_leading_zeros", chunked(b"") [:-10] + b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    case("a_chunk_size_before_blanks", head(POST, b"Transfer-Encoding: chunked") + b"5  \r\nhello\r\n0\r\n\r\n", b"hello"),
]


@table("request_bytes, body", EITHER)
def test_a_doubtful_request_is_refused_or_made_plain(client, upstream, request_bytes, body):
    upstream.will(ok(b"doubtful"))
    client.send(request_bytes)
    response = client.response()
    if response.status == 200:
        request = upstream.request()
        assert request.whole and request.body == body
        assert b"\r\n " not in request.raw_head and b"\r\n\t" not in request.raw_head
        assert re.fullmatch(rb"[A-Z]+ [^ \r\n]+ HTTP/1\.1", request.line)
        assert len(upstream.seen) == 1
    else:
        assert response.status in {400, 417, 431, 501, 505}
        assert upstream.seen == [] and upstream.broken == []
    if b"0\r\n\r\nX" in request_bytes:
        # RFC 9112, 6.1: with both, the connection ends after the answer, whichever it is.
        assert client.closed()
        assert len(upstream.seen) <= 1
