//! Calls, waiting messages and applied messages on disk, and the log of calls that people see.

use std::sync::PoisonError;
use std::time::Duration;

use ahoy_base::{CallId, MessageId, PeerId};
use ahoy_call::{
    Alert, Direction, EndReason, Outcome, Restored, StoredCall, StoredMessage, StoredPhase, Transaction,
};
use ahoy_net_core::wire::signal::MediaKind;
use rusqlite::{Connection, Row, params};

use super::{Store, failed};
use crate::clock;
use crate::view::{self, Media, Recent, RecentOutcome};
use crate::web::protocol::UiError;

/// How long applied messages are remembered (docs/PROTOCOL.md: a late copy is applied once in 7 days).
const APPLIED_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long ended calls are handed back at a start, so that a late copy of their offer does not ring again.
const ENDED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Calls kept in the log; a busy person makes 20 a day, so half a year.
const MAX_LOG: usize = 4_000;

const COLUMNS: &str = "id, peer, direction, media, phase, alert, hold_local, hold_remote, offered_at_ms, expires_at_ms, \
    active_since_ms, alive_at_ms, ended_at_ms, end_code, end_detail, seq_out, seq_in, seen";

/// One line of the log of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecentRow {
    /// The call.
    pub(crate) call: StoredCall,
    /// Whether this person has seen the line.
    pub(crate) seen: bool,
}

impl Store {
    /// Stores all of `transaction`, durably, or nothing of it.
    ///
    /// # Errors
    /// When the disk refuses; nothing of it is stored then.
    pub(crate) fn commit(&self, transaction: &Transaction) -> Result<(), UiError> {
        let now_ms = clock::wall_ms();
        let mut database = self.lock();
        let change = database.transaction().map_err(failed)?;
        write(&change, transaction, now_ms).map_err(failed)?;
        change.commit().map_err(failed)?;
        drop(database);
        if !transaction.calls.is_empty() {
            self.forget_recent();
        }
        Ok(())
    }

    /// What `Calls` needs at a start. Forgets what is too old to matter.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn restore(&self) -> Result<Restored, UiError> {
        let now_ms = clock::wall_ms();
        let database = self.lock();
        tidy(&database, now_ms).map_err(failed)?;
        let sql = format!(
            "SELECT {COLUMNS} FROM call WHERE phase <> ?1 OR ended_at_ms >= ?2 ORDER BY offered_at_ms, id"
        );
        let since = now_ms.saturating_sub(millis(ENDED_FOR));
        let calls = rows(&database, &sql, params![StoredPhase::Ended.code(), since]).map_err(failed)?;
        let mut query = database
            .prepare("SELECT id, peer, expires_at_ms, bytes FROM outbox ORDER BY rowid")
            .map_err(failed)?;
        let outbox = query
            .query_map([], |row| {
                Ok(StoredMessage {
                    id: MessageId::from_bytes(row.get(0)?),
                    to: PeerId::from_public_key(row.get(1)?),
                    expires_at_ms: row.get(2)?,
                    bytes: row.get(3)?,
                })
            })
            .and_then(Iterator::collect)
            .map_err(failed)?;
        let mut query = database.prepare("SELECT id FROM applied ORDER BY at_ms, rowid").map_err(failed)?;
        let seen = query
            .query_map([], |row| Ok(MessageId::from_bytes(row.get(0)?)))
            .and_then(Iterator::collect)
            .map_err(failed)?;
        Ok(Restored { calls: calls.into_iter().map(|row| row.call).collect(), outbox, seen })
    }

    /// The log: ended calls, newest first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn recent(&self, limit: usize) -> Result<Vec<RecentRow>, UiError> {
        if let Some(kept) = &*self.recent.lock().unwrap_or_else(PoisonError::into_inner)
            && kept.len() <= limit
        {
            return Ok(kept.clone());
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM call WHERE phase = ?1 AND NOT hidden ORDER BY offered_at_ms DESC, id LIMIT ?2"
        );
        let found = rows(&self.lock(), &sql, params![StoredPhase::Ended.code(), limit]).map_err(failed)?;
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    /// Every line of the log has been seen.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn mark_recent_seen(&self) -> Result<(), UiError> {
        self.change_log("UPDATE call SET seen = 1 WHERE phase = 'ended' AND NOT seen")
    }

    /// Empties the log. The rows stay for a day, unseen, so that late copies of their offers do not ring again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn clear_recent(&self) -> Result<(), UiError> {
        self.change_log("UPDATE call SET hidden = 1 WHERE phase = 'ended'")
    }

    fn change_log(&self, sql: &str) -> Result<(), UiError> {
        let done = self.lock().execute(sql, []).map(drop).map_err(failed);
        self.forget_recent();
        done
    }
}

impl RecentRow {
    /// The line as the page shows it; `None` while the call is not over. `name`: who it was with.
    pub(crate) fn to_recent(&self, name: String) -> Option<Recent> {
        let call = &self.call;
        let reason = call.end.as_ref()?;
        let outcome = Outcome::of(call.direction, call.active_since_ms.is_some(), reason);
        let message = if let EndReason::Declined(message) = reason { message.clone() } else { None };
        let talked = |since: u64| call.ended_at_ms.unwrap_or(call.alive_at_ms).saturating_sub(since);
        Some(Recent {
            call: call.id,
            peer_id: call.peer,
            name,
            direction: match call.direction {
                Direction::Outgoing => view::Direction::Outgoing,
                Direction::Incoming => view::Direction::Incoming,
            },
            media: match call.media {
                MediaKind::Voice => Media::Voice,
                MediaKind::Video => Media::Video,
            },
            at_ms: call.offered_at_ms,
            duration_ms: call.active_since_ms.map_or(0, talked),
            outcome: RecentOutcome::from_code(outcome.code()).unwrap_or(RecentOutcome::Failed),
            text: line(outcome, call.media).to_owned(),
            message,
            // Only a missed call wants to be noticed.
            seen: self.seen || outcome != Outcome::Missed,
        })
    }
}

fn line(outcome: Outcome, media: MediaKind) -> &'static str {
    match (outcome, media) {
        (Outcome::Answered, MediaKind::Voice) => "Voice call",
        (Outcome::Answered, MediaKind::Video) => "Video call",
        (Outcome::Missed, MediaKind::Voice) => "Missed voice call",
        (Outcome::Missed, MediaKind::Video) => "Missed video call",
        (Outcome::Declined, _) => "Declined",
        (Outcome::Busy, _) => "Busy",
        (Outcome::Cancelled, _) => "Cancelled",
        (Outcome::NoAnswer, _) => "No answer",
        (Outcome::Failed, _) => "Failed",
        (Outcome::Lost, _) => "Connection lost",
    }
}

fn write(database: &Connection, transaction: &Transaction, now_ms: u64) -> rusqlite::Result<()> {
    // What the person did with the line (seen, hidden) is not the call's to change.
    let mut put = database.prepare_cached(
        "INSERT INTO call (id, peer, direction, media, phase, alert, hold_local, hold_remote, offered_at_ms,
            expires_at_ms, active_since_ms, alive_at_ms, ended_at_ms, end_code, end_detail, seq_out, seq_in)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
        ON CONFLICT (id) DO UPDATE SET phase = ?5, alert = ?6, hold_local = ?7, hold_remote = ?8, expires_at_ms = ?10,
            active_since_ms = ?11, alive_at_ms = ?12, ended_at_ms = ?13, end_code = ?14, end_detail = ?15,
            seq_out = ?16, seq_in = ?17",
    )?;
    for call in &transaction.calls {
        put.execute(params![
            call.id.as_bytes(),
            call.peer.public_key(),
            direction_word(call.direction),
            media_word(call.media),
            call.phase.code(),
            alert_word(call.alert),
            call.hold_local,
            call.hold_remote,
            call.offered_at_ms,
            call.expires_at_ms,
            call.active_since_ms,
            call.alive_at_ms,
            call.ended_at_ms,
            call.end.as_ref().map(EndReason::code),
            call.end.as_ref().and_then(EndReason::detail),
            call.seq_out,
            call.seq_in,
        ])?;
    }
    let mut add = database.prepare_cached(
        "INSERT OR REPLACE INTO outbox (id, peer, expires_at_ms, bytes) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for message in &transaction.outbox_add {
        add.execute(params![
            message.id.as_bytes(),
            message.to.public_key(),
            message.expires_at_ms,
            message.bytes
        ])?;
    }
    let mut remove = database.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    for id in &transaction.outbox_remove {
        remove.execute([id.as_bytes()])?;
    }
    let mut apply = database.prepare_cached("INSERT OR IGNORE INTO applied (id, at_ms) VALUES (?1, ?2)")?;
    for id in &transaction.seen_add {
        apply.execute(params![id.as_bytes(), now_ms])?;
    }
    Ok(())
}

fn tidy(database: &Connection, now_ms: u64) -> rusqlite::Result<()> {
    let before = |age| now_ms.saturating_sub(millis(age));
    database.execute("DELETE FROM applied WHERE at_ms < ?1", [before(APPLIED_FOR)])?;
    database.execute(
        "DELETE FROM call WHERE phase = 'ended' AND ended_at_ms < ?1 AND (hidden OR id NOT IN
            (SELECT id FROM call ORDER BY offered_at_ms DESC LIMIT ?2))",
        params![before(ENDED_FOR), MAX_LOG],
    )?;
    Ok(())
}

fn rows(database: &Connection, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<RecentRow>> {
    let mut query = database.prepare_cached(sql)?;
    let mut out = Vec::new();
    for row in query.query_map(values, read)? {
        match row? {
            Some(row) => out.push(row),
            // One line that can't be read must not hide the others.
            None => tracing::warn!("a call in the store can't be read; it is left out"),
        }
    }
    Ok(out)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<RecentRow>> {
    let text = |at: usize| row.get::<_, String>(at);
    let (code, detail): (Option<String>, Option<String>) = (row.get(13)?, row.get(14)?);
    let end = code.as_deref().and_then(|code| EndReason::from_parts(code, detail.as_deref()));
    let words = (direction(&text(2)?), media(&text(3)?), StoredPhase::from_code(&text(4)?), alert(&text(5)?));
    let (Some(direction), Some(media), Some(phase), Some(alert)) = words else { return Ok(None) };
    if (phase == StoredPhase::Ended) != end.is_some() {
        return Ok(None);
    }
    let call = StoredCall {
        id: CallId::from_bytes(row.get(0)?),
        peer: PeerId::from_public_key(row.get(1)?),
        direction,
        media,
        phase,
        alert,
        hold_local: row.get(6)?,
        hold_remote: row.get(7)?,
        offered_at_ms: row.get(8)?,
        expires_at_ms: row.get(9)?,
        active_since_ms: row.get(10)?,
        alive_at_ms: row.get(11)?,
        ended_at_ms: row.get(12)?,
        end,
        seq_out: row.get(15)?,
        seq_in: row.get(16)?,
    };
    Ok(Some(RecentRow { call, seen: row.get(17)? }))
}

fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Outgoing => "outgoing",
        Direction::Incoming => "incoming",
    }
}

fn direction(word: &str) -> Option<Direction> {
    [Direction::Outgoing, Direction::Incoming].into_iter().find(|d| direction_word(*d) == word)
}

fn media_word(media: MediaKind) -> &'static str {
    match media {
        MediaKind::Voice => "voice",
        MediaKind::Video => "video",
    }
}

fn media(word: &str) -> Option<MediaKind> {
    [MediaKind::Voice, MediaKind::Video].into_iter().find(|m| media_word(*m) == word)
}

fn alert_word(alert: Alert) -> &'static str {
    match alert {
        Alert::Ring => "ring",
        Alert::Waiting => "waiting",
        Alert::Request => "request",
    }
}

fn alert(word: &str) -> Option<Alert> {
    [Alert::Ring, Alert::Waiting, Alert::Request].into_iter().find(|a| alert_word(*a) == word)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
