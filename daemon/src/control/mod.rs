//! The door for this user's own programs: a socket (on Windows a pipe) that nobody else can open.
//!
//! It speaks the same HTTP as the page's port, without the browser's guard and without tokens: the operating system has
//! checked who is there.

mod client;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod os;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::paths::Paths;
use crate::web::protocol::UiError;
use crate::web::{Limits, serve_connection};

pub(crate) use client::{CallError, Client, Lines};
pub(crate) use os::Listener;

/// Programs at once; `ahoy call` holds two.
const MAX_CONNECTIONS: usize = 64;
/// Pause after a failed accept, so that it does not turn into a busy loop.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Opens the door. The caller holds the folder's lock, so whatever lies at the path is left over from a daemon that is
/// gone.
///
/// # Errors
/// When the system refuses.
pub(crate) fn listen(paths: &Paths) -> Result<Listener, UiError> {
    Listener::bind(&paths.control).map_err(|error| {
        UiError::new(
            format!("The control socket {} can't be made: {error}.", paths.control.display()),
            "Nothing was changed.",
            "Check who owns that folder, or choose another with --data DIR.",
        )
    })
}

/// Serves until dropped.
pub(crate) async fn serve(mut listener: Listener, router: Router, limits: Limits) {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket takes no connection just now");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let Ok(seat) = seats.clone().try_acquire_owned() else { continue };
        let router = router.clone();
        connections.spawn(async move {
            serve_connection(stream, router, limits).await;
            drop(seat);
        });
    }
}
