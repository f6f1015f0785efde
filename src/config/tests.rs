//! What a person sees: the whole of `parse`, one test for each kind of mistake.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::core::Weight;

fn parse(text: &str) -> Result<Config, ConfigError> {
    super::parse(text, Path::new("serin.toml"))
}

/// A bot that is right, with these lines added.
fn bot_with(lines: &str) -> String {
    format!(
        "[[bot]]\nname = \"a\"\nworkspace = \"json:/team_id\"\nupstreams = {{ blue = \"http://b:1\", green = \"http://g:2\" }}\nstable = \"blue\"\n{lines}\n"
    )
}

fn bot(text: &str) -> Bot {
    parse(text).unwrap_or_else(|error| panic!("{error}")).bots.remove(0)
}

#[test]
fn the_benchmarks_config_is_read() {
    let config = parse(
        "[proxy]\nlisten = \"127.0.0.1:8081\"\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:9401\"\n[[bot]]\nname = \"bench\"\n\
         workspace = [\"header:X-Workspace-Id\"]\nupstreams = { blue = \"http://127.0.0.1:9001\", green = \"http://127.0.0.1:9002\" }\n\
         stable = \"blue\"\ncanary = \"green\"\nweight = \"5%\"\n",
    )
    .unwrap();
    assert_eq!((config.proxy.workers, config.bots.len(), config.warnings.len()), (2, 1, 0));
    let bot = &config.bots[0];
    assert_eq!((bot.stable, bot.canary, bot.weight, bot.max_weight), (0, Some(1), Weight::from_bp(500).unwrap(), Weight::FULL));
    assert_eq!((&*bot.upstreams[1].name, bot.upstreams[1].url.host.as_str(), bot.upstreams[1].url.port), ("green", "127.0.0.1", 9002));
    assert_eq!((bot.rules.deadline, bot.timeout, bot.connect_timeout), (None, Duration::from_secs(10), Duration::from_secs(1)));
}
