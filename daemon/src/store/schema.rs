//! The form of the database: its tables, its number, and how an older form becomes the present one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, ffi};

/// "ahoy", so that `file` and other programs can tell whose database it is.
const APPLICATION_ID: u32 = 0x6168_6f79;

/// Step n makes form n + 1 out of form n. Steps are never edited once released, only added.
const STEPS: [&str; 2] = ["
CREATE TABLE value (key TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE contact (
    peer BLOB PRIMARY KEY, name TEXT NOT NULL, verified TEXT NOT NULL, added_at_ms INTEGER NOT NULL,
    addresses TEXT NOT NULL, invite BLOB
) STRICT;
CREATE TABLE call (
    id BLOB PRIMARY KEY, peer BLOB NOT NULL, direction TEXT NOT NULL, media TEXT NOT NULL, phase TEXT NOT NULL,
    alert TEXT NOT NULL, hold_local INTEGER NOT NULL, hold_remote INTEGER NOT NULL, offered_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL, active_since_ms INTEGER, alive_at_ms INTEGER NOT NULL, ended_at_ms INTEGER,
    end_code TEXT, end_detail TEXT, seq_out INTEGER NOT NULL, seq_in INTEGER NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0, hidden INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX call_by_time ON call (offered_at_ms);
CREATE TABLE outbox (id BLOB PRIMARY KEY, peer BLOB NOT NULL, expires_at_ms INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE TABLE applied (id BLOB PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
CREATE INDEX applied_by_time ON applied (at_ms);
CREATE TABLE session (
    id TEXT PRIMARY KEY, token_hash BLOB NOT NULL UNIQUE, browser TEXT NOT NULL, last_used_ms INTEGER NOT NULL
) STRICT;
", "ALTER TABLE contact ADD COLUMN hide_address INTEGER NOT NULL DEFAULT 0;"];

/// The form this program writes.
pub(super) const FORM: u32 = STEPS.len() as u32;

/// Why a database can't be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is of a later form.
    Newer { found: u32, known: u32 },
    /// SQLite says so.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

/// Reads the whole file's structure once, so that damage is found at the start and not in a call.
pub(super) fn check(database: &Connection) -> rusqlite::Result<()> {
    let answer: String = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if answer == "ok" {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(answer)))
}

/// Brings the database to the present form. Nothing is written to one of a later form.
pub(super) fn prepare(database: &mut Connection, path: &Path) -> Result<(), Trouble> {
    let found: u32 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > FORM {
        return Err(Trouble::Newer { found, known: FORM });
    }
    // A transaction is on disk when it returns, also through a loss of power (sqlite.org/pragma.html#pragma_synchronous).
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    if found == FORM {
        return Ok(());
    }
    if found > 0 {
        let copy = format!("{}.form-{found}", path.display());
        if !Path::new(&copy).exists() {
            database.execute("VACUUM INTO ?1", [&copy])?;
        }
    }
    let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(found as usize) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "application_id", APPLICATION_ID)?;
    change.pragma_update(None, "user_version", FORM)?;
    change.commit()?;
    Ok(())
}
