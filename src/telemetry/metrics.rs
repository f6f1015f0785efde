//! Every metric that serin exports: name, help text and labels. Labels are bounded; a workspace's id is never one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::families::Families;
use crate::core::evidence::Finding;
use crate::core::{Outcome, Phase, Track};
use crate::live::Snapshot;
use crate::logs::{self, Log};
use crate::meters::{BotMeters, BotShard, CodeClass, Count, Histogram, IdentifyResult, RescueReason};
use crate::store::{Op, Store};

/// Decisions of the ratchet, whose series exist from the start, at 0: a counter that appears with its first event begins at 1, and no
/// rate ever shows that event.
const BY_ITSELF: [&str; 6] = ["advance", "retreat", "abort", "trip", "promote", "undo"];
/// The usual outcomes of a request. Their series exist from the start, too.
const USUAL: [(Outcome, CodeClass); 5] = [
    (Outcome::Ok, CodeClass::Success),
    (Outcome::Error, CodeClass::ServerError),
    (Outcome::Error, CodeClass::None),
    (Outcome::Late, CodeClass::Success),
    (Outcome::Rejected, CodeClass::ClientError),
];

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    bots: Mutex<BTreeMap<String, Arc<BotMeters>>>,
    /// The codes of serin's own answers; `errors` has each worker's counts of them, in the same order.
    codes: Vec<&'static str>,
    errors: Box<[Box<[Count]>]>,
    unmatched: Box<[Count]>,
    /// By bot, decision and kind of actor.
    decisions: Mutex<BTreeMap<(String, &'static str, &'static str), u64>>,
    reload: Mutex<Reload>,
    /// By reason: requests to the admin listener that were not allowed.
    denied: Mutex<BTreeMap<&'static str, u64>>,
    /// By notifier and result.
    notified: Mutex<BTreeMap<String, [u64; Told::ALL.len()]>>,
    /// By certificate: the last second of its validity, in Unix time.
    certificates: Mutex<BTreeMap<&'static str, i64>>,
}

#[derive(Clone, Copy, Debug)]
struct Reload {
    successful: bool,
    at: SystemTime,
    /// The hash of the config in force.
    hash: u64,
}

/// The result of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Sent,
    /// Refused, or too old before it could be sent.
    Failed,
    /// The queue was full.
    Dropped,
}

impl Told {
    pub const ALL: [Told; 3] = [Told::Sent, Told::Failed, Told::Dropped];

    pub fn name(self) -> &'static str {
        match self {
            Told::Sent => "sent",
            Told::Failed => "failed",
            Told::Dropped => "dropped",
        }
    }
}

impl Metrics {
    /// `codes`: every `serin-error` code.
    pub fn new(workers: usize, codes: Vec<&'static str>) -> Metrics {
        Metrics {
            workers,
            bots: Mutex::default(),
            errors: (0..workers).map(|_| codes.iter().map(|_| Count::default()).collect()).collect(),
            codes,
            unmatched: (0..workers).map(|_| Count::default()).collect(),
            decisions: Mutex::default(),
            reload: Mutex::new(Reload { successful: true, at: SystemTime::now(), hash: 0 }),
            denied: Mutex::default(),
            notified: Mutex::default(),
            certificates: Mutex::default(),
        }
    }

    /// The meters of a bot, made on the first call. They outlive reloads.
    pub fn bot(&self, name: &str) -> Arc<BotMeters> {
        for decision in BY_ITSELF {
            self.decisions.lock().expect("no panic under this lock").entry((name.to_owned(), decision, "ratchet")).or_default();
        }
        let mut bots = self.bots.lock().expect("no panic under this lock");
        bots.entry(name.to_owned()).or_insert_with(|| Arc::new(BotMeters::new(name, self.workers))).clone()
    }

    /// Counts an answer of serin's own. `code` is the index in `codes`. Only that worker may write to its counters.
    pub fn error(&self, worker: usize, code: usize) {
        self.errors[worker][code].add(1);
    }

    pub fn unmatched(&self, worker: usize) {
        self.unmatched[worker].add(1);
    }

    pub fn decision(&self, bot: &str, decision: &'static str, actor_kind: &'static str) {
        let mut decisions = self.decisions.lock().expect("no panic under this lock");
        *decisions.entry((bot.to_owned(), decision, actor_kind)).or_default() += 1;
    }

    /// Records a reload: `Some` with the hash of the config that every worker serves, `None` if a config was refused.
    pub fn reloaded(&self, serves: Option<u64>) {
        let mut reload = self.reload.lock().expect("no panic under this lock");
        *reload = match serves {
            Some(hash) => Reload { successful: true, at: SystemTime::now(), hash },
            None => Reload { successful: false, ..*reload },
        };
    }

    pub fn denied(&self, reason: &'static str) {
        *self.denied.lock().expect("no panic under this lock").entry(reason).or_default() += 1;
    }

    /// Adds to the notifications with this result. Called with 0 first, so that the series exists.
    pub fn notified(&self, notifier: &str, told: Told, count: u64) {
        let mut notified = self.notified.lock().expect("no panic under this lock");
        notified.entry(notifier.to_owned()).or_default()[told as usize] += count;
    }

    /// `not_after`: the last second of the certificate's validity, in Unix time; `None` removes the series.
    pub fn certificate(&self, name: &'static str, not_after: Option<i64>) {
        let mut certificates = self.certificates.lock().expect("no panic under this lock");
        match not_after {
            Some(not_after) => certificates.insert(name, not_after),
            None => certificates.remove(name),
        };
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self, snapshot: &Snapshot, store: &Store) -> String {
        let mut families = Families::default();
        self.process(&mut families);
        self.access(&mut families);
        self.states(&mut families, snapshot);
        kept(&mut families, snapshot, store);
        let bots: Vec<_> = self.bots.lock().expect("no panic under this lock").values().cloned().collect();
        requests(&mut families, &bots);
        latencies(&mut families, &bots);
        workspaces(&mut families, &bots);
        families.render()
    }

    fn process(&self, out: &mut Families) {
        out.gauge("serin_build_info", "The version that runs; always 1.", [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)]);
        let unmatched: u64 = self.unmatched.iter().map(Count::load).sum();
        out.counter(
            "serin_unmatched_requests_total",
            "Requests for which no bot is configured, answered 404.",
            [(vec![], unmatched as f64)],
        );
        out.counter(
            "serin_proxy_errors_total",
            "Answers that serin made itself instead of an upstream, by their serin-error code.",
            self.codes.iter().enumerate().map(|(at, code)| {
                let count: u64 = self.errors.iter().map(|worker| worker[at].load()).sum();
                (vec![("code", *code)], count as f64)
            }),
        );
        out.counter(
            "serin_log_lines_dropped_total",
            "Log lines that were lost since nobody took them in time, by the log.",
            Log::ALL.map(|log| (vec![("log", log.name())], logs::lost(log) as f64)),
        );
        let reload = *self.reload.lock().expect("no panic under this lock");
        let at = reload.at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        out.gauge(
            "serin_config_last_reload_successful",
            "1 if the last reading of the config was taken, 0 if it was refused.",
            [(vec![], f64::from(u8::from(reload.successful)))],
        );
        out.gauge("serin_config_last_reload_success_timestamp_seconds", "When a config was last taken, in Unix time.", [(vec![], at)]);
        let hash = format!("{:016x}", reload.hash);
        out.gauge("serin_config_info", "The hash of the config that serves; always 1.", [(vec![("hash", hash.as_str())], 1.0)]);
    }

    fn access(&self, out: &mut Families) {
        let denied = self.denied.lock().expect("no panic under this lock");
        out.counter(
            "serin_admin_denied_total",
            "Requests to the admin listener that were not allowed, by the reason.",
            denied.iter().map(|(reason, n)| (vec![("reason", *reason)], *n as f64)),
        );
        let notified = self.notified.lock().expect("no panic under this lock");
        out.counter(
            "serin_notifications_total",
            "Messages to people, by notifier and by what became of them.",
            notified.iter().flat_map(|(notifier, counts)| {
                Told::ALL.map(|told| (vec![("notifier", notifier.as_str()), ("result", told.name())], counts[told as usize] as f64))
            }),
        );
        let certificates = self.certificates.lock().expect("no panic under this lock");
        out.gauge(
            "serin_tls_certificate_expiry_timestamp_seconds",
            "The last second in which a certificate that serin shows is valid, in Unix time.",
            certificates.iter().map(|(name, not_after)| (vec![("name", *name)], *not_after as f64)),
        );
    }

    fn states(&self, out: &mut Families, snapshot: &Snapshot) {
        let bots = || snapshot.config.bots.iter().zip(&snapshot.epochs);
        out.gauge(
            "serin_canary_weight_ratio",
            "The canary's share of the buckets, 0 to 1.",
            bots().map(|(bot, epoch)| (vec![("bot", bot.name.as_str())], epoch.split.weight().ratio())),
        );
        let statuses: Vec<_> = bots().map(|(bot, epoch)| (bot, epoch, epoch.status())).collect();
        out.gauge(
            "serin_rollout_phase",
            "1 for the phase a bot is in.",
            statuses.iter().flat_map(|(bot, _, status)| {
                Phase::ALL.map(|phase| {
                    (vec![("bot", bot.name.as_str()), ("phase", phase.name())], f64::from(u8::from(phase == status.state.phase)))
                })
            }),
        );
        out.gauge(
            "serin_hold",
            "1 for the reason why the weight of a rollout stays.",
            statuses.iter().filter_map(|(bot, _, status)| {
                Some((vec![("bot", bot.name.as_str()), ("reason", status.state.hold.as_ref()?.code())], 1.0))
            }),
        );
        out.gauge(
            "serin_waits_for_human",
            "1 if nothing goes on until somebody decides.",
            statuses
                .iter()
                .map(|(bot, _, status)| (vec![("bot", bot.name.as_str())], f64::from(u8::from(status.waits_for_human().is_some())))),
        );
        out.gauge(
            "serin_evidence_log_e",
            "The natural logarithm of the evidence E against the canary; 0 is none, 5 (E = 150) aborts.",
            statuses
                .iter()
                .filter_map(|(bot, _, status)| Some((vec![("bot", bot.name.as_str())], status.judged?.judgement.wealth.log_e()))),
        );
        out.gauge(
            "serin_examined_workspaces",
            "Buckets that look broken on the canary alone, by what their examination has found.",
            statuses.iter().flat_map(|(bot, _, status)| {
                Finding::ALL.map(|finding| (vec![("bot", bot.name.as_str()), ("state", finding.name())], status.examined(finding) as f64))
            }),
        );
        out.gauge(
            "serin_release_info",
            "Which upstream and version plays a track's role; always 1.",
            statuses.iter().flat_map(|(bot, epoch, status)| {
                let roles = [
                    (Track::Stable, Some(epoch.roles.stable), Some(&status.state.stable)),
                    (Track::Canary, epoch.tried(bot), status.state.canary.as_ref()),
                ];
                roles.into_iter().filter_map(|(track, upstream, release)| {
                    let upstream = &bot.upstreams[upstream?];
                    let version = release.map_or(upstream.version.as_deref(), |release| release.version.as_deref()).unwrap_or("");
                    let labels = [("bot", bot.name.as_str()), ("track", track.name()), ("upstream", &upstream.name), ("version", version)];
                    Some((labels.to_vec(), 1.0))
                })
            }),
        );
        let decisions = self.decisions.lock().expect("no panic under this lock");
        out.counter(
            "serin_decisions_total",
            "Changes of a rollout or a weight, by what was decided and by whom.",
            decisions.iter().map(|((bot, decision, actor_kind), n)| {
                (vec![("bot", bot.as_str()), ("decision", *decision), ("actor_kind", *actor_kind)], *n as f64)
            }),
        );
    }
}

fn requests(out: &mut Families, bots: &[Arc<BotMeters>]) {
    let mut rows = Vec::new();
    for bot in bots {
        for track in Track::ALL {
            for outcome in Outcome::ALL {
                for class in CodeClass::ALL {
                    let n = sum(bot, |shard| shard.request(track, outcome, class).load());
                    if n > 0 || USUAL.contains(&(outcome, class)) {
                        let labels = [
                            ("bot", bot.name.as_str()),
                            ("track", track.name()),
                            ("outcome", outcome.name()),
                            ("code_class", class.name()),
                        ];
                        rows.push((labels.to_vec(), n as f64));
                    }
                }
            }
        }
    }
    out.counter("serin_requests_total", "Webhooks, by the track they were assigned to and how they ended.", rows);
    out.gauge(
        "serin_inflight_requests",
        "Webhooks that are being answered now, by track.",
        by_track(bots, |shard, track| shard.inflight[track as usize].load() as f64),
    );
    out.counter(
        "serin_rescues_total",
        "Webhooks that stable answered because the canary could not be connected to, by reason.",
        bots.iter().flat_map(|bot| {
            RescueReason::ALL.map(|reason| {
                let n = sum(bot, |shard| shard.rescues[reason as usize].load());
                (vec![("bot", bot.name.as_str()), ("reason", reason.name())], n as f64)
            })
        }),
    );
    let retries: Vec<_> = bots.iter().map(|bot| (bot, bot.retries())).collect();
    out.counter(
        "serin_platform_retries_total",
        "Webhooks that the platform sent again, by the track they were assigned to and the platform's reason.",
        retries.iter().flat_map(|(bot, retries)| {
            retries.iter().flat_map(move |retry| {
                Track::ALL.map(|track| {
                    let labels = [("bot", bot.name.as_str()), ("track", track.name()), ("reason", retry.reason)];
                    (labels.to_vec(), retry.sum(track) as f64)
                })
            })
        }),
    );
    out.counter(
        "serin_handshakes_total",
        "Requests by which a platform verifies the URL.",
        bots.iter().map(|bot| (vec![("bot", bot.name.as_str())], sum(bot, |shard| shard.handshakes.load()) as f64)),
    );
}

fn latencies(out: &mut Families, bots: &[Arc<BotMeters>]) {
    type Pick = fn(&BotShard, Track) -> &Histogram;
    let tracked: [(&str, &str, Pick); 2] = [
        ("serin_request_duration_seconds", "From a request's arrival to the end of its answer.", |shard, track| {
            &shard.duration[track as usize]
        }),
        (
            "serin_upstream_first_byte_seconds",
            "From a request's last byte to the answer's first byte, 0 for an answer that came before.",
            |shard, track| &shard.first_byte[track as usize],
        ),
    ];
    for (name, help, pick) in tracked {
        let mut rows = Vec::new();
        for bot in bots {
            for track in Track::ALL {
                rows.push((
                    vec![("bot", bot.name.as_str()), ("track", track.name())],
                    bot.shards().iter().map(|shard| pick(shard, track)).collect(),
                ));
            }
        }
        out.histogram(name, help, rows);
    }
    let rows =
        bots.iter().map(|bot| (vec![("bot", bot.name.as_str())], bot.shards().iter().map(|shard| &shard.overhead).collect())).collect();
    out.histogram("serin_overhead_seconds", "What serin itself adds: from having a request to sending it on.", rows);
}

fn workspaces(out: &mut Families, bots: &[Arc<BotMeters>]) {
    let sources: Vec<_> = bots.iter().map(|bot| (bot, bot.sources())).collect();
    let rows = sources.iter().flat_map(|(bot, sources)| {
        sources.iter().flat_map(move |source| {
            IdentifyResult::ALL
                .into_iter()
                .map(move |result| (source, result, source.sum(result)))
                .filter(|(source, result, n)| *n > 0 || source.usually(*result))
                .map(move |(source, result, n)| {
                    (vec![("bot", bot.name.as_str()), ("source", source.source.as_str()), ("result", result.name())], n as f64)
                })
        })
    });
    out.counter("serin_identify_total", "Webhooks by the result of the search for their workspace, and by the source that found it.", rows);
}

fn sum(bot: &BotMeters, pick: impl Fn(&BotShard) -> u64) -> u64 {
    bot.shards().iter().map(pick).sum()
}

fn by_track<'a>(
    bots: &'a [Arc<BotMeters>],
    pick: impl Fn(&BotShard, Track) -> f64 + Copy + 'a,
) -> impl Iterator<Item = (Vec<(&'a str, &'a str)>, f64)> {
    bots.iter().flat_map(move |bot| {
        Track::ALL.map(|track| {
            let value = bot.shards().iter().map(|shard| pick(shard, track)).sum();
            (vec![("bot", bot.name.as_str()), ("track", track.name())], value)
        })
    })
}

/// Metrics about the history and what it says.
fn kept(out: &mut Families, snapshot: &Snapshot, store: &Store) {
    out.counter(
        "serin_store_errors_total",
        "Failed operations of the history, by operation.",
        Op::ALL.map(|op| (vec![("op", op.name())], store.errors(op) as f64)),
    );
    let statuses: Vec<_> = snapshot.config.bots.iter().zip(&snapshot.epochs).map(|(bot, epoch)| (bot, epoch.status())).collect();
    let truth = |truth: bool| f64::from(u8::from(truth));
    out.gauge(
        "serin_durable",
        "1 if a restart would find what serves, 0 if it is kept in memory alone.",
        statuses.iter().map(|(bot, status)| (vec![("bot", bot.name.as_str())], truth(status.durability.durable))),
    );
    out.gauge(
        "serin_desired_differs",
        "1 if the config wants another release than what serves or is on its way.",
        statuses.iter().map(|(bot, status)| (vec![("bot", bot.name.as_str())], truth(status.state.desired_elsewhere().is_some()))),
    );
    out.gauge(
        "serin_drill_last_success_timestamp_seconds",
        "When a drill last went well, in Unix time.",
        statuses.iter().filter_map(|(bot, status)| Some((vec![("bot", bot.name.as_str())], status.landmarks.drilled()?))),
    );
}
