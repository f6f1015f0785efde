//! Finds the bot of a request by host and path prefix. The config sorts the bots: those with a host come first, and longer prefixes
//! before shorter ones. So the first bot that matches is the right one.

use crate::config::{Bot, Match};

/// The bot's index in `bots`.
pub fn find(bots: &[Bot], host: Option<&[u8]>, path: &str) -> Option<usize> {
    bots.iter().position(|bot| matches(&bot.matches, host, path))
}

/// `host` is the value of the Host header, with or without a port.
pub(super) fn matches(wanted: &Match, host: Option<&[u8]>, path: &str) -> bool {
    let host_fits =
        wanted.host.as_deref().is_none_or(|wanted| host.is_some_and(|host| without_port(host).eq_ignore_ascii_case(wanted.as_bytes())));
    host_fits && wanted.path_prefix.as_deref().is_none_or(|prefix| within(path, prefix))
}

/// Compares whole segments: `/slack` matches `/slack` and `/slack/events`, but not `/slackers`.
fn within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(at) if host[at + 1..].iter().all(u8::is_ascii_digit) => &host[..at],
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(host: Option<&str>, prefix: Option<&str>, asked: Option<&str>, path: &str) -> bool {
        matches(&Match { host: host.map(str::to_owned), path_prefix: prefix.map(str::to_owned) }, asked.map(str::as_bytes), path)
    }

    #[test]
    fn a_prefix_is_of_whole_segments() {
        for (path, fits) in [
            ("/slack", true),
            ("/slack/", true),
            ("/slack/events", true),
            ("/slackers", false),
            ("/", false),
            ("*", false),
            ("/Slack", false),
        ] {
            assert_eq!(is(None, Some("/slack"), None, path), fits, "{path}");
        }
        assert!(is(None, Some("/"), None, "/anything"));
        assert!(is(None, None, None, "*"));
    }

    #[test]
    fn a_host_is_compared_without_case_and_port() {
        for (asked, fits) in [("bot.example", true), ("Bot.Example:8443", true), ("bot.example.org", false), ("", false)] {
            assert_eq!(is(Some("bot.example"), None, Some(asked), "/"), fits, "{asked}");
        }
        assert!(!is(Some("bot.example"), None, None, "/"));
        assert!(is(Some("[::1]"), None, Some("[::1]:80"), "/"));
        assert!(is(Some("[::1]"), None, Some("[::1]"), "/"));
    }
}
