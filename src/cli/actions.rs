//! `serin start | advance | pause | resume | promote | abort | undo | switch | adopt | freeze | thaw`: what an operator does.
//! Each prints the bot as it is afterwards, once that serves on every core.

use std::process::ExitCode;
use std::time::Instant;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::client::{AdminAddress, Client};
use super::status::{self, plain};
use super::terminal::{self, wrap};

/// The query that asks the API what an action would do.
pub(super) const DRY_RUN: &str = "?dry_run=true";

/// Prints what an action has done, or would do.
pub(super) fn print_result(document: &Value, json: bool) {
    let Some(lines) = document["lines"].as_array().filter(|_| !json) else { return status::print(document, json) };
    let mut text = format!("{}: nothing is done; {} would do this:\n", plain(&document["bot"]), plain(&document["action"]));
    for line in lines.iter().filter_map(Value::as_str) {
        text += &wrap(line, "  ", terminal::width());
    }
    terminal::print(&text);
}

/// What all of them take.
#[derive(Debug, Args)]
struct OneBot {
    /// The bot
    bot: String,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// Do it only if the bot still has this revision
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
    /// Why you do it: one line of at most 256 characters, which the history keeps
    #[arg(long)]
    reason: Option<String>,
    /// Change nothing; print what the command would do, or why serin would refuse it
    #[arg(long)]
    dry_run: bool,
    /// Print the API's JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: AdminAddress,
}

impl OneBot {
    fn post(&self, action: &str, force: bool, more: Value) -> anyhow::Result<ExitCode> {
        self.options.post(&self.bot, action, force, more)
    }
}

impl Options {
    fn post(&self, bot: &str, action: &str, force: bool, more: Value) -> anyhow::Result<ExitCode> {
        let mut body = json!({ "reason": self.reason });
        if force {
            body["force"] = json!(true);
        }
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let query = if self.dry_run { DRY_RUN } else { "" };
        let document = Client::new(&self.address)?.post(&format!("/v1/bots/{bot}/{action}{query}"), &body, self.if_match)?;
        print_result(&document, self.json);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    one_bot: OneBot,
    /// The upstream with the release; needed if the bot has several besides stable
    #[arg(long, value_name = "UPSTREAM")]
    to: Option<String>,
    /// The release's version, a label of 1 to 128 characters without spaces
    #[arg(long)]
    version: Option<String>,
    /// Start the release although it is quarantined; needs --reason
    #[arg(long, requires = "reason")]
    retry: bool,
    /// Withdraw the rollout under way first: its canary goes to 0%
    #[arg(long)]
    replace: bool,
    /// Do it also in a freeze (with --reason), and without a preflight
    #[arg(long)]
    force: bool,
}

impl Start {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let more = json!({ "upstream": self.to, "version": self.version, "retry": self.retry, "replace": self.replace });
        self.one_bot.post("rollouts", self.force, more)
    }
}

/// Takes `force`.
#[derive(Debug, Args)]
pub struct WithForce {
    #[command(flatten)]
    one_bot: OneBot,
    /// Do it also in a freeze (with --reason), or if the evidence says that the canary fails
    #[arg(long)]
    force: bool,
}

impl WithForce {
    pub fn execute(self, action: &str) -> anyhow::Result<ExitCode> {
        self.one_bot.post(action, self.force, Value::Null)
    }
}

#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    one_bot: OneBot,
    /// Resume also in a freeze (with --reason), if that raises the weight
    #[arg(long)]
    force: bool,
}

impl Resume {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.one_bot.post("resume", self.force, Value::Null)
    }
}

#[derive(Debug, Args)]
pub struct WithoutForce {
    #[command(flatten)]
    one_bot: OneBot,
}

impl WithoutForce {
    pub fn execute(self, action: &str) -> anyhow::Result<ExitCode> {
        self.one_bot.post(action, false, Value::Null)
    }
}

#[derive(Debug, Args)]
pub struct Undo {
    #[command(flatten)]
    one_bot: OneBot,
    /// Do not check first whether the previous upstream takes connections
    #[arg(long)]
    force: bool,
}

impl Undo {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let code = self.one_bot.post("undo", self.force, Value::Null)?;
        if !self.one_bot.options.json && !self.one_bot.options.dry_run {
            println!("  undone     in {:.1} ms, on every core", began.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(code)
    }
}

#[derive(Debug, Args)]
pub struct Switch {
    #[command(flatten)]
    one_bot: OneBot,
    /// The upstream that gets all workspaces; needed if the bot has several besides stable
    to: Option<String>,
    /// The release's version, a label of 1 to 128 characters without spaces
    #[arg(long)]
    version: Option<String>,
    /// Do it also in a freeze (with --reason), and without a preflight
    #[arg(long)]
    force: bool,
}

impl Switch {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.one_bot.post("switch", self.force, json!({ "upstream": self.to, "version": self.version }))
    }
}

#[derive(Debug, Args)]
pub struct Adopt {
    #[command(flatten)]
    one_bot: OneBot,
    /// The upstream that serves all workspaces; without this, the bot's stable upstream
    #[arg(long, value_name = "UPSTREAM")]
    upstream: Option<String>,
    /// The version on that upstream, a label of 1 to 128 characters without spaces
    #[arg(long)]
    version: Option<String>,
}

impl Adopt {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        self.one_bot.post("adopt", false, json!({ "upstream": self.upstream, "version": self.version }))
    }
}

/// One bot, or all.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["bot", "all"])))]
pub struct OneOrAll {
    /// The bot; use --all for all of them
    bot: Option<String>,
    /// All bots
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    options: Options,
}

impl OneOrAll {
    pub fn execute(self, action: &str) -> anyhow::Result<ExitCode> {
        if let Some(bot) = &self.bot {
            return self.options.post(bot, action, false, Value::Null);
        }
        let document = Client::new(&self.options.address)?.get("/v1/bots")?;
        for bot in document["bots"].as_array().into_iter().flatten().filter_map(|bot| bot["bot"].as_str()) {
            self.options.post(bot, action, false, Value::Null)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
