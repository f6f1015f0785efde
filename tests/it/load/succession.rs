//! Serins that follow one another on the same sockets, each by a take-over: in turn as a command that is given and by SIGUSR2.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::front::Place;
use crate::harness::{Process, eventually, send_signal_to, take_over};

pub struct Succession {
    serin: Process,
    /// The one that took over from it by SIGUSR2, if it serves now.
    child: Option<libc::pid_t>,
    older: Vec<Process>,
    children: Vec<libc::pid_t>,
    pub upgrades: usize,
    pub slowest: Duration,
}

impl Succession {
    pub fn start(place: &Place) -> Succession {
        let serin = Process::start_with(&place.config);
        Succession { serin, child: None, older: Vec::new(), children: Vec::new(), upgrades: 0, slowest: Duration::ZERO }
    }

    /// The last one that this test has started. Whoever serves has the same addresses and the same config.
    pub fn serin(&self) -> &Process {
        &self.serin
    }

    pub fn upgrade(&mut self) {
        let began = Instant::now();
        if self.upgrades.is_multiple_of(2) {
            let newer = Process::start_by(take_over(), &self.serin.config);
            self.older.push(std::mem::replace(&mut self.serin, newer));
            self.children.extend(self.child.take());
        } else {
            self.serin.signal(libc::SIGUSR2);
            let line: Value = serde_json::from_str(&self.serin.logged("SIGUSR2: a newer serin is started")).expect("a line of JSON");
            self.child = line["process"].as_i64().map(|process| process as libc::pid_t);
            // It writes to the same log.
            eventually("the newer serin serves", || (self.serin.logged_times("\"message\":\"serin serves\"") == 2).then_some(()));
        }
        self.upgrades += 1;
        self.slowest = self.slowest.max(began.elapsed());
    }

    /// All that were taken over from have ended well, and so does the last one.
    pub fn end(mut self) {
        self.serin.nothing_in_flight();
        for process in &mut self.older {
            assert_eq!(process.ended().code(), Some(0));
        }
        match self.child {
            None => self.serin.signal(libc::SIGTERM),
            Some(child) => send_signal_to(child, libc::SIGTERM).expect("it serves"),
        }
        assert_eq!(self.serin.ended().code(), Some(0));
        for child in self.children.iter().chain(&self.child) {
            eventually("a newer serin ends", || (!is_running(*child)).then_some(()));
        }
        self.child = None;
        self.children.clear();
    }
}

/// Serins that are no children of this process.
impl Drop for Succession {
    fn drop(&mut self) {
        for child in self.children.iter().chain(&self.child) {
            let _ = send_signal_to(*child, libc::SIGKILL);
        }
    }
}

/// A process that nobody waits for stays as a zombie.
fn is_running(process: libc::pid_t) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
