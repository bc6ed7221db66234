//! The browsers' door, tried over a real loopback socket with a made-up app behind it.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::type_complexity, reason = "tests")]

mod contract;
mod guard;
mod media;
mod pages;
mod sessions;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ahoy_base::Moment;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::codes::CodeKind;
use super::protocol::{Command, Levels, UiError};
use super::server::{bind, serve};
use super::state::{Limits, Times, WebState};
use super::{owner_router, page_router};
use crate::app_handle::{self, AppEvent, AppRequest};
use crate::paths::Paths;
use crate::store::Store;
use crate::video::hub::VideoHub;
use crate::view::View;

thread_local! {
    /// The clock of a test; all its tasks run on its one thread.
    static NOW_MS: Cell<u64> = const { Cell::new(1_790_000_000_000) };
}

fn pass_time(time: Duration) {
    NOW_MS.set(NOW_MS.get() + u64::try_from(time.as_millis()).unwrap());
}

const TIMES: Times = Times { now: || Moment::from_millis(NOW_MS.get()), wall_ms: || NOW_MS.get() };

/// A daemon without calls, on a port of its own.
struct Daemon {
    port: u16,
    state: Arc<WebState>,
    view: watch::Sender<Arc<View>>,
    events: tokio::sync::broadcast::Sender<AppEvent>,
    /// Dropping it is the app's end.
    app: tokio::task::JoinHandle<()>,
    commands: mpsc::Receiver<Command>,
}

fn golden(name: &str) -> Value {
    let path = format!("{}/../webui/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn asset(path: &str) -> Option<ahoy_webui::Asset> {
    let content_type = match path {
        "" | "index.html" => "text/html; charset=utf-8",
        "app/main.js" => "text/javascript; charset=utf-8",
        _ => return None,
    };
    Some(ahoy_webui::Asset { bytes: b"ahoy"[..].into(), content_type, hash: "abc".into() })
}

impl Daemon {
    async fn start() -> Daemon {
        Daemon::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Daemon {
        let view: View = serde_json::from_value(golden("view-home")).unwrap();
        let levels = Arc::new(|| Levels { microphone: -12.5, ..Levels::default() });
        let (handle, end) = app_handle::connect(view, levels);
        let bound = bind(0, None).await.unwrap();
        let here = std::path::PathBuf::from("/nowhere");
        let paths =
            Paths { data: here.clone(), config_file: here.clone(), runtime: here.clone(), control: here };
        let store = Store::in_memory().unwrap();
        let state = WebState::new(handle, VideoHub::default(), store, paths, Vec::new(), Some(bound.port));
        let state = Arc::new(state.with(TIMES, limits, asset));
        let port = bound.port;
        tokio::spawn(serve(bound, page_router(&state), limits));
        let (seen, commands) = mpsc::channel(64);
        let (view, events) = (end.view.clone(), end.events.clone());
        let mut requests = end.requests;
        let app = tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                match request {
                    AppRequest::Command { command, reply, .. } => {
                        let _ = seen.try_send(command.clone());
                        let _ = reply.send(fake(&command));
                    }
                    AppRequest::Stats { reply } => drop(reply.send(json!({ "calls": [] }))),
                    AppRequest::Stop => break,
                }
            }
        });
        Daemon { port, state, view, events, app, commands }
    }

    fn origin(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await.unwrap()
    }

    /// Sends `request` as it is and reads the answer to the end.
    async fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        Answer::read(&mut stream).await
    }

    /// Sends a request with these headers; `Host` and `Content-Length` come by themselves unless given.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !given("connection") {
            request.push_str("Connection: close\r\n");
        }
        if !given("host") {
            request.push_str(&format!("Host: {}\r\n", self.host()));
        }
        if !body.is_empty() && !given("content-length") {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(&format!("{request}\r\n{body}")).await
    }

    /// A change as our own page sends it.
    async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let origin = self.origin();
        let bearer = format!("Bearer {token}");
        let mut headers = vec![
            ("Origin", origin.as_str()),
            ("Content-Type", "application/json"),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        if !token.is_empty() {
            headers.push(("Authorization", &bearer));
        }
        self.ask("POST", path, &headers, &body.to_string()).await
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, &[("Authorization", &format!("Bearer {token}"))], "").await
    }

    fn code(&self, kind: CodeKind) -> String {
        let mut random = [0; 16];
        getrandom::fill(&mut random).unwrap();
        self.state.codes().make(kind, (TIMES.now)(), random)
    }

    /// Signs a browser in.
    async fn token(&self) -> String {
        let code = self.code(CodeKind::Link);
        let answer = self.post("/api/v1/session", "", &json!({ "code": code })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    async fn next_command(&mut self) -> Command {
        self.commands.recv().await.unwrap()
    }
}

fn fake(command: &Command) -> Result<Value, UiError> {
    match command {
        Command::Dial { .. } => Ok(json!({ "call": "c".repeat(32) })),
        Command::ClearRecent {} => Err(UiError::new("No.", "All else.", "Wait.")),
        _ => Ok(json!({})),
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    /// Reads until the other side closes; status 0 when it said nothing.
    async fn read(stream: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        // A reset is an end like any other here.
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Answer { status, headers, body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}
