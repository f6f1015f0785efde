//! `serin explain`: which workspace a webhook belongs to, by the config's rules, and, if serin runs, the workspace's track and why.
//! Each rollout gives the buckets new ranks, and the config does not know which rollout is in force: without a running serin, the
//! command shows only the rank of a split by hand.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use http::Method;
use http::uri::PathAndQuery;
use serde_json::Value;

use super::client::{AdminAddress, Client};
use super::config_file::ConfigFile;
use super::status::{percent, plain};
use crate::config::{self, Bot};
use crate::core::{Reason, Split};
use crate::http1::{Fields, Known};
use crate::identify::{Found, Head};
use crate::proxy::{BodyState, Routing, decide, find_bot};

#[derive(Debug, Args)]
pub struct Explain {
    /// Ask a running serin about this workspace, namespace:id or an id alone, and read no config and no webhook
    #[arg(value_name = "WORKSPACE", conflicts_with_all = ["headers", "method", "path", "offline"])]
    workspace: Option<String>,
    /// The bot; without this, the one that --path and the Host header match, or with WORKSPACE the only one
    #[arg(short, long)]
    bot: Option<String>,
    /// A header of the webhook, as `Name: value`; can be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The webhook's method
    #[arg(short = 'X', long, default_value = "POST")]
    method: Method,
    /// The webhook's path and query
    #[arg(long, default_value = "/")]
    path: PathAndQuery,
    /// Do not ask a running serin; then only the bucket is certain, and the rank is that of a split by hand
    #[arg(long)]
    offline: bool,
    /// Print the API's JSON document; only with WORKSPACE
    #[arg(long, requires = "workspace")]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    address: AdminAddress,
}

impl Explain {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        if let Some(workspace) = &self.workspace {
            return self.ask(workspace);
        }
        let config = match config::load(&self.file.config) {
            Ok(config) => config,
            Err(error) => {
                eprintln!("{error}");
                return Ok(ExitCode::from(2));
            }
        };
        let fields = parse_headers(&self.headers)?;
        let bot = self.find(&config.bots, &fields)?;
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).context("cannot read the body from standard input")?;

        let split = Split::new(config.proxy.salt.clone(), bot.name.as_str(), 0, bot.weight, bot.pins.clone());
        let head = Head { method: &self.method, target: &self.path, fields: &fields };
        let looked = match bot.extractor.wants_body(head) {
            false => BodyState::NotWanted,
            true if body.len() > bot.body_cap => BodyState::TooLarge,
            true => BodyState::Whole(&body),
        };
        let decision = decide(bot, &split, head, looked);
        print!("{}", read(bot, &decision));
        // A running serin knows the workspace's track. A handshake's track does not depend on its workspace.
        if let (Found::Workspace { workspace, .. }, Reason::Rank | Reason::Pinned) = (&decision.reading.found, decision.assignment.reason)
            && !self.offline
        {
            match Client::new(&self.address)?.get(&asked(bot.name.as_str(), &workspace.to_string())) {
                Ok(document) => print!("{}", online(&document)),
                Err(error) => println!("{}track      unknown: {error}", offline(&split, &decision)),
            }
        } else {
            print!("{}", offline(&split, &decision));
        }
        let understood = decision.source.is_some() || decision.reading.handshake;
        Ok(if understood { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    /// Asks a running serin only.
    fn ask(&self, workspace: &str) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.address)?;
        let bot = match &self.bot {
            Some(bot) => bot.clone(),
            None => only_bot(&client.get("/v1/bots")?)?,
        };
        let document = client.get(&asked(&bot, workspace))?;
        match self.json {
            true => println!("{document}"),
            false => print!("bot        {bot}\nworkspace  {}\n{}", plain(&document["workspace"]), online(&document)),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn find<'c>(&self, bots: &'c [Bot], fields: &Fields) -> anyhow::Result<&'c Bot> {
        let known = || bots.iter().map(|bot| bot.name.to_string()).collect::<Vec<_>>().join(", ");
        match &self.bot {
            Some(name) => {
                bots.iter().find(|bot| bot.name.as_str() == name).ok_or_else(|| anyhow!("there is no bot {name:?}; there are {}", known()))
            }
            None => {
                let index = find_bot(bots, fields.get(Known::Host), self.path.path());
                index
                    .map(|index| &bots[index])
                    .ok_or_else(|| anyhow!("no bot is configured for {}; name one with --bot: {}", self.path, known()))
            }
        }
    }
}

fn asked(bot: &str, workspace: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(workspace, percent_encoding::NON_ALPHANUMERIC);
    format!("/v1/bots/{bot}/explain?workspace={encoded}")
}

/// The only bot. Errors if there are several.
fn only_bot(bots: &Value) -> anyhow::Result<String> {
    let names: Vec<&str> = bots["bots"].as_array().into_iter().flatten().filter_map(|bot| bot["bot"].as_str()).collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        _ => bail!("name a bot with --bot: {}", names.join(", ")),
    }
}

fn parse_headers(lines: &[String]) -> anyhow::Result<Fields> {
    let mut fields = Fields::default();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { bail!("a header is `Name: value`, not {line:?}") };
        fields.push(name.trim(), value.trim().as_bytes()).with_context(|| format!("{line:?} is no header"))?;
    }
    Ok(fields)
}

/// What was found in the request.
fn read(bot: &Bot, decision: &Routing<'_>) -> String {
    let mut text = format!("bot        {}\n", bot.name);
    let source = decision.source.map_or("none".to_owned(), |source| bot.extractor.sources()[source].to_string());
    text += &format!("source     {source}\n");
    match &decision.reading.found {
        Found::Workspace { workspace, .. } => text += &format!("workspace  {workspace}\n"),
        Found::Missing | Found::Invalid | Found::Mixed => text += &format!("workspace  {}\n", decision.result.name()),
    }
    if decision.reading.handshake {
        text += "handshake  yes: it is no evidence\n";
    }
    if let Some(retry) = &decision.reading.retry {
        text += &format!("retry      {}: it is no evidence\n", retry.reason);
    }
    text
}

/// What follows from the config alone.
fn offline(split: &Split, decision: &Routing<'_>) -> String {
    let mut text = String::new();
    if let Found::Workspace { workspace, .. } = &decision.reading.found {
        let bucket = split.bucket(workspace);
        let rank = split.rank(bucket);
        text += &format!("bucket     {bucket}\nrank       {rank}, of a split by hand; a rollout's own rank only a running serin knows\n");
    }
    let assignment = &decision.assignment;
    text + &format!("by config  {} at {}, because of {}\n", assignment.track.name(), split.weight(), assignment.reason.name())
}

fn online(document: &Value) -> String {
    let text = |key: &str| document[key].as_str().map_or_else(|| document[key].to_string(), str::to_owned);
    let of = match document["attempt"].as_u64() {
        // An older serin, whose answer has no attempt.
        None => String::new(),
        Some(0) => ", of a split by hand".to_owned(),
        Some(attempt) => format!(", of rollout {attempt}"),
    };
    format!(
        "bucket     {}\nrank       {}{of}\ntrack      {} ({}), because {}\nweight     {}; canary from {} on\n",
        text("bucket"),
        text("rank"),
        text("track"),
        text("upstream"),
        text("reason"),
        percent(&document["weight_percent"]),
        percent(&document["canary_from_percent"])
    )
}
