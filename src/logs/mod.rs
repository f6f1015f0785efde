//! The logs. They go to standard error, so that a command's own output stays clean: text on a terminal, JSON elsewhere. serin's own
//! events come through `tracing`; the access log hands its lines over itself. No caller ever waits for the reader of a log.

#![forbid(unsafe_code)]

mod complaints;
mod lines;
mod piece;
mod process;

pub use complaints::Complaints;
pub use lines::Lines;
pub use piece::{Log, Piece, Style, now};
pub use process::{flush, init, lines, lost, set_level};
