//! What the handlers of requests share, and who is asking.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahoy_base::Moment;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use tokio::sync::Semaphore;

use super::assets::Assets;
use super::codes::Codes;
use super::protocol::{Command, UiError};
use super::routes::Refused;
use super::sessions::Sessions;
use crate::app_handle::AppHandle;
use crate::clock;
use crate::config::Effective;
use crate::paths::Paths;
use crate::store::Store;
use crate::video::hub::VideoHub;
use crate::view::View;

/// Pages that may be open at once; each costs a view's size of memory.
const MAX_SOCKETS: usize = 16;
/// Readers of `/api/v1/events` at once.
const MAX_READERS: usize = 16;

/// Where the time comes from; tests bring their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// CLOCK_MONOTONIC.
    pub(crate) now: fn() -> Moment,
    /// The wall clock, milliseconds since 1970.
    pub(crate) wall_ms: fn() -> u64,
}

impl Times {
    /// The machine's clocks.
    pub(crate) const SYSTEM: Times = Times { now: clock::now, wall_ms: clock::wall_ms };
}

/// How long anybody may take, and how much they may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From a socket's opening to its token.
    pub(crate) auth: Duration,
    /// For the head of a request.
    pub(crate) head: Duration,
    /// For the body of a request.
    pub(crate) body: Duration,
    /// For one message to leave to a page; a page that reads slower is gone.
    pub(crate) send: Duration,
    /// Between two views.
    pub(crate) view_every: Duration,
    /// Between two levels.
    pub(crate) levels_every: Duration,
    /// Bytes of a body or a message.
    pub(crate) message: usize,
    /// Connections of browsers at once; a browser holds six and the sockets.
    pub(crate) connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            auth: Duration::from_secs(2),
            head: Duration::from_secs(10),
            body: Duration::from_secs(5),
            send: Duration::from_secs(10),
            view_every: Duration::from_millis(50),
            levels_every: Duration::from_millis(100),
            message: 64 * 1024,
            connections: 128,
        }
    }
}

/// Shared by all handlers.
pub(crate) struct WebState {
    /// The way to the app.
    pub(super) app: AppHandle,
    /// Where pictures pass.
    pub(super) video: VideoHub,
    /// Where sessions are kept.
    pub(super) store: Store,
    pub(super) sessions: Sessions,
    codes: Mutex<Codes>,
    /// The page's files.
    pub(super) assets: Assets,
    /// `ahoy config` of this daemon.
    pub(super) config: Vec<Effective>,
    /// Where this daemon keeps its data.
    pub(super) paths: Paths,
    /// The page's port, if there is a page.
    pub(super) port: Option<u16>,
    pub(super) times: Times,
    pub(super) limits: Limits,
    pub(super) sockets: Arc<Semaphore>,
    pub(super) media_sockets: Arc<Semaphore>,
    pub(super) readers: Arc<Semaphore>,
}

impl WebState {
    /// The state of a daemon whose page listens on `port`.
    pub(crate) fn new(
        app: AppHandle,
        video: VideoHub,
        store: Store,
        paths: Paths,
        config: Vec<Effective>,
        port: Option<u16>,
    ) -> WebState {
        WebState {
            app,
            video,
            store,
            sessions: Sessions::new(),
            codes: Mutex::default(),
            assets: super::assets::embedded,
            config,
            paths,
            port,
            times: Times::SYSTEM,
            limits: Limits::default(),
            sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
            media_sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
            readers: Arc::new(Semaphore::new(MAX_READERS)),
        }
    }

    /// Other clocks, limits and files, for tests.
    #[cfg(test)]
    pub(crate) fn with(self, times: Times, limits: Limits, assets: Assets) -> WebState {
        WebState { times, limits, assets, ..self }
    }

    /// The page's address, if there is a page.
    pub(crate) fn address(&self) -> Option<String> {
        self.port.map(|port| format!("http://localhost:{port}/"))
    }

    /// The bounds in force.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Resolves once no page holds a socket.
    pub(crate) async fn pages_gone(&self) {
        let all = u32::try_from(MAX_SOCKETS).unwrap_or(u32::MAX);
        // The semaphore is never closed; if it were, nobody would be there either.
        let _ = self.sockets.acquire_many(all).await;
    }

    pub(super) fn codes(&self) -> MutexGuard<'_, Codes> {
        // Codes are changed in one step each; a panic elsewhere leaves them whole.
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view as `caller` sees it: with the list of browsers, theirs marked.
    pub(super) fn view_for(&self, view: &View, caller: &Caller) -> Result<View, UiError> {
        let current = match caller {
            Caller::Browser { session } => Some(session.as_str()),
            Caller::Owner => None,
        };
        let sessions = self.sessions.list(&self.store, current, (self.times.wall_ms)())?;
        Ok(View { sessions, ..view.clone() })
    }

    /// Has a command carried out: those about browsers here, all others by the app.
    pub(super) async fn carry_out(
        &self,
        id: [u8; 16],
        command: Command,
    ) -> Result<serde_json::Value, UiError> {
        if let Command::RevokeSession { id } = command {
            return self.sessions.revoke(&self.store, &id).map(|()| serde_json::json!({}));
        }
        self.app.command(id, command).await
    }

    /// The session of a token.
    pub(super) fn session(&self, token: &str) -> Result<Option<String>, UiError> {
        Ok(self.sessions.check(&self.store, token, (self.times.wall_ms)())?.map(|row| row.id))
    }
}

/// Through which door a request came; put beside each request by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The TCP port: anybody on this machine could be there, so a token is asked for.
    Page,
    /// The control socket: the operating system has checked that it is this user.
    Control,
}

/// Who asks, known to be allowed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A browser that holds a session.
    Browser {
        /// Which.
        session: String,
    },
    /// This user, over the control socket.
    Owner,
}

impl FromRequestParts<Arc<WebState>> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<WebState>) -> Result<Caller, Refused> {
        if parts.extensions.get() == Some(&Door::Control) {
            return Ok(Caller::Owner);
        }
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(Refused::unauthorised)?;
        let session = state.session(token).map_err(Refused::broken)?.ok_or_else(Refused::unauthorised)?;
        Ok(Caller::Browser { session })
    }
}
