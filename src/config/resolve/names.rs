//! The names in the file: of bots, upstreams, tokens and notifiers.

use serde_spanned::Spanned;

use crate::config::raw::either;
use crate::config::report::{Problems, Reported};
use crate::config::resolved::{Bot, BotName};

/// Checks a bot's, an upstream's or a token's name, which is used in paths and in labels.
pub(super) fn name(written: &Spanned<String>, problems: &Problems<'_>) -> Result<BotName, Reported> {
    let text = written.get_ref();
    if let Some(name) = BotName::parse(text) {
        return Ok(name);
    }
    let fit: String = text.to_lowercase().chars().map(|c| if BotName::may_hold(c) { c } else { '-' }).collect();
    let label = match BotName::parse(fit.trim_matches(['-', '_'])) {
        Some(fit) => format!("write \"{fit}\""),
        None => "write 1 to 63 of a-z, 0-9, - and _, a letter or digit first".to_owned(),
    };
    Err(problems.error(written.span(), format!("a name cannot be \"{}\"", text.escape_debug()), label))
}

/// Checks that there is such a bot. If the bots themselves have errors, any name is accepted.
pub(super) fn known_bot(name: &Spanned<String>, bots: Option<&[Bot]>, problems: &Problems<'_>) -> Result<String, Reported> {
    let known = || bots.unwrap_or_default().iter().map(|bot| bot.name.as_str());
    if bots.is_none() || known().any(|bot| bot == name.get_ref()) {
        return Ok(name.get_ref().clone());
    }
    Err(problems.error(name.span(), format!("there is no bot `{}`", name.get_ref().escape_debug()), format!("write {}", either(known()))))
}
