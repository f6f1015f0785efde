//! `[admin]` and `[[admin.token]]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use serde_spanned::Spanned;

use super::secret::secret;
use crate::config::raw::{Read, Table};
use crate::config::report::{Problem, Problems, Reported};
use crate::config::{Admin, Scope, Token};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9400);
const SCOPES: [(&str, Scope); 3] = [("read", Scope::Read), ("operate", Scope::Operate), ("report", Scope::Report)];

/// Also where `listen` is written.
pub(super) fn admin(mut table: Table<'_>) -> Result<(Admin, Option<Range<usize>>), Reported> {
    let problems = table.problems();
    let listen = table.read::<SocketAddr>("listen");
    let metrics_open = table.read_or("metrics_open", false);
    let tokens = table.tables("token", "[[admin.token]]").and_then(|tables| tokens(tables, problems));
    table.close();
    let (listen, tokens) = (listen?, tokens?);
    guarded(listen.as_ref(), &tokens, problems)?;
    let address = listen.as_ref().map_or(LISTEN, |listen| *listen.get_ref());
    Ok((Admin { listen: address, tokens, metrics_open: metrics_open? }, listen.map(|listen| listen.span())))
}

/// Whoever reaches the admin API moves customers between versions.
fn guarded(listen: Option<&Spanned<SocketAddr>>, tokens: &[Token], problems: &Problems<'_>) -> Result<(), Reported> {
    let Some(listen) = listen else { return Ok(()) };
    let address = listen.get_ref();
    if address.ip().to_canonical().is_loopback() || !tokens.is_empty() {
        return Ok(());
    }
    let title = format!("[admin] is open to others: it listens on {address}, without a token");
    let label = format!("add an [[admin.token]], or write \"127.0.0.1:{}\"", address.port());
    Err(problems.error(listen.span(), title, label))
}

fn tokens(tables: Vec<Table<'_>>, problems: &Problems<'_>) -> Result<Vec<Token>, Reported> {
    let read: Vec<Result<(Token, [Range<usize>; 2]), Reported>> = tables.into_iter().map(token).collect();
    let read = read.into_iter().collect::<Result<Vec<_>, Reported>>()?;
    for (index, (token, [name_at, secret_at])) in read.iter().enumerate() {
        for (other, [other_name_at, other_secret_at]) in &read[..index] {
            if token.name == other.name {
                let problem = Problem::new(format!("two tokens are named \"{}\"", token.name));
                return Err(problems.report(problem.at(name_at.clone(), "write another name").at(other_name_at.clone(), "the first")));
            }
            if token.secret == other.secret {
                let problem = Problem::new(format!("the tokens \"{}\" and \"{}\" have the same secret", other.name, token.name));
                return Err(problems.report(problem.at(secret_at.clone(), "make another").at(other_secret_at.clone(), "the first")));
            }
        }
    }
    Ok(read.into_iter().map(|(token, _)| token).collect())
}

/// Also where its name and its secret are written.
fn token(mut table: Table<'_>) -> Result<(Token, [Range<usize>; 2]), Reported> {
    let problems = table.problems();
    let name: Read<String> = table.read("name");
    let scope = table.choice("scope", &SCOPES);
    let of = match &name {
        Ok(Some(name)) => format!("token \"{}\"", name.get_ref().escape_debug()),
        Ok(None) | Err(_) => "this token".to_owned(),
    };
    let secret = secret(&mut table, &of);
    let at = table.at();
    table.close();
    let name = match name? {
        Some(name) => Spanned::new(name.span(), super::name(&name, problems)?),
        None => return Err(problems.error(at, "a token has no name", "add `name = \"ci\"`: it stands in the history")),
    };
    let Some(scope) = scope? else {
        return Err(problems.error(at, format!("{of} has no scope"), "add `scope = \"read\"`, \"operate\" or \"report\""));
    };
    let secret = secret?;
    let places = [name.span(), secret.span()];
    Ok((Token { name: name.get_ref().as_str().to_owned(), scope: scope.into_inner(), secret: secret.into_inner() }, places))
}
