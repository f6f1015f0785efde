//! A head's fields as they came: the head's bytes, and the place of each name and value. Nothing is copied before the fields are
//! written to the next hop; names keep their case, and fields their order.

use bytes::{Bytes, BytesMut};

use super::known::{Known, Set};
use super::{FIELDS_MAX, HEAD_BYTES_MAX, Invalid, write};

/// The fields of one head, or of one trailer section.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    text: Bytes,
    lines: Vec<Line>,
    has: Set,
    /// Whether some name has an underscore. No known field has one.
    underscores: bool,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    name: Span,
    value: Span,
    known: Option<Known>,
}

/// A place in the text.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// As it came, in any case.
    pub name: &'a [u8],
    pub value: &'a [u8],
    pub known: Option<Known>,
}

/// The name or the value is not allowed in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no field of an HTTP message")]
pub struct BadField;

impl Fields {
    /// Fields that came in another form than HTTP/1's, whose reader has checked their names and values.
    pub fn of<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Fields {
        let (mut text, mut spans) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            spans.push((Span::new(text.len(), name.len()), Span::new(text.len() + name.len(), value.len())));
            text.extend_from_slice(name);
            text.extend_from_slice(value);
        }
        let mut fields = Fields { text: text.into(), lines: Vec::with_capacity(spans.len()), ..Fields::default() };
        spans.into_iter().for_each(|(name, value)| fields.add(name, value));
        fields
    }

    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| Field { name: line.name.of(&self.text), value: line.value.of(&self.text), known: line.known })
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn has(&self, known: Known) -> bool {
        self.has.has(known)
    }

    /// The values of a known field, in their order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        // Most requested fields are absent.
        let lines = if self.has(known) { &self.lines[..] } else { &[] };
        lines.iter().filter(move |line| line.known == Some(known)).map(|line| line.value.of(&self.text))
    }

    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// The values of the field with this name, in any case.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = |line: &&Line| line.name.len as usize == name.len() && line.name.of(&self.text).eq_ignore_ascii_case(name.as_bytes());
        self.lines.iter().filter(is_it).map(|line| line.value.of(&self.text))
    }

    /// Whether the values of a known field list this word. Parameters after a `;` are ignored.
    pub fn lists(&self, known: Known, word: &[u8]) -> bool {
        self.all(known).any(|value| lists(value, word))
    }

    pub fn has_underscores(&self) -> bool {
        self.underscores
    }

    /// Removes the fields whose names have an underscore.
    pub fn remove_underscores(&mut self) {
        let text = &self.text;
        self.lines.retain(|line| !has_underscore(line.name.of(text)));
        self.underscores = false;
    }

    pub fn remove(&mut self, name: &str) {
        let text = &self.text;
        let has = &mut self.has;
        self.lines.retain(|line| {
            let is_it = line.name.of(text).eq_ignore_ascii_case(name.as_bytes());
            if let (true, Some(known)) = (is_it, line.known) {
                has.remove(known);
            }
            !is_it
        });
    }

    /// Replaces all fields of this name by one. Copies the whole text, so use it rarely.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), BadField> {
        self.remove(name);
        self.push(name, value)
    }

    /// Adds a field at the end. Copies the whole text, so use it rarely.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), BadField> {
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        let text = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
        if name.is_empty() || !name.as_bytes().iter().all(token) || !value.iter().all(text) || value.trim_ascii() != value {
            return Err(BadField);
        }
        let at = self.text.len();
        self.text = Bytes::from([&self.text, name.as_bytes(), value].concat());
        self.add(Span::new(at, name.len()), Span::new(at + name.len(), value.len()));
        Ok(())
    }

    /// The text of the whole head.
    pub(super) fn text(&self) -> &Bytes {
        &self.text
    }

    fn add(&mut self, name: Span, value: Span) {
        let known = Known::of(name.of(&self.text));
        match known {
            Some(known) => self.has.add(known),
            None => self.underscores |= has_underscore(name.of(&self.text)),
        }
        self.lines.push(Line { name, value, known });
    }

    /// Takes a head of this length from the buffer's front, with the fields that were found in it.
    pub(super) fn take(buffer: &mut BytesMut, length: usize, found: Found) -> Fields {
        let text = buffer.split_to(length).freeze();
        let mut fields = Fields { text, lines: Vec::with_capacity(found.count), ..Fields::default() };
        found.spans().iter().for_each(|(name, value)| fields.add(*name, *value));
        fields
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        let plain =
            |fields: &Fields| fields.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect::<Vec<_>>();
        plain(self) == plain(other)
    }
}

impl Eq for Fields {}

impl Field<'_> {
    pub fn write(&self, out: &mut BytesMut) {
        write::field(self.name, self.value, out);
    }
}

impl Span {
    fn new(at: usize, len: usize) -> Span {
        Span { at: at as u32, len: len as u32 }
    }

    fn of(self, text: &[u8]) -> &[u8] {
        &text[self.at as usize..][..self.len as usize]
    }
}

fn has_underscore(name: &[u8]) -> bool {
    memchr::memchr(b'_', name).is_some()
}

/// Whether a comma-separated list contains this word, in any case.
fn lists(value: &[u8], word: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|item| item.split(|b| *b == b';').next().unwrap_or(item).trim_ascii().eq_ignore_ascii_case(word))
}

/// Room for the fields that httparse finds.
pub(super) type Room<'a> = [std::mem::MaybeUninit<httparse::Header<'a>>; FIELDS_MAX];

pub(super) const fn room<'a>() -> Room<'a> {
    [const { std::mem::MaybeUninit::uninit() }; FIELDS_MAX]
}

/// The places of fields in a buffer. They are found while the buffer is borrowed, and then the head is cut off it.
pub(super) struct Found {
    spans: [std::mem::MaybeUninit<(Span, Span)>; FIELDS_MAX],
    count: usize,
}

#[allow(unsafe_code, reason = "to clear room for all fields that a head may have would cost more than most heads")]
impl Found {
    pub(super) fn of(fields: &[httparse::Header<'_>], buffer: &[u8]) -> Found {
        let start = buffer.as_ptr() as usize;
        let span = |piece: &[u8]| Span::new((piece.as_ptr() as usize).saturating_sub(start), piece.len());
        let mut found = Found { spans: [const { std::mem::MaybeUninit::uninit() }; FIELDS_MAX], count: fields.len().min(FIELDS_MAX) };
        for (slot, field) in found.spans.iter_mut().zip(fields) {
            slot.write((span(field.name.as_bytes()), span(field.value)));
        }
        found
    }

    fn spans(&self) -> &[(Span, Span)] {
        // SAFETY: `of` has written the first `count`, and nothing else sets `count`. A slot has the layout of what is in it.
        unsafe { &*(&raw const self.spans[..self.count] as *const [(Span, Span)]) }
    }

    /// Joins values that were folded over several lines into one line, in place (RFC 9112, 5.2).
    pub(super) fn unfold(&mut self, buffer: &mut [u8]) {
        for slot in &mut self.spans[..self.count] {
            // SAFETY: `of` has written the first `count`, and nothing else sets `count`.
            let (_, value) = unsafe { slot.assume_init_mut() };
            let text = &mut buffer[value.at as usize..][..value.len as usize];
            if memchr::memchr2(b'\r', b'\n', text).is_some() {
                value.len = join_lines(text) as u32;
            }
        }
    }
}

/// Joins lines by single spaces, at the text's front. Returns the length of the result.
fn join_lines(text: &mut [u8]) -> usize {
    let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect();
    let joined = lines.join(&b" "[..]);
    text[..joined.len()].copy_from_slice(&joined);
    joined.len()
}

/// Takes the fields after the last chunk, up to an empty line. Returns `None` while they are not complete.
pub(super) fn read_trailers(buffer: &mut BytesMut) -> Result<Option<Fields>, Invalid> {
    if buffer.starts_with(b"\r\n") {
        bytes::Buf::advance(buffer, 2);
        return Ok(Some(Fields::default()));
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let seen = &buffer[..buffer.len().min(HEAD_BYTES_MAX)];
    let (length, found) = match httparse::parse_headers(seen, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) => (length, Found::of(fields, seen)),
        Ok(httparse::Status::Partial) if buffer.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Invalid),
    };
    // The other lines of a chunked body must end with CRLF, so trailers must too.
    let bare = memchr::memchr_iter(b'\n', &buffer[..length]).any(|at| at == 0 || buffer[at - 1] != b'\r');
    if bare { Err(Invalid) } else { Ok(Some(Fields::take(buffer, length, found))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Fields {
        let mut fields = Fields::default();
        for (name, value) in [("Host", "a"), ("X-A", "1"), ("connection", "close, TE;q=1"), ("x-a", "2")] {
            fields.push(name, value.as_bytes()).unwrap();
        }
        fields
    }

    #[test]
    fn a_field_is_found_in_any_case_and_in_its_order() {
        let fields = some();
        assert_eq!(fields.named("x-A").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!((fields.get(Known::Host), fields.get(Known::Te)), (Some(&b"a"[..]), None));
        assert!(fields.lists(Known::Connection, b"te") && !fields.lists(Known::Connection, b"clos"));
        let names: Vec<&[u8]> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names, [&b"Host"[..], b"X-A", b"connection", b"x-a"]);
    }

    #[test]
    fn a_field_is_written_plainly() {
        let wire = "A: 1\r\nB:2\r\nC:  3 \r\nD:\r\nE: \r\nF: 6\r\n\r\n";
        let fields = read_trailers(&mut BytesMut::from(wire)).unwrap().unwrap();
        let mut out = BytesMut::new();
        fields.iter().for_each(|field| field.write(&mut out));
        assert_eq!(out, "A: 1\r\nB: 2\r\nC: 3\r\nD: \r\nE: \r\nF: 6\r\n");
    }

    #[test]
    fn what_is_removed_is_not_there() {
        let mut fields = some();
        fields.remove("HOST");
        fields.remove("x-a");
        assert_eq!((fields.len(), fields.has(Known::Host), fields.has(Known::Connection)), (1, false, true));
        fields.set("connection", b"keep-alive").unwrap();
        assert_eq!(fields.all(Known::Connection).collect::<Vec<_>>(), [b"keep-alive"]);
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for (name, value) in [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\ny: z"), ("a", " x"), ("a", "\x7f"), ("a", "\0")] {
            assert_eq!(Fields::default().push(name, value.as_bytes()), Err(BadField), "{name:?}: {value:?}");
        }
        assert!(Fields::default().push("a", "\u{fc} \t b".as_bytes()).is_ok());
    }

    #[test]
    fn lines_are_joined_by_single_spaces() {
        for (text, joined) in [("a\r\n\t b \r\n c", "a b c"), ("a\n b", "a b"), ("\r\n a", "a"), ("a", "a"), ("\r\n \r\n ", "")] {
            let mut text = text.as_bytes().to_vec();
            let length = join_lines(&mut text);
            assert_eq!(&text[..length], joined.as_bytes());
        }
    }
}
