//! What happens, one JSON object a line, for as long as the reader stays: the command line and scripts live on it.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::protocol::UiError;
use super::routes::Refused;
use super::state::{Caller, WebState};
use crate::app_handle::{AppEvent, stopping};

/// Streams events from the moment of the request on; the head of the answer says that none is missed from then on.
#[utoipa::path(get, path = "/api/v1/events", tag = "state", responses(
    (status = 200, description = "One event a line, from now on", body = AppEvent, content_type = "application/x-ndjson"),
    (status = 401, description = "Who is asking?", body = super::routes::RefusedBody),
    (status = 503, description = "Too many readers", body = super::routes::RefusedBody),
))]
pub(super) async fn events(State(state): State<Arc<WebState>>, _: Caller) -> Result<Response, Refused> {
    let seat = state.readers.clone().try_acquire_owned().map_err(|_| {
        Refused::busy(UiError::new(
            "Too many programs read events.",
            "Those that do go on.",
            "Close one, then try again.",
        ))
    })?;
    let events = state.app.events().ok_or_else(|| Refused::busy(stopping()))?;
    let lines = stream::unfold((events, seat), |(mut events, seat)| async move {
        let line = next_line(&mut events).await?;
        Some((Ok::<_, std::convert::Infallible>(line), (events, seat)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

async fn next_line(events: &mut Receiver<AppEvent>) -> Option<Bytes> {
    let mut line = match events.recv().await {
        Ok(event) => serde_json::to_vec(&event).ok()?,
        // Said rather than hidden, so that a script knows to look at the view.
        Err(RecvError::Lagged(n)) => {
            format!("{{\"event\":\"missed_events\",\"t_us\":0,\"count\":{n}}}").into_bytes()
        }
        Err(RecvError::Closed) => return None,
    };
    line.push(b'\n');
    Some(line.into())
}
