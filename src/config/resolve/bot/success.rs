//! `also_ok`, `only_ok`: the statuses that a platform counts as a success.

use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::{Problem, Reported};
use crate::identify::Preset;

type Statuses = Vec<Spanned<u16>>;

#[derive(Debug)]
pub(super) struct Success {
    pub also_ok: Vec<u16>,
    pub only_ok: Vec<u16>,
}

/// `also_ok` adds to the preset's statuses, `only_ok` replaces them.
pub(super) fn success(table: &mut Table<'_>, preset: Option<&Preset>) -> Result<Success, Reported> {
    let problems = table.problems();
    let also = table.read::<Statuses>("also_ok");
    let only = table.read::<Statuses>("only_ok");
    let (also, only) = (also?.filter(|list| !list.get_ref().is_empty()), only?.filter(|list| !list.get_ref().is_empty()));
    if let (Some(also), Some(only)) = (&also, &only) {
        let problem = Problem::new("`also_ok` and `only_ok` exclude each other");
        return Err(problems.report(problem.at(only.span(), "keep one of them").at(also.span(), "")));
    }
    for status in [&also, &only].into_iter().flatten().flat_map(|list| list.get_ref()) {
        match status.get_ref() {
            200..=499 => {}
            500..=599 => return Err(problems.error(status.span(), "a 5xx is always an error", "leave it out")),
            _ => return Err(problems.error(status.span(), "no answer has this status", "write one from 200 to 499")),
        }
    }
    let plain = |list: Option<Spanned<Statuses>>| -> Vec<u16> {
        list.map_or_else(Vec::new, |list| list.into_inner().into_iter().map(Spanned::into_inner).collect())
    };
    let (also, only) = (plain(also), plain(only));
    let (preset_also, preset_only) = preset.map_or((&[][..], &[][..]), |preset| (preset.also_ok, preset.only_ok));
    Ok(match (only.is_empty(), preset_only.is_empty()) {
        (false, _) => Success { also_ok: Vec::new(), only_ok: only },
        // If the preset has a list of the only successes, `also_ok` extends that list.
        (true, false) => Success { also_ok: Vec::new(), only_ok: [preset_only, &also].concat() },
        (true, true) => Success { also_ok: [preset_also, &also].concat(), only_ok: Vec::new() },
    })
}
