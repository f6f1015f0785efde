//! Secrets: from a file, from the environment, or (discouraged) in the config itself. None ever stands in a message.

use std::io::Read as _;
use std::ops::Range;

use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::{Problem, Problems, Reported};

/// A bearer token or a header's value is short; whatever is longer is the wrong file.
const SECRET_BYTES_MAX: usize = 4_096;
/// Below this a secret can be guessed.
const SECRET_BYTES_FEW: usize = 16;

/// Reads `file`, `env` or `secret`, exactly one of them. `of` names whose it is.
pub(super) fn secret(table: &mut Table<'_>, of: &str) -> Result<Spanned<String>, Reported> {
    let problems = table.problems();
    let file = table.read::<String>("file");
    let env = table.read::<String>("env");
    let inline = table.read::<String>("secret");
    let (file, env, inline) = (file?, env?, inline?);
    let written: Vec<Range<usize>> = [&file, &env, &inline].into_iter().flatten().map(Spanned::span).collect();
    if let [first, second, ..] = written.as_slice() {
        let problem = Problem::new(format!("{of} has more than one secret"));
        return Err(problems.report(problem.at(second.clone(), "keep one of `file`, `env` and `secret`").at(first.clone(), "")));
    }
    let (secret, at) = match (file, env, inline) {
        (Some(file), ..) => (from_file(&file, problems)?, file.span()),
        (_, Some(env), _) => (from_env(&env, problems)?, env.span()),
        (.., Some(inline)) => {
            problems.warn(inline.span(), format!("the secret of {of} stands in the config; name a `file` or an `env` variable instead"));
            (inline.get_ref().clone(), inline.span())
        }
        (None, None, None) => {
            return Err(problems.error(table.at(), format!("{of} has no secret"), "add `file = \"…\"` or `env = \"…\"`"));
        }
    };
    usable(&secret, &at, of, problems)?;
    Ok(Spanned::new(at, secret))
}

/// Relative to the config's folder, without the newline that editors put at the end.
fn from_file(file: &Spanned<String>, problems: &Problems<'_>) -> Result<String, Reported> {
    let path = problems.beside(file.get_ref());
    let read = || {
        let mut text = String::new();
        std::fs::File::open(&path)?.take(SECRET_BYTES_MAX as u64 + 2).read_to_string(&mut text)?;
        Ok::<String, std::io::Error>(text)
    };
    match read() {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(problems.error(file.span(), format!("cannot read the secret in {}: {error}", path.display()), "")),
    }
}

fn from_env(env: &Spanned<String>, problems: &Problems<'_>) -> Result<String, Reported> {
    let name = env.get_ref();
    let valid = !name.is_empty() && !name.contains(['=', '\0']);
    match valid.then(|| std::env::var(name)) {
        Some(Ok(secret)) => Ok(secret),
        Some(Err(std::env::VarError::NotPresent)) => {
            Err(problems.error(env.span(), format!("the environment has no {}", name.escape_debug()), "set it before serin starts"))
        }
        Some(Err(std::env::VarError::NotUnicode(_))) => {
            Err(problems.error(env.span(), format!("{} in the environment is no text", name.escape_debug()), ""))
        }
        None => Err(problems.error(env.span(), "no variable can have this name", "write one such as \"SERIN_TOKEN\"")),
    }
}

/// It must fit into a header, and be hard to guess.
fn usable(secret: &str, at: &Range<usize>, of: &str, problems: &Problems<'_>) -> Result<(), Reported> {
    if secret.is_empty() {
        return Err(problems.error(at.clone(), format!("the secret of {of} is empty"), "make one: openssl rand -hex 32"));
    }
    if secret.len() > SECRET_BYTES_MAX {
        return Err(problems.error(at.clone(), format!("the secret of {of} is longer than {SECRET_BYTES_MAX} bytes"), ""));
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let label = "only visible ASCII without spaces fits into a header";
        return Err(problems.error(at.clone(), format!("the secret of {of} cannot be sent"), label));
    }
    if secret.len() < SECRET_BYTES_FEW {
        problems
            .warn(at.clone(), format!("the secret of {of} has fewer than {SECRET_BYTES_FEW} characters; make one: openssl rand -hex 32"));
    }
    Ok(())
}
