//! The address book on disk.

use ahoy_base::PeerId;
use rusqlite::params;

use super::{Store, failed};
use crate::view::{Verified, from_word, word};
use crate::web::protocol::UiError;

/// One entry of the address book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContactRow {
    /// Whose device.
    pub(crate) peer: PeerId,
    /// What this person calls them.
    pub(crate) name: String,
    /// Whether safety numbers were compared.
    pub(crate) verified: Verified,
    /// When they were added, milliseconds since 1970.
    pub(crate) added_at_ms: u64,
    /// Multiaddresses they may be reached at, most promising first.
    pub(crate) addresses: Vec<String>,
    /// From their card: what tells their device that they gave it to this person.
    pub(crate) invite: Option<[u8; 16]>,
    /// Our address is hidden from them: calls go through relays alone.
    pub(crate) hide_address: bool,
}

impl Store {
    /// Everybody, by name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn contacts(&self) -> Result<Vec<ContactRow>, UiError> {
        let database = self.lock();
        let sql = "SELECT peer, name, verified, added_at_ms, addresses, invite, hide_address FROM contact ORDER BY name, peer";
        let mut query = database.prepare_cached(sql).map_err(failed)?;
        let rows = query.query_map([], |row| {
            let addresses: String = row.get(4)?;
            Ok(ContactRow {
                peer: PeerId::from_public_key(row.get(0)?),
                name: row.get(1)?,
                // An unknown word must not turn into trust.
                verified: from_word(&row.get::<_, String>(2)?).unwrap_or(Verified::Unverified),
                added_at_ms: row.get(3)?,
                addresses: addresses.lines().map(str::to_owned).collect(),
                invite: row.get(5)?,
                hide_address: row.get(6)?,
            })
        });
        rows.and_then(Iterator::collect).map_err(failed)
    }

    /// Writes an entry, new or changed.
    ///
    /// # Errors
    /// When the disk refuses; the old entry stays.
    pub(crate) fn put_contact(&self, row: &ContactRow) -> Result<(), UiError> {
        let sql = "INSERT INTO contact (peer, name, verified, added_at_ms, addresses, invite, hide_address)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (peer) DO UPDATE
            SET name = ?2, verified = ?3, added_at_ms = ?4, addresses = ?5, invite = ?6, hide_address = ?7";
        // A multiaddress has no line break; one that somebody made up could only add a broken address.
        let addresses = row.addresses.join("\n");
        let verified = word(&row.verified);
        self.lock()
            .execute(
                sql,
                params![
                    row.peer.public_key(),
                    row.name,
                    verified,
                    row.added_at_ms,
                    addresses,
                    row.invite,
                    row.hide_address
                ],
            )
            .map(drop)
            .map_err(failed)
    }

    /// Takes an entry out; one that is not there is no error.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn remove_contact(&self, peer: PeerId) -> Result<(), UiError> {
        self.lock()
            .execute("DELETE FROM contact WHERE peer = ?1", [peer.public_key()])
            .map(drop)
            .map_err(failed)
    }
}
