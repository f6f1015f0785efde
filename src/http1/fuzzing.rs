//! Reads messages for the fuzz targets: bytes in pieces, as from a connection.

use bytes::BytesMut;

use super::{AnswerHead, Decoded, Decoder, Fields, HEAD_BYTES_MAX, Invalid, RequestHead};

/// Everything that was read of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Method and target, or statuses, and the fields; interim answers come first.
    pub heads: Vec<(String, Fields)>,
    pub keep_alive: bool,
    pub length: Option<u64>,
    pub body: Vec<u8>,
    pub trailers: Option<Fields>,
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

/// Reads a request until its end or an error.
pub fn read_request<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Message {
    read(pieces, |message, buffer| {
        let Some(head) = RequestHead::read(buffer, HEAD_BYTES_MAX).map_err(|_| Invalid)? else { return Ok(None) };
        let target = head.target.map_or("bad".to_owned(), |target| format!("{} of {:?}", target.path, target.authority));
        message.heads.push((format!("{} {target} {:?}", head.method, head.version), head.fields));
        message.keep_alive = head.keep_alive;
        Ok(Some(head.body))
    })
}

/// Reads an answer until its end or an error.
pub fn read_answer<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, to_head_request: bool) -> Message {
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

fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    mut head: impl FnMut(&mut Message, &mut BytesMut) -> Result<Option<Decoder>, Invalid>,
) -> Message {
    let mut message = Message::default();
    let (mut buffer, mut decoder) = (BytesMut::new(), None);
    for piece in pieces {
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
