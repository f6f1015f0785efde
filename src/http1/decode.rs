//! Finds the end of a body: by its length, by its chunks, or, for an answer, by the end of the connection.

use bytes::{Buf, Bytes, BytesMut};

use super::Invalid;
use super::fields::{Fields, read_trailers};

/// The limit of a chunk's extensions. serin ignores extensions; longer ones are an attack.
const EXTENSION_MAX: usize = 4096;

#[derive(Clone, Debug)]
pub struct Decoder(State);

#[derive(Clone, Debug)]
enum State {
    Length(u64),
    UntilClose,
    /// Before a chunk's size line.
    Size,
    /// Inside a chunk: this many bytes are left of it.
    Data(u64),
    /// Before the line end after a chunk.
    AfterData,
    /// After the last chunk.
    Trailers,
    Done,
}

/// The result of decoding what is in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    Data(Bytes),
    Trailers(Fields),
    NeedMore,
    End,
}

impl Decoder {
    pub fn length(length: u64) -> Decoder {
        Decoder(if length == 0 { State::Done } else { State::Length(length) })
    }

    pub fn chunked() -> Decoder {
        Decoder(State::Size)
    }

    pub fn until_close() -> Decoder {
        Decoder(State::UntilClose)
    }

    pub fn is_until_close(&self) -> bool {
        matches!(self.0, State::UntilClose)
    }

    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// The number of bytes still to come, if it is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::UntilClose | State::Size | State::Data(_) | State::AfterData | State::Trailers => None,
        }
    }

    /// Takes as much as it can from the buffer's front.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Invalid> {
        loop {
            match &mut self.0 {
                State::Done => return Ok(Decoded::End),
                _ if buffer.is_empty() => return Ok(Decoded::NeedMore),
                State::UntilClose => return Ok(Decoded::Data(buffer.split().freeze())),
                State::Length(left) => {
                    let data = take(buffer, left);
                    if *left == 0 {
                        self.0 = State::Done;
                    }
                    return Ok(Decoded::Data(data));
                }
                State::Size => match read_size(buffer)? {
                    None => return Ok(Decoded::NeedMore),
                    Some(0) => self.0 = State::Trailers,
                    Some(size) => self.0 = State::Data(size),
                },
                State::Data(left) => {
                    let data = take(buffer, left);
                    if *left == 0 {
                        self.0 = State::AfterData;
                    }
                    return Ok(Decoded::Data(data));
                }
                State::AfterData => {
                    if buffer.len() < 2 {
                        return if buffer[0] == b'\r' { Ok(Decoded::NeedMore) } else { Err(Invalid) };
                    }
                    if !buffer.starts_with(b"\r\n") {
                        return Err(Invalid);
                    }
                    buffer.advance(2);
                    self.0 = State::Size;
                }
                State::Trailers => {
                    let Some(trailers) = read_trailers(buffer)? else { return Ok(Decoded::NeedMore) };
                    self.0 = State::Done;
                    return Ok(if trailers.is_empty() { Decoded::End } else { Decoded::Trailers(trailers) });
                }
            }
        }
    }

    /// Called when the connection has ended. Returns `true` if that is a valid end of the body.
    pub fn ended_by_close(&mut self) -> bool {
        if self.is_until_close() {
            self.0 = State::Done;
        }
        self.is_done()
    }
}

fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let n = (*left).min(buffer.len() as u64);
    *left -= n;
    buffer.split_to(n as usize).freeze()
}

/// Reads `size [;extension] CRLF`: hexadecimal, at least one digit, at most 2^64 - 1.
fn read_size(buffer: &mut BytesMut) -> Result<Option<u64>, Invalid> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        // One more byte, because the line's CR may be there already.
        return if buffer.len() > EXTENSION_MAX + 1 { Err(Invalid) } else { Ok(None) };
    };
    let line = buffer[..end].strip_suffix(b"\r").ok_or(Invalid)?;
    if line.len() > EXTENSION_MAX {
        return Err(Invalid);
    }
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, rest) = line.split_at(digits);
    let spaces = rest.iter().take_while(|b| b" \t".contains(b)).count();
    let extension_ok = rest.get(spaces).is_none_or(|first| *first == b';') && !rest.contains(&b'\r');
    if digits == 0 || digits > 16 || !extension_ok {
        return Err(Invalid);
    }
    let size = size.iter().fold(0u64, |sum, digit| sum << 4 | u64::from((*digit as char).to_digit(16).unwrap_or(0)));
    buffer.advance(end + 1);
    Ok(Some(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes the bytes in pieces of this size. Returns the body, the number of trailers and whether the end was found.
    fn decode(mut decoder: Decoder, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), Invalid> {
        let (mut buffer, mut body, mut trailers) = (BytesMut::new(), Vec::new(), 0);
        for piece in bytes.chunks(piece.max(1)) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer)? {
                    Decoded::Data(data) => body.extend_from_slice(&data),
                    Decoded::Trailers(map) => trailers += map.len(),
                    Decoded::NeedMore | Decoded::End => break,
                }
            }
        }
        Ok((body, trailers, decoder.is_done()))
    }

    #[test]
    fn chunks_are_put_together_however_they_arrive() {
        let wire = b"4\r\nWiki\r\n5;a=b\r\npedia\r\n00e\r\n in\r\n\r\nchunks.\r\n0\r\nX-Sum: 1\r\n\r\n";
        for piece in 1..wire.len() {
            let (body, trailers, done) = decode(Decoder::chunked(), wire, piece).unwrap();
            assert_eq!((&body[..], trailers, done), (&b"Wikipedia in\r\n\r\nchunks."[..], 1, true), "{piece}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for wire in [
            &b"\r\n"[..],
            b"x\r\n",
            b"4\nWiki",
            b"-1\r\n",
            b"0x4\r\n",
            b" 4\r\n",
            b"4 x\r\n",
            b"11111111111111111\r\n",
            b"4\r\nWikiX\r\n",
            b"4\r\nWiki\nX",
            b"4;\r\r\n",
            b"4\r\r\nWiki",
            b"4 \r\r\nWiki",
            b"4\x0c\r\nWiki",
            b"0\r\nbad line\r\n\r\n",
            b"0\r\nX: 1\n\r\n",
            b"0\r\n\n",
        ] {
            assert!(decode(Decoder::chunked(), wire, 100).is_err(), "{:?}", String::from_utf8_lossy(wire));
        }
        let long = [b"4;".as_slice(), &[b'x'; 5000]].concat();
        assert!(decode(Decoder::chunked(), &long, 100).is_err());
    }

    #[test]
    fn the_limit_of_a_size_line_does_not_depend_on_how_it_arrives() {
        for (extra, fits) in [(0, true), (1, false)] {
            let line = [b"4;".as_slice(), &vec![b'x'; EXTENSION_MAX - 2 + extra], b"\r\nWiki\r\n0\r\n\r\n"].concat();
            for piece in [1, EXTENSION_MAX + 1, line.len()] {
                assert_eq!(decode(Decoder::chunked(), &line, piece).is_ok(), fits, "{extra} more, by {piece}");
            }
        }
    }

    #[test]
    fn a_length_is_its_end_and_a_close_is_only_the_end_of_what_has_no_other() {
        assert_eq!(decode(Decoder::length(3), b"abc", 2).unwrap(), (b"abc".to_vec(), 0, true));
        assert!(!decode(Decoder::length(4), b"abc", 2).unwrap().2);
        assert!(Decoder::length(0).is_done() && Decoder::until_close().ended_by_close());
        assert!(!Decoder::chunked().ended_by_close() && !Decoder::length(1).ended_by_close());
    }

    proptest! {
        #[test]
        fn any_body_survives_any_chunking(body in proptest::collection::vec(any::<u8>(), 0..600), sizes in proptest::collection::vec(1usize..90, 1..20), piece in 1usize..50) {
            let (mut wire, mut rest, mut sizes) = (Vec::new(), &body[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
                rest = after;
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let (got, _, done) = decode(Decoder::chunked(), &wire, piece).unwrap();
            prop_assert!(done);
            prop_assert_eq!(got, body);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..20) {
            let _ = decode(Decoder::chunked(), &bytes, piece);
        }
    }
}
