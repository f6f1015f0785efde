//! The parsers of bots, each in a process that reads bodies and answers what it has found.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::json;
use serin::identify::all;

use super::bodies::Body;

/// Words that `discord_interactions` takes for no id.
const NEVER: &[&str] = &["0"];

pub struct Reader {
    pub name: &'static str,
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What a reader says of one body.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// For each preset.
    pub ids: Vec<Option<String>>,
    /// Marks of `KNOWN`.
    pub special: Vec<String>,
}

impl Reader {
    /// `None` if one of the languages is not installed.
    pub fn all() -> Option<Vec<Reader>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/parsers");
        let programs = [("python", "python3", "reader.py"), ("node", "node", "reader.mjs")];
        programs.into_iter().map(|(name, program, file)| Reader::start(name, program, &format!("{folder}/{file}"))).collect()
    }

    fn start(name: &'static str, program: &str, file: &str) -> Option<Reader> {
        let mut child = Command::new(program).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let mut input = BufWriter::new(child.stdin.take().expect("piped"));
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let presets: Vec<_> = all()
            .map(|preset| json!({ "sources": preset.sources, "never": if preset.name == "discord_interactions" { NEVER } else { &[] } }))
            .collect();
        writeln!(input, "{}", json!(presets)).expect("it reads");
        Some(Reader { name, child, input, output })
    }

    pub fn ask(&mut self, bodies: &[Body]) -> Vec<Answer> {
        writeln!(self.input, "{}", bodies.len()).expect("it reads");
        for body in bodies {
            writeln!(self.input, "{} {}", body.kind.name(), body.bytes.len()).expect("it reads");
            self.input.write_all(&body.bytes).expect("it reads");
        }
        self.input.flush().expect("it reads");
        bodies.iter().map(|_| self.answer()).collect()
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{} answers {line:?}: {error}", self.name))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
