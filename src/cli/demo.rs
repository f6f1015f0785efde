//! `serin demo`: the main job on one screen. A real proxy on a real config, two example bots that verify signatures,
//! signed traffic of some hundred workspaces, and an operator's weights over the admin API.

mod bot;
mod slack;
mod traffic;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use super::client::Client;
use crate::app::App;
use crate::config;
use bot::ExampleBot;
use traffic::Traffic;
use view::View;

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// How long the story takes, in seconds
    #[arg(long, default_value_t = 36, value_parser = clap::value_parser!(u64).range(7..=3600))]
    seconds: u64,
    /// How many workspaces send webhooks
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    workspaces: u32,
}

const CONFIG: &str = include_str!("../../config/examples/demo.toml");
const BOT: &str = "demo";

/// What the operator does, one after the other.
const STORY: [(f64, &str); 7] = [
    (0.0, "everybody is on v41 (stable); v42 waits as the canary"),
    (1.0, "serin weight demo 1%: the first few workspaces meet v42"),
    (5.0, "serin weight demo 5%: the same, and some more"),
    (25.0, "serin weight demo 25%: a raise only adds workspaces"),
    (50.0, "serin weight demo 50%: half and half"),
    (100.0, "serin weight demo 100%: everybody is on v42"),
    (0.0, "serin weight demo 0%: and back, at once"),
];
const EVERY: Duration = Duration::from_millis(500);

impl Demo {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        runtime.block_on(self.tell())
    }

    async fn tell(self) -> anyhow::Result<ExitCode> {
        let (blue, green) = (ExampleBot::start("v41").await?, ExampleBot::start("v42").await?);
        let text = CONFIG.replace("127.0.0.1:3001", &blue.address.to_string()).replace("127.0.0.1:3002", &green.address.to_string());
        let app = App::start(config::parse(&text, Path::new("demo.toml"))?).await?;
        let client = Arc::new(Client::with_token(&app.admin.to_string(), None));
        let traffic = Traffic::start(app.proxy.address, self.workspaces);
        let mut view = View::new(std::io::stdout().is_terminal());
        view.begin(&app, &blue, &green, self.workspaces);

        let interrupted = tokio::select! {
            told = self.play(&client, &traffic, &mut view) => told.map(|()| false)?,
            _ = tokio::signal::ctrl_c() => true,
        };
        let totals = traffic.stop().await;
        app.stop().await;
        view.end(&totals, interrupted);
        Ok(if totals.failed == 0 && totals.moved_back == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    async fn play(&self, client: &Arc<Client>, traffic: &Traffic, view: &mut View) -> anyhow::Result<()> {
        let each = Duration::from_secs(self.seconds).div_f64(STORY.len() as f64);
        for (percent, line) in STORY {
            traffic.weight_changes(percent);
            let client_ = client.clone();
            call(move || client_.put(&format!("/v1/bots/{BOT}/weight"), &json!({ "percent": percent }), None)).await?;
            view.scene(line);
            let until = Instant::now() + each;
            while Instant::now() < until {
                tokio::time::sleep(EVERY.min(until - Instant::now())).await;
                let client_ = client.clone();
                let document = call(move || client_.get(&format!("/v1/bots/{BOT}"))).await?;
                view.frame(&document, &traffic.totals());
            }
        }
        Ok(())
    }
}

/// The commands' client blocks; here it must not block the rest of the demo.
async fn call(f: impl FnOnce() -> anyhow::Result<Value> + Send + 'static) -> anyhow::Result<Value> {
    tokio::task::spawn_blocking(f).await?
}
