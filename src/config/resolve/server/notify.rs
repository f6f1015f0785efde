//! `[[notify]]`: who gets notifications, of what, and where.

use std::ops::Range;

use http::Uri;
use serde_spanned::Spanned;

use crate::config::notifier::{Hidden, Notifier, NotifierKind, Occasion};
use crate::config::raw::{Table, either};
use crate::config::report::{Problem, Problems, Reported, all};
use crate::config::resolve::hosts::is_loopback;
use crate::config::resolve::names::{known_bot, name};
use crate::config::resolve::secret::{Keys, Secret, secret_in};
use crate::config::resolved::Bot;
use crate::config::suggest::nearest;

/// The value of `kind`, before the kind's secret is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Slack,
    Discord,
    Teams,
    Webhook,
}

const KINDS: [(&str, Kind); 4] = [("slack", Kind::Slack), ("discord", Kind::Discord), ("teams", Kind::Teams), ("webhook", Kind::Webhook)];
const URL: Keys = Keys { file: "file", env: "env", inline: "url", of: "URL" };
const SIGNING: Keys = Keys { file: "secret_file", env: "secret_env", inline: "secret", of: "secret" };

pub(crate) fn notifiers(tables: Vec<Table<'_>>, bots: Option<&[Bot]>, problems: &Problems<'_>) -> Result<Vec<Notifier>, Reported> {
    let placed = all(tables.into_iter().map(|table| notifier(table, bots)))?;
    for (index, (this, at)) in placed.iter().enumerate() {
        if let Some((_, other_at)) = placed[..index].iter().find(|(other, _)| other.name == this.name) {
            let problem = Problem::new(format!("two notifiers are named \"{}\"", this.name));
            return Err(problems.report(problem.at(at.clone(), "write another name").at(other_at.clone(), "the first")));
        }
    }
    Ok(placed.into_iter().map(|(notifier, _)| notifier).collect())
}

/// Returns the notifier and where its name is written.
fn notifier(mut table: Table<'_>, bots: Option<&[Bot]>) -> Result<(Notifier, Range<usize>), Reported> {
    let (problems, at) = (table.problems(), table.at());
    let named = table.read::<String>("name");
    let of = match &named {
        Ok(Some(name)) => format!("notifier \"{}\"", name.get_ref().escape_debug()),
        Ok(None) | Err(_) => "this notifier".to_owned(),
    };
    let kind = table.choice("kind", &KINDS);
    let url = secret_in(&mut table, &of, &URL);
    let is_webhook = matches!(&kind, Ok(Some(kind)) if *kind.get_ref() == Kind::Webhook);
    let signing = if is_webhook { secret_in(&mut table, &of, &SIGNING).map(Some) } else { no_signing(&mut table, &of) };
    let on = table.read::<Vec<Spanned<String>>>("on");
    let only = table.read::<Vec<Spanned<String>>>("bots");
    table.close();
    let name = match named? {
        Some(written) => Spanned::new(written.span(), name(&written, problems)?),
        None => return Err(problems.error(at, "a notifier has no name", "add `name = \"ops\"`: it stands in logs and metrics")),
    };
    let Some(kind) = kind? else {
        return Err(problems.error(at, format!("{of} has no kind"), "add `kind = \"slack\"`, \"discord\", \"teams\" or \"webhook\""));
    };
    let url = url_of(&url?.text, &of, problems)?;
    let kind = match (kind.into_inner(), signing?) {
        (Kind::Slack, _) => NotifierKind::Slack,
        (Kind::Discord, _) => NotifierKind::Discord,
        (Kind::Teams, _) => NotifierKind::Teams,
        (Kind::Webhook, Some(secret)) => NotifierKind::Webhook { signing: Hidden::new(secret.text.into_inner()) },
        (Kind::Webhook, None) => return Err(problems.error(at, format!("{of} has no secret"), "add `secret_file = \"…\"`")),
    };
    let on = match on? {
        None => Occasion::USUAL.to_vec(),
        Some(words) => all(words.get_ref().iter().map(|word| occasion(word, problems)))?,
    };
    let only = only?.map(|names| all(names.get_ref().iter().map(|name| known_bot(name, bots, problems)))).transpose()?;
    let notifier = Notifier { name: name.get_ref().as_str().to_owned(), kind, url, on, bots: only };
    Ok((notifier, name.span()))
}

/// Reports a signing secret of a chat, since a chat's webhook checks no signature.
fn no_signing(table: &mut Table<'_>, of: &str) -> Result<Option<Secret>, Reported> {
    let problems = table.problems();
    for key in [SIGNING.file, SIGNING.env, SIGNING.inline] {
        if let Some(entry) = table.take(key) {
            return Err(problems.error(entry.key_at, format!("{of} signs nothing: only kind = \"webhook\" does"), "take it out"));
        }
    }
    Ok(None)
}

/// Checks a notifier's URL. Errors do not quote it, because it is a secret.
fn url_of(written: &Spanned<String>, of: &str, problems: &Problems<'_>) -> Result<Hidden, Reported> {
    let uri = written.get_ref().parse::<Uri>().ok();
    let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or("").to_owned();
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") if !host.is_empty() => {}
        Some("http") if !host.is_empty() => {
            if !is_loopback(&host) {
                problems.warn(written.span(), format!("the URL of {of} is http: anybody between the two can read and change what is sent"));
            }
        }
        _ => return Err(problems.error(written.span(), format!("the URL of {of} is no URL"), "write one that begins with https://")),
    }
    Ok(Hidden::new(written.get_ref()))
}

fn occasion(word: &Spanned<String>, problems: &Problems<'_>) -> Result<Occasion, Reported> {
    if let Some(occasion) = Occasion::ALL.into_iter().find(|occasion| occasion.name() == word.get_ref()) {
        return Ok(occasion);
    }
    let words = || Occasion::ALL.into_iter().map(Occasion::name);
    let instead = match nearest(word.get_ref(), words()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write {}", either(words())),
    };
    Err(problems.error(word.span(), format!("nobody can be told of \"{}\"", word.get_ref().escape_debug()), instead))
}
