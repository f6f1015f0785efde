//! Minutes of load while releases go up and down and the config is read again: memory, descriptors and threads stay, and the clients, serin
//! and the bots count the same. `make soak` takes ten minutes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::harness::{Handle, PATIENCE, Process, eventually, post_action};
use crate::load::{Books, Bot, Clients, Mix, Place, Sample, Told, Vitals, per_minute, split};

/// A short run, for every change, says nothing of memory.
const SHORT: (u64, u32) = (15, 600);
const PER_SECOND: u32 = 3_000;
/// Memory may not grow faster, once everything has been used. Runs that are shorter than twice this have no such bound.
const SLOPE_MAX: f64 = 1024.0;
const WARM: f64 = 120.0;
/// Descriptors and threads that serin has only once it has needed them, beyond those of its start.
const ONCE: usize = 4;
const RELOAD_EVERY: Duration = Duration::from_secs(7);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Steps that take seconds. A bad release is taken back by the evidence, a good one is promoted.
const ROLLOUT: &str =
    "rollout = { steps = [\"5%\", \"25%\", \"50%\", \"100%\"], bake = \"2s\", deadline = \"3s\", at_deadline = \"proceed\" }";

/// Leads one release after the other. Every third one is bad.
struct Operator<'t> {
    serin: &'t Handle,
    bots: [(&'static str, &'t Bot); 2],
    releases: usize,
    /// The last one.
    is_bad: bool,
    /// How many were promoted, and how many were taken back.
    ends: [usize; 2],
}

/// The seconds that it takes, and the rate.
fn size() -> (u64, u32) {
    let seconds = std::env::var("SERIN_SOAK_SECS").ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(SHORT, |seconds| (seconds, PER_SECOND))
}

#[test]
fn memory_descriptors_and_threads_stay_and_all_count_the_same() {
    let (seconds, per_second) = size();
    let (books, place) = (Books::default(), Place::new());
    let (blue, green) = (Bot::start(&books, Mix::SHORT), Bot::start(&books, Mix::SHORT));
    let config = |timeout: usize| place.text(&split(&blue, &green).bot(&format!("timeout = \"{timeout}s\"")).bot(ROLLOUT));
    std::fs::write(&place.config, config(10)).unwrap();
    let serin = Process::start_with(&place.config);
    // The watch of the config's folder may begin after serin serves: with a first reload it is there.
    serin.apply_config(&config(12));
    let before = Vitals::now(serin.id());
    let (vitals, clients) = (Vitals::watch(serin.id()), Clients::start(&place.front(&serin), Mix::SHORT, per_second));
    let mut operator = Operator { serin: &serin, bots: [("blue", &blue), ("green", &green)], releases: 0, is_bad: false, ends: [0; 2] };
    let (began, mut reloads) = (Instant::now(), 0);
    // A busy machine may need longer until everything has happened once.
    let is_done = |releases: usize, reloads: u32| releases > 0 && reloads > 0 || began.elapsed() > PATIENCE;
    while began.elapsed() < Duration::from_secs(seconds) || !is_done(operator.releases, reloads) {
        std::thread::sleep(LOOK_EVERY);
        operator.looks();
        if began.elapsed() > RELOAD_EVERY * (reloads + 1) {
            reloads += 1;
            serin.apply_config(&config(10 + reloads as usize % 2));
        }
    }
    let (sent, samples) = (clients.end(), vitals.end());
    let (releases, [promoted, aborted]) = (operator.releases, operator.ends);
    let sums = adds_up(&serin, &books, sent.told.len());
    let after = rests(&serin, &before);
    let balance = books.balance(sent.told.iter());
    let warm: Vec<Sample> = samples.iter().filter(|sample| sample.seconds > WARM.min(seconds as f64 / 2.0)).copied().collect();
    let slope = per_minute(&warm, |sample| sample.resident_kib as f64);
    eprintln!("{balance}");
    eprintln!("{sums}");
    eprintln!("{:?}, {:.0} a second in {:.0?}, the slowest took {:?}", sent.by_protocol, sent.per_second(), sent.took, sent.slowest());
    eprintln!("{releases} releases started, {promoted} promoted, {aborted} taken back; {reloads} reloads; HTTP/2: {:?}", sent.again);
    eprintln!("{}", table(&samples, &[("before", &before), ("after", &after)]));
    eprintln!("memory grows by {slope:.0} KiB a minute after {:.0} s", warm[0].seconds);
    balance.adds_up();
    let unanswered = sent.told.iter().filter(|(_, told)| !matches!(told, Told::Answered(200 | 500))).count();
    assert_eq!(unanswered, 0);
    assert!(reloads > 0 && releases > 0, "{reloads} reloads, {releases} releases");
    assert!((seconds as f64) < 2.0 * WARM || slope <= SLOPE_MAX, "memory grows by {slope:.0} KiB a minute");
}

/// The clients, serin's metrics and the bots count the same.
fn adds_up(serin: &Process, books: &Books, sent: usize) -> String {
    serin.counted_in_all(sent);
    assert_eq!(books.begun(), sent, "at the bots");
    format!("{sent} requests by the clients, in serin_requests_total and at the bots")
}

/// When the clients have gone, nothing of them is left.
fn rests(serin: &Process, before: &Sample) -> Sample {
    serin.nothing_in_flight();
    let gauge = |name: &str| eventually(name, || (serin.metrics().sum(name, &[]) == 0.0).then_some(()));
    gauge("serin_memory_used_bytes");
    gauge("serin_client_connections");
    let most = (before.descriptors + ONCE, before.threads + ONCE as u64);
    eventually(&format!("no more descriptors and threads than {most:?}"), || {
        let after = Vitals::now(serin.id());
        (after.descriptors <= most.0 && after.threads <= most.1).then_some(after)
    })
}

impl Operator<'_> {
    fn looks(&mut self) {
        let bot = self.serin.bot();
        let phase = bot["phase"].as_str().unwrap_or_default();
        match phase {
            "progressing" => (),
            "idle" | "promoted" | "aborted" => {
                let ended = self.releases > 0;
                self.ends[0] += usize::from(ended && phase == "promoted");
                self.ends[1] += usize::from(ended && phase == "aborted");
                self.starts(bot["stable"]["upstream"].as_str().unwrap_or_default());
            }
            // Too little evidence: the human knows whether it is good.
            "held" if !self.is_bad => drop(self.serin.admin(post_action("advance", "{}"))),
            _ => drop(self.serin.admin(post_action("abort", "{}"))),
        }
    }

    fn starts(&mut self, stable: &str) {
        self.is_bad = self.releases % 3 == 1;
        for (name, bot) in self.bots {
            bot.is_bad.store(self.is_bad && name != stable, Ordering::Relaxed);
        }
        let version = format!("{{\"version\": \"v{}\"}}", self.releases + 1);
        if self.serin.admin(post_action("rollouts", &version)).status == 200 {
            self.releases += 1;
        }
    }
}

/// Some of the samples, and the extremes.
fn table(samples: &[Sample], named: &[(&str, &Sample)]) -> String {
    let row =
        |name: &str, sample: &Sample| format!("{name:<10}{:>14}{:>14}{:>10}\n", sample.resident_kib, sample.descriptors, sample.threads);
    let mut table = format!("{:<10}{:>14}{:>14}{:>10}\n", "second", "resident KiB", "descriptors", "threads");
    named.iter().for_each(|(name, sample)| table += &row(name, sample));
    samples.iter().step_by((samples.len() / 10).max(1)).for_each(|sample| table += &row(&format!("{:.0}", sample.seconds), sample));
    table
}
