//! Speaks to the daemon over the control socket: what every command but `run` does.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::os;
use crate::paths::Paths;
use crate::web::protocol::{Command, RequestId, UiError};

/// How long the daemon may take to answer; it does everything slow beside its answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Longest answer: a view with thousands of lines is far below.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Longest line of events.
const MAX_LINE: usize = 1024 * 1024;

/// Why a request came to nothing.
#[derive(Debug)]
pub(crate) enum CallError {
    /// No daemon runs with these folders.
    NotRunning,
    /// There is one, and it refused, or broke off.
    Refused(UiError),
}

impl From<CallError> for UiError {
    fn from(error: CallError) -> UiError {
        match error {
            CallError::Refused(error) => error,
            CallError::NotRunning => UiError::new(
                "Ahoy is not running.",
                "Nothing was changed.",
                "Start it with `ahoy` (or `ahoy run` to stay in this terminal).",
            ),
        }
    }
}

/// The way to the daemon of some folders.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    path: PathBuf,
}

impl Client {
    /// The daemon of `paths`, whether it runs or not.
    pub(crate) fn new(paths: &Paths) -> Client {
        Client { path: paths.control.clone() }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// When no daemon runs, it refuses, or its answer is not of the expected shape.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks to have something done.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| broken(&error.to_string()))?;
        self.ask(Method::POST, path, body.into()).await
    }

    /// Has a command carried out and returns what came of it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn command(&self, command: &Command) -> Result<Value, CallError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| broken(&error.to_string()))?;
        let body = json!({ "id": RequestId(id).to_string(), "command": command });
        let answer: Value = self.post("/api/v1/commands", &body).await?;
        Ok(answer.get("result").cloned().unwrap_or_default())
    }

    /// Events from now on.
    ///
    /// # Errors
    /// When no daemon runs, or it refuses.
    pub(crate) async fn events(&self) -> Result<Lines, CallError> {
        let body = self.send(Method::GET, "/api/v1/events", Bytes::new()).await?;
        Ok(Lines { body, waiting: BytesMut::new() })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, CallError> {
        let answer = async {
            let body = self.send(method, path, body).await?;
            collect(body).await
        };
        let bytes =
            tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(|_| broken("no answer in 15 s"))??;
        serde_json::from_slice(&bytes).map_err(|error| broken(&error.to_string()))
    }

    /// Sends a request and returns the body of a good answer.
    #[expect(clippy::wildcard_enum_match_arm, reason = "two kinds mean that nobody listens")]
    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Incoming, CallError> {
        let stream = os::connect(&self.path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NotRunning,
            _ => broken(&error.to_string()),
        })?;
        let failed = |error: hyper::Error| broken(&error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // The connection lives as long as somebody reads the answer's body.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the control connection ended early");
            }
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| broken(&error.to_string()))?;
        let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        if head.status == StatusCode::OK {
            return Ok(body);
        }
        let bytes = collect(body).await?;
        let words = serde_json::from_slice::<Value>(&bytes).ok().and_then(|mut value| {
            serde_json::from_value(value.get_mut("error").map(Value::take).unwrap_or_default()).ok()
        });
        Err(words.map_or_else(|| broken(head.status.as_str()), CallError::Refused))
    }
}

/// JSON objects, one a line, as they happen.
pub(crate) struct Lines {
    body: Incoming,
    waiting: BytesMut,
}

impl Lines {
    /// The next one; `None` when the daemon is gone.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line = self.waiting.split_to(end + 1);
                return serde_json::from_slice(&line).ok();
            }
            if self.waiting.len() > MAX_LINE {
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Some(data) = frame.data_ref() {
                self.waiting.extend_from_slice(data);
            }
        }
    }
}

async fn collect(body: Incoming) -> Result<Bytes, CallError> {
    let whole = Limited::new(body, MAX_ANSWER).collect().await;
    whole.map(http_body_util::Collected::to_bytes).map_err(|error| broken(&error.to_string()))
}

fn broken(why: &str) -> CallError {
    CallError::Refused(UiError::new(
        format!("The running Ahoy did not answer as expected ({why})."),
        "It may be of another version, or stopping.",
        "Try again; if it stays like this, `ahoy stop` and start it again.",
    ))
}
