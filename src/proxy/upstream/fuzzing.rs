//! The fuzzer's door to what reads answers: bytes in pieces, as a connection would bring them.

use bytes::BytesMut;

use super::decode::{Decoded, Decoder};
use super::head::{self, HEAD_MAX, Head};

/// All that was made of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Statuses and fields, interim answers first.
    pub heads: Vec<(u16, http::HeaderMap)>,
    pub keep_alive: bool,
    pub length: Option<u64>,
    pub body: Vec<u8>,
    pub trailers: Option<http::HeaderMap>,
    pub end: End,
    /// Bytes after the end.
    pub left: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    NeedsMore,
    Whole,
    Invalid,
}

/// Reads an answer until its end or a fault.
pub fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, to_head_request: bool) -> Answer {
    let mut answer = Answer::default();
    let (mut buffer, mut decoder) = (BytesMut::new(), None);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if answer.end == End::NeedsMore {
            answer.end = answer.take(&mut buffer, &mut decoder, to_head_request).unwrap_or(End::Invalid);
        }
        assert!(answer.end != End::NeedsMore || buffer.len() < HEAD_MAX, "{} bytes wait", buffer.len());
    }
    if answer.end == End::Whole {
        answer.left = buffer.to_vec();
    }
    answer
}

impl Answer {
    fn take(&mut self, buffer: &mut BytesMut, decoder: &mut Option<Decoder>, to_head_request: bool) -> Result<End, head::Invalid> {
        loop {
            let Some(decoder) = decoder else {
                let Some(Head { status, headers, keep_alive, body, .. }) = head::read(buffer, to_head_request)? else {
                    return Ok(End::NeedsMore);
                };
                self.heads.push((status.as_u16(), headers));
                if !status.is_informational() {
                    (self.keep_alive, self.length) = (keep_alive, body.remaining());
                    *decoder = Some(body);
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
