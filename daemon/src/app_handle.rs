//! The line between the doors (browser, control socket) and the loop of the app: requests in, views and events out.
//!
//! [`connect`] makes both ends. The doors hold clones of [`AppHandle`]; `app.rs` holds the one [`AppEnd`].

use std::sync::Arc;

use ahoy_base::{CallId, Moment};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use utoipa::ToSchema;

use crate::view::View;
use crate::web::protocol::{Command, Levels, UiError};

/// Requests that wait for the app. A page sends one a click; more waiting than this means that the app is stuck.
const MAX_REQUESTS: usize = 64;
/// Events a slow reader may lag behind before it is told that it missed some: hours of calls.
const MAX_EVENTS: usize = 1_024;

/// What the doors ask of the app.
#[derive(Debug)]
pub(crate) enum AppRequest {
    /// Do this, and answer once it is done or refused.
    Command {
        /// The same id twice is one action.
        id: [u8; 16],
        /// What. Never `RevokeSession`: `web/` does that itself.
        command: Command,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Value, UiError>>,
    },
    /// Live figures of running calls (`ahoy stats`, docs/PROTOCOL.md).
    Stats {
        /// Where the answer goes: one JSON object.
        reply: oneshot::Sender<Value>,
    },
    /// Stop the daemon, cleanly. Answered by stopping.
    Stop,
}

/// Something that happened, for the command line and scripts: one JSON object a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AppEvent {
    /// In a word: `dial`, `ringing`, `incoming`, `accepted`, `active`, `reconnecting`, `resumed`, `held`, `ended`, …
    pub(crate) event: String,
    /// Which call, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_call")]
    #[schema(value_type = Option<String>)]
    pub(crate) call: Option<CallId>,
    /// When, CLOCK_MONOTONIC in microseconds.
    pub(crate) t_us: u64,
    /// What belongs to the word, e.g. `reason` and `text` of `ended`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub(crate) more: Map<String, Value>,
}

impl AppEvent {
    /// An event about `call`; `more` must be a JSON object, anything else is left out.
    pub(crate) fn new(at: Moment, event: &str, call: Option<CallId>, more: Value) -> AppEvent {
        let more = if let Value::Object(more) = more { more } else { Map::new() };
        AppEvent { event: event.to_owned(), call, t_us: at.as_micros(), more }
    }
}

/// Reads how loud it is right now. Never blocks.
pub(crate) type LevelsSource = Arc<dyn Fn() -> Levels + Send + Sync>;

/// The doors' end. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppHandle {
    requests: mpsc::Sender<AppRequest>,
    view: watch::Receiver<Arc<View>>,
    events: broadcast::WeakSender<AppEvent>,
    levels: LevelsSource,
}

/// The app's end. Dropping it tells every door that the daemon stops.
pub(crate) struct AppEnd {
    /// What the doors want.
    pub(crate) requests: mpsc::Receiver<AppRequest>,
    /// Where each new view goes; doors show the latest and may skip some.
    pub(crate) view: watch::Sender<Arc<View>>,
    /// Where events go. Sending fails when nobody listens, which is no error.
    pub(crate) events: broadcast::Sender<AppEvent>,
}

/// Makes both ends of the line. `view`: the first one shown. `levels`: called 10 times a second while a page looks.
pub(crate) fn connect(view: View, levels: LevelsSource) -> (AppHandle, AppEnd) {
    let (requests_in, requests) = mpsc::channel(MAX_REQUESTS);
    let (view_in, view) = watch::channel(Arc::new(view));
    let (events, _) = broadcast::channel(MAX_EVENTS);
    let handle = AppHandle { requests: requests_in, view, events: events.downgrade(), levels };
    (handle, AppEnd { requests, view: view_in, events })
}

impl AppHandle {
    /// The latest view, and a way to wait for the next.
    pub(crate) fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Events from here on, until the app is gone; `None` when it is gone already.
    pub(crate) fn events(&self) -> Option<broadcast::Receiver<AppEvent>> {
        self.events.upgrade().map(|events| events.subscribe())
    }

    /// How loud it is.
    pub(crate) fn levels(&self) -> Levels {
        (self.levels)()
    }

    /// Asks the app to do something.
    ///
    /// # Errors
    /// Why it was not done, for a person.
    pub(crate) async fn command(&self, id: [u8; 16], command: Command) -> Result<Value, UiError> {
        let (reply, answer) = oneshot::channel();
        self.ask(AppRequest::Command { id, command, reply }).await?;
        answer.await.map_err(|_| stopping())?
    }

    /// Live figures of running calls.
    ///
    /// # Errors
    /// When the daemon is stopping.
    pub(crate) async fn stats(&self) -> Result<Value, UiError> {
        let (reply, answer) = oneshot::channel();
        self.ask(AppRequest::Stats { reply }).await?;
        answer.await.map_err(|_| stopping())
    }

    /// Asks the daemon to stop.
    ///
    /// # Errors
    /// When it is stopping already.
    pub(crate) async fn stop(&self) -> Result<(), UiError> {
        self.ask(AppRequest::Stop).await
    }

    async fn ask(&self, request: AppRequest) -> Result<(), UiError> {
        self.requests.send(request).await.map_err(|_| stopping())
    }
}

/// What every door says once the app is gone.
pub(crate) fn stopping() -> UiError {
    UiError::new(
        "Ahoy is stopping.",
        "Nothing was changed.",
        "Start it again with `ahoy`, then try once more.",
    )
}

mod optional_call {
    use ahoy_base::CallId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(call: &Option<CallId>, s: S) -> Result<S::Ok, S::Error> {
        match call {
            Some(call) => s.collect_str(call),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<CallId>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        text.map(|t| t.parse().map_err(serde::de::Error::custom)).transpose()
    }
}
