//! `upstreams`, `stable`, `canary`, `weight`, `max`: the upstreams' roles at first, and the initial weight.

use serde_spanned::Spanned;

use super::upstream::upstreams;
use crate::config::raw::{Table, either};
use crate::config::report::{Problem, Problems, Reported};
use crate::config::resolved::Upstream;
use crate::config::suggest::nearest;
use crate::core::Weight;

pub(super) struct Roles {
    pub upstreams: Vec<Upstream>,
    pub stable: usize,
    pub canary: Option<usize>,
    pub weight: Weight,
    /// Where it is written.
    pub max: Option<Spanned<Weight>>,
}

pub(super) fn roles(table: &mut Table<'_>, of: &str) -> Result<Roles, Reported> {
    let (problems, at) = (table.problems(), table.at());
    let upstreams = table.table("upstreams", "upstreams = { … }").and_then(|table| table.map(upstreams).transpose());
    let stable = table.read::<String>("stable");
    let canary = table.read::<String>("canary");
    let weight = table.read::<Weight>("weight");
    let max = table.read::<Weight>("max");
    let Some(upstreams) = upstreams? else {
        return Err(problems.error(at, format!("{of} has no upstreams"), "add `upstreams = { blue = \"http://127.0.0.1:3001\" }`"));
    };
    let stable = stable.and_then(|written| stable_index(written.as_ref(), &upstreams, at, problems));
    let canary = canary.and_then(|written| written.map(|written| index_of(&written, "canary", &upstreams, problems)).transpose());
    let (stable, canary, weight, max) = (stable?, canary?, weight?, max?);
    if let Some(canary) = canary.as_ref().filter(|canary| *canary.get_ref() == stable) {
        let others = names(&upstreams).filter(|name| *name != &*upstreams[stable].get_ref().name);
        let label =
            if upstreams.len() > 1 { format!("write {}", either(others)) } else { "leave it out, or add another upstream".to_owned() };
        return Err(problems.error(canary.span(), "`canary` and `stable` are the same upstream", label));
    }
    let canary = match (canary, upstreams.len()) {
        (Some(canary), _) => Some(canary.into_inner()),
        (None, 2) => Some(1 - stable),
        (None, _) => None,
    };
    if let Some(weight) = &weight {
        weighable(weight, canary, &upstreams, problems)?;
        capped(weight, max.as_ref(), problems)?;
    }
    Ok(Roles {
        upstreams: upstreams.into_iter().map(Spanned::into_inner).collect(),
        stable,
        canary,
        weight: weight.map_or(Weight::ZERO, Spanned::into_inner),
        max,
    })
}

fn stable_index(
    written: Option<&Spanned<String>>,
    upstreams: &[Spanned<Upstream>],
    bot: std::ops::Range<usize>,
    problems: &Problems<'_>,
) -> Result<usize, Reported> {
    match written {
        Some(written) => index_of(written, "stable", upstreams, problems).map(Spanned::into_inner),
        None if upstreams.len() == 1 => Ok(0),
        None => {
            let first = &upstreams[0].get_ref().name;
            let title = "`stable` says which upstream serves at first";
            Err(problems.error(bot, title, format!("add `stable = \"{first}\"`, or another of the upstreams")))
        }
    }
}

fn index_of(
    written: &Spanned<String>,
    key: &str,
    upstreams: &[Spanned<Upstream>],
    problems: &Problems<'_>,
) -> Result<Spanned<usize>, Reported> {
    let name = written.get_ref();
    if let Some(index) = names(upstreams).position(|upstream| upstream == name) {
        return Ok(Spanned::new(written.span(), index));
    }
    let label = match nearest(name, names(upstreams)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write {}", either(names(upstreams))),
    };
    Err(problems.error(written.span(), format!("`{key}` names no upstream: \"{}\"", name.escape_debug()), label))
}

/// Reports a weight for a bot without a canary.
fn weighable(
    weight: &Spanned<Weight>,
    canary: Option<usize>,
    upstreams: &[Spanned<Upstream>],
    problems: &Problems<'_>,
) -> Result<(), Reported> {
    if canary.is_some() {
        return Ok(());
    }
    let label =
        if upstreams.len() == 1 { "leave it out, or add a second upstream".to_owned() } else { "add `canary = \"…\"`".to_owned() };
    let problem = Problem::new("`weight` has no canary to go to").at(weight.span(), label);
    Err(problems.report(if upstreams.len() == 1 { problem } else { problem.note(format!("upstreams: {}", either(names(upstreams)))) }))
}

fn capped(weight: &Spanned<Weight>, max: Option<&Spanned<Weight>>, problems: &Problems<'_>) -> Result<(), Reported> {
    let Some(max) = max.filter(|max| weight.get_ref() > max.get_ref()) else { return Ok(()) };
    let problem = Problem::new(format!("`weight` is above `max`: {} > {}", weight.get_ref(), max.get_ref()));
    Err(problems.report(problem.at(weight.span(), format!("write \"{}\" or less", max.get_ref())).at(max.span(), "the cap")))
}

fn names(upstreams: &[Spanned<Upstream>]) -> impl Iterator<Item = &str> {
    upstreams.iter().map(|upstream| &*upstream.get_ref().name)
}
