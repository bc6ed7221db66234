//! What other pages, names and programs try, and how each is refused.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::DEFAULT_PORT;

const COMMAND: &str = r#"{"id":"00000000000000000000000000000000","command":{"do":"test_sound"}}"#;

/// Checks what every answer must carry, whatever it says.
fn assert_hardened(answer: &Answer, port: u16) {
    let policy = answer.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types app",
        &format!("connect-src 'self' ws://localhost:{port};"),
    ] {
        assert!(policy.contains(part), "{part} is missing: {answer:?}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.header(name), value, "{answer:?}");
    }
    assert!(answer.header("permissions-policy").contains("microphone=(self)"));
    for name in answer.headers.keys() {
        let banned = name.starts_with("access-control") || name == "server" || name == "set-cookie";
        assert!(!banned, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn only_our_own_page_is_let_in() {
    let mut daemon = Daemon::start().await;
    let token = format!("Bearer {}", daemon.token().await);
    let (origin, port) = (daemon.origin(), daemon.port);
    let json = ("Content-Type", "application/json");
    let own = ("Origin", origin.as_str());
    let auth = ("Authorization", token.as_str());
    let site = |value| ("Sec-Fetch-Site", value);
    let page = ("Sec-Fetch-Dest", "document");
    let navigate = ("Sec-Fetch-Mode", "navigate");
    let other_port = format!("http://localhost:{}", port ^ 1);
    let no_port = ("Host", "localhost");
    let wrong_port = format!("localhost:{}", port ^ 1);
    let rebound = format!("evil.test:{port}");
    let suffix = format!("localhost.evil.test:{port}");
    let dotted = format!("localhost.:{port}");
    let any = format!("0.0.0.0:{port}");
    let (get, post) = ("GET", "POST");
    let commands = "/api/v1/commands";
    let view = "/api/v1/view";
    let table: &[(&str, &str, &str, &[(&str, &str)], u16)] = &[
        ("the page", get, "/", &[], 200),
        ("a file of the page", get, "/app/main.js", &[site("same-origin")], 200),
        ("the view", get, view, &[auth], 200),
        ("the view from the page", get, view, &[auth, site("same-origin")], 200),
        ("a command", post, commands, &[auth, own, json], 200),
        (
            "a command with a character set",
            post,
            commands,
            &[auth, own, ("Content-Type", "application/json; charset=utf-8")],
            200,
        ),
        // DNS rebinding: another name that leads to this machine.
        ("a rebound name", get, "/", &[("Host", &rebound)], 421),
        (
            "a rebound name and its origin",
            post,
            commands,
            &[auth, json, ("Host", &rebound), ("Origin", "http://evil.test")],
            421,
        ),
        ("a name that begins like ours", get, view, &[auth, ("Host", &suffix)], 421),
        ("our name with a dot", get, view, &[auth, ("Host", &dotted)], 421),
        ("another port's name", get, view, &[auth, ("Host", &wrong_port)], 421),
        ("no port", get, view, &[auth, no_port], 421),
        ("the address of all", get, view, &[auth, ("Host", &any)], 421),
        ("a proxy's request line", get, "http://evil.test/", &[], 421),
        // Cross-site requests forgery.
        ("another site's change", post, commands, &[auth, json, ("Origin", "https://evil.test")], 403),
        ("another port's change", post, commands, &[auth, json, ("Origin", &other_port)], 403),
        (
            "our host by another scheme",
            post,
            commands,
            &[auth, json, ("Origin", &origin.replace("http:", "https:"))],
            403,
        ),
        ("a sandboxed page's change", post, commands, &[auth, json, ("Origin", "null")], 403),
        ("a change from nowhere", post, commands, &[auth, json], 403),
        (
            "a change with two origins",
            post,
            commands,
            &[auth, json, own, ("Origin", "https://evil.test")],
            403,
        ),
        (
            "a forged origin betrayed by the browser",
            post,
            commands,
            &[auth, json, own, site("cross-site")],
            403,
        ),
        ("another port's read", get, view, &[auth, site("same-site")], 403),
        ("another site's read", get, view, &[auth, site("cross-site")], 403),
        (
            "another site's image",
            get,
            "/app/main.js",
            &[site("cross-site"), ("Sec-Fetch-Dest", "image")],
            403,
        ),
        ("a typed address of the interface", get, view, &[auth, site("none"), navigate, page], 403),
        ("a read with another origin", get, view, &[auth, ("Origin", "https://evil.test")], 403),
        ("a frame elsewhere", get, "/", &[site("cross-site"), navigate, ("Sec-Fetch-Dest", "iframe")], 403),
        ("a link elsewhere to a file", get, "/app/main.js", &[site("cross-site"), navigate, page], 403),
        // Opening the page itself does nothing, so it may be opened from anywhere.
        ("a typed address", get, "/", &[site("none"), navigate, page], 200),
        ("a link, or the redirect file", get, "/", &[site("cross-site"), navigate, page], 200),
        // Forms.
        ("a plain text change", post, commands, &[auth, own, ("Content-Type", "text/plain")], 415),
        (
            "a form's change",
            post,
            commands,
            &[auth, own, ("Content-Type", "application/x-www-form-urlencoded")],
            415,
        ),
        (
            "a form with files",
            post,
            commands,
            &[auth, own, ("Content-Type", "multipart/form-data; boundary=x")],
            415,
        ),
        ("almost JSON", post, commands, &[auth, own, ("Content-Type", "application/jsonp")], 415),
        (
            "JSON behind another type",
            post,
            commands,
            &[auth, own, ("Content-Type", "text/plain; application/json")],
            415,
        ),
        ("a change of no type", post, commands, &[auth, own], 415),
        // Methods.
        (
            "a preflight",
            "OPTIONS",
            commands,
            &[("Origin", "https://evil.test"), ("Access-Control-Request-Method", "POST")],
            405,
        ),
        ("a put", "PUT", view, &[auth, own, json], 405),
        ("a delete", "DELETE", view, &[auth, own, json], 405),
        ("a post where nothing is posted", post, view, &[auth, own, json], 405),
        ("a post to a file", post, "/", &[auth, own, json], 405),
        // The socket.
        (
            "a socket of another site",
            get,
            "/api/v1/socket",
            &[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Origin", "https://evil.test")],
            403,
        ),
        (
            "a socket of another port",
            get,
            "/api/v1/socket",
            &[("Upgrade", "websocket"), ("Origin", &other_port)],
            403,
        ),
        ("a socket from nowhere", get, "/api/v1/socket", &[("Upgrade", "websocket")], 403),
        (
            "a socket by a rebound name",
            get,
            "/api/v1/socket",
            &[("Upgrade", "websocket"), ("Host", &rebound), ("Origin", "http://evil.test")],
            421,
        ),
        ("a socket that is none", get, "/api/v1/socket", &[own], 400),
        // Nobody.
        ("nobody's read", get, view, &[], 401),
        (
            "a wrong token",
            get,
            view,
            &[("Authorization", "Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
            401,
        ),
        ("an empty token", get, view, &[("Authorization", "Bearer ")], 401),
        ("a token in another form", get, view, &[("Authorization", &token.replace("Bearer", "Basic"))], 401),
        ("a token in a cookie", get, view, &[("Cookie", &token.replace("Bearer ", "token="))], 401),
        ("a token in the address", get, &format!("{view}?token={}", &token[7..]), &[], 401),
        ("nobody's command", post, commands, &[own, json], 401),
        ("nobody's events", get, "/api/v1/events", &[], 401),
        // What only this user's programs may do is not even there.
        ("a code for oneself", post, "/api/v1/codes", &[auth, own, json], 405),
        ("stopping the daemon", post, "/api/v1/stop", &[auth, own, json], 405),
        ("what is not there", get, "/nothing", &[], 404),
        ("outside the page", get, "/../../etc/passwd", &[], 404),
        ("outside the page, hidden", get, "/%2e%2e/%2e%2e/etc/passwd", &[], 404),
    ];
    for (what, method, path, headers, status) in table {
        let body = if *method == post { COMMAND } else { "" };
        let answer = daemon.ask(method, path, headers, body).await;
        assert_eq!(answer.status, *status, "{what}: {answer:?}");
        assert_hardened(&answer, port);
    }
    for _ in 0..2 {
        assert_eq!(daemon.next_command().await, Command::TestSound {});
    }
    assert!(daemon.commands.try_recv().is_err(), "nothing that was refused was done");
}

#[tokio::test]
async fn requests_without_a_host_or_with_two_are_refused() {
    let daemon = Daemon::start().await;
    let host = daemon.host();
    for request in [
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\nHost: evil.test\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nConnection: close\r\nHost: {host} evil\r\n\r\n"),
    ] {
        let answer = daemon.raw(&request).await;
        assert!(matches!(answer.status, 400 | 421), "{request}: {answer:?}");
    }
}

#[tokio::test]
async fn the_page_has_one_origin() {
    let daemon = Daemon::start().await;
    let port = daemon.port;
    for host in ["127.0.0.1", "[::1]"] {
        let named = format!("{host}:{port}");
        let answer = daemon.ask("GET", "/?source=app", &[("Host", &named)], "").await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (307, format!("http://localhost:{port}/?source=app").as_str())
        );
        assert_hardened(&answer, port);
        // A double slash stays a path of ours.
        let answer = daemon.ask("GET", "//evil.test/", &[("Host", &named)], "").await;
        assert!(answer.header("location").starts_with(&format!("http://localhost:{port}/")), "{answer:?}");
    }
}

#[tokio::test]
async fn files_are_asked_for_again_and_not_sent_twice() {
    let daemon = Daemon::start().await;
    let first = daemon.ask("GET", "/app/main.js", &[], "").await;
    assert_eq!((first.body.as_str(), first.header("cache-control")), ("ahoy", "no-cache"));
    assert_eq!(first.header("content-type"), "text/javascript; charset=utf-8");
    let again = daemon.ask("GET", "/app/main.js", &[("If-None-Match", first.header("etag"))], "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let secret = daemon.ask("GET", "/api/v1/openapi.json", &[], "").await;
    assert_eq!(secret.header("cache-control"), "no-store");
}

#[tokio::test]
async fn what_is_too_long_is_not_read() {
    let daemon = Daemon::start().await;
    let token = daemon.token().await;
    let long = "x".repeat(Limits::default().message);
    let answer = daemon.post("/api/v1/commands", &token, &json!({ "id": long })).await;
    assert_eq!(answer.status, 413);
    assert_hardened(&answer, daemon.port);
    let head = daemon.ask("GET", "/", &[("X-Long", &"x".repeat(20_000))], "").await;
    assert!(matches!(head.status, 400 | 431 | 0), "{head:?}");
}

#[tokio::test]
async fn who_dawdles_is_dropped() {
    let short = Duration::from_millis(60);
    let daemon = Daemon::with(Limits { head: short, body: short, ..Limits::default() }).await;
    let (host, origin) = (daemon.host(), daemon.origin());

    let mut half_a_head = daemon.connect().await;
    half_a_head.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
    let answer = Answer::read(&mut half_a_head).await;
    assert!(matches!(answer.status, 0 | 408), "{answer:?}");

    let mut half_a_body = daemon.connect().await;
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\nConnection: close\r\n\r\n{{"
    );
    half_a_body.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut half_a_body).await.status, 408);
}

#[tokio::test]
async fn more_connections_than_there_are_seats_are_closed_and_the_others_go_on() {
    let daemon = Daemon::with(Limits { connections: 2, ..Limits::default() }).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.host());
    let mut seated = Vec::new();
    for _ in 0..2 {
        let mut stream = daemon.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        seated.push(stream);
    }
    assert_eq!(daemon.raw(&request).await.status, 0, "closed at once");
    drop(seated);
    // A seat is free once the server has seen the end of a connection.
    loop {
        let answer = daemon.ask("GET", "/", &[], "").await;
        if answer.status == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_port_is_ours_on_both_addresses_or_not_at_all() {
    let six = std::net::TcpListener::bind("[::1]:0").unwrap();
    let taken = six.local_addr().unwrap().port();
    let bound = bind(taken, None).await.unwrap();
    assert_ne!(bound.port, taken, "somebody else is localhost there");
    let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = four.local_addr().unwrap().port();
    assert_ne!(bind(taken, None).await.unwrap().port, taken);
}

#[tokio::test]
async fn the_port_of_last_time_is_taken_again_unless_another_is_wished_for() {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (last, wished) = (free(), free());
    let bound = bind(DEFAULT_PORT, Some(last)).await.unwrap();
    assert_eq!(bound.port, last);
    drop(bound);
    assert_eq!(bind(wished, Some(last)).await.unwrap().port, wished);
}
