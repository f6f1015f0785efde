"""A client in HTTP/2 that sends exact frames and reads strictly: every frame of the proxy must be one that RFC 9113 allows here."""

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass, field

import hpack
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from harness import WAIT_SECS, Ended, HasFields, Malformed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR = range(7)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(7, 12)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
WINDOW = 65_535
# What this client allows the proxy, if a test does not say otherwise.
FRAME_MAX = 16_384
OF_THE_CONNECTION = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"host"}


def u32(n):
    return struct.pack(">I", n)


def raw_frame(kind, flags=0, stream=0, payload=b"", length=None):
    """A frame of any content. `length` lies about the payload's."""
    size = len(payload) if length is None else length
    return u32(size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def fields_of(*fields, method=b"GET", path=b"/", authority=b"bot.example", scheme=b"http"):
    """The fields of a request. `None` leaves a pseudo-header field out."""
    pseudo = [(b":method", method), (b":scheme", scheme), (b":path", path), (b":authority", authority)]
    return [(name, value) for name, value in pseudo if value is not None] + list(fields)


@dataclass
class Answer2(HasFields):
    """An answer, as far as it came."""

    fields: list = None
    interim: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = None
    whole: bool = False
    reset: int = None  # the error code, if the proxy reset the stream
    announced: int = None  # content-length

    @property
    def status(self):
        return None if self.fields is None else int(dict(self.fields)[b":status"])

    def all(self, name):
        return [v for n, v in self.fields if n == name.encode()]

    @property
    def from_serin(self):
        return self.get("serin-error")


class Http2:
    """One connection. `settings` are the client's own; `windows` says whether what was read is granted again at once."""

    def __init__(self, sock, settings=None, windows=True, begins=True):
        self.sock, self.windows = sock, windows
        self.mine = {INITIAL_WINDOW_SIZE: WINDOW, MAX_FRAME_SIZE: FRAME_MAX, **(settings or {})}
        self.theirs = {INITIAL_WINDOW_SIZE: WINDOW, MAX_FRAME_SIZE: FRAME_MAX}
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder(max_header_list_size=1 << 20)
        self.buffer, self.next_stream = bytearray(), 1
        self.answers, self.granted, self.window = {}, {0: WINDOW}, {0: WINDOW}
        self.goaway = self.ended = self.last_allowed = None
        self.goaways, self.pongs, self.settled, self.updates = [], [], 0, []
        self.acknowledges, self.reading, self.held = True, True, None
        if begins:
            self.send(PREFACE)
            self.send_frame(SettingsFrame(0, settings=self.mine))

    # ------------------------------------------------------------------------------------------------- sending

    def send(self, data):
        if self.held is None:
            self.sock.sendall(data)
        else:
            self.held += data
        return self

    @contextlib.contextmanager
    def at_once(self):
        """What is sent meanwhile goes out in one piece, so that the proxy reads it together."""
        self.held = b""
        yield
        held, self.held = self.held, None
        self.send(held)

    def send_frame(self, *frames):
        return self.send(b"".join(frame.serialize() for frame in frames))

    def try_send(self, data):
        """Sends until the proxy closes. True if all bytes were sent."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def block(self, fields):
        """A header block whose names and values are not checked or changed."""
        return self.encoder.encode([(n, v) for n, v in fields], huffman=False)

    def begin(self, fields, end=False, stream=None):
        """Sends a request's head, in as many frames as it needs. Returns its stream."""
        stream = self.begin_by_hand(stream)
        block = self.block(fields)
        pieces = [block[at : at + FRAME_MAX] for at in range(0, len(block), FRAME_MAX)] or [b""]
        flags = [0] * (len(pieces) - 1) + [END_HEADERS]
        for n, (piece, flag) in enumerate(zip(pieces, flags)):
            self.send(raw_frame(CONTINUATION if n else HEADERS, flag | (END_STREAM if end and not n else 0), stream, piece))
        return stream

    def begin_by_hand(self, stream=None):
        """Opens a stream on which the test itself sends the head."""
        stream = stream or self.next_stream
        self.next_stream = max(self.next_stream, stream + 2)
        self.window[stream] = self.theirs[INITIAL_WINDOW_SIZE]
        self.granted[stream] = self.mine[INITIAL_WINDOW_SIZE]
        self.answers[stream] = Answer2()
        return stream

    def data(self, stream, body, end=False):
        """Sends DATA without a look at the windows."""
        self.send(raw_frame(DATA, END_STREAM if end else 0, stream, body))
        self.sent(stream, len(body))

    def sent(self, stream, length):
        self.window[0] -= length
        self.window[stream] -= length

    def upload(self, stream, body, end=True, piece=FRAME_MAX):
        """Sends a body as fast as the proxy opens its windows. Returns early if the stream or the connection ends meanwhile."""
        at = 0
        while at < len(body):
            room = min(self.window[0], self.window[stream], piece, len(body) - at)
            if room <= 0:
                if self.ended or self.answers[stream].reset is not None:
                    return False
                self.pump()
                continue
            self.data(stream, body[at : at + room], end and at + room == len(body))
            at += room
        if end and not body:
            self.data(stream, b"", True)
        return True

    def ask(self, *fields, body=None, trailers=None, **pseudo):
        """Sends a whole request. Returns its stream."""
        if body is not None:
            pseudo.setdefault("method", b"POST")
        stream = self.begin(fields_of(*fields, **pseudo), end=body is None and trailers is None)
        if body is not None:
            self.upload(stream, body, end=trailers is None)
        if trailers is not None:
            self.send(raw_frame(HEADERS, END_HEADERS | END_STREAM, stream, self.block(trailers)))
        return stream

    def request(self, *fields, **how):
        """Sends a whole request and waits for its answer."""
        return self.response(self.ask(*fields, **how))

    def grant(self, stream, n):
        self.granted[stream] += n
        self.try_send(WindowUpdateFrame(stream, window_increment=n).serialize())

    def cancel(self, stream, code=CANCEL):
        self.send_frame(RstStreamFrame(stream, error_code=code))

    def settle(self):
        """Waits until the proxy has read everything that was sent: it answers a PING in order."""
        self.send_frame(PingFrame(0, opaque_data=b"settled?"))
        before = len(self.pongs)
        while len(self.pongs) == before:
            self.pump()
        return self

    # ------------------------------------------------------------------------------------------------- reading

    def response(self, stream):
        """The answer on a stream, or as much of it as came before the stream or the connection ended."""
        answer = self.answers[stream]
        while not answer.whole and answer.reset is None and not self.ended:
            self.pump(ends=True)
        return answer

    def until(self, done):
        while not done():
            self.pump()
        return self

    def closed(self):
        """Waits for the end of the connection."""
        try:
            while not self.ended:
                self.pump(ends=True)
        except TimeoutError:
            return False
        return True

    def refused(self, *codes):
        """Waits for the connection error. True if the proxy named one of these codes, or closed without a word."""
        assert self.closed(), "the connection stays open"
        return self.goaway is None or self.goaway in codes

    def pump(self, ends=False):
        """Reads one frame. At the connection's end it raises `Ended`, or returns if `ends`."""
        try:
            frame = self.frame()
        except Ended:
            if ends:
                return
            raise
        self.take(frame)

    def fill(self):
        if self.ended:
            raise Ended(self.ended)
        try:
            piece = self.sock.recv(1 << 18)
        except (ConnectionError, ssl.SSLEOFError):
            self.ended = "reset"
            raise Ended("reset") from None
        if not piece:
            self.ended = "fin"
            raise Ended("fin")
        self.buffer += piece

    def frame(self):
        while len(self.buffer) < 9:
            self.fill()
        length = int.from_bytes(self.buffer[:3], "big")
        if length > self.mine[MAX_FRAME_SIZE]:
            raise Malformed(f"the proxy sent a frame of {length} bytes")
        while len(self.buffer) < 9 + length:
            self.fill()
        try:
            frame, _ = Frame.parse_frame_header(memoryview(bytes(self.buffer[:9])))
            frame.parse_body(memoryview(bytes(self.buffer[9 : 9 + length])))
        except HyperframeError as error:
            raise Malformed(f"the proxy sent a broken frame: {error!r}") from error
        del self.buffer[: 9 + length]
        return frame

    def take(self, frame):
        kind = type(frame)
        if kind is SettingsFrame:
            if "ACK" in frame.flags:
                self.settled += 1
                return
            grown = frame.settings.get(INITIAL_WINDOW_SIZE, self.theirs[INITIAL_WINDOW_SIZE]) - self.theirs[INITIAL_WINDOW_SIZE]
            for stream in self.answers:
                self.window[stream] += grown
            self.theirs.update(frame.settings)
            if self.acknowledges:
                self.try_send(SettingsFrame(0, flags=["ACK"]).serialize())
        elif kind is PingFrame:
            if "ACK" in frame.flags:
                self.pongs.append(frame.opaque_data)
            elif self.acknowledges:
                self.try_send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]).serialize())
        elif kind is WindowUpdateFrame:
            self.window[frame.stream_id] = self.window.get(frame.stream_id, 0) + frame.window_increment
            self.updates.append((frame.stream_id, frame.window_increment))
            if self.window[frame.stream_id] > 2**31 - 1:
                raise Malformed("the proxy overflowed a window")
        elif kind is GoAwayFrame:
            if self.last_allowed is not None and frame.last_stream_id > self.last_allowed:
                raise Malformed("the proxy's second GOAWAY allows more than its first")
            self.goaway, self.last_allowed = frame.error_code, frame.last_stream_id
            self.goaways.append((frame.error_code, frame.last_stream_id, bytes(frame.additional_data)))
        elif kind is RstStreamFrame:
            self.of(frame).reset = frame.error_code
        elif kind is HeadersFrame:
            self.take_head(frame)
        elif kind is DataFrame:
            self.take_data(frame)
        else:
            raise Malformed(f"the proxy sent {frame!r}")

    def of(self, frame):
        answer = self.answers.get(frame.stream_id)
        if answer is None:
            raise Malformed(f"the proxy sent a frame on a stream that nobody opened: {frame!r}")
        if answer.reset is not None or answer.whole and not isinstance(frame, RstStreamFrame):
            raise Malformed(f"the proxy sent a frame on a stream that it had ended: {frame!r}")
        return answer

    def take_head(self, frame):
        answer, block, last = self.of(frame), frame.data, frame
        while "END_HEADERS" not in last.flags:
            last = self.frame()
            if last.stream_id != frame.stream_id or last.type != CONTINUATION:
                raise Malformed(f"the proxy sent {last!r} within a header block")
            block += last.data
        fields = [(n, v) for n, v in self.decoder.decode(block, raw=True)]
        ended = "END_STREAM" in frame.flags
        for name, value in fields:
            if name != name.lower() or name in OF_THE_CONNECTION or any(b < 32 and b != 9 for b in value) or value.strip() != value:
                raise Malformed(f"the proxy sent the field {name!r}: {value!r}")
        pseudo = [name for name, _ in fields if name.startswith(b":")]
        if answer.fields is not None:
            if pseudo or not ended:
                raise Malformed(f"the proxy sent the trailers {fields}")
            answer.trailers = fields
            return self.finish(answer)
        if pseudo != [b":status"] or fields[0][0] != b":status":
            raise Malformed(f"the proxy sent the pseudo-header fields {pseudo}")
        if fields[0][1].startswith(b"1"):
            if ended:
                raise Malformed("the proxy ended the stream with an interim answer")
            answer.interim.append(fields)
            return None
        answer.fields = fields
        length = answer.get("content-length")
        answer.announced = None if length is None else int(length)
        return self.finish(answer, bodiless=True) if ended else None

    def take_data(self, frame):
        answer = self.of(frame)
        if answer.fields is None:
            raise Malformed("the proxy sent DATA before a head")
        length = frame.flow_controlled_length
        for stream in (0, frame.stream_id):
            self.granted[stream] -= length
            if self.granted[stream] < 0:
                raise Malformed(f"the proxy sent more than the window of {stream or 'the connection'}")
        answer.body += frame.data
        if length and self.windows:
            self.grant(0, length)
            if "END_STREAM" not in frame.flags:
                self.grant(frame.stream_id, length)
        if "END_STREAM" in frame.flags:
            self.finish(answer)

    @staticmethod
    def finish(answer, bodiless=False):
        """Without a body a length may stand for another answer's: to HEAD, and of a 304 (RFC 9110, 8.6)."""
        if answer.announced not in (None, len(answer.body)) and not (bodiless and not answer.body):
            raise Malformed(f"the proxy announced {answer.announced} bytes and sent {len(answer.body)}")
        answer.whole = True


def plain(port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def trusting(alpn=("h2",)):
    """A TLS client that takes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def over_tls(port, context=None, name="bot.example"):
    return (context or trusting()).wrap_socket(plain(port), server_hostname=name)
