//! What the fuzz targets check of HTTP/1.1: messages that arrive in pieces. Where the bytes are cut must change nothing.

use bytes::BytesMut;
use xxhash_rust::xxh3::xxh3_64;

use super::write::{self, LAST_CHUNK, LINE_END, chunk_size};
use super::{AnswerHead, Decoded, Decoder, Fields, HEAD_BYTES_MAX, Invalid, RequestHead};

/// Everything that was read of a message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    /// Method and target, or statuses, and the fields; interim answers come first.
    heads: Vec<(String, Fields)>,
    keep_alive: bool,
    length: Option<u64>,
    body: Vec<u8>,
    trailers: Option<Fields>,
    end: End,
    /// Bytes after the end.
    left: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    NeedsMore,
    Whole,
    Invalid,
}

/// The bytes of a client: nothing panics, no more waits in memory than a head may have, a body has the length that was said, and a head
/// that is written again is read as the same head.
pub fn request(wire: &[u8]) {
    let message = however_cut(wire, read_request);
    is_sound(&message, wire);
    let mut buffer = BytesMut::from(wire);
    let Ok(Some(RequestHead { method, target: Ok(target), fields, .. })) = RequestHead::read(&mut buffer, HEAD_BYTES_MAX) else { return };
    let mut again = BytesMut::new();
    write::request_line(&method, &target.path, &mut again);
    write_fields(&fields, &mut again);
    if again.len() < HEAD_BYTES_MAX {
        let head = RequestHead::read(&mut again, HEAD_BYTES_MAX).expect("what was read can be read").expect("it is whole");
        let path = head.target.expect("it was a target").path;
        assert_eq!((head.method, path, head.fields), (method, target.path, fields));
    }
}

/// The bytes of an upstream, to a HEAD or to another request; the same is true of them.
pub fn answer(wire: &[u8]) {
    for to_head_request in [false, true] {
        let message = however_cut(wire, |pieces| read_answer(pieces, to_head_request));
        is_sound(&message, wire);
    }
    let mut buffer = BytesMut::from(wire);
    let Ok(Some(AnswerHead { status, fields, .. })) = AnswerHead::read(&mut buffer, false) else { return };
    let mut again = BytesMut::new();
    write::status_line(super::Version::Http11, status, None, &mut again);
    write_fields(&fields, &mut again);
    if again.len() < HEAD_BYTES_MAX {
        let head = AnswerHead::read(&mut again, false).expect("what was read can be read").expect("it is whole");
        assert_eq!((head.status, head.fields), (status, fields));
    }
}

/// The bytes of a body, by its length, by its chunks and until the connection's end; and the same bytes as the content of a body that is
/// written in chunks. A second reader, which is short and slow, finds the same chunks.
pub fn body(data: &[u8]) {
    let chunked = however_cut(data, |pieces| read_body(pieces, Decoder::chunked()));
    is_sound(&chunked, data);
    if chunked.end == End::Whole {
        assert_eq!(by_lines(data).as_ref(), Some(&chunked.body), "another reader finds another body");
    }
    let length = xxh3_64(data) % (data.len() as u64 + 2);
    let counted = however_cut(data, |pieces| read_body(pieces, Decoder::length(length)));
    is_sound(&counted, data);
    assert_eq!(counted.end == End::Whole, length <= data.len() as u64);
    assert_eq!(counted.body, data[..data.len().min(length as usize)]);
    let until_close = however_cut(data, |pieces| read_body(pieces, Decoder::until_close()));
    assert_eq!((until_close.body.as_slice(), until_close.end), (data, End::NeedsMore));

    let mut wire = BytesMut::new();
    for piece in pieces(data).filter(|piece| !piece.is_empty()) {
        chunk_size(piece.len(), &mut wire);
        wire.extend_from_slice(piece);
        wire.extend_from_slice(LINE_END);
    }
    wire.extend_from_slice(LAST_CHUNK);
    let again = however_cut(&wire, |pieces| read_body(pieces, Decoder::chunked()));
    assert_eq!((again.end, again.body.as_slice(), again.left.len()), (End::Whole, data, 0));
}

type Pieces<'p, 'a> = &'p mut dyn Iterator<Item = &'a [u8]>;

/// Reads the bytes at once, in pieces, and the first ones byte by byte, and returns what all three give.
fn however_cut(wire: &[u8], read: impl Fn(Pieces<'_, '_>) -> Message) -> Message {
    /// So many single bytes reach every state of a reader, and cost little.
    const SINGLE: usize = 400;
    let whole = read(&mut std::iter::once(wire));
    assert_eq!(whole, read(&mut pieces(wire)));
    let (start, rest) = wire.split_at(wire.len().min(SINGLE));
    assert_eq!(whole, read(&mut start.chunks(1).chain(std::iter::once(rest))));
    whole
}

/// Cuts at places that depend on the bytes alone, so that a run can be repeated: mostly into short pieces.
fn pieces(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut state) = (wire, xxh3_64(wire));
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = match state >> 62 {
            0 => 1 + (state >> 40) as usize % 4,
            1 | 2 => (state >> 40) as usize % 64,
            _ => (state >> 40) as usize % 4096,
        };
        if rest.is_empty() {
            return None;
        }
        let (piece, left) = rest.split_at(size.min(rest.len()));
        rest = left;
        Some(piece)
    })
}

fn is_sound(message: &Message, wire: &[u8]) {
    if let (End::Whole, Some(length)) = (message.end, message.length) {
        assert_eq!(message.body.len() as u64, length);
    }
    assert!(message.body.len() + message.left.len() <= wire.len());
    assert!(wire.ends_with(&message.left), "what is behind the message is untouched");
}

fn write_fields(fields: &Fields, out: &mut BytesMut) {
    fields.iter().for_each(|field| write::field(field.name, field.value, out));
    out.extend_from_slice(LINE_END);
}

/// The body in chunks, read line by line from all of it. `None` if it has no last chunk.
fn by_lines(mut wire: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = wire.windows(2).position(|two| two == LINE_END)?;
        let digits = wire[..end].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = usize::from_str_radix(std::str::from_utf8(&wire[..digits]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let chunk = &wire[end + LINE_END.len()..];
        body.extend_from_slice(chunk.get(..size)?);
        wire = chunk[size..].strip_prefix(LINE_END)?;
    }
}

fn read_request(pieces: Pieces<'_, '_>) -> Message {
    read(pieces, |message, buffer| {
        let Some(head) = RequestHead::read(buffer, HEAD_BYTES_MAX).map_err(|_| Invalid)? else { return Ok(None) };
        let target = head.target.map_or("bad".to_owned(), |target| format!("{} of {:?}", target.path, target.authority));
        message.heads.push((format!("{} {target} {:?}", head.method, head.version), head.fields));
        message.keep_alive = head.keep_alive;
        Ok(Some(head.body))
    })
}

fn read_answer(pieces: Pieces<'_, '_>, to_head_request: bool) -> Message {
    read(pieces, |message, buffer| {
        loop {
            let Some(head) = AnswerHead::read(buffer, to_head_request)? else { return Ok(None) };
            message.heads.push((head.status.to_string(), head.fields));
            if !head.status.is_informational() {
                message.keep_alive = head.keep_alive;
                return Ok(Some(head.body));
            }
        }
    })
}

fn read_body(pieces: Pieces<'_, '_>, decoder: Decoder) -> Message {
    read(pieces, |_, _| Ok(Some(decoder.clone())))
}

/// Reads a message until its end or an error.
fn read(pieces: Pieces<'_, '_>, mut head: impl FnMut(&mut Message, &mut BytesMut) -> Result<Option<Decoder>, Invalid>) -> Message {
    let mut message = Message::default();
    let (mut buffer, mut decoder) = (BytesMut::new(), None);
    for piece in std::iter::once(&b""[..]).chain(pieces) {
        buffer.extend_from_slice(piece);
        if message.end == End::NeedsMore {
            message.end = message.take(&mut buffer, &mut decoder, &mut head).unwrap_or(End::Invalid);
        }
        assert!(message.end != End::NeedsMore || buffer.len() < HEAD_BYTES_MAX, "{} bytes wait", buffer.len());
    }
    if message.end == End::Whole {
        message.left = buffer.to_vec();
    }
    message
}

impl Message {
    fn take(
        &mut self,
        buffer: &mut BytesMut,
        decoder: &mut Option<Decoder>,
        head: &mut impl FnMut(&mut Message, &mut BytesMut) -> Result<Option<Decoder>, Invalid>,
    ) -> Result<End, Invalid> {
        loop {
            let Some(decoder) = decoder else {
                *decoder = head(self, buffer)?;
                match decoder {
                    Some(decoder) => self.length = decoder.remaining(),
                    None => return Ok(End::NeedsMore),
                }
                continue;
            };
            match decoder.decode(buffer)? {
                Decoded::Data(data) => {
                    assert!(!data.is_empty(), "no data is no news");
                    self.body.extend_from_slice(&data);
                }
                Decoded::Trailers(trailers) => self.trailers = Some(trailers),
                Decoded::NeedMore => return Ok(End::NeedsMore),
                Decoded::End => return Ok(End::Whole),
            }
        }
    }
}
