//! What is logged: the two logs, the two forms of a line, and pieces, which are lines that are written together.

use std::io;

/// The log that a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    Main,
    Access,
}

impl Log {
    pub const ALL: [Log; 2] = [Log::Main, Log::Access];

    /// Also the label of the metric.
    pub fn name(self) -> &'static str {
        match self {
            Log::Main => "main",
            Log::Access => "access",
        }
    }
}

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Human { colours: bool },
    Json,
}

/// Lines of one log that are written together.
#[derive(Debug)]
pub struct Piece {
    pub(super) log: Log,
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

impl Piece {
    /// An empty piece with capacity for so many bytes.
    pub fn with_room(log: Log, bytes: usize) -> Piece {
        Piece { log, bytes: Vec::with_capacity(bytes), lines: 0 }
    }

    /// Appends a line. If `write` fails, nothing is appended.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        let before = self.bytes.len();
        if write(&mut self.bytes).is_err() {
            return self.bytes.truncate(before);
        }
        self.bytes.push(b'\n');
        self.lines += 1;
    }

    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// The time in the format of all log lines: RFC 3339, UTC, microseconds.
pub fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}
