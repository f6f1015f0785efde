//! `[[bot]]`: one webhook URL and what serves it.

mod guard;
mod identity;
mod matching;
mod release;
mod roles;
mod rollout;
mod success;
mod timing;
mod upstream;

use std::ops::Range;
use std::time::Duration;

use http::header::{self, HeaderName};
use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::{Problem, Problems, Reported, all};
use crate::config::resolve::names;
use crate::config::resolve::secret::secret;
use crate::config::resolved::{Bot, BotName, HostHeader, Match, OverCap, Retries, TesterOverride};
use crate::config::units::Bytes;
use crate::core::{self, Guard, OutcomeRules, Pins, Weight};
use guard::guard;
use identity::{Identity, identity};
use matching::{disjoint, matching, order};
use release::{freeze, preflight, release};
use roles::{Roles, roles};
use rollout::rollout;
use success::success;
use timing::{Timing, timing};

const BODY_CAP: Bytes = Bytes(1 << 20);
/// The limit of `body_cap`: each request in flight may hold a body in memory.
const BODY_CAP_MOST: Bytes = Bytes(256 << 20);
const UNDO_WINDOW: Duration = Duration::from_secs(24 * 3600);
const UNDO_WINDOW_LEAST: Duration = Duration::from_secs(60);
const UNDO_WINDOW_MOST: Duration = Duration::from_secs(365 * 24 * 3600);
const DRILL_EVERY_LEAST: Duration = Duration::from_secs(3600);
const DRILL_EVERY_MOST: Duration = Duration::from_secs(365 * 24 * 3600);
const TESTER_HEADER: &str = "Serin-Override";
/// Headers that say how a request is sent, or that bots need. serin removes the tester's header, so it cannot be one of these.
const NOT_FOR_TESTERS: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::EXPECT,
    header::AUTHORIZATION,
];

/// Reads all bots, and sorts them by match: the longest first.
pub(super) fn bots(tables: Vec<Table<'_>>, problems: &Problems<'_>) -> Result<Vec<Bot>, Reported> {
    let mut placed = all(tables.into_iter().map(bot))?;
    let named = named_apart(&placed, problems);
    let matches: Vec<_> = placed.iter().map(|p| (p.bot.name.as_str(), &p.bot.matches, p.match_at.clone())).collect();
    disjoint(&matches, problems)?;
    named?;
    placed.sort_by_key(|placed| order(&placed.bot.matches));
    Ok(placed.into_iter().map(|placed| placed.bot).collect())
}

/// A bot, and the places that other checks need.
struct Placed {
    bot: Bot,
    name_at: Range<usize>,
    match_at: Range<usize>,
}

/// Longer than a screen, because it is a list: each key is read before the first `?`.
fn bot(mut table: Table<'_>) -> Result<Placed, Reported> {
    let at = table.at();
    let name = name(&mut table);
    let shown = name.as_ref().map_or_else(|_| "this bot".to_owned(), |name| format!("bot `{}`", name.get_ref()));
    let matches = table.table("match", "match = { … }");
    let match_at = matches.as_ref().ok().and_then(|table| table.as_ref().map(Table::at)).unwrap_or_else(|| at.clone());
    let matches = matches.and_then(|table| table.map_or(Ok(Match::default()), matching));
    let identity = identity(&mut table, &shown);
    let preset = identity.as_ref().ok().and_then(|identity| identity.preset);
    let body_cap = table.within_or("body_cap", Bytes(1)..=BODY_CAP_MOST, preset.map_or(BODY_CAP, |preset| Bytes(preset.body_cap)));
    let over_cap = table.choice_or("over_cap", &[("stable", OverCap::Stable), ("reject", OverCap::Reject)], OverCap::default());
    let retries = table.choice_or("retries", &[("assigned", Retries::Assigned), ("stable", Retries::Stable)], Retries::default());
    let roles = roles(&mut table, &shown);
    let timing = timing(&mut table, preset);
    let success = success(&mut table, preset);
    let rescue = table.read_or("rescue", true);
    let host = table.choice_or("host", &[("preserve", HostHeader::Preserve), ("upstream", HostHeader::Upstream)], HostHeader::default());
    let pins = table.table_or_empty("pins", "[bot.pins]").and_then(pins);
    let tester = table.table("tester", "[bot.tester]").and_then(|table| table.map(|table| tester(table, &shown)).transpose());
    let max = roles.as_ref().ok().and_then(|roles| roles.max.as_ref());
    let rollout = table
        .table("rollout", "[bot.rollout]")
        .and_then(|table| table.map_or_else(|| Ok(core::Plan::usual()), |table| rollout(table, max)));
    let deadline = timing.as_ref().ok().and_then(|timing| timing.deadline);
    let guard = table.table_or_empty("guard", "[bot.guard]").and_then(|table| guard(table, deadline));
    let upstreams = roles.as_ref().ok().map(|roles| roles.upstreams.as_slice());
    let release = table.table("release", "[bot.release]").and_then(|table| table.map(|table| release(table, upstreams)).transpose());
    let preflight = table.table_or_empty("preflight", "[bot.preflight]").and_then(preflight);
    let freeze = table.table_or_empty("freeze", "[bot.freeze]").and_then(freeze);
    let undo_window = table.within_or("undo_window", UNDO_WINDOW_LEAST..=UNDO_WINDOW_MOST, UNDO_WINDOW);
    let drill_every = table.within("drill_every", DRILL_EVERY_LEAST..=DRILL_EVERY_MOST);
    table.close();

    let (name, Identity { preset, extractor }, success) = (name?, identity?, success?);
    let Roles { upstreams, stable, canary, weight, max } = roles?;
    let max_weight = max.map_or(Weight::FULL, Spanned::into_inner);
    let rollout = rollout?;
    let guard = Guard { max: max_weight, by_hand: rollout.policy, ..guard? };
    let Timing { deadline, timeout, connect_timeout, upstream_idle } = timing?;
    let name_at = name.span();
    let bot = Bot {
        name: name.into_inner(),
        matches: matches?,
        preset,
        extractor,
        body_cap: body_cap?.0,
        over_cap: over_cap?,
        retries: retries?,
        upstreams,
        stable,
        canary,
        weight,
        max_weight,
        pins: pins?,
        tester: tester?,
        rules: OutcomeRules { deadline, also_ok: success.also_ok, only_ok: success.only_ok },
        timeout,
        connect_timeout,
        upstream_idle,
        rescue: rescue?,
        host: host?,
        rollout,
        guard,
        release: release?,
        preflight: preflight?,
        freeze: freeze?,
        undo_window: undo_window?,
        drill_every: drill_every?.map(Spanned::into_inner),
    };
    Ok(Placed { bot, name_at, match_at })
}

fn name(table: &mut Table<'_>) -> Result<Spanned<BotName>, Reported> {
    let problems = table.problems();
    match table.read::<String>("name")? {
        Some(name) => Ok(Spanned::new(name.span(), names::name(&name, problems)?)),
        None => Err(problems.error(table.at(), "a bot has no name", "add `name = \"support\"`")),
    }
}

fn named_apart(placed: &[Placed], problems: &Problems<'_>) -> Result<(), Reported> {
    let mut result = Ok(());
    for (index, this) in placed.iter().enumerate() {
        if let Some(other) = placed[..index].iter().find(|other| other.bot.name == this.bot.name) {
            let problem = Problem::new(format!("two bots are named `{}`", this.bot.name));
            result = Err(problems.report(problem.at(this.name_at.clone(), "write another name").at(other.name_at.clone(), "the first")));
        }
    }
    result
}

fn pins(mut table: Table<'_>) -> Result<Pins, Reported> {
    let (problems, table_at) = (table.problems(), table.at());
    let canary = table.read_or::<Vec<Spanned<String>>>("canary", Vec::new());
    let stable = table.read_or::<Vec<Spanned<String>>>("stable", Vec::new());
    table.close();
    let (canary, stable) = (canary?, stable?);
    if let Some(blank) = canary.iter().chain(&stable).find(|pin| pin.get_ref().trim().is_empty()) {
        return Err(problems.error(blank.span(), "a pin is a workspace's id", "write \"T0123\" or \"team:T0123\""));
    }
    let plain = |pins: &[Spanned<String>]| pins.iter().map(|pin| pin.get_ref().clone()).collect::<Vec<_>>();
    Pins::new(&plain(&canary), &plain(&stable)).map_err(|both| {
        let at = |pins: &[Spanned<String>]| pins.iter().find(|pin| *pin.get_ref() == both).map_or(table_at.clone(), Spanned::span);
        let problem = Problem::new(format!("\"{}\" is pinned to both tracks", both.escape_debug()));
        problems.report(problem.at(at(&stable), "take it out here").at(at(&canary), "or here"))
    })
}

fn tester(mut table: Table<'_>, of: &str) -> Result<TesterOverride, Reported> {
    let problems = table.problems();
    let header = table.read::<String>("header");
    let secret = secret(&mut table, &format!("the tester of {of}"));
    table.close();
    let header = match header? {
        None => HeaderName::from_bytes(TESTER_HEADER.as_bytes()).expect("a constant that is a header's name"),
        Some(written) => match HeaderName::from_bytes(written.get_ref().as_bytes()) {
            Ok(header) if !NOT_FOR_TESTERS.contains(&header) => header,
            Ok(header) => {
                let title = format!("the tester's header cannot be `{header}`: serin takes it out of the request");
                return Err(problems.error(written.span(), title, format!("write \"{TESTER_HEADER}\"")));
            }
            Err(_) => return Err(problems.error(written.span(), "no header can have this name", format!("write \"{TESTER_HEADER}\""))),
        },
    };
    Ok(TesterOverride { header, secret: secret?.text.into_inner() })
}
