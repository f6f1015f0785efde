//! Ids of different kinds must not share a namespace: the user 7 would be taken for the guild 7. And ids of one kind must not have
//! two namespaces: one workspace would have two buckets, depending on the source that found it. The kind of a source without a
//! prefix is guessed from the last key that names something. If it cannot be guessed, there is no check.

use super::{Source, SourceError};
use crate::identify::source::Place;

/// Fails with the first source that does not fit to an earlier one, and the reason.
pub fn check_namespaces(sources: &[Source]) -> Result<(), (usize, SourceError)> {
    for (index, source) in sources.iter().enumerate() {
        for earlier in &sources[..index] {
            if let Some(message) = clash(earlier, source) {
                return Err((index, SourceError::new(message, 0..source.text().len())));
            }
        }
    }
    Ok(())
}

/// Two sources that both have a prefix never clash: the operator has chosen the namespaces.
fn clash(a: &Source, b: &Source) -> Option<String> {
    let (kind_a, kind_b) = (kind(a)?, kind(b)?);
    match (a.namespace(), b.namespace()) {
        (None, None) if kind_a != kind_b => Some(format!(
            "`{a}` finds a {kind_a} and `{b}` a {kind_b}, and their ids must not be mixed: write `{kind_a}:{a}` and `{kind_b}:{b}`, or leave one out"
        )),
        (Some(namespace), None) if kind_a == kind_b => Some(same_kind(kind_a, namespace, a, b)),
        (None, Some(namespace)) if kind_a == kind_b => Some(same_kind(kind_a, namespace, b, a)),
        (None | Some(_), None | Some(_)) => None,
    }
}

fn same_kind(kind: &str, namespace: &str, with: &Source, without: &Source) -> String {
    format!(
        "`{with}` and `{without}` both find a {kind}, but one in the namespace `{namespace}` and one in none, so a {kind} would be two workspaces: write `{namespace}:{without}`"
    )
}

/// The kind of thing whose id a source finds, if the last key that names something shows it.
fn kind(source: &Source) -> Option<&'static str> {
    match source.place() {
        Place::Header(name) => kind_of_key(name.as_str()),
        Place::Query(name) | Place::Form(name) => kind_of_key(name),
        Place::Json(pointer) | Place::FormJson { pointer, .. } | Place::Jwt { claim: pointer, .. } => {
            pointer.keys_backwards().find(|key| words(key).next().is_some()).and_then(kind_of_key)
        }
        Place::Path(_) | Place::Const(_) => None,
    }
}

fn kind_of_key(key: &str) -> Option<&'static str> {
    Some(match words(key).last()?.as_str() {
        // `workspace` is not in the list, because people use it for anything.
        "team" | "tenant" => "team",
        "guild" => "guild",
        "user" | "from" | "member" | "sender" | "author" => "user",
        "enterprise" => "enterprise",
        "channel" => "channel",
        "chat" | "conversation" => "chat",
        // GitHub uses all of these for one thing.
        "account" | "organization" | "org" | "owner" => "account",
        "installation" => "installation",
        "repository" | "repo" => "repository",
        "shop" | "store" => "shop",
        _ => return None,
    })
}

/// The words of `X-Team-Id`, `team_id` or `teamId`, in lower case, without numbers and without words that only mean that it is an id.
fn words(key: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::with_capacity(key.len() + 4);
    let mut after_lower = false;
    for c in key.chars() {
        if after_lower && c.is_ascii_uppercase() {
            spaced.push(' ');
        }
        after_lower = c.is_ascii_lowercase();
        spaced.push(if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    }
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    words.into_iter().filter(|w| !matches!(w.as_str(), "id" | "ids" | "sid" | "uid" | "uuid" | "gid") && w.parse::<u64>().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str]) -> Result<(), (usize, String)> {
        let sources: Vec<Source> = texts.iter().map(|text| Source::parse(text).unwrap()).collect();
        check_namespaces(&sources).map_err(|(index, error)| (index, error.message))
    }

    #[test]
    fn the_kind_is_guessed_from_the_last_telling_key() {
        for (text, expected) in [
            ("json:/team/id", Some("team")),
            ("json:/user/team_id", Some("team")),
            ("json:/view/app_installed_team_id", Some("team")),
            ("json:/authorizations/0/enterprise_id", Some("enterprise")),
            ("json:/*/chat/id", Some("chat")),
            ("json:/conversation/tenantId", Some("team")),
            ("form:AccountSid", Some("account")),
            ("header:X-Guild-ID", Some("guild")),
            ("form_json:payload#/member/user/id", Some("user")),
            ("jwt:Authorization#org_id", Some("account")),
            ("header:X-Workspace-Id", None),
            ("json:/entry/*/id", None),
            ("json:/id", None),
            ("jwt:Authorization#tid", None),
            ("path:1", None),
            ("const:team", None),
        ] {
            assert_eq!(kind(&Source::parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn two_kinds_without_a_prefix_are_refused_with_both_spellings() {
        let (index, message) = check(&["path:1", "json:/guild_id", "json:/member/user/id"]).unwrap_err();
        assert_eq!(index, 2);
        assert!(message.contains("`guild:json:/guild_id`") && message.contains("`user:json:/member/user/id`"), "{message}");
    }

    #[test]
    fn one_kind_by_many_names_is_fine() {
        assert_eq!(check(&["header:X-Workspace-Id", "json:/team_id"]), Ok(()));
        assert_eq!(check(&["json:/tenant", "json:/team/id", "query:team"]), Ok(()));
        assert_eq!(check(&["json:/organization/id", "json:/repository/owner/id", "json:/installation/account/id"]), Ok(()));
    }

    #[test]
    fn a_prefix_takes_a_source_out_of_the_default_namespace() {
        assert_eq!(check(&["json:/guild_id", "user:json:/user/id"]), Ok(()));
        assert_eq!(check(&["guild:json:/guild_id", "user:json:/user/id"]), Ok(()));
    }

    #[test]
    fn one_kind_with_and_without_a_prefix_is_refused() {
        let (index, message) = check(&["team:json:/team/id", "json:/team_id"]).unwrap_err();
        assert_eq!(index, 1);
        assert!(message.contains("write `team:json:/team_id`"), "{message}");
        assert!(check(&["json:/team_id", "team:json:/team/id"]).unwrap_err().1.contains("write `team:json:/team_id`"));
    }
}
