//! The config as a person sees it: tests of `parse` and `load`.

mod any_text;
mod documented;
mod meaning;
mod mistakes;

use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    super::parse(text, Path::new("serin.toml"))
}

/// A valid bot with these lines added from line 6 on.
fn bot_with(lines: &str) -> String {
    let upstreams = "{ blue = \"http://b:1\", green = \"http://g:2\" }";
    format!("[[bot]]\nname = \"a\"\nworkspace = \"json:/team_id\"\nupstreams = {upstreams}\nstable = \"blue\"\n{lines}\n")
}

/// A bot with these upstreams, and lines from line 5 on.
fn upstreams(upstreams: &str, lines: &str) -> String {
    format!("[[bot]]\nname = \"a\"\nworkspace = \"json:/team_id\"\nupstreams = {upstreams}\n{lines}\n")
}

fn bot(text: &str) -> Bot {
    parse(text).unwrap_or_else(|error| panic!("{error}")).bots.remove(0)
}
