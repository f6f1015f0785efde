//! A small file beside the history with each bot's stable release. It is read only if the history cannot be: the worst effect of a lost
//! history would be that all workspaces go to a side that was replaced long ago.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::private;
use crate::core::Release;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Roles {
    stable: BTreeMap<String, Release>,
}

impl Roles {
    pub fn new(stable: impl IntoIterator<Item = (String, Release)>) -> Roles {
        Roles { stable: stable.into_iter().collect() }
    }

    /// Sets a bot's stable release. Returns `true` if that changed anything.
    pub fn is(&mut self, bot: &str, release: &Release) -> bool {
        self.stable.insert(bot.to_owned(), release.clone()).as_ref() != Some(release)
    }

    /// Writes the file completely or not at all.
    pub fn write(&self, history: &Path) -> std::io::Result<()> {
        private::replace(&beside(history, "roles.json"), &serde_json::to_vec_pretty(self)?)
    }

    pub fn read(history: &Path) -> Option<HashMap<String, Release>> {
        let text = std::fs::read(beside(history, "roles.json")).ok()?;
        Some(serde_json::from_slice::<Roles>(&text).ok()?.stable.into_iter().collect())
    }
}

/// `serin.db` and `roles.json` give `serin.db.roles.json`.
pub(super) fn beside(history: &Path, ending: &str) -> PathBuf {
    let mut name = history.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
