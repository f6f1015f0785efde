//! Reduces the values that one source finds to at most one id. The same rule holds for a wildcard's matches, a repeated form field
//! and a repeated header, because the bots' frameworks differ in which of them they read.

use std::borrow::Cow;

use super::ID_BYTES_MAX;
use super::json::Value;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// There is nothing, or null, or an empty text: the next source is tried.
    #[default]
    Nothing,
    /// There is a value that cannot be an id: the next source is tried, but this is remembered.
    Unfit,
    Id(Cow<'a, str>),
    /// Several different ids; this is the first.
    Differ(Cow<'a, str>),
}

impl<'a> Answer<'a> {
    pub(super) fn of_text(text: Cow<'a, str>) -> Answer<'a> {
        match text.len() {
            0 => Answer::Nothing,
            1..=ID_BYTES_MAX => Answer::Id(text),
            _ => Answer::Unfit,
        }
    }

    pub(super) fn of_bytes(bytes: Cow<'a, [u8]>) -> Answer<'a> {
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.map_or(Answer::Unfit, Answer::of_text)
    }

    pub(super) fn of_value(value: &Value<'a>) -> Answer<'a> {
        match value {
            Value::Text(text) => Answer::of_text(text.clone()),
            Value::Unsigned(n) => Answer::Id(Cow::Owned(n.to_string())),
            Value::Negative(n) => Answer::Id(Cow::Owned(n.to_string())),
            Value::Bool(_) | Value::EmptyArray | Value::Unfit => Answer::Unfit,
        }
    }

    /// Combines this with the source's next value.
    pub(super) fn and(self, next: Answer<'a>) -> Answer<'a> {
        match (self, next) {
            (Answer::Nothing, next) => next,
            (Answer::Unfit, Answer::Nothing) => Answer::Unfit,
            (Answer::Unfit, next) => next,
            (Answer::Id(id), Answer::Id(next) | Answer::Differ(next)) if id != next => Answer::Differ(id),
            (Answer::Id(id), Answer::Differ(_)) => Answer::Differ(id),
            (Answer::Id(id), Answer::Id(_) | Answer::Nothing | Answer::Unfit) => Answer::Id(id),
            (Answer::Differ(id), _) => Answer::Differ(id),
        }
    }

    pub(super) fn of_all(answers: impl Iterator<Item = Answer<'a>>) -> Answer<'a> {
        answers.fold(Answer::Nothing, Answer::and)
    }

    /// Treats the words in `never`, which the platform writes if there is no id, as nothing.
    pub(super) fn without(self, never: &[&str]) -> Answer<'a> {
        match self {
            Answer::Id(id) if never.contains(&&*id) => Answer::Nothing,
            Answer::Nothing | Answer::Unfit | Answer::Id(_) | Answer::Differ(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&'static str]) -> Answer<'static> {
        Answer::of_all(texts.iter().map(|text| Answer::of_text(Cow::Borrowed(text))))
    }

    #[test]
    fn equal_ids_are_one_and_different_ones_differ() {
        assert_eq!(of(&[]), Answer::Nothing);
        assert_eq!(of(&["", "A", "", "A"]), Answer::Id("A".into()));
        assert_eq!(of(&["A", "B", "A"]), Answer::Differ("A".into()));
    }

    #[test]
    fn a_number_and_its_digits_are_the_same_id() {
        let both = [Value::Unsigned(12), Value::Text("12".into())];
        assert_eq!(Answer::of_all(both.iter().map(Answer::of_value)), Answer::Id("12".into()));
        assert_eq!(Answer::of_value(&Value::Negative(-100_123)), Answer::Id("-100123".into()));
    }

    #[test]
    fn what_is_no_id_is_remembered_only_where_there_is_none() {
        let long = "x".repeat(ID_BYTES_MAX + 1);
        let unfit = || Answer::of_text(Cow::Borrowed(long.as_str()));
        assert_eq!(unfit(), Answer::Unfit);
        assert_eq!(unfit().and(Answer::Nothing), Answer::Unfit);
        assert_eq!(unfit().and(of(&["A"])), of(&["A"]));
        assert_eq!(of(&["A"]).and(unfit()), of(&["A"]));
        assert_eq!(Answer::of_bytes(Cow::Borrowed(b"\xff")), Answer::Unfit);
        assert_eq!(Answer::of_text(Cow::Borrowed(&long[..ID_BYTES_MAX])), Answer::Id(long[..ID_BYTES_MAX].into()));
    }

    #[test]
    fn a_word_that_stands_for_none_is_none() {
        assert_eq!(of(&["0"]).without(&["0"]), Answer::Nothing);
        assert_eq!(of(&["00"]).without(&["0"]), of(&["00"]));
    }
}
