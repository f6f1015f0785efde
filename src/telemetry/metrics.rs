//! Every metric that is read from snapshots and cells: name, help text and labels. Labels are bounded; a workspace's id is never one.
//! The metrics that prometheus's own counters count are declared in `meters/process.rs`.

use prometheus::proto::MetricType::{self, COUNTER, GAUGE, HISTOGRAM};

use super::family::Read::{self, Counted, Process, Serving};
use crate::core::evidence::Finding;
use crate::core::{Outcome, Phase, Track};
use crate::logs::{self, Log};
use crate::meters::{BotMeters, BotShard, Closed, CodeClass, IdentifyResult, RescueReason};
use crate::store::Op;

/// The usual outcomes of a request. Their series exist from the start, so that a rate shows their first event.
const USUAL: [(Outcome, CodeClass); 5] = [
    (Outcome::Ok, CodeClass::Success),
    (Outcome::Error, CodeClass::ServerError),
    (Outcome::Error, CodeClass::None),
    (Outcome::Late, CodeClass::Success),
    (Outcome::Rejected, CodeClass::ClientError),
];

/// Kind, name, help text, labels, and where the samples come from.
type Declared = (MetricType, &'static str, &'static str, &'static [&'static str], Read);

// By hand, so that it reads as a table.
#[rustfmt::skip]
pub(super) const ALL: &[Declared] = &[
    // The process.
    (GAUGE, "serin_build_info", "The version that runs; always 1.", &["version"],
        Process(|_, samples| samples.add([env!("CARGO_PKG_VERSION")], 1.0))),
    (COUNTER, "serin_unmatched_requests_total", "Requests for which no bot is configured, answered 404.", &[],
        Process(|scrape, samples| samples.add([], scrape.process.unmatched_requests() as f64))),
    (COUNTER, "serin_proxy_errors_total", "Answers that serin made itself instead of an upstream, by their serin-error code.", &["code"],
        Process(|scrape, samples| scrape.process.errors().for_each(|(code, count)| samples.add([code], count as f64)))),
    (GAUGE, "serin_client_connections", "Open connections of clients.", &[],
        Process(|scrape, samples| samples.add([], scrape.process.open_connections() as f64))),
    (COUNTER, "serin_client_connections_closed_total", "Connections of clients that serin closed before their usual end, by the reason.", &["reason"],
        Process(|scrape, samples| Closed::ALL.into_iter().for_each(|reason|
            samples.add([reason.name()], scrape.process.closed_connections(reason) as f64)))),
    (GAUGE, "serin_memory_used_bytes", "Memory for requests and answers that is charged to max_memory.", &[],
        Process(|scrape, samples| samples.add([], scrape.process.memory() as f64))),
    (GAUGE, "serin_memory_limit_bytes", "max_memory of the config that serves.", &[],
        Process(|scrape, samples| samples.add([], scrape.process.memory_limit() as f64))),
    (GAUGE, "serin_worker_lag_seconds", "How long the tasks of the worker that has most to do wait for their turn.", &[],
        Process(|scrape, samples| samples.add([], scrape.process.lag_secs()))),
    (COUNTER, "serin_log_lines_dropped_total", "Log lines that were lost since nobody took them in time, by the log.", &["log"],
        Process(|_, samples| Log::ALL.into_iter().for_each(|log| samples.add([log.name()], logs::lost(log) as f64)))),
    (GAUGE, "serin_config_info", "The hash of the config that serves; always 1.", &["hash"],
        Process(|scrape, samples| samples.add([&format!("{:016x}", scrape.process.config())], 1.0))),
    (COUNTER, "serin_store_errors_total", "Failed operations of the history, by operation.", &["op"],
        Process(|scrape, samples| Op::ALL.into_iter().for_each(|op| samples.add([op.name()], scrape.store.errors(op) as f64)))),

    // What serves.
    (GAUGE, "serin_canary_weight_ratio", "The canary's share of the buckets, 0 to 1.", &["bot"],
        Serving(|bot, samples| samples.add([], bot.epoch.split.weight().ratio()))),
    (GAUGE, "serin_rollout_phase", "1 for the phase a bot is in.", &["bot", "phase"],
        Serving(|bot, samples| {
            Phase::ALL.into_iter().for_each(|phase| samples.add([phase.name()], truth(phase == bot.status.state.phase)));
        })),
    (GAUGE, "serin_hold", "1 for the reason why the weight of a rollout stays.", &["bot", "reason"],
        Serving(|bot, samples| bot.status.state.hold.iter().for_each(|hold| samples.add([hold.code()], 1.0)))),
    (GAUGE, "serin_waits_for_human", "1 if nothing goes on until somebody decides.", &["bot"],
        Serving(|bot, samples| samples.add([], truth(bot.status.waits_for_human().is_some())))),
    (GAUGE, "serin_evidence_log_e", "The natural logarithm of the evidence E against the canary; 0 is none, 5 (E = 150) aborts.", &["bot"],
        Serving(|bot, samples| bot.status.judged.iter().for_each(|judged| samples.add([], judged.judgement.wealth.log_e())))),
    (GAUGE, "serin_examined_workspaces",
        "Buckets that look broken on the canary alone, by what their examination has found.", &["bot", "state"],
        Serving(|bot, samples| {
            Finding::ALL.into_iter().for_each(|finding| samples.add([finding.name()], bot.status.examined(finding) as f64));
        })),
    (GAUGE, "serin_release_info", "Which upstream and version plays a track's role; always 1.", &["bot", "track", "upstream", "version"],
        Serving(|bot, samples| {
            let state = &bot.status.state;
            let roles = [
                (Track::Stable, Some(bot.epoch.roles.stable), Some(&state.stable)),
                (Track::Canary, bot.epoch.tried(bot.bot), state.canary.as_ref()),
            ];
            for (track, upstream, release) in roles {
                let Some(upstream) = upstream.map(|upstream| &bot.bot.upstreams[upstream]) else { continue };
                let version = release.map_or(upstream.version.as_deref(), |release| release.version.as_deref());
                samples.add([track.name(), &upstream.name, version.unwrap_or("")], 1.0);
            }
        })),
    (GAUGE, "serin_durable", "1 if a restart would find what serves, 0 if it is kept in memory alone.", &["bot"],
        Serving(|bot, samples| samples.add([], truth(bot.status.durability.durable)))),
    (GAUGE, "serin_desired_differs", "1 if the config wants another release than what serves or is on its way.", &["bot"],
        Serving(|bot, samples| samples.add([], truth(bot.status.state.desired_elsewhere().is_some())))),
    (GAUGE, "serin_drill_last_success_timestamp_seconds", "When a drill last went well, in Unix time.", &["bot"],
        Serving(|bot, samples| bot.status.landmarks.drilled().into_iter().for_each(|drilled| samples.add([], drilled)))),

    // What workers count.
    (COUNTER, "serin_requests_total",
        "Webhooks, by the track they were assigned to and how they ended.", &["bot", "track", "outcome", "code_class"],
        Counted(|bot, samples| {
            for (track, outcome, class) in ends() {
                let count = sum(bot, |shard| shard.request(track, outcome, class).load());
                if count > 0.0 || USUAL.contains(&(outcome, class)) {
                    samples.add([track.name(), outcome.name(), class.name()], count);
                }
            }
        })),
    (GAUGE, "serin_inflight_requests", "Webhooks that are being answered now, by track.", &["bot", "track"],
        Counted(|bot, samples| {
            for track in Track::ALL {
                let inflight: i64 = bot.shards().iter().map(|shard| shard.inflight[track as usize].load()).sum();
                samples.add([track.name()], inflight as f64);
            }
        })),
    (GAUGE, "serin_upgraded_connections", "Connections that have changed to another protocol, such as WebSocket, by track.", &["bot", "track"],
        Counted(|bot, samples| {
            for track in Track::ALL {
                let tunnels: i64 = bot.shards().iter().map(|shard| shard.tunnels[track as usize].load()).sum();
                samples.add([track.name()], tunnels as f64);
            }
        })),
    (COUNTER, "serin_rescues_total",
        "Webhooks that stable answered because the canary could not be connected to, by reason.", &["bot", "reason"],
        Counted(|bot, samples| {
            for reason in RescueReason::ALL {
                samples.add([reason.name()], sum(bot, |shard| shard.rescues[reason as usize].load()));
            }
        })),
    (COUNTER, "serin_shed_requests_total",
        "Webhooks that were refused because the track's upstream answers too late to answer more of them in time.", &["bot", "track"],
        Counted(|bot, samples| {
            for track in Track::ALL {
                samples.add([track.name()], sum(bot, |shard| shard.shed[track as usize].load()));
            }
        })),
    (COUNTER, "serin_platform_retries_total",
        "Webhooks that the platform sent again, by the track they were assigned to and the platform's reason.", &["bot", "track", "reason"],
        Counted(|bot, samples| {
            for retry in bot.retries() {
                Track::ALL.into_iter().for_each(|track| samples.add([track.name(), retry.reason], retry.sum(track) as f64));
            }
        })),
    (COUNTER, "serin_handshakes_total", "Requests by which a platform verifies the URL.", &["bot"],
        Counted(|bot, samples| samples.add([], sum(bot, |shard| shard.handshakes.load())))),
    (COUNTER, "serin_identify_total",
        "Webhooks by the result of the search for their workspace, and by the source that found it.", &["bot", "source", "result"],
        Counted(|bot, samples| {
            for source in bot.sources() {
                let shown = |result: &IdentifyResult| source.sum(*result) > 0 || source.usually(*result);
                for result in IdentifyResult::ALL.into_iter().filter(shown) {
                    samples.add([&source.source, result.name()], source.sum(result) as f64);
                }
            }
        })),
    (HISTOGRAM, "serin_request_duration_seconds", "From a request's arrival to the end of its answer.", &["bot", "track"],
        Counted(|bot, samples| {
            for track in Track::ALL {
                samples.add_histogram([track.name()], bot.shards().iter().map(|shard| &shard.duration[track as usize]));
            }
        })),
    (HISTOGRAM, "serin_upstream_first_byte_seconds",
        "From a request's last byte to the answer's first byte, 0 for an answer that came before.", &["bot", "track"],
        Counted(|bot, samples| {
            for track in Track::ALL {
                samples.add_histogram([track.name()], bot.shards().iter().map(|shard| &shard.first_byte[track as usize]));
            }
        })),
    (HISTOGRAM, "serin_overhead_seconds", "What serin itself adds: from having a request to sending it on.", &["bot"],
        Counted(|bot, samples| samples.add_histogram([], bot.shards().iter().map(|shard| &shard.overhead)))),
];

/// A count of all workers.
fn sum(bot: &BotMeters, pick: impl Fn(&BotShard) -> u64) -> f64 {
    bot.shards().iter().map(pick).sum::<u64>() as f64
}

/// All ways in which a request can end.
fn ends() -> impl Iterator<Item = (Track, Outcome, CodeClass)> {
    let of_track = |track| Outcome::ALL.into_iter().flat_map(move |outcome| CodeClass::ALL.map(|class| (track, outcome, class)));
    Track::ALL.into_iter().flat_map(of_track)
}

fn truth(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}
