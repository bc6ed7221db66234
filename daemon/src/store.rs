//! What is kept on disk: contacts, calls, waiting messages, settings, browser sessions. One SQLite file.
//!
//! [`Store::commit`] is durable when it returns: write-ahead log, `synchronous = FULL`, one transaction. A file that is
//! damaged, or of a newer version, is named and left as it is (docs/decisions/0014-store.md). Calls block for the disk,
//! a few milliseconds; the loop of the app may wait that long, sound never does: it has threads of its own.

mod calls;
mod contacts;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use crate::paths::{narrow_file, private_file};
use crate::view::Settings;
use crate::web::protocol::UiError;

pub(crate) use calls::RecentRow;
pub(crate) use contacts::ContactRow;
pub(crate) use sessions::SessionRow;

/// Cheap to clone; all clones are one connection.
#[derive(Clone)]
pub(crate) struct Store {
    database: Arc<Mutex<Connection>>,
    /// The log of calls as last read, until something changes it: views are made many times a second.
    recent: Arc<Mutex<Option<Vec<RecentRow>>>>,
}

impl Store {
    /// Opens the file, makes it if there is none, and brings an older one up to date (keeping a copy of it).
    ///
    /// # Errors
    /// When the file is damaged, newer than this program, in use, or can't be written. It is never changed then.
    pub(crate) fn open(path: &Path) -> Result<Store, UiError> {
        let existed = path.exists();
        if existed {
            narrow_file(path).map_err(|error| unusable(path, &error))?;
        } else {
            // Made here so that it is private from its first byte; SQLite gives its side files the same rights.
            private_file().create_new(true).open(path).map_err(|error| unusable(path, &error))?;
        }
        let open = || -> rusqlite::Result<Connection> {
            let database = Connection::open(path)?;
            schema::check(&database)?;
            Ok(database)
        };
        let mut database = open().map_err(|error| refused(path, &error))?;
        schema::prepare(&mut database, path).map_err(|trouble| match trouble {
            schema::Trouble::Newer { found, known } => newer(path, found, known),
            schema::Trouble::Sql(error) => refused(path, &error),
        })?;
        Ok(Store::over(database))
    }

    /// A store that forgets everything when dropped.
    ///
    /// # Errors
    /// When SQLite can't start at all.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Result<Store, UiError> {
        let mut database = Connection::open_in_memory().map_err(failed)?;
        schema::prepare(&mut database, Path::new("")).map_err(|_| {
            UiError::new("A store in memory could not be made.", "Nothing was changed.", "Restart Ahoy.")
        })?;
        Ok(Store::over(database))
    }

    fn over(database: Connection) -> Store {
        Store { database: Arc::new(Mutex::new(database)), recent: Arc::default() }
    }

    /// A value kept under a name: the person's name, chosen devices, the last port.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn value(&self, key: &str) -> Result<Option<String>, UiError> {
        let sql = "SELECT text FROM value WHERE key = ?1";
        self.lock().query_row(sql, [key], |row| row.get(0)).optional().map_err(failed)
    }

    /// Keeps a value under a name.
    ///
    /// # Errors
    /// When the disk refuses; the old value stays.
    pub(crate) fn set_value(&self, key: &str, text: &str) -> Result<(), UiError> {
        let sql = "INSERT INTO value (key, text) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET text = ?2";
        self.lock().execute(sql, [key, text]).map(drop).map_err(failed)
    }

    /// The settings; defaults where none were kept, or where they are of another version.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn settings(&self) -> Result<Settings, UiError> {
        let Some(text) = self.value("settings")? else { return Ok(Settings::default()) };
        let mut settings = Settings::default();
        match serde_json::from_str(&text) {
            Ok(changes) => settings.apply(&changes),
            Err(error) => tracing::warn!(%error, "the kept settings can't be read; defaults are used"),
        }
        Ok(settings)
    }

    /// Keeps the settings.
    ///
    /// # Errors
    /// When the disk refuses; the old ones stay.
    pub(crate) fn set_settings(&self, settings: &Settings) -> Result<(), UiError> {
        let text = serde_json::to_string(settings).map_err(|error| {
            UiError::new(
                format!("The settings can't be kept: {error}."),
                "The old ones stay.",
                "Report this.",
            )
        })?;
        self.set_value("settings", &text)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves the connection whole: SQLite rolls back what was not committed.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_recent(&self) {
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A failure while running, in words.
fn failed(error: rusqlite::Error) -> UiError {
    UiError::new(
        format!("Ahoy's database refused: {error}."),
        "Calls go on; what is said here may be forgotten at the next start.",
        "See whether the disk is full or can't be written, then restart Ahoy.",
    )
}

fn refused(path: &Path, error: &rusqlite::Error) -> UiError {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => UiError::new(
            format!("The file {shown} with your contacts and calls is damaged."),
            "Nothing was changed; your identity is in another file and not touched.",
            format!(
                "Put a backup in its place, or move it away (mv '{shown}' '{shown}.damaged') and start again."
            ),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => UiError::new(
            format!("Another program holds the file {shown}."),
            "Nothing was changed.",
            "Close the other program, then start again.",
        ),
        Some(_) | None => UiError::new(
            format!("The file {shown} can't be used: {error}."),
            "Nothing was changed.",
            "Check who owns it and whether the disk is full.",
        ),
    }
}

fn newer(path: &Path, found: u32, known: u32) -> UiError {
    UiError::new(
        format!(
            "The file {} was written by a newer version of Ahoy (form {found}, this one reads up to {known}).",
            path.display()
        ),
        "Nothing was changed.",
        "Start the newer version, or use another folder with --data DIR.",
    )
}

fn unusable(path: &Path, error: &std::io::Error) -> UiError {
    UiError::new(
        format!("The file {} can't be used: {error}.", path.display()),
        "Nothing was changed.",
        "Check who owns it and whether the disk is full.",
    )
}
