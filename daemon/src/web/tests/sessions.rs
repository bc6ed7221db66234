//! How a browser gets in, and what keeps others out.

use std::time::Duration;

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_code_opens_once_and_what_it_opens_stays() {
    let daemon = Daemon::start().await;
    let code = daemon.code(CodeKind::Link);
    let session = |code: String| {
        let body = json!({ "code": code });
        let daemon = &daemon;
        async move { daemon.post("/api/v1/session", "", &body).await }
    };
    let first = session(code.clone()).await;
    assert_eq!(first.status, 200);
    let token = first.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(token.len(), 43, "256 bits");
    assert_eq!(daemon.get("/api/v1/view", &token).await.status, 200);

    let replayed = session(code).await;
    assert_eq!(replayed.status, 403);
    let error = &replayed.json()["error"];
    assert!(["what", "works", "do"].iter().all(|part| !error[part].as_str().unwrap().is_empty()), "{error}");

    let late = daemon.code(CodeKind::Link);
    pass_time(Duration::from_secs(60));
    assert_eq!(session(late).await.status, 403, "expired");
    for wrong in ["", "AAAAAAAAAAAAAAAAAAAAAA", &token] {
        assert_eq!(session(wrong.to_owned()).await.status, 403, "{wrong}");
    }
    assert_eq!(daemon.get("/api/v1/view", &token).await.status, 200, "the session is not touched");
}

#[tokio::test]
async fn a_typed_code_can_not_be_guessed() {
    let daemon = Daemon::start().await;
    let code = daemon.code(CodeKind::Pair);
    let wrong = if code == "00000000" { "00000001" } else { "00000000" };
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(daemon.post("/api/v1/session", "", &json!({ "code": wrong })).await.status);
    }
    assert_eq!(statuses, [403, 403, 403, 403, 429, 429]);
    assert_eq!(daemon.post("/api/v1/session", "", &json!({ "code": code })).await.status, 429, "void now");
    let fresh = daemon.code(CodeKind::Pair);
    assert_eq!(daemon.post("/api/v1/session", "", &json!({ "code": fresh })).await.status, 200);
}

#[tokio::test]
async fn a_session_ends_after_ninety_idle_days_or_when_it_is_revoked() {
    let daemon = Daemon::start().await;
    let (idle, used) = (daemon.token().await, daemon.token().await);
    let day = Duration::from_secs(24 * 3_600);
    pass_time(day * 89);
    let view = daemon.get("/api/v1/view", &used).await.json();
    pass_time(day * 2);
    assert_eq!(daemon.get("/api/v1/view", &idle).await.status, 401);
    assert_eq!(daemon.get("/api/v1/view", &used).await.status, 200);

    let sessions = view["sessions"].as_array().unwrap();
    let own = sessions.iter().find(|session| session["current"] == true).unwrap();
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
    let revoke = json!({ "id": "0".repeat(32), "command": { "do": "revoke_session", "id": own["id"] } });
    assert_eq!(daemon.post("/api/v1/commands", &used, &revoke).await.status, 200);
    assert_eq!(daemon.get("/api/v1/view", &used).await.status, 401);
}

#[tokio::test]
async fn a_refused_command_says_what_works_and_what_to_do() {
    let daemon = Daemon::start().await;
    let token = daemon.token().await;
    let ask = |command| json!({ "id": "0".repeat(32), "command": command });
    let refused = daemon.post("/api/v1/commands", &token, &ask(json!({ "do": "clear_recent" }))).await;
    assert_eq!(refused.status, 409);
    assert_eq!(
        refused.json(),
        json!({ "ok": false, "error": { "what": "No.", "works": "All else.", "do": "Wait." } })
    );
    let dialled = daemon
        .post("/api/v1/commands", &token, &ask(json!({ "do": "dial", "who": "Bob", "media": "voice" })))
        .await;
    assert_eq!(dialled.json(), json!({ "ok": true, "result": { "call": "c".repeat(32) } }));
    for broken in
        [json!({ "do": "fly" }), json!({ "do": "answer", "call": "x" }), json!({ "do": "hold" }), json!(7)]
    {
        let answer = daemon.post("/api/v1/commands", &token, &ask(broken)).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert!(!answer.json()["error"]["do"].as_str().unwrap().is_empty());
    }
}
