//! Secrets: from a file, from the environment, or (discouraged) in the config itself. No message contains one.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::{Problem, Problems, Reported};
use crate::config::secret::{self, SECRET_BYTES_FEW};

pub(super) struct Secret {
    pub text: Spanned<String>,
    /// The file from which the secret can be read again.
    pub file: Option<PathBuf>,
}

/// The keys of a secret, and its name in messages.
pub(super) struct Keys {
    pub file: &'static str,
    pub env: &'static str,
    pub inline: &'static str,
    pub of: &'static str,
}

const USUAL: Keys = Keys { file: "file", env: "env", inline: "secret", of: "secret" };

/// Reads `file`, `env` or `secret`, exactly one of them. `of` names the secret's owner.
pub(super) fn secret(table: &mut Table<'_>, of: &str) -> Result<Secret, Reported> {
    secret_in(table, of, &USUAL)
}

/// Like `secret`, with other keys.
pub(super) fn secret_in(table: &mut Table<'_>, of: &str, keys: &Keys) -> Result<Secret, Reported> {
    let problems = table.problems();
    let file = table.read::<String>(keys.file);
    let env = table.read::<String>(keys.env);
    let inline = table.read::<String>(keys.inline);
    let (file, env, inline) = (file?, env?, inline?);
    let written: Vec<Range<usize>> = [&file, &env, &inline].into_iter().flatten().map(Spanned::span).collect();
    if let [first, second, ..] = written.as_slice() {
        let problem = Problem::new(format!("{of} has more than one {}", keys.of));
        let keep = format!("keep one of `{}`, `{}` and `{}`", keys.file, keys.env, keys.inline);
        return Err(problems.report(problem.at(second.clone(), keep).at(first.clone(), "")));
    }
    let path = file.as_ref().map(|file| problems.beside(file.get_ref()));
    let (secret, at) = match (file.as_ref().zip(path.as_deref()), env, inline) {
        (Some((file, path)), ..) => (from_file(path, file.span(), problems)?, file.span()),
        (_, Some(env), _) => (from_env(&env, problems)?, env.span()),
        (.., Some(inline)) => {
            let article = if keys.env.starts_with('e') { "an" } else { "a" };
            let instead = format!("name a `{}` or {article} `{}` variable instead", keys.file, keys.env);
            problems.warn(inline.span(), format!("the {} of {of} stands in the config; {instead}", keys.of));
            (inline.get_ref().clone(), inline.span())
        }
        (None, None, None) => {
            let add = format!("add `{} = \"…\"` or `{} = \"…\"`", keys.file, keys.env);
            return Err(problems.error(table.at(), format!("{of} has no {}", keys.of), add));
        }
    };
    usable(&secret, &at, &format!("{} of {of}", keys.of), problems)?;
    Ok(Secret { text: Spanned::new(at, secret), file: path })
}

fn from_file(path: &Path, at: Range<usize>, problems: &Problems<'_>) -> Result<String, Reported> {
    secret::read(path).map_err(|error| problems.error(at, format!("cannot read the secret in {}: {error}", path.display()), ""))
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

/// Reports a secret that does not fit into a header, and warns if it could be guessed.
fn usable(secret: &str, at: &Range<usize>, of: &str, problems: &Problems<'_>) -> Result<(), Reported> {
    if let Some((fault, label)) = secret::fault(secret) {
        return Err(problems.error(at.clone(), format!("the {of} {fault}"), label));
    }
    if secret.len() < SECRET_BYTES_FEW {
        problems.warn(at.clone(), format!("the {of} has fewer than {SECRET_BYTES_FEW} characters; make one: openssl rand -hex 32"));
    }
    Ok(())
}
