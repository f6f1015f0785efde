//! How a canary looks beside stable, in words and rates. The sentences come first; E is shown elsewhere.

use super::words::{count, evidence, latency, share, short};
use crate::core::evidence::{Exposure, Judgement, Metric};
use crate::core::{Crossed, Doubt, Fail, Most, Release, Tally, Verdict, typical_micros};
use crate::live::{Failing, Judged};

/// What the last judgement means for a person who decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Looks {
    /// Nothing was judged, or there were no requests.
    Unknown,
    /// Too few requests on one of the tracks.
    TooFew,
    AsGood,
    /// Too little to worry, too much to raise the weight.
    SlightlyWorse,
    Worse,
    Fails,
}

impl Looks {
    pub fn of(judged: Option<&Judged>) -> Looks {
        let Some(Judged { judgement, verdict }) = judged else { return Looks::Unknown };
        match verdict {
            Verdict::Fail(_) => Looks::Fails,
            Verdict::Marginal => Looks::Worse,
            Verdict::Inconclusive(Doubt::Evidence) => Looks::SlightlyWorse,
            Verdict::Inconclusive(Doubt::NoCanaryTraffic | Doubt::NoStableTraffic) if judgement.canary.tally.requests == 0 => {
                Looks::Unknown
            }
            Verdict::Inconclusive(Doubt::NoCanaryTraffic | Doubt::NoStableTraffic) => Looks::TooFew,
            Verdict::Pass | Verdict::Inconclusive(Doubt::Harm { .. }) => Looks::AsGood,
        }
    }

    /// Whether a human should consider an abort.
    pub fn is_suspicious(self) -> bool {
        matches!(self, Looks::Worse | Looks::Fails)
    }
}

/// E of the last judgement; 1 if there is none.
pub fn e(judged: Option<&Judged>) -> f64 {
    judged.map_or(1.0, |judged| judged.judgement.wealth.log_e().exp())
}

/// One sentence about `tried` beside `stable`.
pub fn sentence(judged: Option<&Judged>, tried: &str, stable: &str) -> String {
    let Some(Judged { judgement, verdict }) = judged else { return format!("Nothing is known about {tried} yet.") };
    let looks = Looks::of(judged);
    match (looks, verdict) {
        (Looks::Unknown, _) => format!("{tried} has had no requests yet."),
        (_, Verdict::Fail(Fail::Limit(crossed))) => format!("{tried} fails: {}.", limit(crossed, stable)),
        (Looks::Fails, _) => format!("{tried} fails: {}.", against(judgement, tried, stable)),
        (Looks::Worse, _) => format!("{tried} looks worse than {stable}: {}.", against(judgement, tried, stable)),
        (Looks::SlightlyWorse, _) => {
            format!("{tried} looks slightly worse than {stable}, which may be chance: {}.", against(judgement, tried, stable))
        }
        (Looks::TooFew, _) => format!("There are too few requests to judge {tried}: {}.", rates(judgement, Metric::Errors)),
        (Looks::AsGood, _) => match Failing::ALL.map(Failing::metric).into_iter().find(|metric| differs(judgement, *metric)) {
            // A customer's own trouble, or too early to tell.
            Some(metric) => format!("{tried} has {}, but nothing says yet that it causes them.", rates(judgement, metric)),
            None => format!("{tried} looks as good as {stable}: {}.", rates(judgement, Metric::Errors)),
        },
    }
}

/// The evidence against the canary: the rates of the metric that looks worst.
fn against(judgement: &Judgement, tried: &str, stable: &str) -> String {
    let numbers = rates(judgement, judgement.leading);
    match is_worse(judgement) {
        true => numbers,
        false => format!("a few workspaces have trouble on {tried} that work on {stable} ({numbers} over all)"),
    }
}

/// Why the evidence decided, for a row of the history. `tried` and `stable` are the names of the releases.
pub fn why(judgement: &Judgement, tried: &Release, stable: &Release, e: f64) -> String {
    format!("{}, {}", against(judgement, short(tried), short(stable)), evidence(e))
}

/// Shares that differ by more standard errors than this are not alike.
const ALIKE_WITHIN: f64 = 2.0;
/// Fewer events than this say nothing about a share.
const FEW: f64 = 3.0;

/// Whether the canary's share is so much larger than stable's that chance among requests would seldom cause it. The standard error
/// is that of the difference of two shares, pooled. Requests of one workspace are alike, so this is no evidence; it only keeps a
/// sentence from contradicting its own numbers.
fn differs(judgement: &Judgement, metric: Metric) -> bool {
    let ((x, n), (y, m)) = (metric.of(&judgement.canary.tally), metric.of(&judgement.stable.tally));
    if x < FEW || n < 1.0 || m < 1.0 {
        return false;
    }
    let pooled = (x + y) / (n + m);
    x / n - y / m > ALIKE_WITHIN * (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt()
}

/// Whether the worst metric is worse over all workspaces together. If not, the evidence is about a few of them.
fn is_worse(judgement: &Judgement) -> bool {
    let [canary, stable] = [&judgement.canary.tally, &judgement.stable.tally];
    match judgement.leading {
        Metric::LogLatency => typical_of(canary) > typical_of(stable),
        metric => {
            let ((x, n), (y, m)) = (metric.of(canary), metric.of(stable));
            x * m.max(1.0) > y * n.max(1.0)
        }
    }
}

/// `3.3 % errors against 0 % (8 of 239, 0 of 610)`: the canary's rate first.
pub fn rates(judgement: &Judgement, metric: Metric) -> String {
    let Judgement { canary, stable, .. } = judgement;
    let what = match metric {
        Metric::LogLatency => return typical(canary, stable),
        Metric::Errors => "errors",
        Metric::Late => "late answers",
        Metric::Rejected => "rejected requests",
        Metric::Slow => "slow answers",
        Metric::VerySlow => "very slow answers",
    };
    let ((x, n), (y, m)) = (metric.of(&canary.tally), metric.of(&stable.tally));
    let whole = |number: f64| count(number as u64);
    format!("{} {what} against {} ({} of {}, {} of {})", share(x, n), share(y, m), whole(x), whole(n), whole(y), whole(m))
}

fn typical(canary: &Exposure, stable: &Exposure) -> String {
    format!("typically {} against {}", latency(typical_of(&canary.tally)), latency(typical_of(&stable.tally)))
}

/// The geometric mean of the latencies, in microseconds.
fn typical_of(tally: &Tally) -> f64 {
    typical_micros(tally.log_latency as f64, f64::from(tally.timed.max(1)))
}

/// `7.1 % errors, above the limit of 5 % (v41: 0.2 %)`.
pub fn limit(crossed: &Crossed, stable: &str) -> String {
    let (what, most, is_share) = match crossed.limit {
        Most::ErrorRate(most) => ("errors", most, true),
        Most::Late(most) => ("late answers", most, true),
        Most::Latency(quantile, most) => (quantile.name(), most.as_secs_f64(), false),
    };
    let show = |value: f64| if is_share { share(value, 1.0) } else { latency(value * 1e6) };
    let beside = crossed.stable.map_or("it has no requests".to_owned(), show);
    format!("{} {what}, above the limit of {} ({stable}: {beside})", show(crossed.canary), show(most))
}
