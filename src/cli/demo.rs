//! `serin demo`: what serin does, on one screen. A real proxy with a real config, two example bots that verify signatures, and
//! signed traffic of some hundred workspaces. The ratchet takes a good release to 100 %, and takes a bad one back.

mod bot;
mod slack;
mod traffic;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::client::Client;
use crate::app::App;
use crate::config;
use crate::store::Place;
use bot::ExampleBot;
use traffic::Traffic;
use view::View;

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// The least time for each step, in seconds: 1 to 600
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    bake: u64,
    /// The number of workspaces that send webhooks: 10 to 100000
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    workspaces: u32,
}

const CONFIG: &str = include_str!("../../config/examples/demo.toml");
const BOT: &str = "/v1/bots/demo";
/// The time to learn what is usual, before the first rollout.
const LEARN: Duration = Duration::from_secs(6);
const EVERY: Duration = Duration::from_millis(500);
/// A rollout that takes longer than this many bakes has failed.
const PATIENCE_BAKES: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// The parts of the running demo.
struct Stage {
    client: Arc<Client>,
    traffic: Traffic,
    view: View,
    patience: Duration,
}

impl Demo {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        runtime.block_on(self.run())
    }

    async fn run(self) -> anyhow::Result<ExitCode> {
        let (blue, green) = (ExampleBot::start("v41").await?, ExampleBot::start("v42").await?);
        let text = CONFIG
            .replace("127.0.0.1:3001", &blue.address.to_string())
            .replace("127.0.0.1:3002", &green.address.to_string())
            .replace("\"4s\"", &format!("\"{}s\"", self.bake));
        let app =
            App::start(config::parse(&text, Path::new("demo.toml"))?, Place::Memory("a demo leaves nothing behind".to_owned())).await?;
        let mut stage = Stage {
            client: Arc::new(Client::with_token(&app.admin.to_string(), None)),
            traffic: Traffic::start(app.proxy.address(), self.workspaces),
            view: View::new(std::io::stdout().is_terminal()),
            patience: PATIENCE + Duration::from_secs(self.bake) * PATIENCE_BAKES,
        };
        stage.view.begin(&app, &blue, &green, self.workspaces);
        let interrupted = tokio::select! {
            played = stage.play(&blue) => played.map(|()| false)?,
            _ = tokio::signal::ctrl_c() => true,
        };
        let totals = stage.traffic.stop().await;
        app.stop().await;
        stage.view.end(&totals, interrupted);
        Ok(if totals.failed == 0 && totals.moved_back == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

impl Stage {
    async fn play(&mut self, blue: &ExampleBot) -> anyhow::Result<()> {
        self.view.scene("everybody is on v41 (blue); serin learns what is usual");
        self.watch(LEARN, |_| false).await?;

        self.view.scene("serin start demo --to green --version v42: a good release; the ratchet raises it as the evidence allows");
        self.traffic.tries("v42");
        self.start("green", "v42").await?;
        let seen = self.watch(self.patience, |bot| bot["phase"] == "promoted" || bot["phase"] == "aborted").await?;
        if seen["phase"] != "promoted" {
            bail!("v42 was not promoted: {} {}", seen["phase"], seen["summary"]["text"]);
        }
        self.view.scene("v42 is stable now: everybody is on green, and blue is free for the next release");
        self.watch(LEARN / 3, |_| false).await?;

        blue.release("v43", Some(4));
        self.view.scene("serin start demo --to blue --version v43: a bad one, it fails one webhook in four");
        self.traffic.tries("v43");
        let before = self.traffic.totals();
        let started = Instant::now();
        self.start("blue", "v43").await?;
        let seen = self.watch(self.patience, |bot| bot["phase"] == "aborted" || bot["phase"] == "promoted").await?;
        if seen["phase"] != "aborted" {
            bail!("v43 was not taken back: {} {}", seen["phase"], seen["summary"]["text"]);
        }
        let bad = self.traffic.totals().bad - before.bad;
        self.view.scene(&format!(
            "v43 was taken back after {:.1} s and {bad} bad answers. {}",
            started.elapsed().as_secs_f64(),
            seen["summary"]["next"].as_str().unwrap_or("")
        ));
        self.watch(LEARN / 3, |_| false).await?;
        Ok(())
    }

    async fn start(&self, upstream: &'static str, version: &'static str) -> anyhow::Result<()> {
        let client = self.client.clone();
        let wanted = json!({ "upstream": upstream, "version": version });
        call(move || client.post(&format!("{BOT}/rollouts"), &wanted, None)).await?;
        Ok(())
    }

    /// Shows the bot until `is_so` returns `true`, for at most `most`. Returns the last document.
    async fn watch(&mut self, most: Duration, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let until = Instant::now() + most;
        loop {
            let client = self.client.clone();
            let document = call(move || client.get(BOT)).await?;
            self.view.frame(&document, &self.traffic.totals());
            let left = until.saturating_duration_since(Instant::now());
            if is_so(&document) || left.is_zero() {
                return Ok(document);
            }
            tokio::time::sleep(EVERY.min(left)).await;
        }
    }
}

/// Calls the commands' client, which blocks, without blocking the rest of the demo.
async fn call(f: impl FnOnce() -> anyhow::Result<Value> + Send + 'static) -> anyhow::Result<Value> {
    tokio::task::spawn_blocking(f).await?
}
