//! The log of this process: `tracing`'s subscriber, and the one writer, in this file's static. There is one of each per process.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, fmt, reload};

use super::lines::Lines;
use super::piece::{Log, Piece, Style};
use crate::config::{self, LogFormat, LogLevel};

/// At the end of the process, a pipe that nobody reads gets this long to take the last lines.
const FLUSH: Duration = Duration::from_secs(1);

static LINES: OnceLock<Lines> = OnceLock::new();
/// Set if the config may change the level.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Starts logging. `SERIN_LOG` (error, warn, info or debug) overrides the config's level. A second call changes nothing.
pub fn init(log: &config::Log) -> io::Result<()> {
    // A separate descriptor, so that log writes share no lock with what a command prints.
    let error = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    if LINES.set(Lines::start(error, style(log.format))?).is_err() {
        return Ok(());
    }
    let by_hand = std::env::var("SERIN_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    let (filter, handle) = reload::Layer::new(by_hand.unwrap_or_else(|| filter(log.level)));
    let said = match style(log.format) {
        Style::Human { colours } => fmt::layer().with_target(false).with_ansi(colours).with_writer(|| MainLog).boxed(),
        Style::Json => {
            // Only the innermost span: no line is in two.
            fmt::layer().with_target(false).json().flatten_event(true).with_span_list(false).with_writer(|| MainLog).boxed()
        }
    };
    // A test may have set another subscriber: that one stays.
    let _ = tracing_subscriber::registry().with(filter).with(said).try_init();
    if by_hand.is_none() {
        let _ = LEVEL.set(handle);
    }
    // A panic in a connection ends only that connection. Its message goes through the queue like all log lines, because the default
    // hook writes to standard error itself and could block the thread.
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload_as_str().unwrap_or("something that is no text");
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), at, "serin panicked, please report it: {said}");
    }));
    Ok(())
}

/// Sets the level of a config that was reloaded.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = LEVEL.get() {
        // It fails only if the subscriber is gone.
        let _ = handle.modify(|current| *current = filter(level));
    }
}

/// `None` in a process without logs.
pub fn lines() -> Option<&'static Lines> {
    LINES.get()
}

/// Lines that were lost since the start.
pub fn lost(log: Log) -> u64 {
    lines().map_or(0, |lines| lines.lost(log))
}

/// Waits until the last lines are written, at the end of the process.
pub fn flush() {
    if let Some(lines) = lines() {
        lines.flush(FLUSH);
    }
}

fn style(format: LogFormat) -> Style {
    let terminal = io::stderr().is_terminal();
    match (format, terminal) {
        (LogFormat::Human, colours) => Style::Human { colours },
        (LogFormat::Auto, true) => Style::Human { colours: true },
        (LogFormat::Auto, false) | (LogFormat::Json, _) => Style::Json,
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

/// The writer for `tracing`, which writes a whole line at once.
struct MainLog;

impl Write for MainLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(lines) = lines() {
            let mut piece = Piece::with_room(Log::Main, line.len() + 1);
            piece.line(|out| out.write_all(line.strip_suffix(b"\n").unwrap_or(line)));
            lines.hand_over(piece);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
