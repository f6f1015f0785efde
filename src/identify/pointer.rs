//! JSON pointers as in RFC 6901 (`~0` is `~`, `~1` is `/`), with one addition: a step `*` matches every value of an object or every
//! element of an array, one level deep.

use super::SourceError;

/// The most steps, far more than any platform's payload needs. It also limits how deep the walk can recurse.
const STEPS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(Box<[Step]>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(Box<str>),
    Any,
}

impl Pointer {
    /// An error's range counts from `text`'s first byte.
    pub(super) fn parse(text: &str) -> Result<Pointer, SourceError> {
        if !text.starts_with('/') {
            return Err(SourceError::new(format!("a JSON pointer begins with `/`: write `{}`", meant(text)), 0..text.len()));
        }
        let mut steps = Vec::new();
        let mut at = 1;
        for token in text[1..].split('/') {
            steps.push(step(token).map_err(|message| SourceError::new(message, at..at + token.len()))?);
            at += token.len() + 1;
        }
        if steps.len() > STEPS_MAX {
            return Err(SourceError::new(format!("a JSON pointer has at most {STEPS_MAX} steps"), 0..text.len()));
        }
        Ok(Pointer(steps.into()))
    }

    /// A pointer of one key, taken literally: `/` and `~` have no meaning.
    pub(super) fn of_key(key: &str) -> Pointer {
        Pointer(Box::new([Step::Key(key.into())]))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The named steps, in reverse order.
    pub(super) fn keys_backwards(&self) -> impl Iterator<Item = &str> {
        self.0.iter().rev().filter_map(|step| match step {
            Step::Key(key) => Some(&**key),
            Step::Any => None,
        })
    }
}

fn step(token: &str) -> Result<Step, String> {
    if token == "*" {
        return Ok(Step::Any);
    }
    if token.contains('*') {
        return Err(format!("`*` stands for a whole step, one level deep: write `/*/` instead of `{token}`"));
    }
    if token.is_empty() {
        return Err("a step of the pointer is empty: write each `/` followed by a key".to_owned());
    }
    if token.split('~').skip(1).any(|after| !after.starts_with(['0', '1'])) {
        return Err("in a JSON pointer `~` is written `~0` and `/` inside a key `~1`".to_owned());
    }
    Ok(Step::Key(token.replace("~1", "/").replace("~0", "~").into()))
}

/// The pointer that people mean by `team.id`, `$.team.id` or `team/id`: `/team/id`.
fn meant(text: &str) -> String {
    let path = text.trim_start_matches(['$', '.', '#']).replace(['.', '['], "/").replace(']', "");
    let path = path.trim_matches('/');
    if path.is_empty() { "/team_id".to_owned() } else { format!("/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<Step> {
        Pointer::parse(text).unwrap().steps().to_vec()
    }

    #[test]
    fn a_pointer_reads_as_rfc_6901_has_it() {
        let key = |k: &str| Step::Key(k.into());
        assert_eq!(keys("/team/id"), [key("team"), key("id")]);
        assert_eq!(keys("/a~1b/m~0n/~01"), [key("a/b"), key("m~n"), key("~1")]);
        assert_eq!(keys("/entry/*/id"), [key("entry"), Step::Any, key("id")]);
        assert_eq!(keys("/authorizations/0"), [key("authorizations"), key("0")]);
    }

    #[test]
    fn what_is_no_pointer_is_refused_with_what_to_write() {
        let error = |text: &str| Pointer::parse(text).unwrap_err();
        assert!(error("team.id").message.contains("`/team/id`"));
        assert!(error("$.events[0].id").message.contains("`/events/0/id`"));
        assert!(error("").message.contains("begins with `/`"));
        assert_eq!(error("/team//id").at, 6..6);
        assert_eq!(error("/team/i~2d").at, 6..10);
        assert_eq!(error("/team/x*/id").at, 6..8);
        assert!(error("/").message.contains("empty"));
        assert!(error(&"/a".repeat(33)).message.contains("at most 32"));
    }
}
