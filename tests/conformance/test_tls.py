"""TLS in front of serin: what a handshake agrees on, what it refuses, and how a connection under TLS ends."""

import functools
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from harness import CLOSE, OK, PROXY, STATUS, Client, Reader, answer, get, ok, only_serin, opened, post
from http2 import PREFACE, SETTINGS, Http2, over_tls, plain, raw_frame, trusting

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")  # old versions are what is to be refused


class TlsClient(Client):
    """The raw client, over TLS."""

    def __init__(self, port, context=None, name="bot.example"):
        self.sock = over_tls(port, context or trusting(["http/1.1"]), name)
        self.reader = Reader(self.sock)


@pytest.fixture
def tls(proxy2):
    with opened(functools.partial(TlsClient, proxy2.tls)) as tls:
        yield tls


def openssl(proxy, *arguments, sent=b""):
    """What `openssl s_client` says. It ends when its input does."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.tls}", *arguments]
    done = subprocess.run(command, input=sent, capture_output=True, timeout=60)
    return (done.stdout + done.stderr).decode(errors="replace")


def weak():
    """A client that would take every version and cipher."""
    context = trusting(())
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    return context


# ------------------------------------------------------------------------------------------------------ handshakes


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_taken(tls, upstream, version):
    context = trusting(["http/1.1"])
    context.minimum_version = context.maximum_version = version
    client = tls(context)
    assert client.sock.version() == version.name.replace("_", ".")
    assert client.send(get()).response().body == b"ok"


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_versions_that_are_refused(proxy2, version):
    context = weak()
    context.maximum_version = ssl.TLSVersion[version]
    with pytest.raises(ssl.SSLError):
        over_tls(proxy2.tls, context)


@only_serin
@pytest.mark.parametrize("cipher", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256", "NULL-SHA256", "ADH-AES128-SHA"])
def test_weak_ciphers_are_refused(proxy2, cipher):
    """No forward secrecy, CBC, no encryption, no authentication."""
    context = weak()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher + ":@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        over_tls(proxy2.tls, context)


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_ciphers_of_tls_1_2(tls, upstream, cipher):
    context = trusting(["http/1.1"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    client = tls(context)
    assert client.sock.cipher()[0] == cipher
    assert client.send(get()).response().body == b"ok"


@pytest.mark.parametrize(
    "offered, agreed",
    [(["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["h2"], "h2"), (["spdy/3", "http/1.1"], "http/1.1"), ([], None)],
    ids=["both", "both_the_other_way", "http_1", "http_2", "an_unknown_one_too", "none"],
)
def test_the_protocol_that_is_agreed_on(proxy2, upstream, offered, agreed):
    sock = over_tls(proxy2.tls, trusting(offered))
    if PROXY == "serin" or agreed != "h2":
        assert sock.selected_alpn_protocol() == agreed
    if sock.selected_alpn_protocol() == "h2":
        assert Http2(sock).request().status == 200
    else:
        sock.sendall(get())
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200")
    sock.close()


@only_serin
@pytest.mark.parametrize("offered", [["spdy/3"], ["http/1.0"], ["h3"]])
def test_protocols_that_serin_does_not_speak_are_refused(proxy2, offered):
    """RFC 7301, 3.2: by the alert no_application_protocol."""
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        over_tls(proxy2.tls, trusting(offered))


@only_serin
def test_http_2_needs_to_be_agreed_on(tls, upstream):
    """A client that agreed on HTTP/1.1, or on nothing, and begins in HTTP/2 is no client of HTTP/1.1."""
    for offered in (["http/1.1"], []):
        client = tls(trusting(offered))
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert client.closed()
    assert upstream.heads == 0


@only_serin
def test_http_1_where_http_2_was_agreed_on_is_refused(tls, upstream):
    client = tls(trusting(["h2"]))
    client.send(get())
    got = b""
    try:
        while piece := client.sock.recv(65_536):
            got += piece
    except OSError:
        pass
    assert b"HTTP/1" not in got
    assert upstream.heads == 0


@only_serin
def test_http_2_can_be_switched_off(start2, upstream):
    proxy = start2(http2="off")
    sock = over_tls(proxy.tls, trusting(["h2", "http/1.1"]))
    assert sock.selected_alpn_protocol() == "http/1.1"
    with pytest.raises(ssl.SSLError):
        over_tls(proxy.tls, trusting(["h2"]))
    client = Client(proxy.port)
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert client.closed()


@pytest.mark.parametrize("name", ["bot.example", "BOT.example", "unknown.example", None], ids=["its_name", "capitals", "an_unknown_name", "no_name"])
def test_any_name_is_served(tls, upstream, name):
    client = tls(trusting(["http/1.1"]), name)
    assert b"bot.example" in client.sock.getpeercert(binary_form=True)
    assert client.send(get()).response().body == b"ok"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sessions_are_resumed(proxy2, upstream, version):
    """`openssl s_client -reconnect` is for TLS 1.2 only, so the session goes by a file."""
    file = proxy2.folder / f"session{version}"
    request = b"GET / HTTP/1.1\r\nHost: bot.example\r\nConnection: close\r\n\r\n"
    openssl(proxy2, version, "-ign_eof", "-sess_out", str(file), sent=request)
    again = openssl(proxy2, version, "-ign_eof", "-sess_in", str(file), sent=request)
    assert "Reused, " in again and "HTTP/1.1 200" in again


@only_serin
def test_no_early_data(proxy2, upstream):
    """An attacker could send it again."""
    file, early = proxy2.folder / "session-early", proxy2.folder / "early"
    early.write_bytes(b"POST / HTTP/1.1\r\nHost: bot.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    request = b"GET / HTTP/1.1\r\nHost: bot.example\r\nConnection: close\r\n\r\n"
    said = openssl(proxy2, "-tls1_3", "-ign_eof", "-sess_out", str(file), sent=request)
    assert "Max Early Data: 0" in said
    said = openssl(proxy2, "-tls1_3", "-ign_eof", "-sess_in", str(file), "-early_data", str(early), sent=request)
    assert "Early data was accepted" not in said
    assert all(r.line.startswith(b"GET") for r in upstream.seen)


def test_no_renegotiation(proxy2, upstream):
    """`R` asks for one, in TLS 1.2; TLS 1.3 has none. The client checks the certificate in each handshake, and says so."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy2.tls}", "-tls1_2"]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = b""
    while b"Verify return code" not in said:
        said += client.stdout.read1()
    once = said.count(b"verify return:1")
    client.stdin.write(b"R\n")
    client.stdin.flush()
    time.sleep(0.5)
    client.kill()
    said += client.communicate()[0]
    assert b"RENEGOTIATING" in said and said.count(b"verify return:1") == once
    assert TlsClient(proxy2.tls).send(get()).response().status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("offered", ["http/1.1", "h2"])
def test_a_request_in_one_packet_with_the_end_of_the_handshake(proxy2, upstream, version, offered):
    """TLS has then read the request with the handshake, and nothing more comes from the socket."""
    context = trusting([offered])
    context.minimum_version = context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaker, sock = context.wrap_bio(incoming, outgoing, server_hostname="bot.example"), plain(proxy2.tls)
    while True:
        try:
            shaker.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65_536))
    shaker.write(get() if offered == "http/1.1" else PREFACE + raw_frame(SETTINGS))
    sock.sendall(outgoing.read())
    sock.settimeout(5)
    got = b""
    while not got:
        incoming.write(sock.recv(65_536))
        try:
            got = shaker.read(65_536)
        except ssl.SSLWantReadError:
            pass
    assert got.startswith(b"HTTP/1.1 200") if offered == "http/1.1" else got[3] == SETTINGS
    sock.close()


# ---------------------------------------------------------------------------------------------- broken handshakes


def hello(proxy):
    """The first bytes of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaker = trusting().wrap_bio(incoming, outgoing, server_hostname="bot.example")
    with pytest.raises(ssl.SSLWantReadError):
        shaker.do_handshake()
    return outgoing.read()


@only_serin
@pytest.mark.parametrize("cut", [1, 5, 100, None], ids=["a_byte", "a_header", "half_a_hello", "a_whole_hello"])
@pytest.mark.parametrize("end", ["fin", "reset", "silence"])
def test_a_handshake_that_breaks_off(proxy2, upstream, cut, end):
    """`head_timeout` is 1 s."""
    client = Client(proxy2.tls)
    client.send(hello(proxy2)[:cut])
    since = time.monotonic()
    if end == "reset":
        client.reset()
    else:
        if end == "fin":
            client.finish()
        try:
            while client.sock.recv(65_536):
                pass
        except ConnectionError:
            pass
        assert time.monotonic() - since < 10
    assert TlsClient(proxy2.tls).send(get()).response().status == 200


@only_serin
def test_a_handshake_byte_by_byte_is_cut_off(proxy2):
    client, since = Client(proxy2.tls), time.monotonic()
    for byte in hello(proxy2):
        if not client.try_send(bytes([byte])) or not client.silent(0.02):
            break
    try:
        while client.sock.recv(65_536):
            pass
    except ConnectionError:
        pass
    assert 0.8 < time.monotonic() - since < 10


@only_serin
def test_handshakes_are_counted(proxy2):
    name, labels = "serin_client_connections_closed_total", {"reason": "handshake"}
    before = proxy2.metric(name, **labels)
    client = Client(proxy2.tls)
    client.send(b"\x16\x03\x01\x00\x05hello")
    client.sock.recv(100)
    proxy2.counts(before + 1, name, **labels)


@pytest.mark.parametrize(
    "sent",
    [get(), post(b"hello" * 5000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + bytes(70_000), b"\x80\x2e\x01\x00\x02"],
    ids=["http_1", "a_large_request", "http_2", "zeros", "a_record_that_is_too_long", "ssl_2"],
)
def test_what_is_no_tls_is_refused(proxy2, upstream, sent):
    client = Client(proxy2.tls)
    client.try_send(sent)
    got, since = b"", time.monotonic()
    try:
        while piece := client.sock.recv(65_536):
            got += piece
    except ConnectionError:
        pass
    assert time.monotonic() - since < 10
    # An alert, or a word in HTTP for a client that forgot the s in https.
    assert got == b"" or got[0] == 0x15 or got.startswith(b"HTTP/1.") or b"400" in got
    assert upstream.heads == 0


@only_serin
def test_http_without_tls_is_told_so(proxy2, upstream):
    """A client that forgot the s in https sees why."""
    client = Client(proxy2.tls)
    response = client.send(get()).response()
    assert response.status == 400 and response.whole and b"TLS" in response.body and response.get("connection") == b"close"
    assert client.closed() and upstream.heads == 0


def test_tls_where_none_is_spoken_is_refused(proxy2, upstream):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        over_tls(proxy2.port)
    assert upstream.heads == 0


# ------------------------------------------------------------------------------------------- how a connection ends


def test_bodies_pass_whole(tls, upstream):
    big = bytes(range(256)) * 8192
    upstream.will(ok(big))
    client = tls()
    response = client.send(post(big)).response()
    assert response.body == big and upstream.request().body == big


def test_a_close_is_announced(tls, upstream):
    """close_notify, by which the client knows that nothing was cut off. Python raises without it."""
    client = tls()
    client.sock.suppress_ragged_eofs = False
    client.send(get(b"/", b"Connection: close"))
    assert client.response().whole
    assert client.sock.recv(100) == b""


def test_a_close_after_http_2_is_announced(proxy2, upstream):
    sock = over_tls(proxy2.tls)
    sock.suppress_ragged_eofs = False
    client = Http2(sock)
    assert client.request().status == 200
    client.send(bytes(9 * 3))  # DATA on stream 0 ends the connection
    while not client.ended:
        client.pump(ends=True)
    assert client.ended == "fin"
    sock.close()


@only_serin
def test_half_a_connection_is_answered(tls, upstream):
    """The client's close_notify ends its own direction only (RFC 8446, 6.1)."""
    go = threading.Event()
    upstream.will(answer(go.wait, OK))
    client = tls()
    client.send(get())
    upstream.request()
    socket.socket.shutdown(client.sock, socket.SHUT_WR)
    time.sleep(0.2)
    go.set()
    assert b"ok" in client.sock.recv(65_536)


@only_serin
def test_a_request_body_that_is_cut_off_does_not_look_whole(tls, upstream):
    """By a FIN without close_notify: an attacker may cut a connection anywhere."""
    client = tls()
    client.send(b"POST /streamed HTTP/1.1\r\nHost: bot.example\r\nContent-Length: 10\r\n\r\nhello")
    upstream.begun()
    socket.socket.shutdown(client.sock, socket.SHUT_WR)
    assert upstream.broken_request().connection.ended()
    assert upstream.seen == []


@only_serin
def test_an_answer_that_breaks_off_is_not_announced_as_whole(tls, upstream):
    """HTTP/1.0 takes the connection's end for the body's: a broken one must end without close_notify."""
    upstream.will(answer(STATUS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSE))
    client = tls()
    client.sock.suppress_ragged_eofs = False
    client.send(b"GET / HTTP/1.0\r\nHost: bot.example\r\n\r\n")
    with pytest.raises(OSError):
        while client.sock.recv(65_536):
            pass


def test_a_reset_of_the_client_is_noticed(tls, proxy2, upstream):
    client = tls()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()
    assert plain(proxy2.tls)
