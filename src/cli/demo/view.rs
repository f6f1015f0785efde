//! What the demo prints: a line for each scene, and below it the state, redrawn in place on a terminal.

use serde_json::Value;

use super::bot::ExampleBot;
use super::traffic::Totals;
use crate::app::App;
use crate::cli::status::percent;
use crate::cli::terminal;

const BAR: usize = 40;

pub struct View {
    terminal: bool,
    /// A frame is below the last scene, and the next one replaces it.
    drawn: bool,
}

impl View {
    pub fn new(terminal: bool) -> View {
        View { terminal, drawn: false }
    }

    pub fn begin(&self, app: &App, blue: &ExampleBot, green: &ExampleBot, workspaces: u32) {
        println!("serin {} on {}; the page to watch it on: http://{}/", env!("CARGO_PKG_VERSION"), app.proxy.address(), app.admin);
        for bot in [blue, green] {
            println!("example bot {} on {}", bot.version(), bot.address);
        }
        println!("{workspaces} workspaces send signed webhooks; each bot verifies every signature. Ctrl-C ends it.\n");
    }

    pub fn scene(&mut self, line: &str) {
        self.drawn = false;
        println!("> {line}");
    }

    pub fn frame(&mut self, document: &Value, totals: &Totals) {
        let lines = [bar(document, totals), said(document, "state"), said(document, "next"), traffic(totals)];
        let lines = lines.map(|line| cut(&line, terminal::width()));
        if self.terminal && self.drawn {
            print!("\x1b[{}A", lines.len());
        }
        let clear = if self.terminal { "\x1b[K" } else { "" };
        // Without a terminal, one line for each frame is enough.
        let shown = if self.terminal { &lines[..] } else { &lines[..1] };
        shown.iter().for_each(|line| println!("{line}{clear}"));
        self.drawn = true;
    }

    pub fn end(&self, totals: &Totals, interrupted: bool) {
        let how = if interrupted { "interrupted" } else { "done" };
        println!(
            "\n{how}: {} webhooks, {} bad answers of v43, {} other failures, {} workspaces moved back while v42 rose",
            totals.sent, totals.bad, totals.failed, totals.moved_back
        );
    }
}

fn bar(document: &Value, totals: &Totals) -> String {
    let share = totals.on_canary as f64 / totals.workspaces.max(1) as f64;
    let filled = (share * BAR as f64).round() as usize;
    format!(
        "  weight {:>5}  [{}{}]  {} of {} workspaces last met it",
        percent(&document["weight_percent"]),
        "#".repeat(filled),
        "-".repeat(BAR - filled),
        totals.on_canary,
        totals.workspaces
    )
}

/// A part of the bot's summary, in one line.
fn said(document: &Value, part: &str) -> String {
    format!("  {}", document["summary"][part].as_str().unwrap_or(""))
}

/// Cuts a line to the width, because a line that the terminal wraps could not be replaced.
fn cut(line: &str, width: usize) -> String {
    match line.char_indices().nth(width) {
        None => line.to_owned(),
        Some(_) => line.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn traffic(totals: &Totals) -> String {
    format!("  in all: {} webhooks, {} bad answers of v43, {} other failures", totals.sent, totals.bad, totals.failed)
}
