//! Which browsers may use this daemon: tokens out, hashes in the store, 90 days since the last use.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::protocol::UiError;
use crate::store::{SessionRow, Store};
use crate::view::BrowserSession;

/// A browser that stays away for longer than this is asked for a code again.
const LIVES: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Browsers of one person on one machine, profiles and private windows included; the oldest makes room.
const MAX_SESSIONS: usize = 32;
/// Uses are written down at most this often: a page asks many times a minute, the disk need not know.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

/// The sessions, and word when they change.
#[derive(Debug)]
pub(super) struct Sessions {
    changed: watch::Sender<u64>,
}

impl Sessions {
    pub(super) fn new() -> Sessions {
        Sessions { changed: watch::Sender::new(0) }
    }

    /// Counts up with each session that begins or ends.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Begins a session. `random`: 32 bytes that become the token, 16 that name it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn begin(
        &self,
        store: &Store,
        browser: String,
        now_ms: u64,
        (token, id): ([u8; 32], [u8; 16]),
    ) -> Result<String, UiError> {
        let token = data_encoding::BASE64URL_NOPAD.encode(&token);
        let row = SessionRow {
            id: data_encoding::HEXLOWER.encode(&id),
            token_hash: hash(&token),
            browser,
            last_used_ms: now_ms,
        };
        store.put_session(&row, oldest(now_ms), MAX_SESSIONS)?;
        self.note();
        Ok(token)
    }

    /// The session of a token, and notes its use.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn check(
        &self,
        store: &Store,
        token: &str,
        now_ms: u64,
    ) -> Result<Option<SessionRow>, UiError> {
        let Some(mut row) = store.session_of(&hash(token), oldest(now_ms))? else { return Ok(None) };
        if now_ms.saturating_sub(row.last_used_ms) >= millis(WRITTEN_EVERY) {
            row.last_used_ms = now_ms;
            store.put_session(&row, oldest(now_ms), MAX_SESSIONS)?;
        }
        Ok(Some(row))
    }

    /// All of them, for people. `current`: the one that looks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn list(
        &self,
        store: &Store,
        current: Option<&str>,
        now_ms: u64,
    ) -> Result<Vec<BrowserSession>, UiError> {
        let shown = |row: SessionRow| BrowserSession {
            current: current == Some(&row.id),
            id: row.id,
            browser: row.browser,
            last_used_ms: row.last_used_ms,
        };
        Ok(store.sessions(oldest(now_ms))?.into_iter().map(shown).collect())
    }

    /// Ends one; its sockets are closed.
    ///
    /// # Errors
    /// When there is none of that id, or the disk refuses.
    pub(super) fn revoke(&self, store: &Store, id: &str) -> Result<(), UiError> {
        if !store.remove_session(id)? {
            return Err(UiError::new(
                "That browser is not signed in any more.",
                "Nothing was changed.",
                "Look at the list again.",
            ));
        }
        self.note();
        Ok(())
    }

    fn note(&self) {
        self.changed.send_modify(|n| *n += 1);
    }
}

/// What a browser calls itself, in words that people know: `Firefox on Linux`. Nothing of the text itself is kept.
pub(super) fn browser_of(user_agent: &str) -> String {
    // The order matters: most browsers claim to be several others as well.
    let browsers = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Vivaldi/", "Vivaldi"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("Chromium/", "Chromium"),
        ("Chrome/", "Chromium"),
        ("Safari/", "Safari"),
    ];
    let systems = [
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("iPhone", "iOS"),
        ("iPad", "iOS"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
        ("BSD", "BSD"),
    ];
    let find = |list: &[(&str, &'static str)]| {
        list.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    match (find(&browsers), find(&systems)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("A browser on {system}"),
        (None, None) => "A browser".to_owned(),
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn oldest(now_ms: u64) -> u64 {
    now_ms.saturating_sub(millis(LIVES))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const DAY: u64 = 24 * 3_600_000;

    fn begin(sessions: &Sessions, store: &Store, n: u8, now_ms: u64) -> String {
        sessions.begin(store, "Firefox on Linux".into(), now_ms, ([n; 32], [n; 16])).unwrap()
    }

    #[test]
    fn a_token_is_good_for_ninety_days_after_its_last_use() {
        let (store, sessions) = (Store::in_memory().unwrap(), Sessions::new());
        let token = begin(&sessions, &store, 1, DAY);
        let good = |at| sessions.check(&store, &token, at).unwrap().is_some();
        assert!(good(DAY * 90) && good(DAY * 179), "each use counts");
        assert!(good(DAY * 269) && !good(DAY * 360));
        assert!(sessions.check(&store, "", DAY).unwrap().is_none());
        assert!(sessions.check(&store, &token.to_lowercase(), DAY).unwrap().is_none());
    }

    #[test]
    fn the_store_holds_no_token() {
        let (store, sessions) = (Store::in_memory().unwrap(), Sessions::new());
        let token = begin(&sessions, &store, 1, DAY);
        let kept = format!("{:?}", store.sessions(0).unwrap());
        assert!(!kept.contains(&token) && !kept.contains(&format!("{:?}", [1u8; 32])), "{kept}");
    }

    #[test]
    fn a_revoked_session_is_gone_at_once_and_others_stay() {
        let (store, sessions) = (Store::in_memory().unwrap(), Sessions::new());
        let (one, two) = (begin(&sessions, &store, 1, DAY), begin(&sessions, &store, 2, DAY + 1));
        let changes = sessions.changes();
        let listed = sessions.list(&store, Some(&"01".repeat(16)), DAY).unwrap();
        assert_eq!(listed.iter().map(|s| s.current).collect::<Vec<_>>(), [false, true]);
        sessions.revoke(&store, &"01".repeat(16)).unwrap();
        assert!(changes.has_changed().unwrap());
        assert!(sessions.check(&store, &one, DAY).unwrap().is_none());
        assert!(sessions.check(&store, &two, DAY).unwrap().is_some());
        assert!(sessions.revoke(&store, "nobody").is_err());
    }

    #[test]
    fn the_oldest_makes_room() {
        let (store, sessions) = (Store::in_memory().unwrap(), Sessions::new());
        let tokens: Vec<_> = (0..33).map(|n| begin(&sessions, &store, n, DAY + u64::from(n))).collect();
        let good = |token: &String| sessions.check(&store, token, DAY + 40).unwrap().is_some();
        assert!(!good(&tokens[0]) && tokens[1..].iter().all(good));
    }

    #[test]
    fn browsers_are_named_for_people() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                "Chromium on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36 Edg/156.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0) AppleWebKit/605 Version/26.0 Safari/605",
                "Safari on macOS",
            ),
            ("curl/8", "A browser"),
            ("<script>", "A browser"),
        ] {
            assert_eq!(browser_of(agent), name);
        }
    }
}
