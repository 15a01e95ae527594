//! SQLite with a write-ahead log that is synced at each commit, and a commit for each group.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::group::Writer;
use super::{Record, Shared};
use crate::failure::{Failure, Result, While};

/// Kibibytes of pages in memory for each connection.
const CACHE_KIB: i64 = 64_000;
const TABLES: &str = "\
    CREATE TABLE records (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE tags (tag TEXT, id TEXT, PRIMARY KEY (tag, id)) WITHOUT ROWID;";

/// Creates the database below a directory.
pub(super) fn open(directory: &Path) -> Result<(Shared, String)> {
    let path = directory.join("records.db");
    let connection = connect(&path)?;
    connection
        .execute_batch(TABLES)
        .while_trying("creating SQLite's tables")?;
    let durability = durability(&connection)?;
    let writer = Writer::start(move |records| {
        commit(&connection, records).while_trying("writing a group to SQLite")
    });
    Ok((Shared::Sqlite(path, writer), durability))
}

fn connect(path: &Path) -> Result<Connection> {
    let opened = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(connection)
    };
    opened().while_trying("opening SQLite's database")
}

/// What SQLite says of its own settings, if that is durable.
fn durability(connection: &Connection) -> Result<String> {
    let read = "reading SQLite's settings";
    let mode: String = connection
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .while_trying(read)?;
    let synchronous: i64 = connection
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .while_trying(read)?;
    if mode != "wal" || synchronous != 2 {
        return Err(Failure::new(format!(
            "SQLite has journal_mode={mode} and synchronous={synchronous}, not wal and 2 (FULL): its figures would not compare"
        )));
    }
    Ok(format!(
        "SQLite {}, journal_mode=wal, synchronous=FULL",
        rusqlite::version()
    ))
}

fn commit(connection: &Connection, records: &[Record]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    {
        let mut insert = connection.prepare_cached("INSERT INTO records VALUES (?, ?)")?;
        let mut tag_insert = connection.prepare_cached("INSERT INTO tags VALUES (?, ?)")?;
        for record in records {
            insert.execute((&record.id, &record.body))?;
            for tag in &record.tags {
                tag_insert.execute((tag, &record.id))?;
            }
        }
    }
    transaction.commit()
}

/// A connection for reads.
pub(crate) struct Reader(Connection);

impl Reader {
    /// Opens the database for reads.
    pub(super) fn open(path: &Path) -> Result<Self> {
        connect(path).map(Self)
    }

    pub(super) fn get(&self, id: &str) -> Result<Option<String>> {
        let mut select = self.prepared("SELECT body FROM records WHERE id = ?")?;
        let found = select.query_row([id], |row| row.get(0)).optional();
        found.while_trying("reading from SQLite")
    }

    pub(super) fn page(&self, tag: &str) -> Result<Vec<String>> {
        let mut select = self.prepared(
            "SELECT body FROM tags JOIN records USING (id) WHERE tag = ? ORDER BY id LIMIT 8",
        )?;
        let rows = select.query_map([tag], |row| row.get(0));
        rows.and_then(Iterator::collect)
            .while_trying("listing from SQLite")
    }

    /// Counts once the write-ahead log is in the database, where its bytes belong.
    pub(super) fn count(&self) -> Result<u64> {
        let moved = self
            .0
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        moved.while_trying("moving SQLite's log into its database")?;
        let mut select = self.prepared("SELECT count(*) FROM records")?;
        let count: rusqlite::Result<i64> = select.query_row([], |row| row.get(0));
        count
            .map(i64::cast_unsigned)
            .while_trying("counting in SQLite")
    }

    fn prepared(&self, statement: &str) -> Result<rusqlite::CachedStatement<'_>> {
        self.0
            .prepare_cached(statement)
            .while_trying("preparing a statement of SQLite")
    }
}
