//! `GET /v1/whoami`: how a request is authorised and what that allows; for the dashboard, and to try a token.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;

use super::access::{LOCAL, Reach};
use super::context::{Caller, Context};
use crate::config::Scope;

#[derive(Serialize)]
pub struct Whoami {
    /// The actor's name in the history; null if no token is needed.
    name: Option<String>,
    scope: &'static str,
    /// The bots that the token is for; null for all bots.
    bots: Option<Vec<String>>,
    /// Only the config can change what serves.
    read_only: bool,
    /// Workspaces are shown by name.
    show_workspaces: bool,
    version: &'static str,
}

pub async fn show(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(reach): Extension<Reach>,
) -> Json<Whoami> {
    let admin = context.keys.current();
    let Caller { name, scope } = caller;
    Json(Whoami {
        name: Some(name).filter(|name| name != LOCAL),
        scope: match scope {
            Scope::Read => "read",
            Scope::Operate => "operate",
            Scope::Report => "report",
        },
        bots: match reach {
            Reach::Only(bots) => Some(bots.iter().map(ToString::to_string).collect()),
            Reach::AllBots | Reach::Open => None,
        },
        read_only: admin.read_only,
        show_workspaces: admin.show_workspaces,
        version: env!("CARGO_PKG_VERSION"),
    })
}
