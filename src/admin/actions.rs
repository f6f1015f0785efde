//! What may be asked of a bot. Every action takes `If-Match`, answers with the bot's document, and answers only once the
//! change serves on every core. Beside them stand the outcomes that a bot reports, which change nothing by themselves.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::problem::{self, ApiError};
use super::{Actor, Context, bot_answer};
use crate::controller::{self, Report, ReportKind, Wish};
use crate::core::Weight;

/// One request for an action.
pub struct Ask {
    context: Context,
    bot: String,
    based_on: Option<u64>,
    actor: Actor,
    body: Bytes,
}

impl FromRequest<Context> for Ask {
    type Rejection = ApiError;

    async fn from_request(request: Request, context: &Context) -> Result<Ask, ApiError> {
        let (mut parts, body) = request.into_parts();
        let Path(bot) = Path::<String>::from_request_parts(&mut parts, context)
            .await
            .map_err(|error| ApiError::unprocessable("path", error.body_text()))?;
        let based_on = problem::if_match(&parts.headers)?;
        let actor = parts.extensions.get::<Actor>().cloned().ok_or_else(|| ApiError::unauthorized("nobody asks"))?;
        let body = Bytes::from_request(Request::from_parts(parts, body), context).await?;
        Ok(Ask { context: context.clone(), bot, based_on, actor, body })
    }
}

impl Ask {
    /// The body as a JSON object; an empty body is an empty object. `example` shows it in the error.
    fn wanted<T: DeserializeOwned>(&self, example: &str) -> Result<T, ApiError> {
        problem::json(if self.body.is_empty() { b"{}" } else { &self.body }, example)
    }

    async fn wish(self, wish: Wish, Manner { force, reason }: Manner) -> Result<Response, ApiError> {
        if reason.as_deref().is_some_and(|reason| reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX) {
            return Err(ApiError::unprocessable("reason", format!("a reason is 1 to {REASON_BYTES_MAX} bytes: it stands in the history")));
        }
        let actor = controller::Actor::Operator(&self.actor.0);
        let ask = controller::Ask { wish, based_on: self.based_on, actor, force, reason };
        let snapshot = self.context.controller.change(&self.bot, ask).await?;
        bot_answer(&snapshot, &self.bot)
    }

    /// An action that takes nothing but how it is meant.
    async fn plain(self, wish: Wish) -> Result<Response, ApiError> {
        let manner: Manner = self.wanted("{} or {\"force\": true, \"reason\": \"why\"}")?;
        self.wish(wish, manner).await
    }
}

/// How an action is meant; every action takes it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manner {
    /// Against a freeze, a preflight, or evidence that says fail.
    #[serde(default)]
    force: bool,
    /// Stands in the history.
    reason: Option<String>,
}

/// A sentence or two.
const REASON_BYTES_MAX: usize = 1024;

pub async fn put_weight(ask: Ask) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        percent: f64,
        #[serde(default)]
        force: bool,
        reason: Option<String>,
    }
    let Wanted { percent, force, reason } = problem::json(&ask.body, "{\"percent\": 5}")?;
    let weight = Weight::from_percent(percent).map_err(|error| ApiError::unprocessable("weight", error.to_string()))?;
    ask.wish(Wish::SetWeight(weight), Manner { force, reason }).await
}

/// As in the config.
const VERSION_BYTES_MAX: usize = 128;

fn version(version: Option<String>) -> Result<Option<String>, ApiError> {
    match version {
        Some(label) if label.trim().is_empty() || label.len() > VERSION_BYTES_MAX => {
            Err(ApiError::unprocessable("version", format!("a version is 1 to {VERSION_BYTES_MAX} bytes, such as \"v42\"")))
        }
        other => Ok(other),
    }
}

pub async fn start(ask: Ask) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        upstream: Option<String>,
        version: Option<String>,
        /// Roll out what was taken back.
        #[serde(default)]
        retry: bool,
        /// The rollout under way makes room.
        #[serde(default)]
        replace: bool,
        #[serde(default)]
        force: bool,
        reason: Option<String>,
    }
    let wanted: Wanted = ask.wanted("{\"upstream\": \"green\", \"version\": \"v42\"}")?;
    let Wanted { upstream, retry, replace, force, reason, .. } = wanted;
    ask.wish(Wish::Start { upstream, version: version(wanted.version)?, retry, replace }, Manner { force, reason }).await
}

/// A side, and what is on it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    upstream: Option<String>,
    version: Option<String>,
    #[serde(default)]
    force: bool,
    reason: Option<String>,
}

pub async fn switch(ask: Ask) -> Result<Response, ApiError> {
    let Side { upstream, version: label, force, reason } = ask.wanted("{\"upstream\": \"green\", \"version\": \"v42\"}")?;
    ask.wish(Wish::Switch { upstream, version: version(label)? }, Manner { force, reason }).await
}

pub async fn adopt(ask: Ask) -> Result<Response, ApiError> {
    let Side { upstream, version: label, force, reason } = ask.wanted("{\"upstream\": \"green\", \"version\": \"v42\"}")?;
    ask.wish(Wish::Adopt { upstream, version: version(label)? }, Manner { force, reason }).await
}

pub async fn pause(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Pause).await
}

pub async fn resume(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Resume).await
}

pub async fn advance(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Advance).await
}

pub async fn promote(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Promote).await
}

pub async fn abort(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Abort).await
}

pub async fn undo(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Undo).await
}

pub async fn freeze(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Freeze).await
}

pub async fn thaw(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Thaw).await
}

/// Longer is no rehearsal.
const DRILL_SECONDS_MOST: u64 = 300;
const DRILL_SECONDS: u64 = 5;

pub async fn drill(ask: Ask) -> Result<Json<controller::Drilled>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        upstream: Option<String>,
        /// Customers to move to the idle side and back.
        share_percent: Option<f64>,
        seconds: Option<u64>,
    }
    let wanted: Wanted = ask.wanted("{} or {\"share_percent\": 1, \"seconds\": 5}")?;
    let share = wanted.share_percent.map(Weight::from_percent).transpose();
    let share = share.map_err(|error| ApiError::unprocessable("share_percent", error.to_string()))?.filter(|share| *share > Weight::ZERO);
    let seconds = wanted.seconds.unwrap_or(DRILL_SECONDS);
    if !(1..=DRILL_SECONDS_MOST).contains(&seconds) {
        return Err(ApiError::unprocessable("seconds", format!("a drill with customers lasts 1 to {DRILL_SECONDS_MOST} s")));
    }
    let drill = controller::Drill { share, lasts: std::time::Duration::from_secs(seconds), upstream: wanted.upstream };
    Ok(Json(ask.context.controller.drill(&ask.bot, &drill, controller::Actor::Operator(&ask.actor.0)).await?))
}

/// More in one batch is refused; send several.
const REPORTS_MAX: usize = 1_000;

#[derive(Serialize)]
pub struct Counted {
    counted: usize,
    pinned: usize,
}

pub async fn outcomes(ask: Ask) -> Result<Json<Counted>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        outcomes: Vec<One>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        workspace: String,
        ok: bool,
        #[serde(default)]
        kind: Kind,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        #[default]
        Outcome,
        Engagement,
    }
    let wanted: Wanted = ask.wanted("{\"outcomes\": [{\"workspace\": \"T1\", \"ok\": false}]}")?;
    if wanted.outcomes.len() > REPORTS_MAX {
        return Err(ApiError::unprocessable("too_many", format!("{} reports in one batch; at most {REPORTS_MAX}", wanted.outcomes.len())));
    }
    let kind = |kind| match kind {
        Kind::Outcome => ReportKind::Outcome,
        Kind::Engagement => ReportKind::Engagement,
    };
    let reports: Vec<Report> =
        wanted.outcomes.into_iter().map(|one| Report { workspace: one.workspace, ok: one.ok, kind: kind(one.kind) }).collect();
    let reported = ask.context.controller.report(&ask.bot, &reports).await?;
    Ok(Json(Counted { counted: reported.counted, pinned: reported.pinned }))
}
