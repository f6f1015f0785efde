"""What of a request's head reaches the upstream: every byte that is for it, and nothing that was for the proxy."""

import pytest

from cases import TARGETS
from harness import case, differs, get, head, ok, post, table


@table(
    "target",
    [
        *TARGETS,
        case("a_dot", b"/./a/."),
        case("escaped_dots", b"/a/%2e%2e/b"),
        case("an_escaped_letter", b"/%61%41"),
        case("a_query_with_empty_pairs", b"/a?&&=&a=&b"),
        case("parameters", b"/a;b=c;d/e"),
        case("sub_delimiters", b"/!$&'()*+,;=:@-._~"),
        case("a_long_path", b"/" + b"a" * 4000),
        case("a_long_query", b"/?" + b"a=b&" * 1000),
    ],
)
def test_the_target_passes_byte_for_byte(client, upstream, target):
    assert client.send(get(target)).response().status == 200
    assert upstream.request().line == b"GET " + target + b" HTTP/1.1"


@table(
    "line, wanted",
    [
        case("http_1_0_becomes_1_1", b"GET /a HTTP/1.0", b"GET /a HTTP/1.1", haproxy="speaks HTTP/1.0 on"),
        case("post", b"POST /a HTTP/1.1", b"POST /a HTTP/1.1"),
        case("put", b"PUT /a HTTP/1.1", b"PUT /a HTTP/1.1"),
        case("patch", b"PATCH /a HTTP/1.1", b"PATCH /a HTTP/1.1"),
        case("delete", b"DELETE /a HTTP/1.1", b"DELETE /a HTTP/1.1"),
        case("options", b"OPTIONS /a HTTP/1.1", b"OPTIONS /a HTTP/1.1"),
        case("an_unknown_method", b"BREW /a HTTP/1.1", b"BREW /a HTTP/1.1"),
        case("a_method_with_a_dash", b"VERSION-CONTROL /a HTTP/1.1", b"VERSION-CONTROL /a HTTP/1.1"),
        case("a_method_in_lower_case", b"get /a HTTP/1.1", b"get /a HTTP/1.1", nginx="400"),
    ],
)
def test_the_method_passes(client, upstream, line, wanted):
    assert client.send(head(line)).response(line.split()[0]).status == 200
    assert upstream.request().line == wanted


@differs(haproxy="passes the absolute form on")
def test_the_absolute_form_names_the_host(client, upstream):
    """RFC 9112, 3.2.2: the target's authority stands for Host, and an origin server gets the origin form."""
    client.send(head(b"GET http://other.example:81/a?b HTTP/1.1", host=b"other.example:81"))
    assert client.response().status == 200
    request = upstream.request()
    assert request.line == b"GET /a?b HTTP/1.1"
    assert request.get("host") == b"other.example:81"


@differs(nginx="keeps the Host field", haproxy="refuses it")
def test_the_absolute_form_wins_over_the_host_field(client, upstream):
    client.send(head(b"GET http://other.example/a HTTP/1.1", host=b"bot.example"))
    assert client.response().status == 200
    request = upstream.request()
    assert request.get("host") == b"other.example"


@table(
    "fields",
    [
        case("a_plain_field", [(b"X-A", b"b")]),
        case("duplicates_in_their_order", [(b"X-A", b"1"), (b"X-A", b"2"), (b"X-A", b"0"), (b"X-A", b"1")]),
        case("an_empty_value", [(b"X-A", b"")]),
        case("an_empty_value_among_others", [(b"X-A", b"1"), (b"X-A", b""), (b"X-A", b"2")]),
        case("obs_text", [(b"X-A", b"caf\xe9 \xc3\xa9 \xff\x80")]),
        case("a_tab_inside_a_value", [(b"X-A", b"a\tb")]),
        case("blanks_inside_a_value", [(b"X-A", b"a   b")]),
        case("a_colon_and_commas", [(b"X-A", b"a:b,c, d;e=\"f\\\"\"")]),
        case("a_value_of_6_kb", [(b"X-A", b"a" * 6000)]),
        case("every_token_character", [(b"X!#$%&'*+-.^_`|~0aZ", b"1")], nginx="drops such names"),
        case("an_underscore_in_a_name", [(b"X_A", b"1")]),
        case("two_cookies", [(b"Cookie", b"a=1"), (b"Cookie", b"b=2")]),
        case("authorization", [(b"Authorization", b"Bearer abc==")]),
        case("slacks_signature", [(b"X-Slack-Signature", b"v0=00ff"), (b"X-Slack-Request-Timestamp", b"1531420618")]),
        case("discords_signature", [(b"X-Signature-Ed25519", b"00ff"), (b"X-Signature-Timestamp", b"1531420618")]),
        case("githubs_signature", [(b"X-Hub-Signature-256", b"sha256=00ff"), (b"X-GitHub-Event", b"push")]),
        case("accept_encoding", [(b"Accept-Encoding", b"gzip, br;q=0.5")]),
        case("user_agent", [(b"User-Agent", b"Slackbot 1.0 (+https://api.slack.com/robots)")]),
        case("date", [(b"Date", b"Tue, 15 Nov 1994 08:12:31 GMT")]),
        case("range_and_conditions", [(b"Range", b"bytes=0-1"), (b"If-None-Match", b'"a"')]),
        case("max_forwards", [(b"Max-Forwards", b"1")]),
        case("sixty_fields", [(b"X-%d" % n, b"%d" % n) for n in range(60)]),
    ],
)
def test_a_field_passes_as_it_came(client, upstream, fields):
    assert client.send(get(b"/", *[n + b": " + v for n, v in fields])).response().status == 200
    request = upstream.request()
    for name in dict(fields):
        assert request.all(name.decode()) == [v for n, v in fields if n == name]


def test_blanks_around_a_value_are_not_part_of_it(client, upstream):
    assert client.send(get(b"/", b"X-A: \t b \t ", b"X-B:c")).response().status == 200
    request = upstream.request()
    assert request.get("x-a") == b"b" and request.get("x-b") == b"c"


def test_nothing_is_invented(client, upstream):
    """The proxy adds only the few fields that describe the client."""
    assert client.send(get()).response().status == 200
    mine = {"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via", "connection", "traceparent"}
    assert {name for name, _ in upstream.request().fields} - mine == set()


@table(
    "host",
    [
        case("a_name", b"bot.example"),
        case("a_name_and_port", b"bot.example:8443"),
        case("capitals", b"Bot.Example"),
        case("an_address", b"192.0.2.1:80"),
        case("an_ipv6_address", b"[2001:db8::1]:443"),
        case("an_underscore", b"my_bot.example"),
    ],
)
def test_the_host_is_preserved(client, upstream, host):
    assert client.send(head(b"GET / HTTP/1.1", host=host)).response().status == 200
    assert upstream.request().get("host") == host


@table(
    "fields, absent",
    [
        case("connection_close", [b"Connection: close"], ["keep-alive"]),
        case("connection_keep_alive", [b"Connection: keep-alive", b"Keep-Alive: timeout=5"], ["keep-alive"], haproxy="passes Keep-Alive on"),
        case("a_nominated_field", [b"Connection: X-Mine", b"X-Mine: 1"], ["x-mine"], nginx="passes it on", haproxy="passes it on"),
        case("nominated_fields_in_any_case", [b"connection: close, x-MINE ,X-Too", b"X-Mine: 1", b"X-Too: 2"], ["x-mine", "x-too"], nginx="passes them on", haproxy="passes them on"),
        case("nominated_in_two_fields", [b"Connection: X-Mine", b"Connection: X-Too", b"X-Mine: 1", b"X-Too: 2"], ["x-mine", "x-too"], nginx="passes them on", haproxy="passes them on"),
        case("proxy_connection", [b"Proxy-Connection: keep-alive"], ["proxy-connection"], nginx="passes it on", haproxy="passes it on"),
        case("te_gzip", [b"TE: gzip", b"Connection: TE"], ["te"]),
        case("upgrade", [b"Upgrade: websocket"], ["upgrade"], haproxy="passes it on"),
        case("upgrade_to_h2c", [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"], ["upgrade", "http2-settings"], nginx="passes HTTP2-Settings on", haproxy="passes HTTP2-Settings on"),
        case("proxy_authorization", [b"Proxy-Authorization: Basic YTpi"], ["proxy-authorization"], nginx="passes it on", haproxy="passes it on"),
    ],
)
def test_fields_of_the_connection_are_removed(client, upstream, fields, absent):
    assert client.send(get(b"/", *fields, b"X-Other: 1")).response().status == 200
    request = upstream.request()
    assert {name for name in absent if request.has(name)} == set()
    assert request.get("x-other") == b"1"
    assert b"close" not in b",".join(request.all("connection")).lower(), "the upstream's connection is not the client's to close"


@table(
    "nominated",
    [case("host", b"Host"), case("the_length", b"Content-Length"), case("the_type", b"Content-Type"), case("the_clients_address", b"X-Forwarded-For")],
)
def test_connection_cannot_remove_fields_that_the_message_needs(client, upstream, nominated):
    client.send(post(b'{"a":1}', b"Content-Type: application/json", b"Connection: " + nominated))
    assert client.response().status == 200
    request = upstream.request()
    assert request.get("host") == b"bot.example"
    assert request.get("content-type") == b"application/json"
    assert request.body == b'{"a":1}'
    assert b"127.0.0.1" in b", ".join(request.all("x-forwarded-for"))


@differs(haproxy="writes names in lower case")
def test_names_keep_their_case_in_both_directions(client, upstream):
    upstream.will(ok(b"ok", b"X-ODD-Name: 1"))
    response = client.send(get(b"/", b"X-Slack-sIGNATURE: v0")).response()
    assert b"\r\nX-Slack-sIGNATURE: v0\r\n" in upstream.request().raw_head
    assert b"\r\nX-ODD-Name: 1\r\n" in response.raw_head


def test_trailer_is_kept(client, upstream):
    client.send(head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Trailer: X-Sum") + b"2\r\nhi\r\n0\r\n\r\n")
    assert client.response().status == 200
    assert upstream.request().get("trailer") == b"X-Sum"


@table(
    "came, wanted",
    [
        case("none", [], b"127.0.0.1"),
        case("one", [b"X-Forwarded-For: 192.0.2.7"], b"192.0.2.7, 127.0.0.1"),
        case("a_list", [b"X-Forwarded-For: 192.0.2.7, 192.0.2.8"], b"192.0.2.7, 192.0.2.8, 127.0.0.1"),
        case("two_fields", [b"X-Forwarded-For: 192.0.2.7", b"x-forwarded-for: 192.0.2.8"], b"192.0.2.7, 192.0.2.8, 127.0.0.1"),
    ],
)
def test_the_clients_address_is_appended(client, upstream, came, wanted):
    assert client.send(get(b"/", *came)).response().status == 200
    assert b", ".join(upstream.request().all("x-forwarded-for")) == wanted


def test_the_scheme_and_the_host_are_said(client, upstream):
    assert client.send(head(b"GET / HTTP/1.1", host=b"bot.example:8443")).response().status == 200
    request = upstream.request()
    assert request.get("x-forwarded-proto") == b"http"
    assert request.get("x-forwarded-host") == b"bot.example:8443"


@differs(nginx="configured to say its own", haproxy="configured to say its own")
def test_the_scheme_and_the_host_of_a_proxy_in_front_stand(client, upstream):
    client.send(get(b"/", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: front.example"))
    assert client.response().status == 200
    request = upstream.request()
    assert request.get("x-forwarded-proto") == b"https"
    assert request.get("x-forwarded-host") == b"front.example"


def test_via_grows(client, upstream):
    assert client.send(get(b"/", b"Via: 1.1 front")).response().status == 200
    assert b", ".join(upstream.request().all("via")).startswith(b"1.1 front")


@pytest.mark.parametrize("lines", [b"\r\n", b"\r\n\r\n"], ids=["one", "two"])
def test_empty_lines_before_a_request_are_skipped(client, upstream, lines):
    assert client.send(lines + get(b"/a")).response().status == 200
    assert client.send(lines + get(b"/b")).response().status == 200
    assert upstream.request(1).line == b"GET /b HTTP/1.1"


def test_a_head_can_come_byte_by_byte(client, upstream):
    client.trickle(post(b"hello", b"X-A: b", target=b"/slow"))
    assert client.response().status == 200
    request = upstream.request()
    assert request.line == b"POST /slow HTTP/1.1" and request.body == b"hello" and request.get("x-a") == b"b"
