//! The tables, with the statements that write and read them. The columns are for people and `sqlite3`. The exact values, from which a
//! decision can be repeated, are stored beside them as MessagePack.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, ToSql, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::entry::{Entry, Row, about, is_rehearsal, unix_millis, written};
use super::kept::{Checkpoint, Kept};
use super::told;
use crate::core::ratchet::{self, Input};
use crate::core::{Guard, Landmarks, State};

/// The file format. Raise it when the tables change; a file with a higher version is not touched.
pub(super) const VERSION: i32 = 1;

const TABLES: &str = "
CREATE TABLE history (
    bot TEXT NOT NULL,
    revision INTEGER NOT NULL,
    at_unix_ms INTEGER NOT NULL,
    clock_us INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    decision TEXT NOT NULL,
    phase TEXT NOT NULL,
    from_bp INTEGER NOT NULL,
    to_bp INTEGER NOT NULL,
    stable TEXT NOT NULL,
    canary TEXT,
    why TEXT,
    reason TEXT,
    evidence TEXT,
    before BLOB,
    input BLOB,
    guard BLOB NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (bot, revision)
) STRICT;
CREATE TRIGGER history_is_append_only BEFORE UPDATE ON history BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TABLE snapshot (
    bot TEXT PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    clock_us INTEGER NOT NULL,
    state BLOB NOT NULL,
    evidence BLOB
) STRICT;
CREATE TABLE past (bot TEXT PRIMARY KEY NOT NULL, past BLOB NOT NULL) STRICT;
CREATE TABLE probe (only INTEGER PRIMARY KEY CHECK (only = 1), at_unix_ms INTEGER NOT NULL) STRICT;
CREATE TABLE identity (only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB NOT NULL) STRICT;
INSERT INTO identity (only, id) VALUES (1, randomblob(16));
";

/// Creates missing tables. Returns the version of the file.
pub(super) fn prepare(connection: &Connection) -> Result<i32> {
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    }
    if version <= VERSION {
        connection.execute_batch("CREATE INDEX IF NOT EXISTS history_by_decision ON history (bot, decision, revision)")?;
        told::prepare(connection)?;
    }
    Ok(version.max(VERSION))
}

/// The history's random id, made together with the tables. Empty in a file from before histories had ids.
pub(super) fn id(connection: &Connection) -> Result<Vec<u8>> {
    if !connection.table_exists(None, "identity")? {
        return Ok(Vec::new());
    }
    Ok(connection.query_row("SELECT id FROM identity", (), |row| row.get(0)).optional()?.unwrap_or_default())
}

/// Writes all rows or none.
pub(super) fn append(connection: &mut Connection, entries: &[Entry]) -> Result<()> {
    let transaction = connection.transaction()?;
    entries.iter().try_for_each(|entry| insert(&transaction, entry))?;
    transaction.commit()
}

fn insert(connection: &Connection, entry: &Entry) -> Result<()> {
    let state = &entry.state;
    let evidence = entry.reasons.evidence.as_ref().map(ToString::to_string);
    connection
        .prepare(
            "INSERT INTO history (bot, revision, at_unix_ms, clock_us, actor_kind, actor, decision, phase, from_bp, to_bp, stable,
             canary, why, reason, evidence, before, input, guard, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            entry.bot,
            state.revision,
            entry.unix_ms,
            micros(entry.at),
            entry.who.kind,
            entry.who.name,
            entry.decision,
            state.phase.name(),
            entry.from().bp(),
            state.weight.bp(),
            state.stable.to_string(),
            state.canary.as_ref().map(ToString::to_string),
            entry.reasons.why,
            entry.reasons.said,
            evidence,
            entry.before.as_ref().map(pack),
            entry.input.as_ref().map(pack),
            pack(&entry.guard),
            pack(state),
        ])?;
    Ok(())
}

/// Deletes a row that was written but whose change was given up, so that nobody was told of it.
pub(super) fn take_back(connection: &Connection, bot: &str, revision: u64) -> Result<()> {
    connection.execute("DELETE FROM history WHERE bot = ?1 AND revision = ?2", params![bot, revision])?;
    Ok(())
}

/// Whether the row itself caused the error, not the disk.
pub(super) fn is_of_a_row(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    matches!(error.sqlite_error_code(), Some(ConstraintViolation | TypeMismatch | TooBig))
}

/// Whether there is already a row with this bot and revision.
pub(super) fn is_taken(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY | rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE))
}

/// Moves rows of another writer to the table `set_aside`, for people to look at: those with the same bot and revision as `entries`, and
/// all later ones of these bots.
pub(super) fn set_aside(connection: &mut Connection, entries: &[Entry]) -> Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch("CREATE TABLE IF NOT EXISTS set_aside AS SELECT 0 AS set_aside_at_unix_ms, * FROM history WHERE false")?;
    for entry in entries {
        let from = params![entry.bot, entry.state.revision, unix_millis()];
        transaction.execute("INSERT INTO set_aside SELECT ?3, * FROM history WHERE bot = ?1 AND revision >= ?2", from)?;
        transaction.execute("DELETE FROM history WHERE bot = ?1 AND revision >= ?2", params![entry.bot, entry.state.revision])?;
    }
    transaction.commit()
}

/// Tests whether the disk accepts writes.
pub(super) fn probe(connection: &Connection) -> Result<()> {
    connection.execute("INSERT OR REPLACE INTO probe (only, at_unix_ms) VALUES (1, ?1)", params![unix_millis()])?;
    Ok(())
}

pub(super) fn checkpoint(connection: &Connection, of: &Checkpoint) -> Result<()> {
    connection
        .prepare("INSERT OR REPLACE INTO snapshot (bot, revision, clock_us, state, evidence) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![of.bot, of.state.revision, micros(of.at), pack(&of.state), of.evidence])?;
    if let Some(past) = &of.past {
        connection.prepare("INSERT OR REPLACE INTO past (bot, past) VALUES (?1, ?2)")?.execute(params![of.bot, past])?;
    }
    Ok(())
}

/// Deletes rows that are older than `keep`, except the newest of each bot and decision. Returns how many.
pub(super) fn prune(connection: &Connection, keep: Duration) -> Result<usize> {
    let before = unix_millis().saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
    connection.execute(
        "DELETE FROM history WHERE at_unix_ms < ?1 AND revision < (SELECT max(revision) FROM history AS newer
         WHERE newer.bot = history.bot AND newer.decision = history.decision)",
        params![before],
    )
}

/// A bot's changes below a revision, the newest first.
pub(super) fn rows(connection: &Connection, bot: &str, below: Option<u64>, most: usize) -> Result<Vec<Row>> {
    let below = below.map_or(i64::MAX, |below| i64::try_from(below).unwrap_or(i64::MAX));
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    Ok(select(connection, bot, "revision < ?2 ORDER BY revision DESC LIMIT ?3", params![bot, below, most])?
        .into_iter()
        .map(|(_, row)| row)
        .collect())
}

/// A bot's changes that fulfil the SQL condition, each with its time in Unix milliseconds. Parameter 1 is the bot.
fn select(connection: &Connection, bot: &str, condition: &str, parameters: &[&dyn ToSql]) -> Result<Vec<(i64, Row)>> {
    let mut query = connection.prepare(&format!(
        "SELECT revision, at_unix_ms, actor_kind, actor, decision, phase, from_bp, to_bp, stable, canary, why, reason, evidence,
         before, guard, state FROM history WHERE bot = ?1 AND {condition}",
    ))?;
    let rows = query.query_map(parameters, |row| {
        let percent = |bp: u16| f64::from(bp) / 100.0;
        let evidence: Option<String> = row.get(12)?;
        // A state that an older serin wrote in another format is left out; the columns are still shown.
        let state = |column| row.get::<_, Option<Vec<u8>>>(column).map(|bytes| unpack::<State>(&bytes.unwrap_or_default()).ok());
        let (before, after) = (state(13)?, state(15)?);
        let guard = unpack::<Guard>(&row.get::<_, Vec<u8>>(14)?).ok();
        let decision: String = row.get(4)?;
        let at = row.get(1)?;
        let told = Row {
            bot: bot.to_owned(),
            revision: row.get(0)?,
            at: written(at),
            actor_kind: row.get(2)?,
            actor: row.get(3)?,
            release: after.as_ref().and_then(|after| about(before.as_ref(), after, &decision)),
            decision,
            phase: row.get(5)?,
            from_percent: percent(row.get(6)?),
            to_percent: percent(row.get(7)?),
            stable: row.get(8)?,
            canary: row.get(9)?,
            why: row.get(10)?,
            reason: row.get(11)?,
            evidence: evidence.and_then(|text| serde_json::from_str(&text).ok()),
            abort_at: guard.map(|guard| guard.abort_at),
            rehearsal: after.is_some_and(|after| is_rehearsal(before.as_ref(), &after)),
        };
        Ok((at, told))
    })?;
    rows.collect()
}

/// The newest change of each kind.
fn landmarks(connection: &Connection, bot: &str) -> Result<Landmarks> {
    let newest = "revision IN (SELECT max(revision) FROM history WHERE bot = ?1 GROUP BY decision)";
    let mut landmarks = Landmarks::default();
    for (at, row) in select(connection, bot, newest, params![bot])? {
        landmarks.note(row.landmark(at as f64 / 1000.0));
    }
    Ok(landmarks)
}

/// Each bot's last state: that of its last row, or of a checkpoint that was stored after that row.
pub(super) fn kept(connection: &Connection) -> Result<Vec<(String, Kept)>> {
    let mut query = connection.prepare(
        "SELECT bot, revision, clock_us, state FROM history AS h
         WHERE revision = (SELECT max(revision) FROM history AS newer WHERE newer.bot = h.bot)",
    )?;
    let last = query
        .query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Vec<u8>>(3)?)))?;
    let mut kept = Vec::new();
    for last in last {
        let (bot, revision, clock, state) = last?;
        let (mut state, mut at, mut evidence) = (unpack::<State>(&state)?, duration(clock), None);
        let known: Option<(i64, Vec<u8>, Option<Vec<u8>>)> = connection
            .query_row(
                "SELECT clock_us, state, evidence FROM snapshot WHERE bot = ?1 AND revision = ?2 AND clock_us >= ?3",
                params![bot, revision, clock],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        // A checkpoint is written without waiting for the disk, so it may be unusable: then the last row counts.
        if let Some((later, known, bytes)) = known
            && let Ok(known) = unpack::<State>(&known)
        {
            (state, at, evidence) = (known, duration(later), bytes);
        }
        let past = connection.query_row("SELECT past FROM past WHERE bot = ?1", params![bot], |row| row.get(0)).optional()?;
        let landmarks = landmarks(connection, &bot)?;
        kept.push((bot, Kept { state, at, evidence, past, landmarks }));
    }
    Ok(kept)
}

/// Repeats every decision of a history. Returns their number, or the first decision that gives another result than the one stored.
pub fn replay(path: &Path) -> std::result::Result<usize, String> {
    let connection = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| e.to_string())?;
    replay_all(&connection)
}

fn replay_all(connection: &Connection) -> std::result::Result<usize, String> {
    let text = |error: rusqlite::Error| error.to_string();
    let mut query = connection
        .prepare("SELECT bot, revision, clock_us, before, input, guard, state FROM history ORDER BY bot, revision")
        .map_err(text)?;
    let mut rows = query.query(()).map_err(text)?;
    let (mut count, mut last): (usize, Option<(String, State)>) = (0, None);
    while let Some(row) = rows.next().map_err(text)? {
        let bot: String = row.get(0).map_err(text)?;
        let (revision, clock): (u64, i64) = (row.get(1).map_err(text)?, row.get(2).map_err(text)?);
        let blob = |column: usize| row.get::<_, Option<Vec<u8>>>(column).map_err(text);
        let state: State = unpack(&blob(6)?.unwrap_or_default()).map_err(text)?;
        let guard: Guard = unpack(&blob(5)?.unwrap_or_default()).map_err(text)?;
        if state.revision != revision {
            return Err(format!("{bot}: row {revision} holds revision {}", state.revision));
        }
        if let (Some(before), Some(input)) = (blob(3)?, blob(4)?) {
            let (before, input): (State, Input) = (unpack(&before).map_err(text)?, unpack(&input).map_err(text)?);
            if let Some((_, last)) = last.as_ref().filter(|(name, _)| *name == bot)
                && !same_commitments(last, &before)
            {
                return Err(format!("{bot}: revision {revision} does not follow the one before: {last:?} and then {before:?}"));
            }
            let (again, decision) = ratchet::step(before, &input, &guard, duration(clock));
            if again != state {
                return Err(format!("{bot}: revision {revision}: {} leads to {again:?}, kept is {state:?}", decision.name()));
            }
        }
        last = Some((bot, state));
        count += 1;
    }
    Ok(count)
}

/// Whether the two states differ only in the time and in what they say about a hold, which may change without a row.
fn same_commitments(last: &State, before: &State) -> bool {
    let of = |state: &State| {
        let step = state.rollout.as_ref().map(|rollout| (rollout.step, rollout.release.clone()));
        (state.revision, state.split_id, state.weight, state.attempt, state.attempts, state.stable.clone(), state.canary.clone(), step)
    };
    of(last) == of(before)
        && last.quarantine == before.quarantine
        && last.last_config == before.last_config
        && last.previous == before.previous
}

pub(super) fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap_or_default()
}

pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error)))
}

fn micros(at: Duration) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Release;
    use crate::store::{Reasons, Who};

    fn entry(revision: u64, decision: &'static str) -> Entry {
        let mut state = State::new(Release { upstream: "blue".into(), version: None });
        state.revision = revision;
        Entry {
            bot: "support".to_owned(),
            who: Who { kind: "operator", name: "ana".to_owned() },
            reasons: Reasons { said: Some("a test".to_owned()), ..Reasons::default() },
            decision,
            before: None,
            input: None,
            guard: Guard::default(),
            at: Duration::from_micros(17),
            unix_ms: unix_millis(),
            state,
        }
    }

    fn filled() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(prepare(&connection).unwrap(), VERSION);
        let decisions = ["begin", "drilled", "drilled", "freeze", "thaw"];
        let entries: Vec<Entry> = decisions.iter().zip(1..).map(|(decision, revision)| entry(revision, decision)).collect();
        append(&mut connection, &entries).unwrap();
        connection
    }

    fn revisions(connection: &Connection) -> Vec<u64> {
        rows(connection, "support", None, 100).unwrap().iter().map(|row| row.revision).collect()
    }

    #[test]
    fn old_rows_are_deleted_except_the_newest_of_each_decision() {
        let connection = filled();
        assert_eq!(prune(&connection, Duration::from_secs(3600)).unwrap(), 0);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(prune(&connection, Duration::ZERO).unwrap(), 1);
        assert_eq!(revisions(&connection), [5, 4, 3, 1]);
        let landmarks = &kept(&connection).unwrap()[0].1.landmarks;
        let freeze = landmarks.of("freeze").unwrap();
        assert_eq!((freeze.revision, freeze.by.as_str(), freeze.reason.as_deref()), (4, "ana", Some("a test")));
        assert!(landmarks.drilled().is_some_and(|at| at > 1.7e9));
    }

    #[test]
    fn each_history_has_an_id_and_an_old_one_without_still_opens() {
        let connection = filled();
        let first = id(&connection).unwrap();
        prepare(&connection).unwrap();
        assert_eq!((first.len(), id(&connection).unwrap()), (16, first.clone()));
        assert_ne!(id(&filled()).unwrap(), first);
        connection.execute_batch("DROP TABLE identity; DROP TABLE told;").unwrap();
        assert_eq!(prepare(&connection).unwrap(), VERSION);
        assert_eq!((id(&connection).unwrap(), revisions(&connection).len()), (Vec::new(), 5));
    }

    #[test]
    fn rows_are_never_changed_and_are_written_all_or_none() {
        let mut connection = filled();
        let changed = connection.execute("UPDATE history SET actor = 'bob'", ());
        assert!(changed.unwrap_err().to_string().contains("append-only"));
        // Revision 5 exists, so revision 6 must not be written either.
        assert!(append(&mut connection, &[entry(6, "freeze"), entry(5, "thaw")]).is_err());
        assert_eq!(revisions(&connection), [5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_checkpoint_counts_only_for_the_change_that_it_follows() {
        let connection = filled();
        let at = |revision, micros| {
            let state = entry(revision, "thaw").state;
            Checkpoint { bot: "support".to_owned(), state, at: Duration::from_micros(micros), evidence: Some(vec![1]), past: None }
        };
        let known = || kept(&connection).unwrap().remove(0).1;
        checkpoint(&connection, &at(4, 99)).unwrap();
        assert_eq!((known().at, known().evidence), (Duration::from_micros(17), None), "of another revision");
        checkpoint(&connection, &at(5, 99)).unwrap();
        assert_eq!((known().at, known().evidence), (Duration::from_micros(99), Some(vec![1])));
        checkpoint(&connection, &at(5, 3)).unwrap();
        assert_eq!(known().at, Duration::from_micros(17), "older than the change");
    }
}
