//! Writes log lines: a bounded queue, and one thread that writes from it. No caller ever waits. If the reader of the pipe stands still,
//! the queue fills, and further lines are lost and counted. The next line that is written is preceded by one that says how many are
//! missing.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::piece::{Log, Piece, Style, now};

/// The most pieces that wait: room for a burst of lines while a disk or a pipe hesitates.
const QUEUE: usize = 1024;
/// The most pieces of the access log among these, 8 KiB each: 2 MiB. So the access log leaves room for the main one.
const ACCESS_WAITING: u64 = 256;
/// The pause between two attempts to write to a full pipe that does not block.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// The pause between two checks of a flush.
const FLUSH_PAUSE: Duration = Duration::from_millis(2);

/// The sending end of the queue.
#[derive(Debug)]
pub struct Lines {
    queue: SyncSender<Piece>,
    style: Style,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By log: pieces that were put into the queue, and pieces that were written or lost since.
    taken: [AtomicU64; 2],
    left: [AtomicU64; 2],
    /// By log: lines that were lost, and those of them that no notice has reported yet.
    lost: [AtomicU64; 2],
    untold: [AtomicU64; 2],
}

impl Counts {
    fn waiting(&self, log: Log) -> u64 {
        let left = self.left[log as usize].load(Ordering::Acquire);
        self.taken[log as usize].load(Ordering::Acquire).saturating_sub(left)
    }

    fn lost(&self, piece: &Piece) {
        self.lost[piece.log as usize].fetch_add(piece.lines, Ordering::Relaxed);
        self.untold[piece.log as usize].fetch_add(piece.lines, Ordering::Relaxed);
    }
}

impl Lines {
    /// Starts the thread, which writes for as long as the process lives.
    pub fn start(out: impl Write + Send + 'static, style: Style) -> io::Result<Lines> {
        let (queue, pieces) = sync_channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let thread = std::thread::Builder::new().name("serin-log".to_owned());
        thread.spawn({
            let counts = counts.clone();
            move || write_all(&pieces, out, style, &counts)
        })?;
        Ok(Lines { queue, style, counts })
    }

    pub fn style(&self) -> Style {
        self.style
    }

    /// Puts a piece into the queue. Never waits: if there is no room, the lines are lost and counted.
    pub fn hand_over(&self, piece: Piece) {
        let taken = &self.counts.taken[piece.log as usize];
        if piece.log == Log::Access && self.counts.waiting(Log::Access) >= ACCESS_WAITING {
            return self.counts.lost(&piece);
        }
        // Counted first, so that a flush does not miss it.
        taken.fetch_add(1, Ordering::AcqRel);
        if let Err(refused) = self.queue.try_send(piece) {
            taken.fetch_sub(1, Ordering::AcqRel);
            let (std::sync::mpsc::TrySendError::Full(piece) | std::sync::mpsc::TrySendError::Disconnected(piece)) = refused;
            self.counts.lost(&piece);
        }
    }

    /// Lines that were lost since the start.
    pub fn lost(&self, log: Log) -> u64 {
        self.counts.lost[log as usize].load(Ordering::Relaxed)
    }

    /// Waits until everything in the queue is written, for at most this long.
    pub fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        while Log::ALL.into_iter().any(|log| self.counts.waiting(log) > 0) && Instant::now() < until {
            std::thread::sleep(FLUSH_PAUSE);
        }
    }
}

fn write_all(pieces: &Receiver<Piece>, mut out: impl Write, style: Style, counts: &Counts) {
    for piece in pieces {
        for log in Log::ALL {
            let untold = counts.untold[log as usize].swap(0, Ordering::Relaxed);
            if untold > 0 && write(&mut out, notice(log, untold, style).as_bytes()).is_err() {
                counts.untold[log as usize].fetch_add(untold, Ordering::Relaxed);
            }
        }
        if write(&mut out, &piece.bytes).is_err() {
            counts.lost(&piece);
        }
        counts.left[piece.log as usize].fetch_add(1, Ordering::AcqRel);
    }
}

/// Writes all bytes. A pipe that is in non-blocking mode and full is tried again until it takes more.
fn write(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(FULL_PAUSE),
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

fn notice(log: Log, lines: u64, style: Style) -> String {
    const MESSAGE: &str = "log lines were lost: nobody took them in time";
    let (now, log) = (now(), log.name());
    match style {
        Style::Json => {
            format!("{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"{MESSAGE}\",\"log\":\"{log}\",\"lines\":{lines}}}\n")
        }
        Style::Human { .. } => format!("{now}  WARN {MESSAGE} log=\"{log}\" lines={lines}\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A writer that blocks until it is opened.
    #[derive(Clone)]
    struct Gate {
        closed: Arc<Mutex<()>>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.closed.lock().unwrap();
            self.text.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> Gate {
        Gate { closed: Arc::default(), text: Arc::default() }
    }

    fn say(lines: &Lines, log: Log, text: &str) {
        let mut piece = Piece::with_room(log, text.len());
        piece.line(|out| out.write_all(text.as_bytes()));
        lines.hand_over(piece);
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn lines_come_out_in_their_order() {
        let gate = gate();
        let lines = Lines::start(gate.clone(), Style::Json).unwrap();
        (0..100).for_each(|i| say(&lines, Log::Main, &i.to_string()));
        lines.flush(PATIENCE);
        let wanted: String = (0..100).map(|i| format!("{i}\n")).collect();
        assert_eq!(String::from_utf8(gate.text.lock().unwrap().clone()).unwrap(), wanted);
    }

    #[test]
    fn lines_that_do_not_fit_are_lost_counted_and_reported() {
        let gate = gate();
        let lines = Lines::start(gate.clone(), Style::Json).unwrap();
        let closed = gate.closed.lock().unwrap();
        for i in 0..3_000 {
            say(&lines, Log::Main, &format!("main {i}"));
        }
        let lost = lines.lost(Log::Main);
        // The thread may have taken one of them already.
        assert!((3_000 - QUEUE as u64 - 1..=3_000 - QUEUE as u64).contains(&lost), "{lost}");
        drop(closed);
        lines.flush(PATIENCE);
        say(&lines, Log::Main, "after");
        lines.flush(PATIENCE);
        let text = String::from_utf8(gate.text.lock().unwrap().clone()).unwrap();
        let notice = format!("\"log\":\"main\",\"lines\":{lost}}}");
        assert_eq!(text.matches(&notice).count(), 1, "{text}");
        assert_eq!(text.lines().count() as u64, 3_000 - lost + 2);
        assert!(text.ends_with("after\n"));
    }

    #[test]
    fn the_access_log_leaves_room_for_the_main_one() {
        let gate = gate();
        let lines = Lines::start(gate.clone(), Style::Human { colours: false }).unwrap();
        let closed = gate.closed.lock().unwrap();
        for _ in 0..3_000 {
            say(&lines, Log::Access, "access");
        }
        assert_eq!(lines.lost(Log::Access), 3_000 - ACCESS_WAITING);
        say(&lines, Log::Main, "what matters");
        assert_eq!(lines.lost(Log::Main), 0);
        drop(closed);
        lines.flush(PATIENCE);
        assert!(String::from_utf8(gate.text.lock().unwrap().clone()).unwrap().ends_with("what matters\n"));
    }
}
