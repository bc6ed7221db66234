//! One page's socket: a token first, then views out, commands in, levels while wanted.
//!
//! All of it is one loop, so nothing piles up: while a slow page is being written to, newer views replace each other in
//! the watch, and a page that takes too long for one message is gone.

use std::future::pending;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::protocol::{ByeReason, FromPage, Levels, Reply, RequestId, ToPage, UiError};
use super::routes::Refused;
use super::state::{Caller, WebState};

/// Commands of one page that may be under way; a page waits for its answers, so more is a broken page.
const MAX_PENDING: usize = 32;

/// The socket of a page: `FromPage` in, `ToPage` out, one JSON message a frame; the first is `auth`, within 2 s.
#[utoipa::path(get, path = "/api/v1/socket", tag = "state", responses(
    (status = 101, description = "A WebSocket that speaks `FromPage` and `ToPage`"),
    (status = 400, description = "Not an opening of a WebSocket"),
    (status = 503, description = "Too many pages are open", body = super::routes::RefusedBody),
))]
pub(super) async fn socket(
    State(state): State<Arc<WebState>>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refused> {
    let seat = state.sockets.clone().try_acquire_owned().map_err(|_| {
        Refused::busy(UiError::new(
            "Too many pages of Ahoy are open.",
            "Those that are open go on.",
            "Close one, then load this page again.",
        ))
    })?;
    let size = state.limits.message;
    let upgrade = upgrade.max_message_size(size).max_frame_size(size).write_buffer_size(0);
    Ok(upgrade.on_upgrade(move |socket| serve(socket, state, seat)).into_response())
}

/// Why a socket ends.
pub(super) enum End {
    /// The other side is gone, too slow, or breaks the rules: nothing more can be said.
    Gone,
    /// It is told why.
    Bye(ByeReason),
}

async fn serve(mut socket: WebSocket, state: Arc<WebState>, seat: OwnedSemaphorePermit) {
    let end = match authenticate(&mut socket, &state).await {
        Ok(session) => Page::new(socket, state, session).run().await,
        Err(end) => (socket, state, end),
    };
    let (mut socket, state, end) = end;
    if let End::Bye(reason) = end {
        say_bye(&mut socket, &state, reason, text(&ToPage::Bye { reason })).await;
    }
    drop(seat);
}

/// The last words on a socket, as far as the other side still reads.
pub(super) async fn say_bye(
    socket: &mut WebSocket,
    state: &WebState,
    reason: ByeReason,
    words: Option<Message>,
) {
    let code = match reason {
        ByeReason::Stopping => close_code::AWAY,
        ByeReason::Revoked | ByeReason::Unauthorised => close_code::POLICY,
    };
    let close = Message::Close(Some(CloseFrame { code, reason: "".into() }));
    for message in [words, Some(close)].into_iter().flatten() {
        // Best effort: it may be gone already.
        let _ = timeout(state.limits.send, socket.send(message)).await;
    }
}

/// Waits for the first message, which must be a good token. Nothing else is read before it.
pub(super) async fn authenticate(socket: &mut WebSocket, state: &WebState) -> Result<String, End> {
    let first = timeout(state.limits.auth, socket.recv()).await;
    let Ok(Some(Ok(Message::Text(first)))) = first else { return Err(End::Bye(ByeReason::Unauthorised)) };
    let Ok(FromPage::Auth { token }) = serde_json::from_str(&first) else {
        return Err(End::Bye(ByeReason::Unauthorised));
    };
    match state.session(&token) {
        Ok(Some(session)) => Ok(session),
        Ok(None) => Err(End::Bye(ByeReason::Unauthorised)),
        Err(error) => {
            tracing::warn!(%error, "a page's session can't be looked up");
            Err(End::Gone)
        }
    }
}

/// Ends the socket of a browser whose session was revoked.
pub(super) fn still_signed_in(state: &WebState, session: &str) -> Result<(), End> {
    match state.sessions.list(&state.store, Some(session), (state.times.wall_ms)()) {
        Ok(list) if !list.iter().any(|session| session.current) => Err(End::Bye(ByeReason::Revoked)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A page that may do everything.
struct Page {
    socket: WebSocket,
    state: Arc<WebState>,
    caller: Caller,
    session: String,
    pending: JoinSet<(RequestId, Result<serde_json::Value, UiError>)>,
    levels: Option<tokio::time::Interval>,
}

impl Page {
    fn new(socket: WebSocket, state: Arc<WebState>, session: String) -> Page {
        let caller = Caller::Browser { session: session.clone() };
        Page { socket, state, caller, session, pending: JoinSet::new(), levels: None }
    }

    async fn run(mut self) -> (WebSocket, Arc<WebState>, End) {
        let end = match self.talk().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        (self.socket, self.state, end)
    }

    async fn talk(&mut self) -> Result<std::convert::Infallible, End> {
        let mut view = self.state.app.view();
        let mut sessions = self.state.sessions.changes();
        let mut next_view_at = Instant::now();
        let mut due = true;
        loop {
            tokio::select! {
                message = self.socket.recv() => self.on_message(message).await?,
                Some(done) = self.pending.join_next(), if !self.pending.is_empty() => {
                    // A task that panicked has no answer; the page times out on it.
                    if let Ok((id, result)) = done {
                        self.send(&ToPage::Reply(Reply::new(id, result))).await?;
                    }
                }
                changed = view.changed(), if !due => match changed {
                    Ok(()) => due = true,
                    Err(_) => return Err(End::Bye(ByeReason::Stopping)),
                },
                changed = sessions.changed(), if !due => {
                    // The sender lives in the state we hold.
                    let _ = changed;
                    still_signed_in(&self.state, &self.session)?;
                    due = true;
                }
                () = tokio::time::sleep_until(next_view_at), if due => {
                    let latest = view.borrow_and_update().clone();
                    let shown = self.state.view_for(&latest, &self.caller).map_err(|error| {
                        tracing::warn!(%error, "a page can't be shown its view");
                        End::Gone
                    })?;
                    self.send(&ToPage::View { view: Box::new(shown) }).await?;
                    next_view_at = Instant::now() + self.state.limits.view_every;
                    due = false;
                }
                () = tick(self.levels.as_mut()) => {
                    let levels: Levels = self.state.app.levels();
                    self.send(&ToPage::Levels(levels)).await?;
                }
            }
        }
    }

    async fn on_message(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let Some(Ok(message)) = message else { return Err(End::Gone) };
        let text = match message {
            Message::Text(text) => text,
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Binary(_) | Message::Close(_) => return Err(End::Gone),
        };
        match serde_json::from_str(&text) {
            Ok(FromPage::Command { id, command }) => {
                if self.pending.len() >= MAX_PENDING {
                    return self.send(&ToPage::Reply(Reply::new(id, Err(too_many())))).await;
                }
                let state = self.state.clone();
                self.pending.spawn(async move { (id, state.carry_out(id.0, command).await) });
                Ok(())
            }
            Ok(FromPage::Levels { on }) => {
                self.levels = on.then(|| {
                    let mut every = interval(self.state.limits.levels_every);
                    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    every
                });
                Ok(())
            }
            // A second token changes nothing.
            Ok(FromPage::Auth { .. }) => Ok(()),
            Err(error) => self.not_understood(&text, &error.to_string()).await,
        }
    }

    /// Answers what is no message, if it at least has an id; a page of another version hears that its wish was not met.
    async fn not_understood(&mut self, text: &str, why: &str) -> Result<(), End> {
        tracing::debug!(%why, "a page said something that is no message");
        let value: serde_json::Value = serde_json::from_str(text).map_err(|_| End::Gone)?;
        let Some(id) = value.get("id").and_then(|id| id.as_str()).and_then(|id| id.parse().ok()) else {
            return Ok(());
        };
        let error = UiError::new(
            format!("The page asked for something that this daemon can't do ({why})."),
            "Everything else works.",
            "Load the page again.",
        );
        self.send(&ToPage::Reply(Reply::new(id, Err(error)))).await
    }

    async fn send(&mut self, message: &ToPage) -> Result<(), End> {
        let Some(message) = text(message) else { return Ok(()) };
        match timeout(self.state.limits.send, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // Gone, or too slow to be of use to anybody; it comes back and gets the latest view.
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

async fn tick(levels: Option<&mut tokio::time::Interval>) {
    match levels {
        Some(every) => drop(every.tick().await),
        None => pending().await,
    }
}

fn text(message: &ToPage) -> Option<Message> {
    match serde_json::to_string(message) {
        Ok(text) => Some(Message::Text(text.into())),
        Err(error) => {
            tracing::error!(%error, "a message to a page can't be written");
            None
        }
    }
}

fn too_many() -> UiError {
    UiError::new(
        "Too many things are under way from this page.",
        "Those go on.",
        "Wait a moment, then try again.",
    )
}
