//! The table of marks: what each notifier was told, so that a restart sends nothing twice. A mark is written after its message was
//! sent, so a lost mark repeats one message at most.

use rusqlite::{Connection, Result, params};

use super::entry::unix_millis;

/// How far one notifier was told of one topic of a bot. The unit of `at` depends on the topic: a revision, the second of a drill, the
/// moment of a promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub notifier: String,
    pub bot: String,
    pub topic: String,
    pub at: i64,
}

/// Created if it is missing. An older serin ignores it.
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS told (
    notifier TEXT NOT NULL,
    bot TEXT NOT NULL,
    topic TEXT NOT NULL,
    mark INTEGER NOT NULL,
    at_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (notifier, bot, topic)
) STRICT;
";

pub(super) fn prepare(connection: &Connection) -> Result<()> {
    connection.execute_batch(TABLE)
}

/// Writes all marks in one transaction: a new notifier has one mark for each bot.
pub(super) fn write(connection: &mut Connection, marks: &[Mark]) -> Result<()> {
    let transaction = connection.transaction()?;
    for mark in marks {
        transaction
            .prepare("INSERT OR REPLACE INTO told (notifier, bot, topic, mark, at_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![mark.notifier, mark.bot, mark.topic, mark.at, unix_millis()])?;
    }
    transaction.commit()
}

/// Returns no marks if the table is missing: an older serin made the file, and it is read-only now.
pub(super) fn all(connection: &Connection) -> Result<Vec<Mark>> {
    if !connection.table_exists(None, "told")? {
        return Ok(Vec::new());
    }
    let mut query = connection.prepare("SELECT notifier, bot, topic, mark FROM told ORDER BY notifier, bot, topic")?;
    let marks = query.query_map((), |row| Ok(Mark { notifier: row.get(0)?, bot: row.get(1)?, topic: row.get(2)?, at: row.get(3)? }))?;
    marks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mark_of_a_topic_counts() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(all(&connection).unwrap(), []);
        prepare(&connection).unwrap();
        prepare(&connection).unwrap();
        let mark = |topic: &str, at| Mark { notifier: "ops".to_owned(), bot: "support".to_owned(), topic: topic.to_owned(), at };
        write(&mut connection, &[mark("change", 3), mark("held:marginal", 2)]).unwrap();
        write(&mut connection, &[mark("change", 4)]).unwrap();
        assert_eq!(all(&connection).unwrap(), [mark("change", 4), mark("held:marginal", 2)]);
    }
}
