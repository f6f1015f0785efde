//! What the fuzz target checks of the history's rows: any bytes in the cells that hold MessagePack and JSON.

use std::collections::HashMap;

use super::*;

/// The names of decisions whose rows are read in a way of their own.
const DECISIONS: [&str; 4] = ["begin", "undo", "drilled", "freeze"];

/// The cells of one bot, in the order in which an input has them: each with two bytes for its length before it.
#[derive(Default)]
struct Cells<'a> {
    state: &'a [u8],
    before: &'a [u8],
    input: &'a [u8],
    guard: &'a [u8],
    reasons: &'a [u8],
    later_state: &'a [u8],
    evidence: &'a [u8],
    past: &'a [u8],
}

thread_local! {
    static DATABASE: Connection = {
        let connection = Connection::open_in_memory().expect("memory");
        prepare(&connection).expect("the tables are right");
        connection
    };
}

/// A row is shown whatever its cells hold, a replay returns, and a state that was read can be stored and read again. Returns what is
/// kept of each bot; `None` if serin refuses the history.
pub fn history(data: &[u8]) -> Option<HashMap<String, Kept>> {
    let ([number, clock, decision], rest) = data.split_first_chunk()?;
    let cells = Cells::of(rest);
    let (revision, clock) = (u64::from(*number), i64::from(*clock) * 1_000_000);
    DATABASE.with(|connection| {
        cells.store(connection, revision, clock, DECISIONS[usize::from(*decision) % DECISIONS.len()]);
        let rows = rows(connection, "support", None, 10).expect("the columns have their types");
        assert_eq!(rows.len(), 1);
        assert!(serde_json::to_string(&rows[0]).is_ok());
        let _ = replay_all(connection);
        let kept = kept(connection).ok()?;
        assert!(kept.iter().all(|(_, kept)| comes_back(&kept.state)), "{kept:?}");
        Some(kept.into_iter().collect())
    })
}

/// Whether the state is stored and read as the same one. Compared as bytes, because a number in it may be none.
pub fn comes_back(state: &State) -> bool {
    let bytes = pack(state);
    unpack::<State>(&bytes).is_ok_and(|again| pack(&again) == bytes)
}

impl<'a> Cells<'a> {
    fn of(mut rest: &'a [u8]) -> Cells<'a> {
        let mut next = || {
            let Some((length, after)) = rest.split_first_chunk() else { return std::mem::take(&mut rest) };
            let (cell, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
            rest = after;
            cell
        };
        Cells {
            state: next(),
            before: next(),
            input: next(),
            guard: next(),
            reasons: next(),
            later_state: next(),
            evidence: next(),
            past: next(),
        }
    }

    /// Replaces all rows. An empty cell is a missing one where that is allowed.
    fn store(&self, connection: &Connection, revision: u64, clock: i64, decision: &str) {
        let some = |cell: &'a [u8]| (!cell.is_empty()).then_some(cell);
        connection.execute_batch("DELETE FROM history; DELETE FROM snapshot; DELETE FROM past;").expect("tables");
        let reasons = some(self.reasons).map(String::from_utf8_lossy);
        connection
            .prepare(
                "INSERT INTO history VALUES ('support', ?1, 1800000000000, ?2, 'operator', 'ana', ?3, 'idle', 0, 500, 'v1 on blue',
                 NULL, NULL, NULL, ?4, ?5, ?6, ?7, ?8)",
            )
            .and_then(|mut row| {
                let (before, input) = (some(self.before), some(self.input));
                row.execute(params![revision, clock, decision, reasons, before, input, self.guard, self.state])
            })
            .expect("a row");
        if !self.later_state.is_empty() {
            let row = params![revision, clock + 1, self.later_state, some(self.evidence)];
            connection.execute("INSERT INTO snapshot VALUES ('support', ?1, ?2, ?3, ?4)", row).expect("a row");
        }
        if !self.past.is_empty() {
            connection.execute("INSERT INTO past VALUES ('support', ?1)", params![self.past]).expect("a row");
        }
    }
}
