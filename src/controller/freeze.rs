//! Whether a bot is frozen now.

use super::time::Now;
use crate::config::Bot;
use crate::core::State;

/// The reason why this bot is frozen: an operator's freeze or a window of the config. `None` if it is not frozen.
pub(super) fn frozen(bot: &Bot, state: &State, now: Now) -> Option<String> {
    if let Some(freeze) = &state.frozen {
        let why = freeze.why.as_deref().map_or(String::new(), |why| format!(": {why}"));
        return Some(format!("by {}{why}", freeze.by));
    }
    let freeze = bot.freeze.as_ref()?;
    freeze.at(now.timestamp()).map(|window| freeze.text(window))
}
