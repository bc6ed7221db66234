//! `ahoy doctor`: the daemon's own findings, or what can be found without one; then a call to Echo that judges the sound.

use std::time::Duration;

use ahoy_base::CallId;
use serde_json::Value;

use super::call::{interrupted, next_of};
use super::out::{Failure, Out};
use crate::control::{CallError, Client, Lines};
use crate::doctor::{self, Check, CheckState};
use crate::paths::Paths;
use crate::view::{CallPhase, EchoTestView, Media, PeerKind, View};
use crate::web::protocol::Command;

/// Echo answers at once; this long for a machine that is busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long Echo is talked to: a sentence, and its return.
const TALK: Duration = Duration::from_secs(7);

/// Prints all that works and all that does not, each with its mend.
pub(super) async fn doctor(
    client: &Client,
    paths: &Paths,
    no_call: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let mut checks: Vec<Check> = match client.get("/api/v1/doctor").await {
        Ok(checks) => checks,
        Err(CallError::NotRunning) => return print(&doctor::examine(paths, None), out),
        Err(error) => return Err(error.into()),
    };
    if no_call {
        return print(&checks, out);
    }
    if !out.is_json() {
        print(&checks, out)?;
        checks.clear();
    }
    checks.extend(echo(client, out).await?);
    print(&checks, out)
}

/// Calls Echo for some seconds.
async fn echo(client: &Client, out: &mut Out) -> Result<Vec<Check>, Failure> {
    let view: View = client.get("/api/v1/view").await?;
    let Some(echo) = view.contacts.iter().find(|contact| contact.kind == PeerKind::Echo) else {
        return Ok(Vec::new());
    };
    if view.calls.iter().any(|call| call.state != CallPhase::Ended) {
        return Ok(vec![doctor::echo_not_called()]);
    }
    if !out.is_json() {
        out.line(&format!("… Echo: say a sentence and listen; this takes {} s.", TALK.as_secs()))?;
    }
    // Before the call, so that not one event is missed.
    let mut events = client.events().await?;
    let dial = Command::Dial { who: echo.peer_id.to_string(), media: Media::Voice };
    let dialled = client.command(&dial).await?;
    let Some(call) = dialled.get("call").and_then(Value::as_str).and_then(|id| id.parse::<CallId>().ok())
    else {
        return Ok(doctor::echo_test(None));
    };
    let test = tokio::select! {
        test = talk(client, &mut events, call) => test,
        () = interrupted() => Ok(None),
    };
    client.command(&Command::HangUp { call }).await?;
    // The page needs not show what is told here.
    client.command(&Command::Dismiss { call }).await?;
    Ok(doctor::echo_test(test?.as_ref()))
}

/// Waits for the answer, and for what the call finds.
async fn talk(client: &Client, events: &mut Lines, call: CallId) -> Result<Option<EchoTestView>, Failure> {
    let answered = async {
        while let Some(event) = next_of(events, call).await {
            if event.event == "active" {
                return true;
            }
        }
        false
    };
    if !tokio::time::timeout(ANSWER_WITHIN, answered).await.unwrap_or(false) {
        return Ok(None);
    }
    tokio::time::sleep(TALK).await;
    let view: View = client.get("/api/v1/view").await?;
    Ok(view.calls.into_iter().find(|one| one.id == call).and_then(|one| one.echo_test))
}

/// One document, or a line a subject and one more for its mend.
pub(super) fn print(checks: &[Check], out: &mut Out) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&checks);
    }
    for check in checks {
        let mark = match check.state {
            CheckState::Good => "ok ",
            CheckState::Weak => " ? ",
            CheckState::Broken => " ! ",
        };
        out.line(&format!("{mark} {}: {}", check.title, check.text))?;
        if let Some(mend) = &check.mend {
            out.line(&format!("     {mend}"))?;
        }
    }
    Ok(())
}
