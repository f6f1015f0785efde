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
    /// Serve, until SIGTERM or Ctrl-C; SIGHUP or a change of the file reloads the config
    Run(run::Run),
    /// Read a config and say what is wrong with it (exit code 0 or 2)
    Check(check::Check),
    /// Two example bots, signed traffic of some hundred workspaces, and a weight that changes, live in the terminal
    Demo(demo::Demo),
    /// Ask a running serin whether it is ready (exit code 0 or 1), for Docker's HEALTHCHECK and its like
    Healthcheck(healthcheck::Healthcheck),
    /// Show the bots of a running serin
    Status(status::Status),
    /// Set the canary's share of a bot's buckets, and so about of its workspaces
    Weight(weight::WeightArgs),
    /// Begin to roll out a release: step by step, as far as the evidence allows
    Start(actions::Start),
    /// Go to the next step now
    Advance(actions::Forcible),
    /// Stay at this weight until told to go on
    Pause(actions::Plain),
    /// Go on after a pause
    Resume(actions::Resume),
    /// Send everyone to the canary now, and make it stable
    Promote(actions::Forcible),
    /// Send everyone back to stable now
    Abort(actions::Plain),
    /// Go back to what was stable before, at once; during a rollout: abort it
    Undo(actions::Undo),
    /// Send everyone to the other side at once, without a rollout
    Switch(actions::Switch),
    /// Say what is live already: it was changed without serin
    Adopt(actions::Adopt),
    /// Raise nothing until `thaw`; everything may still fall
    Freeze(actions::Which),
    /// End a freeze
    Thaw(actions::Which),
    /// Rehearse the way back on the live system: measured, and by default without moving anybody
    Drill(drill::Drill),
    /// Who changed what, when, and on what evidence
    History(history::History),
    /// Wait until a release is promoted, taken back or at a step; or ask for the age of the last drill
    Wait(wait::Wait),
    /// Send a test message to who is told of rollouts
    Notify(notify::Notify),
    /// Say which workspace a webhook belongs to (its body on standard input), and where it goes
    Explain(explain::Explain),
    /// Try a rollout's policy out in a simulated world, beside what other tools would do
    Simulate(simulate::Simulate),
    /// Print completions for a shell
    Completions(pages::Completions),
    /// Print the manual page, or write those of all commands into a directory
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
