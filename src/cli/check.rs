//! `serin check`: reads a config and prints what is wrong with it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Admin, Bot, BotName, Config, Notifier, NotifierKind, Scope, show_bytes, show_duration};
use crate::core::{Plan, Step};

#[derive(Debug, Args)]
pub struct Check {
    /// The config to check
    #[arg(env = "SERIN_CONFIG", default_value = "serin.toml")]
    file: PathBuf,
}

impl Check {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match config::load(&self.file) {
            Ok(config) => {
                print!("{}", summary(&config));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                eprintln!("{error}");
                Ok(ExitCode::from(2))
            }
        }
    }
}

fn summary(config: &Config) -> String {
    let scheme = if config.admin.tls.is_some() { "https://" } else { "" };
    let mut text = format!("listen {}, admin {scheme}{}, {} workers\n", config.proxy.listen, config.admin.listen, config.proxy.workers);
    text += &ordered(config);
    text += &most_memory(config);
    text += &who_may(&config.admin);
    for bot in &config.bots {
        text += &describe(bot);
    }
    for notifier in &config.notifiers {
        text += &told(notifier, config.admin.public_url.as_deref());
    }
    for warning in &config.warnings {
        text += &format!("warning: {warning}\n");
    }
    text + "ok\n"
}

/// The certificates that serin orders itself.
fn ordered(config: &Config) -> String {
    let Some(acme) = config.proxy.tls.as_ref().and_then(|tls| tls.acme.as_ref()) else { return String::new() };
    if acme.domains.is_empty() {
        return "no certificates are ordered: there are files for all names\n".to_owned();
    }
    let folder = acme.folder.as_ref().map_or("beside the history".to_owned(), |folder| format!("in {}", folder.display()));
    format!("certificates for {}: ordered from {} by {}, kept {folder}\n", acme.domains.join(", "), acme.directory, acme.challenge.name())
}

/// What the limits can add up to.
fn most_memory(config: &Config) -> String {
    let limits = &config.proxy.limits;
    let largest = config.bots.iter().map(|bot| bot.body_cap).max().unwrap_or(0);
    let most = limits.max_inflight.saturating_mul(largest);
    format!(
        "memory {} for requests and answers: {} in flight with bodies of {} could want {}; beyond it the largest and slowest are answered 503\n",
        show_bytes(limits.max_memory_bytes),
        limits.max_inflight,
        show_bytes(largest),
        show_bytes(most),
    )
}

/// Who may use the admin listener, and what each may do.
fn who_may(admin: &Admin) -> String {
    let mut text = String::new();
    for token in &admin.tokens {
        let scope = match token.scope {
            Scope::Read => "may read",
            Scope::Operate => "may read and change",
            Scope::Report => "may report outcomes of",
        };
        let names = |bots: &Vec<BotName>| bots.iter().map(BotName::as_str).collect::<Vec<_>>().join(", ");
        text += &format!("token {}: {scope} {}\n", token.name, token.bots.as_ref().map_or("all bots".to_owned(), names));
    }
    if let Some(tls) = admin.tls.as_ref().filter(|tls| tls.files.client_authorities.is_some()) {
        let may = if tls.client_scope == Scope::Operate { "may read and change all bots" } else { "may read all bots" };
        text += &format!("client certificates: needed by all; alone they {may}\n");
    }
    if !admin.asks_who() {
        text +=
            "no tokens: clients on this machine, but none behind a proxy, may read and change all bots; [[admin.token]] lets others in\n";
    }
    if let Some(probes) = admin.probes {
        text += &format!("probes {probes}: /livez and /readyz, for everybody\n");
    }
    text
}

fn told(notifier: &Notifier, public_url: Option<&str>) -> String {
    let kind = match &notifier.kind {
        NotifierKind::Slack => "slack",
        NotifierKind::Discord => "discord",
        NotifierKind::Teams => "teams",
        NotifierKind::Webhook { .. } => "webhook",
    };
    let on: Vec<_> = notifier.on.iter().map(|occasion| occasion.name()).collect();
    let bots = notifier.bots.as_ref().map_or("all bots".to_owned(), |bots| bots.join(", "));
    let links = public_url.map_or("without links: [admin] has no public_url".to_owned(), |url| format!("links to {url}"));
    format!("notify {}: {kind}, {} of {bots}; {links}\n", notifier.name, on.join(", "))
}

fn describe(bot: &Bot) -> String {
    let host = bot.matches.host.as_deref().unwrap_or("any host");
    let path = bot.matches.path_prefix.as_deref().unwrap_or("/");
    let name = |index: usize| bot.upstreams[index].name.to_string();
    let canary = bot.canary.map_or("none".to_owned(), name);
    let sources: Vec<_> = bot.extractor.sources().iter().map(ToString::to_string).collect();
    let sources = match bot.preset {
        Some(preset) if sources == preset.sources => format!("preset {}", preset.name),
        Some(_) | None => sources.join(", "),
    };
    format!(
        "bot {}: {host} {path}; stable {}, canary {canary} at {}\n  workspace from {}\n  rollout {}\n",
        bot.name,
        name(bot.stable),
        bot.weight,
        sources,
        way(&bot.rollout)
    )
}

/// `1% 10m → 5% 24h → … → 98% 4m → 100%, automatic`.
fn way(plan: &Plan) -> String {
    /// The most steps that fit into a line.
    const SHOWN_MAX: usize = 8;
    let step = |step: &Step| match step.bake.is_zero() {
        true => step.weight.to_string(),
        false => format!("{} {}", step.weight, show_duration(step.bake)),
    };
    let mut steps: Vec<String> = plan.steps.iter().map(step).collect();
    if steps.len() > SHOWN_MAX {
        steps.splice(SHOWN_MAX - 3..steps.len() - 2, ["…".to_owned()]);
    }
    format!("{}, {}", steps.join(" → "), plan.policy.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Weight;

    #[test]
    fn it_says_who_may() {
        let text =
            |admin: &str| format!("[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nupstreams = {{ a = \"http://a\" }}\n[admin]\n{admin}");
        let said = |admin: &str| who_may(&config::parse(&text(admin), std::path::Path::new("serin.toml")).unwrap().admin);
        assert!(said("").starts_with("no tokens: clients on this machine, but none behind a proxy, may read and change all bots"));
        let tokens = "probes = \"0.0.0.0:9401\"\n[[admin.token]]\nname = \"ci\"\nscope = \"operate\"\nenv = \"CARGO_PKG_NAME\"\n\
            [[admin.token]]\nname = \"bot\"\nscope = \"report\"\nbots = [\"a\"]\nenv = \"CARGO_PKG_VERSION\"";
        assert_eq!(
            said(tokens),
            "token ci: may read and change all bots\ntoken bot: may report outcomes of a\nprobes 0.0.0.0:9401: /livez and /readyz, for everybody\n"
        );
    }

    #[test]
    fn it_says_which_certificates_are_ordered() {
        let text = |lines: &str| {
            format!(
                "[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nupstreams = {{ a = \"http://a\" }}\n[proxy.tls.acme]\ndomains = [\"a.example\", \"b.example\"]\naccept_terms = true\n{lines}"
            )
        };
        let said = |lines: &str| ordered(&config::parse(&text(lines), std::path::Path::new("serin.toml")).unwrap());
        let lets_encrypt = "https://acme-v02.api.letsencrypt.org/directory";
        assert_eq!(
            said(""),
            format!("certificates for a.example, b.example: ordered from {lets_encrypt} by tls-alpn-01, kept beside the history\n")
        );
        assert!(said("folder = \"/f\"").ends_with("kept in /f\n"));
    }

    #[test]
    fn a_long_way_is_shown_by_its_ends() {
        let mut plan = Plan::usual();
        plan.steps[1].bake = std::time::Duration::from_secs(24 * 3_600);
        assert_eq!(way(&plan), "1% 10m → 5% 24h → 10% 10m → 25% 10m → 50% 10m → 98% 4m → 100%, automatic");
        plan.steps = (1..=100).filter_map(|percent| Some(Step { weight: Weight::from_bp(100 * percent)?, ..plan.steps[0] })).collect();
        assert_eq!(way(&plan), "1% 10m → 2% 10m → 3% 10m → 4% 10m → 5% 10m → … → 99% 10m → 100% 10m, automatic");
    }
}
