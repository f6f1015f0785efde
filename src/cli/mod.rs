//! The command line: the same words as the API, one file per command.

mod actions;
mod check;
mod client;
mod config_file;
mod demo;
mod drill;
mod explain;
mod healthcheck;
mod history;
mod notify;
mod pages;
mod run;
mod simulate;
mod status;
mod terminal;
mod wait;
mod weight;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A canary traffic-splitting reverse proxy for bot webhooks.
#[derive(Debug, Parser)]
#[command(name = "serin", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve webhooks until SIGTERM or Ctrl-C; SIGHUP or a change of the file reloads the config, SIGUSR2 starts a newer binary that takes over
    Run(run::Run),
    /// Check a config: print what it sets up, or all its errors (exit code 0 or 2)
    Check(check::Check),
    /// Run two example bots with signed traffic, and show a good and a bad rollout in the terminal
    Demo(demo::Demo),
    /// Ask the serin of this machine whether it is ready (exit code 0 or 1), such as for Docker's HEALTHCHECK
    Healthcheck(healthcheck::Healthcheck),
    /// Show the bots of a running serin
    Status(status::Status),
    /// Set the canary's share of a bot's buckets by hand; its share of the workspaces is about the same
    Weight(weight::WeightArgs),
    /// Start a release's rollout; serin raises its weight step by step while the evidence allows it
    Start(actions::Start),
    /// Raise a rollout to its next step now
    Advance(actions::WithForce),
    /// Keep a rollout at its weight until `serin resume`
    Pause(actions::WithoutForce),
    /// Continue a paused rollout
    Resume(actions::Resume),
    /// Send all workspaces to the canary now, and make it stable
    Promote(actions::WithForce),
    /// Send all workspaces back to stable now, and quarantine the release
    Abort(actions::WithoutForce),
    /// Send all workspaces back to the release that was stable before; in a rollout, abort it
    Undo(actions::Undo),
    /// Send all workspaces to another upstream at once, without a rollout
    Switch(actions::Switch),
    /// Tell serin which release serves all workspaces, after a change that was made without serin
    Adopt(actions::Adopt),
    /// Forbid every raise of a weight until `serin thaw`; a weight can still be lowered
    Freeze(actions::OneOrAll),
    /// End a freeze
    Thaw(actions::OneOrAll),
    /// Rehearse an undo on the live system and measure it; by default no workspace is moved
    Drill(drill::Drill),
    /// Show a bot's changes: what each did, who made it, when, and on what evidence
    History(history::HistoryArgs),
    /// Wait until a release is promoted, taken back or at a step (exit code 0, 3 taken back, 4 not in time, 5 a human is asked)
    Wait(wait::Wait),
    /// Send a test message through the notifiers of a running serin
    Notify(notify::Notify),
    /// Print the workspace of a webhook, whose body is on standard input, and the track that it goes to
    Explain(explain::Explain),
    /// Simulate rollouts under a policy, and compare serin's rule with those of other tools
    Simulate(simulate::Simulate),
    /// Print the completions for a shell
    Completions(pages::Completions),
    /// Print the manual page, or write one page per command into a directory
    Man(pages::Man),
}

/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage or config; those of `wait` are its own.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run.execute(),
        Command::Check(check) => check.execute(),
        Command::Demo(demo) => demo.execute(),
        Command::Healthcheck(healthcheck) => healthcheck.execute(),
        Command::Status(status) => status.execute(),
        Command::Weight(weight) => weight.execute(),
        Command::Start(start) => start.execute(),
        Command::Advance(advance) => advance.execute("advance"),
        Command::Pause(pause) => pause.execute("pause"),
        Command::Resume(resume) => resume.execute(),
        Command::Promote(promote) => promote.execute("promote"),
        Command::Abort(abort) => abort.execute("abort"),
        Command::Undo(undo) => undo.execute(),
        Command::Switch(switch) => switch.execute(),
        Command::Adopt(adopt) => adopt.execute(),
        Command::Freeze(freeze) => freeze.execute("freeze"),
        Command::Thaw(thaw) => thaw.execute("thaw"),
        Command::Drill(drill) => drill.execute(),
        Command::History(history) => history.execute(),
        Command::Wait(wait) => wait.execute(),
        Command::Notify(notify) => notify.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::Simulate(simulate) => simulate.execute(),
        Command::Completions(completions) => completions.execute(Cli::command()),
        Command::Man(man) => man.execute(Cli::command()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("serin: {error:#}");
            ExitCode::from(1)
        }
    }
}
