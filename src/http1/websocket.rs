//! The borders of a WebSocket's frames (RFC 6455, 5.2): between two frames serin may say that it closes the connection.

/// Finds where frames end in one direction of a connection.
#[derive(Debug)]
pub struct Frames {
    state: State,
    /// A close frame has passed. Nothing may follow it.
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The header's bytes so far. It has at most 14.
    Header { bytes: [u8; 14], len: usize },
    /// So many bytes of the frame are still to come.
    Payload(u64),
}

const BEGIN: State = State::Header { bytes: [0; 14], len: 0 };
const CLOSE: u8 = 8;

/// Which side a close frame is sent by. A client masks its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// A close frame with the code 1001, "going away".
pub fn going_away(by: Side) -> &'static [u8] {
    match by {
        Side::Server => &[0x88, 2, 0x03, 0xe9],
        // The mask need not be a secret here: the payload is the same for all.
        Side::Client => &[0x88, 0x82, 0x5a, 0x17, 0xc3, 0x6e, 0x03 ^ 0x5a, 0xe9 ^ 0x17],
    }
}

impl Default for Frames {
    fn default() -> Frames {
        Frames { state: BEGIN, closed: false }
    }
}

impl Frames {
    /// Whether a frame of serin's own may come here.
    pub fn at_border(&self) -> bool {
        self.state == BEGIN && !self.closed
    }

    /// Follows bytes up to the end of the current frame. Returns how many that are, or `None` if the frame does not end in them.
    pub fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match &mut self.state {
                State::Header { bytes: header, len } => {
                    header[*len] = *byte;
                    *len += 1;
                    let Some(payload) = payload(&header[..*len]) else { continue };
                    self.closed |= header[0] & 0x0f == CLOSE;
                    self.state = if payload == 0 { BEGIN } else { State::Payload(payload) };
                    if payload == 0 {
                        return Some(at + 1);
                    }
                }
                State::Payload(left) => {
                    let here = (bytes.len() - at) as u64;
                    if here < *left {
                        *left -= here;
                        return None;
                    }
                    let end = at + *left as usize;
                    self.state = BEGIN;
                    return Some(end);
                }
            }
        }
        None
    }

    /// Follows bytes that pass unchanged.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while let Some(end) = self.next_end(bytes) {
            bytes = &bytes[end..];
        }
    }
}

/// The length of a frame's payload; `None` if the header is not complete.
fn payload(header: &[u8]) -> Option<u64> {
    let (second, rest) = (*header.get(1)?, &header[2..]);
    let (length, rest) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?)), &rest[2..]),
        127 => (u64::from_be_bytes(rest.get(..8)?.try_into().ok()?), &rest[8..]),
        short => (u64::from(short), rest),
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    (rest.len() == mask).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(opcode: u8, masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | opcode];
        match payload {
            0..126 => bytes.push(mask | payload as u8),
            126..65_536 => {
                bytes.push(mask | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend(vec![0x88; if masked { 4 } else { 0 }]);
        bytes.extend(vec![0x88; payload]);
        bytes
    }

    #[test]
    fn a_frame_of_serins_own_is_one() {
        for side in [Side::Client, Side::Server] {
            let mut frames = Frames::default();
            let frame = going_away(side);
            assert_eq!(frames.next_end(frame), Some(frame.len()), "{side:?}");
            assert!(!frames.at_border(), "nothing comes after it");
        }
    }

    proptest! {
        #[test]
        fn every_frame_ends_where_it_ends(
            sizes in prop::collection::vec((prop::sample::select(vec![0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000_usize]), any::<bool>()), 1..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let frames: Vec<Vec<u8>> = sizes.iter().map(|(size, masked)| frame(1, *masked, *size)).collect();
            let wire = frames.concat();
            let ends: Vec<usize> = frames.iter().scan(0, |at, frame| { *at += frame.len(); Some(*at) }).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let (mut finder, mut found) = (Frames::default(), Vec::new());
            for piece in cuts.windows(2) {
                let mut at = piece[0];
                while let Some(end) = finder.next_end(&wire[at..piece[1]]) {
                    at += end;
                    found.push(at);
                    prop_assert!(finder.at_border());
                }
            }
            prop_assert_eq!(found, ends);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Frames::default().follow(&bytes);
        }
    }
}
