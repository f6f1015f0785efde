//! The values that a walk finds.

use std::borrow::Cow;

use crate::identify::trie::PointerIndex;

/// The value at a pointer, in the detail that sources and marks need. `null` and `""` count as absent and are not collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::identify) enum Value<'a> {
    Text(Cow<'a, str>),
    Unsigned(u64),
    Negative(i64),
    Bool(bool),
    EmptyArray,
    /// A float, an integer beyond 64 bits, too long a string, or an object or an array into which no pointer leads.
    Unfit,
}

/// The body is not JSON, or has more values than the limits allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identify) struct Unreadable;

/// The values of one body, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::identify) struct Values<'a> {
    /// `None` if a later duplicate of a key replaced the value.
    pub(super) found: Vec<(PointerIndex, Option<Value<'a>>)>,
}

impl<'a> Values<'a> {
    pub(in crate::identify) fn at(&self, pointer: PointerIndex) -> impl Iterator<Item = &Value<'a>> {
        self.found.iter().filter(move |(s, _)| *s == pointer).filter_map(|(_, value)| value.as_ref())
    }

    pub(in crate::identify) fn into_owned(self) -> Values<'static> {
        Values { found: self.found.into_iter().map(|(pointer, value)| (pointer, value.map(Value::into_owned))).collect() }
    }
}

impl Value<'_> {
    fn into_owned(self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Unsigned(n) => Value::Unsigned(n),
            Value::Negative(n) => Value::Negative(n),
            Value::Bool(b) => Value::Bool(b),
            Value::EmptyArray => Value::EmptyArray,
            Value::Unfit => Value::Unfit,
        }
    }
}
