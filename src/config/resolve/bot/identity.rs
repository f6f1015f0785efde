//! `preset`, `workspace`, `mixed`: how serin finds a bot's workspaces.

use std::ops::Range;
use std::sync::Arc;

use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::{Problem, Problems, Reported, all};
use crate::config::suggest::nearest;
use crate::config::value::OneOrMany;
use crate::identify::{self, Extractor, Mixed, Preset, Source, SourceError};

const EXAMPLE: &str = "workspace = [\"header:X-Workspace-Id\", \"json:/team_id\"]";

pub(super) struct Identity {
    pub preset: Option<&'static Preset>,
    pub extractor: Arc<Extractor>,
}

/// Sources in `workspace` replace those of the preset; the rest of the preset stays.
pub(super) fn identity(table: &mut Table<'_>, of: &str) -> Result<Identity, Reported> {
    let problems = table.problems();
    let preset = table.read::<String>("preset").and_then(|written| written.map(|written| find(&written, problems)).transpose());
    let written = table.read::<OneOrMany>("workspace");
    let mixed = table.choice_or("mixed", &[("stable", Mixed::Stable), ("first", Mixed::First)], Mixed::default());
    let (preset, written) = (preset?, written?);
    let at = match (&written, &preset) {
        (Some(written), _) => written.span(),
        (None, Some(preset)) => preset.span(),
        (None, None) => {
            let problem = Problem::new(format!("{of} has no way to find a workspace")).at(table.at(), "add a `preset`, or a `workspace`");
            return Err(problems.report(problem.note(format!("for example {EXAMPLE}\n{}", known_presets()))));
        }
    };
    let sources = written.map_or(Ok(Vec::new()), |written| sources(written, problems))?;
    let preset = preset.map(Spanned::into_inner);
    let extractor = Extractor::new(sources, preset, mixed?);
    let extractor = extractor.map_err(|SourceError { message, .. }| {
        problems.report(Problem::new("these sources do not go together").at(at, "").note(message))
    })?;
    Ok(Identity { preset, extractor: Arc::new(extractor) })
}

fn find(written: &Spanned<String>, problems: &Problems<'_>) -> Result<Spanned<&'static Preset>, Reported> {
    let Some(preset) = identify::find(written.get_ref()) else {
        let problem = Problem::new(format!("there is no preset \"{}\"", written.get_ref().escape_debug()));
        let label = match nearest(written.get_ref(), identify::names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write one of those below, or a `workspace` instead".to_owned(),
        };
        return Err(problems.report(problem.at(written.span(), label).note(known_presets())));
    };
    if preset.experimental {
        let name = preset.name;
        problems.warn(
            written.span(),
            format!("the preset \"{name}\" is experimental: where it finds the workspace is not checked against its vendor"),
        );
    }
    Ok(Spanned::new(written.span(), preset))
}

fn known_presets() -> String {
    format!("presets: {}", identify::names().collect::<Vec<_>>().join(", "))
}

fn sources(written: Spanned<OneOrMany>, problems: &Problems<'_>) -> Result<Vec<Source>, Reported> {
    let at = written.span();
    let texts = match written.into_inner() {
        OneOrMany::One(text) => vec![Spanned::new(at.clone(), text)],
        OneOrMany::Many(texts) => texts,
    };
    if texts.is_empty() {
        return Err(problems.error(at, "`workspace` names no source", format!("write {EXAMPLE}")));
    }
    let parse = |text: &Spanned<String>| {
        let problem = || Problem::new(format!("\"{}\" is no source", text.get_ref().escape_debug()));
        let wrong = |error: SourceError| say(problem(), text, error, problems);
        Source::parse(text.get_ref()).map_err(wrong)
    };
    let sources = all(texts.iter().map(parse))?;
    identify::check_namespaces(&sources).map_err(|(index, error)| {
        let text = &texts[index];
        say(Problem::new("these sources may name different kinds of workspaces"), text, error, problems)
    })?;
    Ok(sources)
}

/// Reports what is wrong with a source. A message that is too long for a label becomes a note.
fn say(problem: Problem, text: &Spanned<String>, error: SourceError, problems: &Problems<'_>) -> Reported {
    const LABEL_CHARS_MAX: usize = 70;
    let at = part(text, error.at, problems.text());
    problems.report(match error.message.chars().count() {
        ..=LABEL_CHARS_MAX => problem.at(at, error.message),
        _ => problem.at(at, "").note(error.message),
    })
}

/// The place of a part of a text, if the text is written without escapes; else the place of the text.
fn part(text: &Spanned<String>, at: Range<usize>, file: &str) -> Range<usize> {
    let whole = text.span();
    let inner = whole.start + 1..whole.end.saturating_sub(1);
    let plain = file.get(inner.clone()) == Some(text.get_ref()) && at.start < at.end && at.end <= inner.len();
    if plain { inner.start + at.start..inner.start + at.end } else { whole }
}
