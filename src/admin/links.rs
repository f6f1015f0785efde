//! `/act/{token}`: the target of a link in a message. GET shows what the link would do and does nothing, because chat platforms fetch
//! links; only the page's own POST acts. The link is the capability, so no token is needed. Its action goes through the controller like
//! every other request, for the revision that the link names and no other.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod page;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::access::{Limit, log_blocked};
use super::connections::Peer;
use super::context::Context;
use super::problem::ApiError;
use crate::controller::{Actor, ChangeError, ChangeRequest, Wish, is_possible};
use crate::core::ratchet::Refusal;
use crate::core::{Phase, State as BotState};
use crate::live::{Snapshot, Status};
use crate::notify::link::{Act, Stands, Ticket};
use crate::notify::occasions;
use crate::notify::unix_now;
use crate::store::Row;
use crate::summary::words::weight;
use crate::summary::{self, Summary};
use page::{Item, Page};

/// Paths that need no token.
pub const BELOW: &str = "/act/";

/// The time limit for the history, so that the page is shown even if the disk hangs.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(3);

/// A valid link, and the status of its bot.
struct ValidLink {
    ticket: Ticket,
    status: Arc<Status>,
}

pub async fn show(State(context): State<Context>, Extension(peer): Extension<Arc<Peer>>, Path(token): Path<String>) -> Response {
    match check(&context, &peer, &token).await {
        Ok(link) => offer(&link).into_response(),
        Err(page) => page.into_response(),
    }
}

pub async fn act(State(context): State<Context>, Extension(peer): Extension<Arc<Peer>>, Path(token): Path<String>) -> Response {
    match check(&context, &peer, &token).await {
        Ok(link) => carry_out(&context, link.ticket).await.into_response(),
        Err(page) => page.into_response(),
    }
}

/// Checks a link. The error is the page that says why it is not valid.
async fn check(context: &Context, peer: &Peer, token: &str) -> Result<ValidLink, Page> {
    let snapshot = context.live.current();
    // A notifier that was removed from the config cannot act any more.
    let has_notifier = |ticket: &Ticket| snapshot.config.notifiers.iter().any(|notifier| notifier.name == ticket.notifier);
    let offered = |ticket: &Ticket| snapshot.config.admin.public_url.is_some() && has_notifier(ticket);
    let Some(ticket) = Ticket::open(&context.notifications.key(), token).filter(offered) else {
        return Err(unknown_link(context, peer));
    };
    let Some(status) = status(&snapshot, &ticket.bot) else {
        return Err(Page::new(StatusCode::GONE, "This bot is gone").say(format!("There is no bot {} any more.", ticket.bot)));
    };
    if unix_now().as_secs() >= ticket.expires {
        return Err(Page::new(StatusCode::GONE, "This link has expired").say("Nothing was changed."));
    }
    if status.state.revision != ticket.revision || Stands::of(&status.state) != ticket.stands {
        return Err(outdated(context, &ticket, &status).await);
    }
    Ok(ValidLink { ticket, status })
}

fn status(snapshot: &Snapshot, bot: &str) -> Option<Arc<Status>> {
    Some(snapshot.epochs[snapshot.bot(bot)?].status())
}

/// The page for a link that is not ours, or was made with an old key. Counts like a wrong token.
fn unknown_link(context: &Context, peer: &Peer) -> Page {
    let limit = context.attempts.failed(peer.address, Instant::now());
    context.metrics.denied(if limit == Limit::Within { "bad_link" } else { "too_many_attempts" });
    match limit {
        Limit::Within => {
            Page::new(StatusCode::NOT_FOUND, "There is no such link").say("It was cut off, changed, or made by another serin.")
        }
        Limit::JustExceeded { retry_after } | Limit::Exceeded { retry_after } => {
            if matches!(limit, Limit::JustExceeded { .. }) {
                log_blocked(peer.address, retry_after);
            }
            Page::new(StatusCode::TOO_MANY_REQUESTS, "Too many wrong links").say("A right one is still taken.").retry_after(retry_after)
        }
    }
}

/// The page for a link whose revision has passed, perhaps because the link itself was used.
async fn outdated(context: &Context, ticket: &Ticket, status: &Status) -> Page {
    let next = ticket.revision.saturating_add(1);
    let read = context.controller.store().history(&ticket.bot, Some(next.saturating_add(1)), 1);
    let since = tokio::time::timeout(HISTORY_TIMEOUT, read).await.ok().and_then(Result::ok);
    let since = since.and_then(|rows| rows.into_iter().next()).filter(|row| row.revision == next);
    let used = since.as_ref().is_some_and(|row| row.actor == actor(ticket) && is_result_of(ticket.act, &row.decision));
    let title = if used { "This link was used already" } else { "This link is out of date" };
    let then = since.map_or("Something else was done since.".to_owned(), |row| change_text(&row));
    let page = Page::new(StatusCode::GONE, title).items(summary_items(&ticket.bot, status));
    let said = format!("{then} Nothing was changed now.");
    match renewed(context, ticket, status).filter(|_| !used) {
        Some(renewed) => {
            let question = question(renewed.act, &renewed.bot, &status.state);
            page.say(format!("{said} As things stand now: {question}"))
                .button_to(verb(renewed.act), renewed.seal(&context.notifications.key()))
        }
        None => page.say(said),
    }
}

/// The same action for the current state, if it is possible: the person has seen the page, so it is offered again. It expires with the
/// original link.
fn renewed(context: &Context, ticket: &Ticket, status: &Status) -> Option<Ticket> {
    let snapshot = context.live.current();
    let bot = &snapshot.config.bots[snapshot.bot(&ticket.bot)?];
    let is_possible = is_possible(&snapshot.config, bot, status, ticket.act.action());
    let (revision, stands) = (status.state.revision, Stands::of(&status.state));
    is_possible.then(|| Ticket { revision, stands, ..ticket.clone() })
}

/// Whether this decision is the result of the action. The approval of the last step is a promotion, and so is a resume at 100 %.
fn is_result_of(act: Act, decision: &str) -> bool {
    match act {
        Act::Advance | Act::Resume => decision == act.name() || decision == "promote",
        Act::Abort | Act::Undo => decision == act.name(),
    }
}

fn change_text(row: &Row) -> String {
    format!("At {} {} did this: {}.", row.at, row.actor, summary::happened(row))
}

/// The actor's name in the history. A token's name cannot contain a colon.
fn actor(ticket: &Ticket) -> String {
    format!("link:{}", ticket.notifier)
}

fn offer(link: &ValidLink) -> Page {
    let ValidLink { ticket, status } = link;
    let until = jiff::Timestamp::from_second(i64::try_from(ticket.expires).unwrap_or(i64::MAX));
    let until = until.map_or_else(|_| String::new(), |until| until.to_string());
    let mut items = summary_items(&ticket.bot, status);
    items.push(Item::new("This link", format!("works once, until {until}; the history will say {}", actor(ticket))));
    Page::new(StatusCode::OK, &question(ticket.act, &ticket.bot, &status.state)).items(items).button(verb(ticket.act))
}

fn verb(act: Act) -> &'static str {
    match act {
        Act::Advance => "Approve",
        Act::Resume => "Resume",
        Act::Abort => "Abort",
        Act::Undo => "Undo",
    }
}

fn question(act: Act, bot: &str, state: &BotState) -> String {
    let canary = state.canary.as_ref().map_or("the canary".to_owned(), ToString::to_string);
    match act {
        Act::Advance => match occasions::approval_weight(state) {
            Some(next) => format!("{bot}: send {} of the workspaces to {canary}?", weight(next)),
            None => format!("{bot}: promote {canary}, and send everybody to it?"),
        },
        Act::Resume => format!("{bot}: go on with {canary}?"),
        Act::Abort => format!("{bot}: send everybody back to {}?", state.stable),
        Act::Undo => {
            let former = state.previous.as_ref().map_or("who was stable before".to_owned(), |former| former.release.to_string());
            format!("{bot}: send everybody back to {former}?")
        }
    }
}

/// The bot's summary.
fn summary_items(bot: &str, status: &Status) -> Vec<Item> {
    let Summary { state, customers, next, todo, .. } = Summary::of(status);
    let mut items = vec![Item::new("Bot", bot), Item::new("Now", state), Item::new("Customers", customers)];
    if !next.is_empty() {
        items.push(Item::new("Next", next));
    }
    items.push(Item::new("To do", todo));
    items
}

/// Carries out the link's action.
async fn carry_out(context: &Context, ticket: Ticket) -> Page {
    let wish = match ticket.act {
        Act::Advance => Wish::Advance,
        Act::Resume => Wish::Resume,
        Act::Abort => Wish::Abort,
        Act::Undo => Wish::Undo,
    };
    let actor = Actor::Operator(actor(&ticket).into());
    let request = ChangeRequest { bot: ticket.bot.clone(), wish, based_on: Some(ticket.revision), actor, force: false, reason: None };
    match context.change(request).await {
        Ok(snapshot) => {
            let after = status(&snapshot, &ticket.bot);
            let promoted = after.as_ref().is_some_and(|status| status.state.phase == Phase::Promoted);
            let done = if promoted && is_result_of(ticket.act, "promote") { "promote" } else { ticket.act.name() };
            let items = after.map_or_else(Vec::new, |status| summary_items(&ticket.bot, &status));
            Page::new(StatusCode::OK, &format!("Done: {done}")).say("It serves on every core.").items(items)
        }
        // Another change was faster.
        Err(ChangeError::Refused { refusal: Refusal::Stale { .. }, .. }) => match status(&context.live.current(), &ticket.bot) {
            Some(status) => outdated(context, &ticket, &status).await,
            None => Page::new(StatusCode::GONE, "This bot is gone"),
        },
        Err(error) => {
            let title = failure_title(&error);
            let error = ApiError::from(error);
            let page = Page::new(error.status(), title).say(error.detail());
            match status(&context.live.current(), &ticket.bot) {
                Some(status) => page.items(summary_items(&ticket.bot, &status)),
                None => page,
            }
        }
    }
}

/// After `NotApplied` the change is in the history and serves on some workers.
fn failure_title(error: &ChangeError) -> &'static str {
    match error {
        ChangeError::NotApplied(_) => "It is decided, but does not serve on every core yet",
        ChangeError::UnknownBot { .. }
        | ChangeError::OneUpstream { .. }
        | ChangeError::WhichCanary { .. }
        | ChangeError::UnknownUpstream { .. }
        | ChangeError::Refused { .. }
        | ChangeError::Preflight { .. }
        | ChangeError::NoReason { .. }
        | ChangeError::Overtaken { .. }
        | ChangeError::Busy { .. }
        | ChangeError::Ending
        | ChangeError::TakesOver
        | ChangeError::ReadOnly
        | ChangeError::NotDurable(_) => "This was not done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::NotApplied;

    #[test]
    fn a_change_that_is_decided_is_not_called_undone() {
        let late = ChangeError::NotApplied(NotApplied { workers: 1 });
        assert_eq!(failure_title(&late), "It is decided, but does not serve on every core yet");
        assert_eq!(failure_title(&ChangeError::ReadOnly), "This was not done");
    }

    #[test]
    fn an_approval_is_used_also_where_it_promoted() {
        assert!(is_result_of(Act::Advance, "advance") && is_result_of(Act::Advance, "promote") && is_result_of(Act::Resume, "promote"));
        assert!(!is_result_of(Act::Abort, "promote") && !is_result_of(Act::Undo, "advance") && is_result_of(Act::Undo, "undo"));
    }
}
