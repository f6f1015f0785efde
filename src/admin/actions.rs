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

    async fn wish(self, wish: Wish) -> Result<Response, ApiError> {
        let actor = controller::Actor::Operator(&self.actor.0);
        let snapshot = self.context.controller.change(&self.bot, wish, self.based_on, actor).await?;
        bot_answer(&snapshot, &self.bot)
    }

    /// An action that takes nothing.
    async fn plain(self, wish: Wish) -> Result<Response, ApiError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let Nothing {} = self.wanted("{}")?;
        self.wish(wish).await
    }

    /// An action that can be forced.
    async fn forcible(self, wish: impl FnOnce(bool) -> Wish) -> Result<Response, ApiError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Forced {
            #[serde(default)]
            force: bool,
        }
        let Forced { force } = self.wanted("{} or {\"force\": true}")?;
        self.wish(wish(force)).await
    }
}

pub async fn put_weight(ask: Ask) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        percent: f64,
    }
    let wanted: Wanted = problem::json(&ask.body, "{\"percent\": 5}")?;
    let weight = Weight::from_percent(wanted.percent).map_err(|error| ApiError::unprocessable("weight", error.to_string()))?;
    ask.wish(Wish::SetWeight(weight)).await
}

/// As in the config.
const VERSION_BYTES_MAX: usize = 128;

pub async fn start(ask: Ask) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        upstream: Option<String>,
        version: Option<String>,
        /// Roll out what was taken back.
        #[serde(default)]
        retry: bool,
    }
    let Wanted { upstream, version, retry } = ask.wanted("{\"upstream\": \"green\", \"version\": \"v42\"}")?;
    if version.as_deref().is_some_and(|version| version.trim().is_empty() || version.len() > VERSION_BYTES_MAX) {
        return Err(ApiError::unprocessable("version", format!("a version is 1 to {VERSION_BYTES_MAX} bytes, such as \"v42\"")));
    }
    ask.wish(Wish::Start { upstream, version, retry }).await
}

pub async fn pause(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Pause).await
}

pub async fn resume(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Resume).await
}

pub async fn advance(ask: Ask) -> Result<Response, ApiError> {
    ask.forcible(|force| Wish::Advance { force }).await
}

pub async fn promote(ask: Ask) -> Result<Response, ApiError> {
    ask.forcible(|force| Wish::Promote { force }).await
}

pub async fn abort(ask: Ask) -> Result<Response, ApiError> {
    ask.plain(Wish::Abort).await
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
