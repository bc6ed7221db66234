//! Browser sessions on disk: hashes of tokens, never a token.

use rusqlite::{OptionalExtension, Row, params};

use super::{Store, failed};
use crate::web::protocol::UiError;

/// A browser that may use this daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    /// Names it in lists; 32 hexadecimal digits, unrelated to its token.
    pub(crate) id: String,
    /// SHA-256 of its token.
    pub(crate) token_hash: [u8; 32],
    /// For people, e.g. `Firefox on Linux`.
    pub(crate) browser: String,
    /// Milliseconds since 1970.
    pub(crate) last_used_ms: u64,
}

impl Store {
    /// The sessions used since `since_ms`, latest first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn sessions(&self, since_ms: u64) -> Result<Vec<SessionRow>, UiError> {
        let database = self.lock();
        let sql = "SELECT id, token_hash, browser, last_used_ms FROM session WHERE last_used_ms >= ?1
            ORDER BY last_used_ms DESC, id";
        let mut query = database.prepare_cached(sql).map_err(failed)?;
        query.query_map([since_ms], read).and_then(Iterator::collect).map_err(failed)
    }

    /// The session of a token, if it was used since `since_ms`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn session_of(
        &self,
        token_hash: &[u8; 32],
        since_ms: u64,
    ) -> Result<Option<SessionRow>, UiError> {
        let sql = "SELECT id, token_hash, browser, last_used_ms FROM session
            WHERE token_hash = ?1 AND last_used_ms >= ?2";
        self.lock().query_row(sql, params![token_hash, since_ms], read).optional().map_err(failed)
    }

    /// Writes a session, and forgets those not used since `since_ms`, and all but the `keep` latest.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn put_session(&self, row: &SessionRow, since_ms: u64, keep: usize) -> Result<(), UiError> {
        let mut database = self.lock();
        let change = database.transaction().map_err(failed)?;
        let put = "INSERT INTO session (id, token_hash, browser, last_used_ms) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (id) DO UPDATE SET last_used_ms = ?4";
        let trim = "DELETE FROM session WHERE last_used_ms < ?1 OR id NOT IN
            (SELECT id FROM session ORDER BY last_used_ms DESC, rowid DESC LIMIT ?2)";
        change
            .execute(put, params![row.id, row.token_hash, row.browser, row.last_used_ms])
            .and_then(|_| change.execute(trim, params![since_ms, keep]))
            .map_err(failed)?;
        change.commit().map_err(failed)
    }

    /// Ends a session. Says whether there was one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn remove_session(&self, id: &str) -> Result<bool, UiError> {
        self.lock().execute("DELETE FROM session WHERE id = ?1", [id]).map(|n| n > 0).map_err(failed)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        id: row.get(0)?,
        token_hash: row.get(1)?,
        browser: row.get(2)?,
        last_used_ms: row.get(3)?,
    })
}
