//! The config as written: tables, keys and values with their places. serde would stop at the first error and lose the key. Here the
//! reader requests each key of a table by its name, and goes on after an error. A key that was not requested is an unknown key. So
//! each key is named once, where it is read.

use std::ops::{Range, RangeInclusive};

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::{Problem, Problems, Reported};
use super::suggest::nearest;
use super::value::{Measure, Value};

/// The result of reading a key: nothing, a value and its place, or an error that was reported.
pub(crate) type Read<T> = Result<Option<Spanned<T>>, Reported>;

/// One table of the file, being read.
pub(crate) struct Table<'d> {
    /// The title in messages, in the form of the file: `[proxy.limits]`.
    title: &'static str,
    /// The header, or the whole inline table.
    at: Range<usize>,
    entries: Vec<Entry<'d>>,
    asked: Vec<&'static str>,
    problems: &'d Problems<'d>,
}

/// A key and its value.
pub(crate) struct Entry<'d> {
    pub key: &'d str,
    pub key_at: Range<usize>,
    pub value: &'d DeValue<'d>,
    pub at: Range<usize>,
}

impl<'d> Table<'d> {
    pub fn root(table: &'d Spanned<DeTable<'d>>, problems: &'d Problems<'d>) -> Table<'d> {
        Table { title: "the file", at: 0..0, entries: entries(table.get_ref()), asked: Vec::new(), problems }
    }

    fn empty(title: &'static str, problems: &'d Problems<'d>) -> Table<'d> {
        Table { title, at: 0..0, entries: Vec::new(), asked: Vec::new(), problems }
    }

    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    pub fn problems(&self) -> &'d Problems<'d> {
        self.problems
    }

    pub fn read<T: Value>(&mut self, key: &'static str) -> Read<T> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        match T::read(entry.value) {
            Ok(value) => Ok(Some(Spanned::new(entry.at, value))),
            Err(wrong) => {
                let at = wrong.at.unwrap_or(entry.at);
                Err(self.problems.error(at, format!("`{key}` is not {}", T::WHAT), wrong.instead))
            }
        }
    }

    pub fn read_or<T: Value>(&mut self, key: &'static str, default: T) -> Result<T, Reported> {
        Ok(self.read(key)?.map_or(default, Spanned::into_inner))
    }

    /// Reads a quantity, and reports an error if it is outside the bounds.
    pub fn within<T: Measure>(&mut self, key: &'static str, bounds: RangeInclusive<T>) -> Read<T> {
        let Some(value) = self.read::<T>(key)? else { return Ok(None) };
        if bounds.contains(value.get_ref()) {
            return Ok(Some(value));
        }
        let (least, most) = (bounds.start().show(), bounds.end().show());
        let (wrong, instead) = if value.get_ref() < bounds.start() {
            ("too little", format!("write {least} or more, up to {most}"))
        } else {
            ("too much", format!("write {most} or less, down to {least}"))
        };
        Err(self.problems.error(value.span(), format!("`{key}` is {wrong}"), instead))
    }

    pub fn within_or<T: Measure>(&mut self, key: &'static str, bounds: RangeInclusive<T>, default: T) -> Result<T, Reported> {
        Ok(self.within(key, bounds)?.map_or(default, Spanned::into_inner))
    }

    /// Reads one of a few words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Read<T> {
        let Some(written) = self.read::<String>(key)? else { return Ok(None) };
        if let Some((_, choice)) = words.iter().find(|(word, _)| word == written.get_ref()) {
            return Ok(Some(Spanned::new(written.span(), *choice)));
        }
        let instead = match nearest(written.get_ref(), words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => format!("write {}", either(words.iter().map(|(word, _)| *word))),
        };
        Err(self.problems.error(written.span(), format!("`{key}` cannot be \"{}\"", written.get_ref().escape_debug()), instead))
    }

    pub fn choice_or<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], default: T) -> Result<T, Reported> {
        Ok(self.choice(key, words)?.map_or(default, Spanned::into_inner))
    }

    /// Whether the key's value is a table. For keys that take a value or a table.
    pub fn holds_table(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && matches!(entry.value, DeValue::Table(_)))
    }

    pub fn table(&mut self, key: &'static str, title: &'static str) -> Result<Option<Table<'d>>, Reported> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        match entry.value {
            DeValue::Table(_) => Ok(entry.table(title, self.problems)),
            _ => Err(self.problems.error(entry.at, format!("`{key}` is not a table"), format!("write it as {title}"))),
        }
    }

    /// Like `table`; a missing table is one without keys.
    pub fn table_or_empty(&mut self, key: &'static str, title: &'static str) -> Result<Table<'d>, Reported> {
        Ok(self.table(key, title)?.unwrap_or_else(|| Table::empty(title, self.problems)))
    }

    /// All tables under `[[title]]`, in the order of the file.
    pub fn tables(&mut self, key: &'static str, title: &'static str) -> Result<Vec<Table<'d>>, Reported> {
        let Some(entry) = self.take(key) else { return Ok(Vec::new()) };
        let single = || {
            self.problems.error(
                entry.at.clone(),
                format!("`{key}` is a list of tables"),
                format!("write {title}: twice in brackets, once for each"),
            )
        };
        let DeValue::Array(items) = entry.value else { return Err(single()) };
        let tables = items.iter().map(|item| match item.get_ref() {
            DeValue::Table(table) => {
                Ok(Table { title, at: item.span(), entries: entries(table), asked: Vec::new(), problems: self.problems })
            }
            _ => Err(single()),
        });
        tables.collect()
    }

    /// Removes the key and returns it with its value, for values without a fixed type.
    pub fn take(&mut self, key: &'static str) -> Option<Entry<'d>> {
        self.asked.push(key);
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }

    /// The remaining entries, for tables in which the file chooses the keys.
    pub fn into_entries(self) -> Vec<Entry<'d>> {
        self.entries
    }

    /// Reports the keys that were not requested.
    pub fn close(&mut self) {
        for entry in std::mem::take(&mut self.entries) {
            let key = entry.key.escape_debug();
            let (title, note) = match nearest(entry.key, self.asked.iter().copied()) {
                Some(near) => (format!("unknown key `{key}`; did you mean `{near}`?"), None),
                None => (format!("unknown key `{key}`"), Some(format!("{} takes {}", self.title, self.asked.join(", ")))),
            };
            let problem = Problem::new(title).at(entry.key_at.clone(), format!("not a key of {}", self.title));
            self.problems.report(note.into_iter().fold(problem, Problem::note));
        }
    }
}

impl<'d> Entry<'d> {
    /// The value, if it is a table.
    pub fn table(&self, title: &'static str, problems: &'d Problems<'d>) -> Option<Table<'d>> {
        let DeValue::Table(table) = self.value else { return None };
        Some(Table { title, at: self.at.clone(), entries: entries(table), asked: Vec::new(), problems })
    }
}

/// `"a", "b" or "c"`.
pub(crate) fn either<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| format!("\"{word}\"")).collect();
    let Some(last) = words.pop() else { return String::new() };
    if words.is_empty() { last } else { format!("{} or {last}", words.join(", ")) }
}

/// The entries in the order of the file (the map is sorted by key).
fn entries<'d>(table: &'d DeTable<'d>) -> Vec<Entry<'d>> {
    let mut entries: Vec<Entry<'d>> = table
        .iter()
        .map(|(key, value)| Entry { key: key.get_ref(), key_at: key.span(), value: value.get_ref(), at: value.span() })
        .collect();
    entries.sort_by_key(|entry| entry.key_at.start);
    entries
}
