//! `serin simulate`: what would this policy do? Runs many seeded rollouts in a simulated world, with good and bad releases of all
//! kinds, and compares serin with other tools and with an oracle.

mod choice;
mod plot;
mod table;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::sim::rules::{Judge, Operator};
use crate::sim::runs::{RuleSummary, RunSetting, Study, run};
use crate::sim::world::{Latency, Volume};

#[derive(Debug, Args)]
pub struct Simulate {
    /// The scenarios: a name of the library, `all` of the library, or a file
    #[arg(short, long, default_value = "all", value_name = "NAME|all|FILE")]
    scenario: String,
    /// The traffic: small, medium, large, wide, or a number of requests per second; several are separated by commas
    #[arg(short, long, default_value = "medium", value_delimiter = ',', value_parser = Volume::parse, value_name = "VOLUME")]
    volume: Vec<Volume>,
    /// The number of workspaces; without this, what is usual for the volume
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::sim::world::WORKSPACES_MAX)))]
    workspaces: Option<u32>,
    /// The number of rollouts of each scenario, one per seed
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    seeds: u32,
    /// The first rollout's seed; the next one has the next number
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Take the policy from this config; without this, simulate the default policy
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The bot whose policy is simulated; needed if the config has several
    #[arg(short, long, requires = "config")]
    bot: Option<String>,
    /// The rules to compare, separated by commas: serin, argo, flagger, codedeploy, kayenta, oracle
    #[arg(short, long, value_delimiter = ',', value_parser = choice::judge, default_values = Judge::ALL.map(Judge::name))]
    rules: Vec<Judge>,
    /// Whether a simulated operator answers when serin asks
    #[arg(long, default_value = "approving")]
    operator: Answering,
    /// The length of a tick, in seconds: 1 to 60
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    tick: u64,
    /// The number of threads; without this, one per core
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object per line in place of the table
    #[arg(long)]
    json: bool,
    /// Draw the run of the first seed under the first rule, to this SVG file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Answering {
    /// Approves if only time or traffic is missing, and never if the evidence is suspicious
    Approving,
    /// Answers no question of serin's
    None,
}

impl Simulate {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let study = match self.study() {
            Ok(study) => study,
            Err(error) => {
                eprintln!("{error:#}");
                return Ok(ExitCode::from(2));
            }
        };
        match &self.plot {
            Some(path) => draw(&study, path)?,
            None => self.conduct(&study)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn study(&self) -> anyhow::Result<Study> {
        let mut volumes = self.volume.clone();
        if let Some(workspaces) = self.workspaces {
            volumes.iter_mut().for_each(|volume| volume.workspaces = workspaces);
        }
        let mut settings = choice::settings(self.config.as_deref(), self.bot.as_deref())?;
        settings.operator = match self.operator {
            Answering::Approving => Operator::Approving,
            Answering::None => Operator::Absent,
        };
        Ok(Study {
            scenarios: choice::scenarios(&self.scenario)?,
            volumes,
            judges: self.rules.clone(),
            settings,
            first_seed: self.first_seed,
            seeds: self.seeds,
            tick: Duration::from_secs(self.tick),
        })
    }

    fn conduct(&self, study: &Study) -> anyhow::Result<()> {
        let threads = self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let bar = progress(study.runs());
        let mut table = table::Table::new(study);
        let mut failed = None;
        study.conduct(
            threads,
            || bar.inc(1),
            |summaries| {
                let text = if self.json { lines(summaries) } else { table.rows(summaries) };
                // A progress bar that is drawn now would break the lines.
                if let Err(error) = bar.suspend(|| std::io::stdout().lock().write_all(text.as_bytes())) {
                    failed = Some(error);
                }
            },
        );
        bar.finish_and_clear();
        match failed {
            Some(error) => Err(error).context("cannot write the results"),
            None if self.json => Ok(()),
            None => Ok(std::io::stdout().lock().write_all(table.foot().as_bytes())?),
        }
    }
}

fn progress(runs: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} rollouts, {eta} left");
    let bar = ProgressBar::new(runs as u64);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn lines(summaries: &[RuleSummary]) -> String {
    summaries.iter().map(|summary| format!("{}\n", json(summary))).collect()
}

fn json(summary: &RuleSummary) -> serde_json::Value {
    let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
    serde_json::json!({
        "scenario": summary.scenario,
        "volume": summary.volume,
        "rule": summary.judge.name(),
        "seeds": summary.seeds,
        "harmful": summary.harmful,
        "rolled_back": summary.rolled_back,
        "rolled_back_at_most": rounded(crate::sim::runs::upper_bound(summary.rolled_back, summary.seeds)),
        "caught": if summary.harmful { summary.rolled_back } else { 0 },
        "promoted": summary.promoted,
        "held": summary.held,
        "holds": summary.holds,
        "bad_requests_mean": rounded(summary.made_bad.mean),
        "bad_requests_error": rounded(summary.made_bad.error),
        "bad_requests_p95": rounded(summary.made_bad.p95),
        "bad_workspaces_mean": rounded(summary.bad_workspaces_mean),
        "minutes_to_full_median": summary.minutes_to_full_median.map(rounded),
        "minutes_to_rollback_median": summary.minutes_to_rollback_median.map(rounded),
    })
}

fn draw(study: &Study, path: &std::path::Path) -> anyhow::Result<()> {
    let ([scenario], [volume], Some(judge)) = (study.scenarios.as_slice(), study.volumes.as_slice(), study.judges.first()) else {
        bail!("--plot draws one run: choose one scenario and one volume");
    };
    let latency = Latency::default();
    let setting = RunSetting {
        scenario,
        volume,
        judges: std::slice::from_ref(judge),
        settings: &study.settings,
        tick: study.tick,
        latency: &latency,
    };
    let mut moments = Vec::new();
    let records = run(&setting, study.first_seed, |_, moment| moments.push(moment));
    let title = format!("{}: {}, {}, seed {}", judge.name(), scenario.name, volume, study.first_seed);
    std::fs::write(path, plot::svg(&title, &moments, &records[0])).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{title}: {}; drawn to {}", table::ending(&records[0]), path.display());
    Ok(())
}
