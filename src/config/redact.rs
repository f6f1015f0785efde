//! Finds the secret parts of a config. An error quotes its line, and logs are copied to other places. So this module finds possible
//! secrets by their keys before anything is reported, also if the key is misspelt or the file is broken.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::suggest::nearest;

/// Keys with a secret as their value, and tables that hold one.
const SECRET: [&str; 5] = ["secret", "token", "tester", "password", "notify"];
/// Keys of such tables that are not secret.
const OPEN: [&str; 8] = ["name", "scope", "file", "env", "header", "kind", "on", "bots"];

pub(super) fn secrets(text: &str, table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    in_table(table, false, &mut found);
    in_urls(text, &mut found);
    found
}

/// For a file that is not valid TOML: everything behind such a key, up to the end of its line.
pub(super) fn secrets_of_broken(text: &str, table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut found = secrets(text, table);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let equals = line.match_indices('=').find(|(at, _)| is_secret(line[..*at].rsplit([',', '{', '.']).next().unwrap_or("")));
        if let Some((at, _)) = equals {
            found.push(start + at + 1..start + line.len());
        }
        start += line.len();
    }
    found
}

fn in_table(table: &DeTable<'_>, holds_secret: bool, found: &mut Vec<Range<usize>>) {
    for (key, value) in table.iter() {
        let secret = is_secret(key.get_ref()) || (holds_secret && !OPEN.contains(&key.get_ref().as_ref()));
        in_value(value.get_ref(), value.span(), secret, found);
    }
}

fn in_value(value: &DeValue<'_>, at: Range<usize>, secret: bool, found: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(table) => in_table(table, secret, found),
        DeValue::Array(items) => items.iter().for_each(|item| in_value(item.get_ref(), item.span(), secret, found)),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) if secret => {
            found.push(at)
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.trim().trim_matches(['"', '\'']);
    nearest(key, SECRET).is_some() || SECRET.iter().any(|secret| key.to_lowercase().contains(secret))
}

/// The name and the password in `http://name:password@host`.
fn in_urls(text: &str, found: &mut Vec<Range<usize>>) {
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let end = text[start..].find(['"', '\'', '\n', ' ']).map_or(text.len(), |len| start + len);
        if let Some(len) = text[start..end].rfind('@') {
            found.push(start..start + len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let ranges = if errors.is_empty() { secrets(text, table.get_ref()) } else { secrets_of_broken(text, table.get_ref()) };
        ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn a_secret_is_known_by_its_key_or_its_table() {
        assert_eq!(found("[[admin.token]]\nname = \"ci\"\nsecret = \"a\"\n"), ["\"a\""]);
        assert_eq!(found("[bot.tester]\nheader = \"X\"\nsecrt = \"a\"\nkey = [1, 2]\n"), ["1", "2", "\"a\""]);
        assert_eq!(found("[[notify]]\nname = \"ops\"\nurl = \"https://chat\"\non = [\"held\"]\n"), ["\"https://chat\""]);
        assert_eq!(found("tester = \"a\"\nstable = \"blue\""), ["\"a\""]);
        assert_eq!(found("url = 'http://user:word@host'"), ["user:word"]);
    }

    #[test]
    fn a_broken_file_hides_the_rest_of_the_line() {
        assert_eq!(found("x = { header = \"X\", secret = \"a b\n").last(), Some(&" \"a b\n"));
        assert_eq!(found("client_secret = hunter2").last(), Some(&" hunter2"));
    }
}
