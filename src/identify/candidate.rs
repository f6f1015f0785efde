//! Reduces the values that one source finds to at most one id. The same rule holds for a wildcard's matches, a repeated form field
//! and a repeated header, because the bots' frameworks differ in which of them they read.

use std::borrow::Cow;

use super::ID_BYTES_MAX;
use super::json::Value;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Candidate<'a> {
    /// There is nothing, or null, or an empty text: the next source is tried.
    #[default]
    Nothing,
    /// There is a value that cannot be an id: the next source is tried, but this is remembered.
    Unfit,
    Id(Cow<'a, str>),
    /// Several different ids; this is the first.
    Differ(Cow<'a, str>),
}

impl<'a> Candidate<'a> {
    pub(super) fn of_text(text: Cow<'a, str>) -> Candidate<'a> {
        match text.len() {
            0 => Candidate::Nothing,
            1..=ID_BYTES_MAX => Candidate::Id(text),
            _ => Candidate::Unfit,
        }
    }

    pub(super) fn of_bytes(bytes: Cow<'a, [u8]>) -> Candidate<'a> {
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.map_or(Candidate::Unfit, Candidate::of_text)
    }

    pub(super) fn of_value(value: &Value<'a>) -> Candidate<'a> {
        match value {
            Value::Text(text) => Candidate::of_text(text.clone()),
            Value::Unsigned(n) => Candidate::Id(Cow::Owned(n.to_string())),
            Value::Negative(n) => Candidate::Id(Cow::Owned(n.to_string())),
            Value::Bool(_) | Value::EmptyArray | Value::Unfit => Candidate::Unfit,
        }
    }

    /// Combines this with the source's next value.
    pub(super) fn and(self, next: Candidate<'a>) -> Candidate<'a> {
        match (self, next) {
            (Candidate::Nothing, next) => next,
            (Candidate::Unfit, Candidate::Nothing) => Candidate::Unfit,
            (Candidate::Unfit, next) => next,
            (Candidate::Id(id), Candidate::Id(next) | Candidate::Differ(next)) if id != next => Candidate::Differ(id),
            (Candidate::Id(id), Candidate::Differ(_)) => Candidate::Differ(id),
            (Candidate::Id(id), Candidate::Id(_) | Candidate::Nothing | Candidate::Unfit) => Candidate::Id(id),
            (Candidate::Differ(id), _) => Candidate::Differ(id),
        }
    }

    pub(super) fn of_all(answers: impl Iterator<Item = Candidate<'a>>) -> Candidate<'a> {
        answers.fold(Candidate::Nothing, Candidate::and)
    }

    /// Treats the words in `never`, which the platform writes if there is no id, as nothing.
    pub(super) fn without(self, never: &[&str]) -> Candidate<'a> {
        match self {
            Candidate::Id(id) if never.contains(&&*id) => Candidate::Nothing,
            Candidate::Nothing | Candidate::Unfit | Candidate::Id(_) | Candidate::Differ(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&'static str]) -> Candidate<'static> {
        Candidate::of_all(texts.iter().map(|text| Candidate::of_text(Cow::Borrowed(text))))
    }

    #[test]
    fn equal_ids_are_one_and_different_ones_differ() {
        assert_eq!(of(&[]), Candidate::Nothing);
        assert_eq!(of(&["", "A", "", "A"]), Candidate::Id("A".into()));
        assert_eq!(of(&["A", "B", "A"]), Candidate::Differ("A".into()));
    }

    #[test]
    fn a_number_and_its_digits_are_the_same_id() {
        let both = [Value::Unsigned(12), Value::Text("12".into())];
        assert_eq!(Candidate::of_all(both.iter().map(Candidate::of_value)), Candidate::Id("12".into()));
        assert_eq!(Candidate::of_value(&Value::Negative(-100_123)), Candidate::Id("-100123".into()));
    }

    #[test]
    fn what_is_no_id_is_remembered_only_where_there_is_none() {
        let long = "x".repeat(ID_BYTES_MAX + 1);
        let unfit = || Candidate::of_text(Cow::Borrowed(long.as_str()));
        assert_eq!(unfit(), Candidate::Unfit);
        assert_eq!(unfit().and(Candidate::Nothing), Candidate::Unfit);
        assert_eq!(unfit().and(of(&["A"])), of(&["A"]));
        assert_eq!(of(&["A"]).and(unfit()), of(&["A"]));
        assert_eq!(Candidate::of_bytes(Cow::Borrowed(b"\xff")), Candidate::Unfit);
        assert_eq!(Candidate::of_text(Cow::Borrowed(&long[..ID_BYTES_MAX])), Candidate::Id(long[..ID_BYTES_MAX].into()));
    }

    #[test]
    fn a_word_that_stands_for_none_is_none() {
        assert_eq!(of(&["0"]).without(&["0"]), Candidate::Nothing);
        assert_eq!(of(&["00"]).without(&["0"]), of(&["00"]));
    }
}
