//! The socket of a page: who may speak, what it hears, and what happens to those who are slow or break rules.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;

type Socket = WebSocketStream<TcpStream>;

impl Daemon {
    async fn socket(&self) -> Socket {
        let mut request = format!("ws://{}/api/v1/socket", self.host()).into_client_request().unwrap();
        request.headers_mut().insert("Origin", self.origin().parse().unwrap());
        tokio_tungstenite::client_async(request, self.connect().await).await.unwrap().0
    }

    async fn page(&self) -> Socket {
        let mut socket = self.socket().await;
        say(&mut socket, &json!({ "type": "auth", "token": self.token().await })).await;
        assert_eq!(hear(&mut socket).await["type"], "view");
        socket
    }

    /// The app shows another view.
    fn show(&self, revision: u64) {
        self.view.send_modify(|view| {
            *view = Arc::new(View { revision, ..View::clone(view) });
        });
    }
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::Text(message.to_string().into())).await.unwrap();
}

/// The next message, or null when the socket is closed.
async fn hear(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(_) | None => return Value::Null,
        }
    }
}

/// The next message of a kind, others left out.
async fn hear_a(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let message = hear(socket).await;
        if message["type"] == kind || message.is_null() {
            return message;
        }
    }
}

fn bye(reason: &str) -> Value {
    json!({ "type": "bye", "reason": reason })
}

#[tokio::test]
async fn without_a_good_token_first_nothing_is_heard() {
    let short = Limits { auth: Duration::from_millis(60), ..Limits::default() };
    let daemon = Daemon::with(short).await;
    let token = daemon.token().await;
    let command = json!({ "type": "command", "id": "0".repeat(32), "command": { "do": "test_sound" } });
    for first in [
        Message::Text(json!({ "type": "auth", "token": "wrong" }).to_string().into()),
        Message::Text(json!({ "type": "auth" }).to_string().into()),
        Message::Text(command.to_string().into()),
        Message::Text("garbage".into()),
        Message::Binary(json!({ "type": "auth", "token": token }).to_string().into_bytes().into()),
        Message::Ping("".into()),
    ] {
        let mut socket = daemon.socket().await;
        socket.send(first.clone()).await.unwrap();
        assert_eq!(hear(&mut socket).await, bye("unauthorised"), "{first:?}");
        assert_eq!(hear(&mut socket).await, Value::Null);
    }
    let mut silent = daemon.socket().await;
    assert_eq!(hear(&mut silent).await, bye("unauthorised"), "too late");
}

#[tokio::test]
async fn a_page_sees_each_change_and_which_browser_it_is() {
    let daemon = Daemon::start().await;
    let mut page = daemon.socket().await;
    say(&mut page, &json!({ "type": "auth", "token": daemon.token().await })).await;
    let first = hear(&mut page).await;
    assert_eq!(first["view"]["contacts"], golden("view-home")["contacts"]);
    assert_eq!(first["view"]["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(first["view"]["sessions"][0]["current"], true);
    daemon.show(900);
    assert_eq!(hear(&mut page).await["view"]["revision"], 900);
    // Another browser signs in: the list of browsers is part of the view.
    let _other = daemon.token().await;
    let view = hear(&mut page).await;
    assert_eq!(view["view"]["sessions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn commands_are_answered_under_their_id() {
    let mut daemon = Daemon::start().await;
    let mut page = daemon.page().await;
    let id = |n: u8| format!("{n:032x}");
    let ask = |n, command| json!({ "type": "command", "id": id(n), "command": command });
    say(&mut page, &ask(1, json!({ "do": "dial", "who": "Bob", "media": "voice" }))).await;
    assert_eq!(
        hear_a(&mut page, "reply").await,
        json!({ "type": "reply", "id": id(1), "ok": true, "result": { "call": "c".repeat(32) } })
    );
    assert!(matches!(daemon.next_command().await, Command::Dial { .. }));
    say(&mut page, &ask(2, json!({ "do": "clear_recent" }))).await;
    let error = json!({ "what": "No.", "works": "All else.", "do": "Wait." });
    assert_eq!(
        hear_a(&mut page, "reply").await,
        json!({ "type": "reply", "id": id(2), "ok": false, "error": error })
    );
    say(&mut page, &ask(3, json!({ "do": "fly" }))).await;
    let refused = hear_a(&mut page, "reply").await;
    assert_eq!((refused["id"].as_str(), refused["ok"].as_bool()), (Some(id(3).as_str()), Some(false)));
    say(&mut page, &json!({ "type": "of a later version" })).await;
    say(&mut page, &ask(4, json!({ "do": "test_sound" }))).await;
    assert_eq!(hear_a(&mut page, "reply").await["id"], id(4), "what is not understood is passed over");
}

#[tokio::test]
async fn levels_come_while_they_are_wanted() {
    let limits = Limits { levels_every: Duration::from_millis(5), ..Limits::default() };
    let daemon = Daemon::with(limits).await;
    let mut page = daemon.page().await;
    say(&mut page, &json!({ "type": "levels", "on": true })).await;
    for _ in 0..3 {
        assert_eq!(hear(&mut page).await["microphone"], -12.5);
    }
    say(&mut page, &json!({ "type": "levels", "on": false })).await;
    say(&mut page, &json!({ "type": "command", "id": "0".repeat(32), "command": { "do": "test_sound" } }))
        .await;
    hear_a(&mut page, "reply").await;
    daemon.show(901);
    assert_eq!(hear(&mut page).await["type"], "view", "no level came in between");
}

#[tokio::test]
async fn who_breaks_the_rules_is_closed_and_others_go_on() {
    let daemon = Daemon::start().await;
    let mut good = daemon.page().await;
    let long = "x".repeat(Limits::default().message + 1);
    for broken in [
        Message::Text("not JSON".into()),
        Message::Binary(vec![1, 2, 3].into()),
        Message::Text(json!({ "type": "levels", "on": true, "long": long }).to_string().into()),
    ] {
        let mut page = daemon.page().await;
        page.send(broken).await.unwrap();
        while !hear(&mut page).await.is_null() {}
    }
    daemon.show(902);
    while hear_a(&mut good, "view").await["view"]["revision"] != 902 {}
}

#[tokio::test]
async fn a_slow_page_skips_to_the_latest_view() {
    let daemon = Daemon::with(Limits { view_every: Duration::ZERO, ..Limits::default() }).await;
    let mut slow = daemon.page().await;
    let (first, last) = (1_000, 21_000);
    for revision in first..=last {
        daemon.show(revision);
        // The server gets its turn after each change; the page reads nothing.
        tokio::task::yield_now().await;
    }
    let mut heard = 0;
    loop {
        let view = hear(&mut slow).await;
        assert!(!view.is_null(), "a slow page is not cut off");
        heard += 1;
        if view["view"]["revision"] == last {
            break;
        }
    }
    assert!(heard < (last - first) / 4, "{heard} of {} views piled up", last - first);
}

#[tokio::test]
async fn a_page_that_never_reads_is_cut_off() {
    let limits = Limits { view_every: Duration::ZERO, send: Duration::from_millis(60), ..Limits::default() };
    let daemon = Daemon::with(limits).await;
    let stuck = daemon.page().await;
    let mut revision = 1;
    // Until its seat is free again.
    while daemon.state.sockets.available_permits() < 16 {
        revision += 1;
        daemon.show(revision);
        tokio::task::yield_now().await;
    }
    drop(stuck);
}

#[tokio::test]
async fn a_revoked_browser_hears_so_at_once() {
    let daemon = Daemon::start().await;
    let (mut one, mut two) = (daemon.page().await, daemon.page().await);
    let list = daemon.state.sessions.list(&daemon.state.store, None, NOW_MS.get()).unwrap();
    for session in list {
        daemon.state.sessions.revoke(&daemon.state.store, &session.id).unwrap();
    }
    for page in [&mut one, &mut two] {
        assert_eq!(hear_a(page, "bye").await, bye("revoked"));
        assert_eq!(hear(page).await, Value::Null);
    }
}

#[tokio::test]
async fn pages_hear_that_the_daemon_stops() {
    let daemon = Daemon::start().await;
    let mut page = daemon.page().await;
    daemon.app.abort();
    let Daemon { view, state, .. } = daemon;
    drop(view);
    assert_eq!(hear_a(&mut page, "bye").await, bye("stopping"));
    assert_eq!(hear(&mut page).await, Value::Null);
    state.pages_gone().await;
}

#[tokio::test]
async fn there_is_a_limit_to_open_pages() {
    let daemon = Daemon::start().await;
    let mut pages = Vec::new();
    for _ in 0..16 {
        pages.push(daemon.page().await);
    }
    let headers = [
        ("Origin", daemon.origin()),
        ("Connection", "Upgrade".into()),
        ("Upgrade", "websocket".into()),
        ("Sec-WebSocket-Version", "13".into()),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==".into()),
    ];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = daemon.ask("GET", "/api/v1/socket", &headers, "").await;
    assert_eq!(refused.status, 503, "{refused:?}");
}
