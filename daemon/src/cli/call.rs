//! `ahoy call`: rings, prints one event a line until the call ends, hangs up on Ctrl-C.

use std::time::Duration;

use ahoy_base::CallId;
use serde_json::Value;

use super::doctor;
use super::out::{Failure, Out};
use crate::app_handle::AppEvent;
use crate::control::{Client, Lines};
use crate::doctor as examination;
use crate::view::{Media, View};
use crate::web::media_protocol::TrackName;
use crate::web::protocol::{Command, UiError};

/// How long the end of a call may take after Ctrl-C.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Whom to call, and what to show them.
pub(super) struct Wish {
    /// A name, PeerId, contact card or address.
    pub(super) who: String,
    /// The camera.
    pub(super) video: bool,
    /// The screen.
    pub(super) screen: bool,
}

/// Calls somebody and stays until the end. Done is a call in which the two could talk.
pub(super) async fn call(client: &Client, wish: Wish, out: &mut Out) -> Result<(), Failure> {
    // Before the call, so that not one event is missed.
    let mut events = client.events().await?;
    let media = if wish.video { Media::Video } else { Media::Voice };
    let dialled = client.command(&Command::Dial { who: wish.who, media }).await?;
    let call: CallId =
        dialled.get("call").and_then(Value::as_str).and_then(|id| id.parse().ok()).ok_or_else(|| {
            UiError::new("The daemon did not say which call it began.", "It may ring.", "See `ahoy calls`.")
        })?;
    if wish.screen {
        // Seen once they answer.
        client.command(&Command::Picture { call, track: TrackName::Screen, on: true, source: None }).await?;
    }
    let stop = interrupted();
    tokio::pin!(stop);
    let mut talked = already_talking(client, call).await;
    let mut last_event_within = None;
    loop {
        let next = next_of(&mut events, call);
        let event = tokio::select! {
            event = next => event,
            () = &mut stop, if last_event_within.is_none() => {
                client.command(&Command::HangUp { call }).await?;
                last_event_within = Some(tokio::time::Instant::now() + END_WITHIN);
                continue;
            }
            () = at(last_event_within) => return Err(no_end()),
        };
        let Some(event) = event else { return Err(daemon_gone()) };
        print(&event, out)?;
        match event.event.as_str() {
            "active" => talked = true,
            "ended" => {
                return if talked || last_event_within.is_some() {
                    Ok(())
                } else {
                    Err(not_reached(client, call, &event).await)
                };
            }
            _ => {}
        }
    }
}

/// The next event of this call.
pub(super) async fn next_of(events: &mut Lines, call: CallId) -> Option<AppEvent> {
    loop {
        let event: AppEvent = events.next().await?;
        if event.call == Some(call) {
            return Some(event);
        }
    }
}

fn print(event: &AppEvent, out: &mut Out) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(event);
    }
    if event.event == "echo_test"
        && let Ok(test) = serde_json::from_value(Value::Object(event.more.clone()))
    {
        return doctor::print(&examination::echo_test(Some(&test)), out);
    }
    let mut line = event.event.replace('_', " ");
    for (key, value) in &event.more {
        match value {
            Value::Null => {}
            Value::String(text) => line.push_str(&format!("  {key} {text}")),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                line.push_str(&format!("  {key} {value}"));
            }
        }
    }
    out.line(&line)
}

/// A call with the same person that ran before is taken up, not begun.
async fn already_talking(client: &Client, call: CallId) -> bool {
    let view = client.get::<View>("/api/v1/view").await.ok();
    view.is_some_and(|view| view.calls.iter().any(|one| one.id == call && one.active_since_ms.is_some()))
}

async fn not_reached(client: &Client, call: CallId, event: &AppEvent) -> Failure {
    let reason = event.more.get("reason").and_then(Value::as_str).unwrap_or("ended").replace('_', " ");
    let view = client.get::<View>("/api/v1/view").await.ok();
    let ended =
        view.and_then(|view| view.calls.into_iter().find(|one| one.id == call)).and_then(|one| one.ended);
    Failure::Refused(match ended {
        Some(ended) => UiError::new(ended.text, "", ""),
        None => {
            UiError::new(format!("The call ended: {reason}."), "Nothing else is touched.", "Try again later.")
        }
    })
}

fn no_end() -> Failure {
    Failure::Refused(UiError::new(
        "The call was told to end, and has not ended within 3 s.",
        "The daemon goes on ending it.",
        "See `ahoy calls`.",
    ))
}

fn daemon_gone() -> Failure {
    Failure::Refused(UiError::new(
        "Ahoy stopped during the call.",
        "The other side hears of it within seconds.",
        "Start it again with `ahoy`; it offers to join the call again.",
    ))
}

async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Resolves on Ctrl-C, or when the system asks this program to end.
pub(super) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
        let waits = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures::future::select_all(waits).await;
    }
    #[cfg(not(unix))]
    // Without a way to hear Ctrl-C it simply ends this program; the call goes on in the daemon.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
