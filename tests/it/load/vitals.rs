//! What a process takes of the machine, read each second: resident memory, descriptors and threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the first one.
    pub seconds: f64,
    pub resident_kib: u64,
    pub descriptors: usize,
    pub threads: u64,
}

pub struct Vitals {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sample {
    pub fn of(process: u32, began: Instant) -> Sample {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says it");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count();
        Sample { seconds: began.elapsed().as_secs_f64(), resident_kib: number("VmRSS:"), descriptors, threads: number("Threads:") }
    }
}

impl Vitals {
    pub fn now(process: u32) -> Sample {
        Sample::of(process, Instant::now())
    }

    pub fn watch(process: u32) -> Vitals {
        let stop = Arc::<AtomicBool>::default();
        let (stopped, began) = (stop.clone(), Instant::now());
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                samples.push(Sample::of(process, began));
                std::thread::sleep(Duration::from_secs(1));
            }
            samples
        });
        Vitals { stop, thread }
    }

    pub fn end(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only reads")
    }
}

/// By how much a value grows in a minute: least squares over the samples.
pub fn per_minute(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    let n = samples.len() as f64;
    let (x, y) = (samples.iter().map(|s| s.seconds).sum::<f64>() / n, samples.iter().map(&value).sum::<f64>() / n);
    let above: f64 = samples.iter().map(|s| (s.seconds - x) * (value(s) - y)).sum();
    let below: f64 = samples.iter().map(|s| (s.seconds - x).powi(2)).sum();
    above / below * 60.0
}

#[test]
fn a_slope_is_that_of_the_line() {
    let sample = |seconds: f64, resident_kib| Sample { seconds, resident_kib, descriptors: 0, threads: 0 };
    let samples: Vec<Sample> = (0..60).map(|n| sample(f64::from(n), 500 + 10 * n as u64 + u64::from(n % 2 == 0))).collect();
    let slope = per_minute(&samples, |sample| sample.resident_kib as f64);
    assert!((slope - 600.0).abs() < 1.0, "{slope}");
}
