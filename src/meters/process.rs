//! What is counted of the process. What workers count is in cells, one for each worker. What happens rarely is counted by prometheus's
//! own counters, which look their labels up under a lock; each is declared here, with its help text.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use prometheus::core::{Atomic, Collector, GenericGauge};
use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::bot::BotMeters;
use super::cells::Count;
use super::connections::ConnectionShard;
use super::labels::{Closed, Ordered, Told};

/// Decisions of the ratchet, whose series exist from the start, at 0: a counter that appears with its first event begins at 1, and no
/// rate ever shows that event.
const BY_ITSELF: [&str; 6] = ["advance", "retreat", "abort", "trip", "promote", "undo"];

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    bots: Mutex<BTreeMap<String, Arc<BotMeters>>>,
    /// The codes of serin's own answers; `errors` has each worker's counts of them, in the same order.
    codes: Vec<&'static str>,
    errors: Box<[Box<[Count]>]>,
    unmatched: Box<[Count]>,
    connections: Box<[ConnectionShard]>,
    /// The hash of the config in force.
    config: AtomicU64,
    reload_successful: IntGauge,
    reload_at: Gauge,
    decisions: IntCounterVec,
    denied: IntCounterVec,
    notified: IntCounterVec,
    certificates: IntGaugeVec,
    ordered: IntCounterVec,
}

impl Metrics {
    /// `codes`: every `serin-error` code.
    pub fn new(workers: usize, codes: Vec<&'static str>) -> Metrics {
        let metrics = Metrics {
            workers,
            bots: Mutex::default(),
            errors: (0..workers).map(|_| codes.iter().map(|_| Count::default()).collect()).collect(),
            codes,
            unmatched: (0..workers).map(|_| Count::default()).collect(),
            connections: (0..workers).map(|_| ConnectionShard::default()).collect(),
            config: AtomicU64::new(0),
            reload_successful: gauge(
                "serin_config_last_reload_successful",
                "1 if the last reading of the config was taken, 0 if it was refused.",
            ),
            reload_at: gauge("serin_config_last_reload_success_timestamp_seconds", "When a config was last taken, in Unix time."),
            decisions: counters(
                "serin_decisions_total",
                "Changes of a rollout or a weight, by what was decided and by whom.",
                &["bot", "decision", "actor_kind"],
            ),
            denied: counters(
                "serin_admin_denied_total",
                "Requests to the admin listener that were not allowed, by the reason.",
                &["reason"],
            ),
            notified: counters(
                "serin_notifications_total",
                "Messages to people, by notifier and by what became of them.",
                &["notifier", "result"],
            ),
            certificates: gauges(
                "serin_tls_certificate_expiry_timestamp_seconds",
                "The last second in which a certificate that serin shows is valid, in Unix time.",
                &["name"],
            ),
            ordered: counters(
                "serin_acme_orders_total",
                "Orders of certificates, by the name and by what became of them.",
                &["name", "result"],
            ),
        };
        metrics.reloaded(Some(0));
        metrics
    }

    /// The meters of a bot, made on the first call. They outlive reloads.
    pub fn bot(&self, name: &str) -> Arc<BotMeters> {
        let mut bots = self.bots.lock().expect("no panic under this lock");
        let meters = bots.entry(name.to_owned()).or_insert_with(|| {
            for decision in BY_ITSELF {
                self.decisions.with_label_values(&[name, decision, "ratchet"]);
            }
            Arc::new(BotMeters::new(name, self.workers))
        });
        meters.clone()
    }

    /// The meters of all bots since the start, by name.
    pub fn bots(&self) -> Vec<Arc<BotMeters>> {
        self.bots.lock().expect("no panic under this lock").values().cloned().collect()
    }

    /// Counts an answer of serin's own. `code` is the index in `codes`. Only that worker may write to its counters.
    pub fn error(&self, worker: usize, code: usize) {
        self.errors[worker][code].add(1);
    }

    /// Each code of serin's own answers, with the count of all workers.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.codes.iter().enumerate().map(|(at, code)| (*code, self.errors.iter().map(|worker| worker[at].load()).sum()))
    }

    /// Counts a request for which no bot is configured. Only that worker may write to its counter.
    pub fn unmatched(&self, worker: usize) {
        self.unmatched[worker].add(1);
    }

    /// The requests for which no bot was configured, of all workers.
    pub fn unmatched_requests(&self) -> u64 {
        self.unmatched.iter().map(Count::load).sum()
    }

    /// A worker's cells of client connections. Only that worker may write to them.
    pub fn connections(&self, worker: usize) -> &ConnectionShard {
        &self.connections[worker]
    }

    /// The open client connections of all workers.
    pub fn open_connections(&self) -> i64 {
        self.connections.iter().map(|worker| worker.open.load()).sum()
    }

    /// The memory that all workers have charged to `max_memory`, in bytes.
    pub fn memory(&self) -> i64 {
        self.connections.iter().map(|worker| worker.memory.load()).sum()
    }

    /// `max_memory` of the config that serves: the sum of the workers' shares, in bytes.
    pub fn memory_limit(&self) -> i64 {
        self.connections.iter().map(|worker| worker.memory_limit.load()).sum()
    }

    /// The connections that serin closed for this reason, of all workers.
    pub fn closed_connections(&self, reason: Closed) -> u64 {
        self.connections.iter().map(|worker| worker.closed_for(reason)).sum()
    }

    pub fn decision(&self, bot: &str, decision: &'static str, actor_kind: &'static str) {
        self.decisions.with_label_values(&[bot, decision, actor_kind]).inc();
    }

    /// Records a reload: `Some` with the hash of the config that every worker serves, `None` if a config was refused.
    pub fn reloaded(&self, serves: Option<u64>) {
        self.reload_successful.set(i64::from(serves.is_some()));
        if let Some(hash) = serves {
            self.config.store(hash, Ordering::Relaxed);
            self.reload_at.set(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |at| at.as_secs_f64()));
        }
    }

    /// The hash of the config in force.
    pub fn config(&self) -> u64 {
        self.config.load(Ordering::Relaxed)
    }

    /// Counts a request to the admin listener that was not allowed.
    pub fn denied(&self, reason: &'static str) {
        self.denied.with_label_values(&[reason]).inc();
    }

    /// Adds to the notifications with this result. Called with 0 first, so that the series of all results exist.
    pub fn notified(&self, notifier: &str, told: Told, count: u64) {
        for result in Told::ALL {
            self.notified.with_label_values(&[notifier, result.name()]).inc_by(if result == told { count } else { 0 });
        }
    }

    /// `not_after`: the last second of the certificate's validity, in Unix time; `None` removes the series.
    pub fn certificate(&self, name: &str, not_after: Option<i64>) {
        match not_after {
            Some(not_after) => self.certificates.with_label_values(&[name]).set(not_after),
            // Fails if there was no certificate of this name.
            None => drop(self.certificates.remove_label_values(&[name])),
        }
    }

    /// Counts an order of a certificate. Called with `None` first, so that the series of all results exist.
    pub fn ordered(&self, name: &str, result: Option<Ordered>) {
        for known in Ordered::ALL {
            self.ordered.with_label_values(&[name, known.name()]).inc_by(u64::from(result == Some(known)));
        }
    }

    /// prometheus's own counters among these. They are registered as they are.
    pub fn collectors(&self) -> [Box<dyn Collector>; 7] {
        [
            Box::new(self.reload_successful.clone()),
            Box::new(self.reload_at.clone()),
            Box::new(self.decisions.clone()),
            Box::new(self.denied.clone()),
            Box::new(self.notified.clone()),
            Box::new(self.certificates.clone()),
            Box::new(self.ordered.clone()),
        ]
    }
}

const DECLARED: &str = "its names are valid, and it has a help text";

fn gauge<P: Atomic>(name: &str, help: &str) -> GenericGauge<P> {
    GenericGauge::new(name, help).expect(DECLARED)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect(DECLARED)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(DECLARED)
}
