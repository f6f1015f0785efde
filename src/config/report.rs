//! Errors with file, line and caret. All errors of a file are collected and reported together, so that a person can correct them
//! together. Secrets are blanked out of the quoted lines.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

/// The most errors that are shown, since nobody reads more.
const SHOWN_MAX: usize = 20;

/// All errors of a file, rendered for a person: file, line, a caret, and what to write instead.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{rendered}")]
pub struct ConfigError {
    rendered: String,
    count: usize,
}

/// The errors and warnings so far.
pub(crate) struct Problems<'d> {
    path: &'d Path,
    text: &'d str,
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<(usize, String)>>,
}

/// One error.
pub(crate) struct Problem {
    title: String,
    places: Vec<(Range<usize>, String)>,
    note: Option<String>,
}

/// Proof that an error was reported: only `Problems` makes one. A function that fails with it has reported the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported(());

impl ConfigError {
    /// The number of errors; the text may show fewer.
    pub fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn unreadable(path: &Path, source: &std::io::Error) -> ConfigError {
        ConfigError { rendered: format!("cannot read {}: {source}", path.display()), count: 1 }
    }
}

impl Problem {
    /// An error about the whole file.
    pub fn new(title: impl Into<String>) -> Problem {
        Problem { title: title.into(), places: Vec::new(), note: None }
    }

    /// Adds a place. The first one gets the carets; `label` says what to write there instead.
    pub fn at(mut self, at: Range<usize>, label: impl Into<String>) -> Problem {
        self.places.push((at, label.into()));
        self
    }

    /// Adds a text that is too long for a label.
    pub fn note(mut self, note: impl Into<String>) -> Problem {
        self.note = Some(note.into());
        self
    }
}

impl<'d> Problems<'d> {
    pub fn new(path: &'d Path, text: &'d str) -> Problems<'d> {
        Problems { path, text, errors: RefCell::default(), warnings: RefCell::default() }
    }

    /// The path of a file that the config names: relative paths start from the config's folder.
    pub fn beside(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    pub fn text(&self) -> &'d str {
        self.text
    }

    /// Reports an error. `title` says what is wrong, `label` what to write at the carets instead.
    pub fn error(&self, at: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Reported {
        self.report(Problem::new(title).at(at, label))
    }

    pub fn report(&self, problem: Problem) -> Reported {
        self.errors.borrow_mut().push(problem);
        Reported(())
    }

    /// Fails if an error was reported.
    pub fn so_far(&self) -> Result<(), Reported> {
        if self.errors.borrow().is_empty() { Ok(()) } else { Err(Reported(())) }
    }

    /// Adds a warning: what is written is allowed, but probably a mistake. `sentence` is a whole sentence.
    pub fn warn(&self, at: Range<usize>, sentence: impl std::fmt::Display) {
        let line = self.text[..at.start.min(self.text.len())].bytes().filter(|b| *b == b'\n').count() + 1;
        self.warnings.borrow_mut().push((line, format!("{}:{line}: {sentence}", self.path.display())));
    }

    /// Returns the warnings, or all errors, each in the order of the file. `secrets` are blanked out.
    pub fn finish(self, secrets: &[Range<usize>]) -> Result<Vec<String>, ConfigError> {
        let mut errors = self.errors.into_inner();
        if errors.is_empty() {
            let mut warnings = self.warnings.into_inner();
            warnings.sort_by_key(|(line, _)| *line);
            return Ok(warnings.into_iter().map(|(_, text)| text).collect());
        }
        errors.sort_by_key(|problem| problem.places.first().map_or(0, |(at, _)| at.start));
        let source = blanked(self.text, secrets);
        let path = self.path.display().to_string();
        let mut shown: Vec<String> = errors.iter().take(SHOWN_MAX).map(|problem| render(problem, &path, &source)).collect();
        if errors.len() > SHOWN_MAX {
            shown.push(format!("and {} more", errors.len() - SHOWN_MAX));
        }
        Err(ConfigError { rendered: shown.join("\n\n"), count: errors.len() })
    }
}

/// All values, or an error if one failed. Evaluates all results, so that each one's error is reported.
pub(crate) fn all<T>(results: impl IntoIterator<Item = Result<T, Reported>>) -> Result<Vec<T>, Reported> {
    let mut values = Vec::new();
    let mut failed = None;
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(reported) => failed = Some(reported),
        }
    }
    failed.map_or(Ok(values), Err)
}

fn render(problem: &Problem, path: &str, source: &str) -> String {
    let title = Level::ERROR.primary_title(problem.title.as_str());
    let group = match problem.places.as_slice() {
        [] => title.element(Origin::path(path)),
        [first, others @ ..] => {
            let annotation = |kind: AnnotationKind, (at, label): &(Range<usize>, String)| {
                let label = if label.is_empty() { None } else { Some(label.clone()) };
                kind.span(at.clone()).label(label)
            };
            let snippet = Snippet::source(source).path(path).annotation(annotation(AnnotationKind::Primary, first));
            title.element(snippet.annotations(others.iter().map(|place| annotation(AnnotationKind::Context, place))))
        }
    };
    let note = problem.note.as_deref().map(|note| Level::NOTE.message(note));
    Renderer::plain().render(&[group.elements(note)])
}

/// The text with a `*` for each byte of the secrets, so that every place stays the same.
fn blanked(text: &str, secrets: &[Range<usize>]) -> String {
    let mut blanked = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if c != '\n' && c != '\r' && secrets.iter().any(|secret| secret.contains(&at)) {
            blanked.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            blanked.push(c);
        }
    }
    blanked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(text: &str, fill: impl FnOnce(&Problems<'_>)) -> Result<Vec<String>, ConfigError> {
        let problems = Problems::new(Path::new("serin.toml"), text);
        fill(&problems);
        problems.finish(&[])
    }

    #[test]
    fn an_error_shows_file_line_and_caret() {
        let error = finish("[[bot]]\nweight = \"101%\"\n", |p| {
            p.error(17..23, "`weight` is more than all", "write \"100%\" or less");
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "\
error: `weight` is more than all
 --> serin.toml:2:10
  |
2 | weight = \"101%\"
  |          ^^^^^^ write \"100%\" or less"
        );
    }

    #[test]
    fn errors_come_in_the_order_of_the_file_and_end_somewhere() {
        let text = "a\n".repeat(30);
        let error = finish(&text, |p| {
            for line in (0..30).rev() {
                p.error(2 * line..2 * line + 1, format!("wrong {line}"), "");
            }
        })
        .unwrap_err();
        assert_eq!(error.count(), 30);
        let rendered = error.to_string();
        assert!(rendered.starts_with("error: wrong 0\n --> serin.toml:1:1\n"), "{rendered}");
        assert!(rendered.contains("^\n\nerror: wrong 19\n") && rendered.ends_with("^\n\nand 10 more"), "{rendered}");
    }

    #[test]
    fn a_place_at_or_past_the_end_is_shown_at_the_end() {
        for text in ["", "a", "a\n", "é"] {
            let error = finish(text, |p| {
                p.error(text.len()..text.len(), "ends too soon", "here");
            });
            assert!(error.unwrap_err().to_string().starts_with("error: ends too soon\n"));
        }
    }

    #[test]
    fn warnings_name_file_and_line() {
        let warnings = finish("a\nb\n", |p| {
            p.warn(2..3, "second");
            p.warn(0..1, "first");
        });
        assert_eq!(warnings.unwrap(), ["serin.toml:1: first", "serin.toml:2: second"]);
    }

    #[test]
    fn a_blanked_text_keeps_its_places() {
        let secret = 5..8;
        assert_eq!(blanked("a = \"é\n\"", std::slice::from_ref(&secret)), "a = \"**\n\"");
    }
}
