"""Frames that RFC 9113 and RFC 7541 forbid: the stream or the connection ends with the error that they name, and nothing of a
malformed request reaches the upstream. The cases cover those of h2spec, which cannot be had as a package; its sections are named."""

import struct

import pytest

from harness import CLOSE, PROXY, answer, case, ok, only_serin, table
from http2 import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Answer2,
    fields_of,
    raw_frame,
    u32,
)

# RFC 9113, 5.4: an endpoint may treat a stream error as a connection error, so each test of a stream takes both. And its code may be
# the general one: serin's library says PROTOCOL_ERROR where RFC 9113 has a more exact code.
GENERAL = PROTOCOL_ERROR


def setting(identifier, value):
    return raw_frame(SETTINGS, payload=struct.pack(">HI", identifier, value))


def get_block(client, *fields, **how):
    return client.block(fields_of(*fields, **how))


# --------------------------------------------------------------------------------------- 3.4: the preface


@table(
    "first",
    [
        case("another_word", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
        case("another_version", b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n"),
        case("no_settings", PREFACE + raw_frame(PING, payload=bytes(8))),
        case("zeros", bytes(64)),
    ],
)
def test_a_wrong_preface_ends_the_connection(connect2, upstream, first):
    client = connect2(begins=False)
    client.try_send(first)
    while not client.ended:
        try:
            client.fill()
        except Exception:
            break
    assert client.ended and upstream.heads == 0


def test_a_preface_can_come_byte_by_byte(connect2, upstream):
    client = connect2(begins=False)
    for byte in PREFACE + raw_frame(SETTINGS):
        client.send(bytes([byte]))
    assert client.request().status == 200


@only_serin
def test_http_1_is_spoken_beside_it(connect2, upstream):
    client = connect2(begins=False)
    client.send(b"GET / HTTP/1.1\r\nHost: bot.example\r\n\r\n")
    while b"\r\n\r\nok" not in client.buffer:
        client.fill()


@only_serin
def test_no_upgrade_to_http_2(connect2, upstream):
    """RFC 9113, 3.1: the upgrade from HTTP/1.1 is obsolete. The request is answered in HTTP/1.1."""
    client = connect2(begins=False)
    client.send(b"GET / HTTP/1.1\r\nHost: bot.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
    while b"\r\n\r\nok" not in client.buffer:
        client.fill()
    assert client.buffer.startswith(b"HTTP/1.1 200")
    assert not upstream.request().has("upgrade") and not upstream.request().has("http2-settings")


# ------------------------------------------------------------------- frames that are the connection's error


CONNECTION_ERRORS = [
    # 4.2: a frame above SETTINGS_MAX_FRAME_SIZE that changes the connection's state
    case("a_headers_frame_over_the_size", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes(16_385)), {FRAME_SIZE_ERROR}),
    case("a_settings_frame_over_the_size", raw_frame(SETTINGS, payload=bytes(16_386)), {FRAME_SIZE_ERROR}),
    case("a_frame_of_16_mb", raw_frame(DATA, 0, 1, bytes(100), length=0xFFFFFF), {FRAME_SIZE_ERROR}),
    # 5.1: idle streams
    case("data_on_an_idle_stream", raw_frame(DATA, END_STREAM, 1, b"hello"), {PROTOCOL_ERROR, STREAM_CLOSED}),
    case("rst_stream_on_an_idle_stream", raw_frame(RST_STREAM, 0, 1, u32(CANCEL)), {PROTOCOL_ERROR}),
    case("window_update_on_an_idle_stream", raw_frame(WINDOW_UPDATE, 0, 1, u32(100)), {PROTOCOL_ERROR}),
    case("continuation_on_an_idle_stream", raw_frame(CONTINUATION, END_HEADERS, 1, b""), {PROTOCOL_ERROR}),
    # 5.1.1: stream identifiers
    case("headers_on_an_even_stream", raw_frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82\x86\x84\x41\x01a"), {PROTOCOL_ERROR}),
    case("headers_on_stream_zero", raw_frame(HEADERS, END_HEADERS | END_STREAM, 0, b"\x82\x86\x84\x41\x01a"), {PROTOCOL_ERROR}),
    # 6.1 and 6.2: padding
    case("data_on_stream_zero", raw_frame(DATA, END_STREAM, 0, b"hello"), {PROTOCOL_ERROR}),
    case("headers_with_too_much_padding", raw_frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x20\x82\x86\x84"), {PROTOCOL_ERROR}),
    case("headers_with_padding_and_no_length", raw_frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b""), {PROTOCOL_ERROR, FRAME_SIZE_ERROR}),
    case("headers_too_short_for_a_priority", raw_frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, b"\0\0"), {PROTOCOL_ERROR, FRAME_SIZE_ERROR}),
    # 6.3
    case("priority_on_stream_zero", raw_frame(PRIORITY, 0, 0, bytes(5)), {PROTOCOL_ERROR}),
    # 6.4
    case("rst_stream_on_stream_zero", raw_frame(RST_STREAM, 0, 0, u32(CANCEL)), {PROTOCOL_ERROR}),
    case("rst_stream_of_three_bytes", raw_frame(RST_STREAM, 0, 1, bytes(3)), {FRAME_SIZE_ERROR, PROTOCOL_ERROR}),
    # 6.5
    case("settings_on_a_stream", raw_frame(SETTINGS, 0, 1, b""), {PROTOCOL_ERROR}),
    case("settings_of_five_bytes", raw_frame(SETTINGS, payload=bytes(5)), {FRAME_SIZE_ERROR}),
    case("an_acknowledgement_with_settings", raw_frame(SETTINGS, ACK, payload=bytes(6)), {FRAME_SIZE_ERROR}),
    case("a_push_setting_of_two", setting(2, 2), {PROTOCOL_ERROR}),
    case("a_window_above_its_maximum", setting(4, 2**31), {FLOW_CONTROL_ERROR}),
    case("a_frame_size_below_its_minimum", setting(5, 16_383), {PROTOCOL_ERROR}),
    case("a_frame_size_above_its_maximum", setting(5, 2**24), {PROTOCOL_ERROR}),
    # 6.6
    case("a_push_promise", raw_frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + b"\x82"), {PROTOCOL_ERROR}),
    # 6.7
    case("a_ping_on_a_stream", raw_frame(PING, 0, 1, bytes(8)), {PROTOCOL_ERROR}),
    case("a_ping_of_seven_bytes", raw_frame(PING, payload=bytes(7)), {FRAME_SIZE_ERROR}),
    # 6.8
    case("a_goaway_on_a_stream", raw_frame(GOAWAY, 0, 1, bytes(8)), {PROTOCOL_ERROR}),
    # 6.9
    case("a_window_update_of_zero", raw_frame(WINDOW_UPDATE, 0, 0, u32(0)), {PROTOCOL_ERROR}),
    case("a_window_update_of_three_bytes", raw_frame(WINDOW_UPDATE, 0, 0, bytes(3)), {FRAME_SIZE_ERROR}),
    case("a_window_update_over_the_maximum", raw_frame(WINDOW_UPDATE, 0, 0, u32(2**31 - 1)) * 2, {FLOW_CONTROL_ERROR}),
    # 6.10
    case("a_continuation_after_a_whole_block", raw_frame(HEADERS, END_HEADERS, 1, b"\x82\x86\x84\x41\x01a") + raw_frame(CONTINUATION, END_HEADERS, 1, b""), {PROTOCOL_ERROR}),
    case("another_frame_within_a_block", raw_frame(HEADERS, 0, 1, b"\x82\x86\x84") + raw_frame(PING, payload=bytes(8)), {PROTOCOL_ERROR}),
    case("an_unknown_frame_within_a_block", raw_frame(HEADERS, 0, 1, b"\x82\x86\x84") + raw_frame(0xBE, payload=bytes(8)), {PROTOCOL_ERROR}),
    case("a_continuation_of_another_stream", raw_frame(HEADERS, 0, 1, b"\x82\x86\x84") + raw_frame(CONTINUATION, END_HEADERS, 3, b""), {PROTOCOL_ERROR}),
    # RFC 7541
    case("an_index_that_does_not_exist", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\x03"), {COMPRESSION_ERROR}),
    case("an_index_of_zero", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"), {COMPRESSION_ERROR}),
    case("a_table_size_above_its_setting", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\x7f\x82\x86\x84"), {COMPRESSION_ERROR}),
    case("a_table_size_behind_a_field", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x41\x01a\x20"), {COMPRESSION_ERROR}),
    case("an_integer_without_end", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x7f" + b"\xff" * 20), {COMPRESSION_ERROR}),
    case("a_string_longer_than_the_block", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x00\x05ab"), {COMPRESSION_ERROR}),
    case("huffman_padding_of_zeros", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x00\x81\x18\x01a"), {COMPRESSION_ERROR}),
    case("huffman_padding_of_a_byte", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x00\x82\x1f\xff\x01a"), {COMPRESSION_ERROR}),
    case("huffman_with_its_end_symbol", raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x00\x84\xff\xff\xff\xff\x01a"), {COMPRESSION_ERROR}),
]


@table("wire, codes", CONNECTION_ERRORS)
def test_it_is_the_connections_error(client2, connect2, upstream, wire, codes):
    client2.settle()
    client2.answers[1] = Answer2()
    client2.try_send(wire)
    assert client2.refused(*codes, GENERAL), f"the proxy says {client2.goaway}"
    assert upstream.seen == []
    assert connect2().request().status == 200, "the proxy lives on"


def test_it_is_the_connections_error_after_a_request_too(client2, upstream):
    assert client2.request().status == 200
    client2.try_send(raw_frame(SETTINGS, payload=bytes(5)))
    assert client2.refused(FRAME_SIZE_ERROR, GENERAL)


def test_a_window_that_overflows_by_a_setting_is_the_connections_error(client2, upstream):
    """6.9.2. A stream must be open, so that there is a window to overflow."""
    client2.begin(fields_of(method=b"POST"), stream=1)
    client2.send(raw_frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 1 - 65_535)))
    client2.try_send(setting(INITIAL_WINDOW_SIZE, 65_536))
    assert client2.refused(FLOW_CONTROL_ERROR, GENERAL) or client2.answers[1].reset == FLOW_CONTROL_ERROR


# ------------------------------------------------------------------------- frames that are a stream's error


@table(
    "wire, codes",
    [
        case("data_over_the_frame_size", lambda s: raw_frame(DATA, 0, s, bytes(16_385)), {FRAME_SIZE_ERROR}),
        case("data_with_too_much_padding", lambda s: raw_frame(DATA, PADDED, s, b"\x06hello"), {PROTOCOL_ERROR}),
        case("a_window_update_of_zero", lambda s: raw_frame(WINDOW_UPDATE, 0, s, u32(0)), {PROTOCOL_ERROR}),
        case("a_window_update_over_the_maximum", lambda s: raw_frame(WINDOW_UPDATE, 0, s, u32(2**31 - 1)), {FLOW_CONTROL_ERROR}),
        case("a_priority_of_four_bytes", lambda s: raw_frame(PRIORITY, 0, s, bytes(4)), {FRAME_SIZE_ERROR}),
        case("a_priority_on_itself", lambda s: raw_frame(PRIORITY, 0, s, u32(s) + b"\0"), {PROTOCOL_ERROR, None}),
        case("trailers_without_the_end", lambda s: raw_frame(HEADERS, END_HEADERS, s, b"\x00\x01a\x01b"), {PROTOCOL_ERROR}),
    ],
)
def test_it_is_the_streams_error(client2, connect2, upstream, wire, codes):
    stream = client2.begin(fields_of(method=b"POST"))
    client2.settle()
    client2.try_send(wire(stream))
    if None in codes:  # RFC 9113, 5.3.2: priorities are obsolete, so they need not be checked
        client2.send(raw_frame(DATA, END_STREAM, stream, b""))
    response = client2.response(stream)
    assert response.reset in codes or client2.goaway in {*codes, GENERAL}
    assert upstream.seen == [] or None in codes
    assert connect2().request().status == 200


def test_data_over_the_streams_window_is_refused(client2, upstream, target):
    stream = client2.begin(fields_of(method=b"POST", path=target))
    client2.settle()
    # In one write, so that no window is opened meanwhile. It is more than the connection's window, too.
    client2.try_send(b"".join(raw_frame(DATA, 0, stream, bytes(16_000)) for _ in range(400)))
    client2.response(stream)
    assert client2.answers[stream].reset == FLOW_CONTROL_ERROR or client2.goaway == FLOW_CONTROL_ERROR or client2.ended == "reset"
    assert upstream.seen == []


def test_a_dependency_on_itself_is_no_request_that_is_lost(client2, upstream):
    """5.3.1 of RFC 7540 calls it an error, RFC 9113 ignores priorities: either is allowed, silence is not."""
    stream, block = client2.begin_by_hand(), get_block(client2)
    client2.send(raw_frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, stream, u32(stream) + b"\0" + block))
    response = client2.response(stream)
    assert response.status == 200 or response.reset == PROTOCOL_ERROR or client2.goaway == PROTOCOL_ERROR


# ------------------------------------------------------------------------------------ streams that have ended


@table(
    "wire",
    [
        case("data", lambda c, s: raw_frame(DATA, END_STREAM, s, b"hello")),
        case("headers", lambda c, s: raw_frame(HEADERS, END_HEADERS | END_STREAM, s, get_block(c))),
        case("continuation", lambda c, s: raw_frame(CONTINUATION, END_HEADERS, s, b"")),
    ],
)
def test_a_frame_behind_the_end_of_a_stream_is_refused(client2, connect2, upstream, wire):
    stream = client2.ask()
    assert client2.response(stream).status == 200
    client2.answers[stream].whole = False
    client2.try_send(wire(client2, stream))
    client2.try_send(raw_frame(PING, payload=b"settled?"))
    while not client2.ended and client2.answers[stream].reset is None and not client2.pongs:
        client2.pump(ends=True)
    assert len(upstream.seen) == 1
    refused = client2.goaway in (STREAM_CLOSED, PROTOCOL_ERROR) or client2.answers[stream].reset in (STREAM_CLOSED, PROTOCOL_ERROR) or client2.ended
    # A proxy may have forgotten the stream and pass over late DATA.
    assert refused or wire(client2, stream)[3] == DATA
    assert connect2().request().status == 200


@table(
    "wire",
    [
        case("rst_stream", lambda s: raw_frame(RST_STREAM, 0, s, u32(CANCEL))),
        case("window_update", lambda s: raw_frame(WINDOW_UPDATE, 0, s, u32(100))),
        case("priority", lambda s: raw_frame(PRIORITY, 0, s, u32(0) + b"\x0f")),
    ],
)
def test_late_frames_that_are_allowed_do_no_harm(client2, upstream, wire):
    stream = client2.ask()
    assert client2.response(stream).status == 200
    client2.send(wire(stream))
    assert client2.request().status == 200


def test_a_stream_identifier_cannot_be_used_again(client2, upstream):
    assert client2.request().status == 200
    client2.answers[1].whole = False
    client2.try_send(raw_frame(HEADERS, END_HEADERS | END_STREAM, 1, get_block(client2)))
    assert client2.refused(STREAM_CLOSED, PROTOCOL_ERROR)
    assert len(upstream.seen) == 1


def test_a_stream_identifier_cannot_go_back(client2, upstream):
    stream = client2.begin(fields_of(), end=True, stream=9)
    assert client2.response(stream).status == 200
    client2.answers[5] = client2.answers[9]
    client2.try_send(raw_frame(HEADERS, END_HEADERS | END_STREAM, 5, get_block(client2)))
    assert client2.refused(STREAM_CLOSED, PROTOCOL_ERROR)
    assert len(upstream.seen) == 1


def test_the_highest_stream_identifier_is_one(client2, upstream):
    assert client2.response(client2.begin(fields_of(), end=True, stream=2**31 - 1)).status == 200


# ------------------------------------------------------------------------------ what must be taken or ignored


@table(
    "wire",
    [
        case("an_unknown_frame", raw_frame(0xBE, 0xFF, 0, b"hello")),
        case("an_unknown_frame_on_an_idle_stream", raw_frame(0xBE, 0xFF, 77, b"hello")),
        case("an_unknown_setting", setting(0xBEEF, 1)),
        case("two_values_of_a_setting", raw_frame(SETTINGS, payload=struct.pack(">HIHI", 4, 1, 4, 70_000))),
        case("unknown_flags", raw_frame(PING, 0xFE, payload=bytes(8))),
        case("a_reserved_bit", raw_frame(WINDOW_UPDATE, 0, 0, u32(2**31 + 100))),
        case("a_priority_on_an_idle_stream", raw_frame(PRIORITY, 0, 33, u32(0) + b"\x0f")),
        case("an_unasked_pong", raw_frame(PING, ACK, payload=bytes(8))),
        case("a_table_size_of_zero", setting(1, 0)),
        case("no_push", setting(2, 0)),
    ],
)
def test_it_does_no_harm(client2, upstream, wire):
    client2.settle()
    client2.send(wire)
    assert client2.request((b"x-a", b"1")).status == 200


def test_a_head_in_many_frames(client2, upstream):
    """Four that are not full, and an empty one. Nobody needs more: against floods serin takes five for `max_head` = 64 KiB."""
    block = get_block(client2, *[(b"x-%d" % n, b"a" * 100) for n in range(20)])
    stream, size = client2.begin_by_hand(), len(block) // 4
    pieces = [block[:size], block[size : 2 * size], block[2 * size : 3 * size], block[3 * size :]]
    client2.send(raw_frame(HEADERS, END_STREAM | PADDED | WITH_PRIORITY, stream, b"\x03" + bytes(4) + b"\x0f" + pieces[0] + bytes(3)))
    for piece in pieces[1:]:
        client2.send(raw_frame(CONTINUATION, 0, stream, piece))
    client2.send(raw_frame(CONTINUATION, END_HEADERS, stream, b""))
    assert client2.response(stream).status == 200
    assert upstream.request().get("x-19") == b"a" * 100


def test_settings_are_acknowledged_and_pings_answered(client2, upstream):
    client2.until(lambda: client2.settled == 1)
    client2.send(setting(INITIAL_WINDOW_SIZE, 70_000) + raw_frame(PING, payload=b"12345678"))
    client2.until(lambda: client2.settled == 2 and client2.pongs)
    assert client2.pongs == [b"12345678"]


def test_our_settings_say_what_is_allowed(client2, upstream):
    client2.settle()
    theirs = client2.theirs
    assert theirs.get(3, 2**32) <= 200, "streams are bounded"
    if PROXY == "serin":
        assert (theirs[3], theirs[4], theirs[6]) == (100, 65_536, 65_536)


# --------------------------------------------------------------------------------------- malformed requests


MALFORMED = [
    # 8.2.1: field validity
    case("a_name_in_capitals", fields_of((b"X-A", b"1"))),
    case("a_name_with_one_capital", fields_of((b"x-a", b"1"), (b"x-B", b"1"))),
    case("a_space_in_a_name", fields_of((b"x a", b"1"))),
    case("a_colon_in_a_name", fields_of((b"x:a", b"1"))),
    case("a_nul_in_a_name", fields_of((b"x\0a", b"1"))),
    case("a_line_end_in_a_name", fields_of((b"x\r\na", b"1"))),
    case("a_high_byte_in_a_name", fields_of((b"x\xe9", b"1")), haproxy="passes it on"),
    case("an_empty_name", fields_of((b"", b"1"))),
    case("a_line_end_in_a_value", fields_of((b"x-a", b"1\r\nX-Evil: 1"))),
    case("a_cr_in_a_value", fields_of((b"x-a", b"1\r2"))),
    case("a_lf_in_a_value", fields_of((b"x-a", b"1\n2"))),
    case("a_nul_in_a_value", fields_of((b"x-a", b"1\x002"))),
    # 8.2.2: fields of the connection
    case("connection", fields_of((b"connection", b"close"))),
    case("keep_alive", fields_of((b"keep-alive", b"1")), nginx="passes over it", haproxy="passes over it"),
    case("proxy_connection", fields_of((b"proxy-connection", b"1")), nginx="passes it on", haproxy="passes over it"),
    case("transfer_encoding", fields_of((b"transfer-encoding", b"chunked"))),
    case("upgrade", fields_of((b"upgrade", b"h2c")), nginx="passes over it"),
    case("te_gzip", fields_of((b"te", b"gzip")), nginx="passes over it"),
    case("te_trailers_and_gzip", fields_of((b"te", b"trailers, gzip")), nginx="passes over it"),
    # 8.3: pseudo-header fields
    case("an_unknown_pseudo_field", fields_of((b":bot", b"1"))),
    case("an_answers_pseudo_field", [*fields_of(), (b":status", b"200")]),
    case("a_pseudo_field_behind_others", [*fields_of(path=None), (b"x-a", b"1"), (b":path", b"/")]),
    case("a_protocol_without_connect", [*fields_of(), (b":protocol", b"websocket")]),
    case("no_method", fields_of(method=None)),
    case("no_scheme", fields_of(scheme=None)),
    case("no_path", fields_of(path=None)),
    case("two_methods", [(b":method", b"GET"), *fields_of()]),
    case("two_schemes", [(b":scheme", b"http"), *fields_of()]),
    case("two_paths", [(b":path", b"/"), *fields_of()]),
    case("two_authorities", [(b":authority", b"bot.example"), *fields_of()]),
    case("an_empty_path", fields_of(path=b"")),
    case("an_empty_method", fields_of(method=b"")),
    case("a_path_without_a_slash", fields_of(path=b"foo")),
    case("a_path_that_is_a_url", fields_of(path=b"http://other.example/a"), haproxy="passes it on"),
    case("a_space_in_a_path", fields_of(path=b"/a b")),
    case("a_line_end_in_a_path", fields_of(path=b"/ HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /")),
    case("a_nul_in_a_path", fields_of(path=b"/a\0b")),
    case("a_space_in_a_method", fields_of(method=b"GET / HTTP/1.1\r\nX-A: ")),
    case("a_line_end_in_the_authority", fields_of(authority=b"bot.example\r\nX-Evil: 1")),
    case("a_space_in_the_authority", fields_of(authority=b"bot example")),
    case("a_slash_in_the_authority", fields_of(authority=b"bot.example/a"), haproxy="passes it on"),
    case("connect_with_a_path", fields_of(method=b"CONNECT")),
    # 8.1.1: lengths
    case("a_length_without_a_body", fields_of((b"content-length", b"5"))),
    case("a_length_in_words", fields_of((b"content-length", b"five"))),
    case("a_negative_length", fields_of((b"content-length", b"-5"))),
    case("lengths_that_differ", fields_of((b"content-length", b"0"), (b"content-length", b"5"))),
]


@table("fields", MALFORMED)
def test_a_malformed_request_is_refused(client2, connect2, upstream, target, fields):
    fields = [(n, target + v if n == b":path" and v == b"/" else v) for n, v in fields]
    stream = client2.begin(fields, end=True)
    response = client2.response(stream)
    assert response.reset is not None or client2.ended or 400 <= response.status < 500
    assert response.status is not None or response.reset in (PROTOCOL_ERROR, REFUSED_STREAM, None)
    assert upstream.seen == [] and upstream.broken == []
    assert connect2().request().status == 200


@table(
    "length, body",
    [
        case("more_than_announced", b"3", b"hello"),
        case("less_than_announced", b"8", b"hello"),
        case("nothing_of_what_was_announced", b"5", b""),
        case("something_that_was_not_announced", b"0", b"hello"),
        case("two_lengths", b"5, 6", b"hello"),
        case("a_length_of_a_hundred_digits", b"9" * 100, b"hello"),
        case("a_length_with_a_plus", b"+5", b"hello"),
    ],
)
def test_a_length_that_does_not_match_the_body_is_refused(client2, connect2, upstream, target, length, body):
    """A length that is reached looks whole until more comes, so the head and the body come together."""
    with client2.at_once():
        stream = client2.begin(fields_of((b"content-length", length), method=b"POST", path=target))
        client2.data(stream, body, end=True)
    response = client2.response(stream)
    assert response.reset is not None or client2.ended or 400 <= response.status < 500
    assert upstream.seen == [], "a part looked whole to the upstream, or more than the body"
    assert connect2().request().status == 200


@table(
    "trailers",
    [
        case("a_name_in_capitals", [(b"X-Sum", b"1")]),
        case("a_line_end_in_a_value", [(b"x-sum", b"1\r\nX-Evil: 1")]),
        case("a_field_of_the_connection", [(b"transfer-encoding", b"chunked")], nginx="passes over trailers", haproxy="passes over it"),
    ],
)
def test_malformed_trailers_are_refused(client2, connect2, upstream, target, trailers):
    stream = client2.ask(body=b"hello", trailers=trailers, path=target)
    response = client2.response(stream)
    assert response.reset is not None or client2.ended or response.status >= 400
    assert upstream.seen == []
    assert connect2().request().status == 200


def test_a_pseudo_field_in_trailers_does_not_reach_the_upstream(client2, upstream, target):
    response = client2.request(body=b"hello", trailers=[(b":path", b"/evil"), (b"x-sum", b"1")], path=target)
    if response.status == 200:
        assert upstream.request().trailers in ([], [("x-sum", b"1")])
        assert upstream.request().line == b"POST " + target + b" HTTP/1.1"


@only_serin
def test_what_is_left_of_a_refused_stream_does_no_harm(client2, upstream):
    """5.4.2: frames that were under way when the stream was reset are no error."""
    stream = client2.begin(fields_of((b"connection", b"close"), method=b"POST"))
    for _ in range(3):
        client2.data(stream, b"x" * 10_000)
    client2.send(raw_frame(WINDOW_UPDATE, 0, stream, u32(5)))
    client2.data(stream, b"", end=True)
    assert client2.response(stream).reset == PROTOCOL_ERROR
    assert client2.request(body=b"x" * 200_000).status == 200


def test_more_streams_than_allowed_are_refused(client2, upstream):
    """5.1.2. Those that are refused were not processed, so the client may repeat them (8.7)."""
    client2.settle()
    limit = client2.theirs[3]
    streams = [client2.begin(fields_of(method=b"POST", path=b"/streamed")) for _ in range(limit + 3)]
    client2.settle()
    resets = [client2.answers[s].reset for s in streams]
    assert resets[:limit] == [None] * limit
    assert all(r in (REFUSED_STREAM, PROTOCOL_ERROR) for r in resets[limit:]) or client2.goaway is not None
    for stream in streams[:limit]:
        client2.data(stream, b"", end=True)
    assert [client2.response(s).status for s in streams[:limit]] == [200] * limit


def test_interim_frames_of_two_answers_do_not_mix(client2, upstream):
    """Header blocks are contiguous, in both directions: large heads of many answers at once."""
    upstream.will(*[ok(b"%d" % n, b"X-Big: " + b"a" * 30_000) for n in range(20)])
    streams = [client2.ask() for _ in range(20)]
    assert sorted(int(client2.response(s).body) for s in streams) == list(range(20))


def test_answers_until_the_end_are_not_the_connections_end(client2, upstream):
    for _ in range(3):
        upstream.will(answer(b"HTTP/1.1 200 OK\r\n\r\nhello", CLOSE))
        assert client2.request().body == b"hello"
    assert client2.goaway is None
