//! The actions on a bot. Each takes `If-Match`, and answers with the bot's document once every worker serves the change; with
//! `?dry_run=true` it only returns what it would do. Also the outcomes that a bot reports, which change nothing by themselves.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::bots;
use super::context::{Caller, Context};
use super::preview::PreviewDocument;
use super::problem::{self, ApiError};
use crate::controller::{Actor, ChangeRequest, Drill, Report, ReportKind, Wish};
use crate::core::{Release, Weight};

/// With `?dry_run=true` the action is not done: the answer says what it would do.
#[derive(Deserialize)]
struct DryRun {
    #[serde(default)]
    dry_run: bool,
}

/// A request for an action.
pub struct Call {
    context: Context,
    bot: String,
    based_on: Option<u64>,
    caller: Caller,
    dry_run: bool,
    body: Bytes,
}

impl FromRequest<Context> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, context: &Context) -> Result<Call, ApiError> {
        let (mut parts, body) = request.into_parts();
        let Path(bot) = Path::<String>::from_request_parts(&mut parts, context)
            .await
            .map_err(|error| ApiError::unprocessable("path", error.body_text()))?;
        let Query(DryRun { dry_run }) = Query::try_from_uri(&parts.uri)?;
        let based_on = problem::if_match(&parts.headers)?;
        let caller = parts.extensions.get::<Caller>().cloned().ok_or_else(|| ApiError::unauthorized("the request has no caller"))?;
        let body = Bytes::from_request(Request::from_parts(parts, body), context).await?;
        Ok(Call { context: context.clone(), bot, based_on, caller, dry_run, body })
    }
}

impl Call {
    /// Parses the body as a JSON object; an empty body is an empty object. `example` is shown in the error.
    fn parse<T: DeserializeOwned>(&self, example: &str) -> Result<T, ApiError> {
        problem::json(if self.body.is_empty() { b"{}" } else { &self.body }, example)
    }

    async fn carry_out(self, wish: Wish, Options { force, reason }: Options) -> Result<Response, ApiError> {
        let reason = reason.filter(|reason| !reason.trim().is_empty());
        if reason.as_deref().is_some_and(|reason| reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control)) {
            let told = format!("a reason has at most {REASON_MAX} characters in one line, because it is kept in the history");
            return Err(ApiError::unprocessable("reason", told));
        }
        let actor = Actor::Operator(self.caller.name.into());
        let request = ChangeRequest { bot: self.bot.clone(), wish, based_on: self.based_on, actor, force, reason };
        if self.dry_run {
            return Ok(Json(PreviewDocument::from(self.context.controller.preview(request).await?)).into_response());
        }
        let snapshot = self.context.change(request).await?;
        bots::answer(&snapshot, &self.bot)
    }

    /// An action whose body has only `force` and `reason`.
    async fn with_options(self, wish: Wish) -> Result<Response, ApiError> {
        let options: Options = self.parse("{} or {\"force\": true, \"reason\": \"why\"}")?;
        self.carry_out(wish, options).await
    }
}

/// The fields that every action accepts.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Overrides a freeze, a failed preflight and the verdict `fail`.
    #[serde(default)]
    force: bool,
    /// Kept in the history.
    reason: Option<String>,
}

/// Room for a sentence or two.
const REASON_MAX: usize = 256;

pub async fn put_weight(call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        percent: f64,
        #[serde(default)]
        force: bool,
        reason: Option<String>,
    }
    let Fields { percent, force, reason } = problem::json(&call.body, "{\"percent\": 5}")?;
    let weight = Weight::from_percent(percent).map_err(|error| ApiError::unprocessable("weight", error.to_string()))?;
    call.carry_out(Wish::SetWeight(weight), Options { force, reason }).await
}

fn version(version: Option<String>) -> Result<Option<String>, ApiError> {
    match version {
        Some(label) if !Release::is_label(&label) => {
            let told = format!("a version is 1 to {} characters without spaces, such as \"v42\"", Release::LABEL_MOST);
            Err(ApiError::unprocessable("version", told))
        }
        other => Ok(other),
    }
}

pub async fn start(call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        upstream: Option<String>,
        version: Option<String>,
        /// Allows a release that is quarantined.
        #[serde(default)]
        retry: bool,
        /// Withdraws the rollout under way.
        #[serde(default)]
        replace: bool,
        #[serde(default)]
        force: bool,
        reason: Option<String>,
    }
    let wanted: Fields = call.parse("{\"upstream\": \"green\", \"version\": \"v42\"}")?;
    let Fields { upstream, retry, replace, force, reason, .. } = wanted;
    call.carry_out(Wish::Start { upstream, version: version(wanted.version)?, retry, replace }, Options { force, reason }).await
}

/// An upstream and the version on it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    upstream: Option<String>,
    version: Option<String>,
    #[serde(default)]
    force: bool,
    reason: Option<String>,
}

pub async fn switch(call: Call) -> Result<Response, ApiError> {
    let Side { upstream, version: label, force, reason } = call.parse("{\"upstream\": \"green\", \"version\": \"v42\"}")?;
    call.carry_out(Wish::Switch { upstream, version: version(label)? }, Options { force, reason }).await
}

pub async fn adopt(call: Call) -> Result<Response, ApiError> {
    let Side { upstream, version: label, force, reason } = call.parse("{\"upstream\": \"green\", \"version\": \"v42\"}")?;
    call.carry_out(Wish::Adopt { upstream, version: version(label)? }, Options { force, reason }).await
}

pub async fn pause(call: Call) -> Result<Response, ApiError> {
    call.with_options(Wish::Pause).await
}

pub async fn resume(call: Call) -> Result<Response, ApiError> {
    call.with_options(Wish::Resume).await
}

pub async fn advance(call: Call) -> Result<Response, ApiError> {
    call.with_options(Wish::Advance).await
}

pub async fn promote(call: Call) -> Result<Response, ApiError> {
    call.with_options(Wish::Promote).await
}

pub async fn abort(call: Call) -> Result<Response, ApiError> {
    call.with_options(Wish::Abort).await
}

pub async fn undo(call: Call) -> Result<Response, ApiError> {
    call.with_options(Wish::Undo).await
}

pub async fn freeze(call: Call) -> Result<Response, ApiError> {
    call.with_options(Wish::Freeze).await
}

pub async fn thaw(call: Call) -> Result<Response, ApiError> {
    call.with_options(Wish::Thaw).await
}

/// A longer drill is no rehearsal any more.
const DRILL_SECONDS_MOST: u64 = 300;
const DRILL_SECONDS: u64 = 5;

pub async fn drill(call: Call) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        upstream: Option<String>,
        /// The share of customers to move to the idle side and back.
        share_percent: Option<f64>,
        seconds: Option<u64>,
    }
    let wanted: Fields = call.parse("{} or {\"share_percent\": 1, \"seconds\": 5}")?;
    let share = wanted.share_percent.map(Weight::from_percent).transpose();
    let share = share.map_err(|error| ApiError::unprocessable("share_percent", error.to_string()))?.filter(|share| *share > Weight::ZERO);
    let seconds = wanted.seconds.unwrap_or(DRILL_SECONDS);
    if !(1..=DRILL_SECONDS_MOST).contains(&seconds) {
        return Err(ApiError::unprocessable("seconds", format!("a drill with customers lasts 1 to {DRILL_SECONDS_MOST} s")));
    }
    let drill = Drill { share, lasts: std::time::Duration::from_secs(seconds), upstream: wanted.upstream };
    if call.dry_run {
        return Ok(Json(PreviewDocument::from(call.context.controller.preview_drill(&call.bot, drill).await?)).into_response());
    }
    let drilled = call.context.controller.drill(&call.bot, drill, Actor::Operator(call.caller.name.into())).await?;
    Ok(Json(drilled).into_response())
}

/// The most reports in one batch; a client with more sends several batches.
const REPORTS_MAX: usize = 1_000;

#[derive(Serialize)]
pub struct Counted {
    counted: usize,
    pinned: usize,
}

pub async fn outcomes(call: Call) -> Result<Json<Counted>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
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
    let wanted: Fields = call.parse("{\"outcomes\": [{\"workspace\": \"T1\", \"ok\": false}]}")?;
    if wanted.outcomes.len() > REPORTS_MAX {
        return Err(ApiError::unprocessable("too_many", format!("{} reports in one batch; at most {REPORTS_MAX}", wanted.outcomes.len())));
    }
    let kind = |kind| match kind {
        Kind::Outcome => ReportKind::Outcome,
        Kind::Engagement => ReportKind::Engagement,
    };
    let reports: Vec<Report> =
        wanted.outcomes.into_iter().map(|one| Report { workspace: one.workspace, ok: one.ok, kind: kind(one.kind) }).collect();
    let reported = call.context.controller.report(&call.bot, reports).await?;
    Ok(Json(Counted { counted: reported.counted, pinned: reported.pinned }))
}
