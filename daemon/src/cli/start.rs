//! Starting the daemon, opening its page, stopping it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::out::{Failure, Out};
use crate::control::{CallError, Client};
use crate::doctor::installed_browser;
use crate::paths::{Paths, private_file, write_atomically};
use crate::web::protocol::UiError;
use crate::web::{CodeKind, DaemonInfo, NewCode};

/// How long a daemon may take from its start to its control socket, on a slow disk.
const START_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to stop; the contract says 2 s.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A log longer than this starts anew.
const MAX_LOG: u64 = 4 * 1024 * 1024;

/// `ahoy` alone: starts the daemon if none runs, opens the page, prints its address.
pub(super) async fn bare(
    client: &Client,
    paths: &Paths,
    words: &[String],
    out: &mut Out,
) -> Result<(), Failure> {
    let (info, started) = match info(client).await {
        Ok(info) => (info, false),
        Err(CallError::NotRunning) => (start(client, paths, words).await?, true),
        Err(error) => return Err(error.into()),
    };
    if info.address.is_none() {
        let value = json!({ "address": null, "started": started, "opened": false });
        return out.either("Ahoy is running without a page. See `ahoy --help` for commands.", &value);
    }
    show_page(client, paths, started, out).await
}

/// `ahoy open`.
pub(super) async fn open(client: &Client, paths: &Paths, out: &mut Out) -> Result<(), Failure> {
    show_page(client, paths, false, out).await
}

/// `ahoy pair`.
pub(super) async fn pair(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let code = code(client, CodeKind::Pair).await?;
    if out.is_json() {
        return out.json(&code);
    }
    let (left, right) = code.code.split_at_checked(4).unwrap_or((&code.code, ""));
    let minutes = code.expires_in_ms / 60_000;
    out.line(&format!("{left} {right}"))?;
    out.line(&format!("Type it at {} within {minutes} minutes.", code.address))
}

/// `ahoy stop`.
pub(super) async fn stop(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let _: Value = client.post("/api/v1/stop", &json!({})).await?;
    let end = Instant::now() + STOP_WITHIN;
    while !matches!(info(client).await, Err(CallError::NotRunning)) {
        if Instant::now() >= end {
            return Err(Failure::Refused(UiError::new(
                "Ahoy has not stopped within 5 s.",
                "Calls were told to end.",
                "Wait, or end its process.",
            )));
        }
        sleep(LOOK_EVERY).await;
    }
    out.either("Ahoy has stopped.", &json!({ "stopped": true }))
}

/// Makes this process deaf to the terminal it was started from.
pub(super) fn leave_terminal() {
    // Fails only if it leads a session already, which is what is wanted.
    #[cfg(unix)]
    let _ = rustix::process::setsid();
}

async fn info(client: &Client) -> Result<DaemonInfo, CallError> {
    client.get("/api/v1/daemon").await
}

async fn code(client: &Client, kind: CodeKind) -> Result<NewCode, CallError> {
    client.post("/api/v1/codes", &json!({ "kind": kind })).await
}

async fn start(client: &Client, paths: &Paths, words: &[String]) -> Result<DaemonInfo, Failure> {
    paths.create()?;
    let mut child = spawn(paths, words).map_err(|error| {
        UiError::new(
            format!("The daemon can't be started: {error}."),
            "Nothing was changed.",
            "Try `ahoy run` in a terminal to see more.",
        )
    })?;
    let end = Instant::now() + START_WITHIN;
    loop {
        match info(client).await {
            Ok(info) => return Ok(info),
            Err(CallError::NotRunning) => {}
            Err(error) => return Err(error.into()),
        }
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() || Instant::now() >= end {
            return Err(Failure::Refused(not_started(paths, ended.is_some())));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn spawn(paths: &Paths, words: &[String]) -> io::Result<Child> {
    let path = paths.log();
    let long = fs::metadata(&path).is_ok_and(|found| found.len() > MAX_LOG);
    let log = private_file().create(true).append(!long).truncate(long).open(&path)?;
    Process::new(std::env::current_exe()?)
        .args(words)
        .args(["run", "--detached"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir(&paths.data)
        .spawn()
}

fn not_started(paths: &Paths, ended: bool) -> UiError {
    let log = fs::read_to_string(paths.log()).unwrap_or_default();
    let last = log.lines().rev().find_map(|line| line.strip_prefix("ahoy: ")).unwrap_or_default();
    if ended && !last.is_empty() {
        return UiError::new(last, "", "");
    }
    UiError::new(
        if ended { "The daemon stopped right after its start." } else { "The daemon does not answer." },
        "Nothing was changed.",
        format!("See {}, or try `ahoy run` in a terminal.", paths.log().display()),
    )
}

/// Opens the page with a one-time code. The code is in a private file that the browser is pointed at, never among the
/// words of a command, which every user of the machine can read.
async fn show_page(client: &Client, paths: &Paths, started: bool, out: &mut Out) -> Result<(), Failure> {
    let link = code(client, CodeKind::Link).await?;
    let address = link.address.split('#').next().unwrap_or_default().to_owned();
    let opened = has_screen() && open_browser(paths, &link.address).is_ok();
    if out.is_json() {
        let link = (!opened).then_some(&link.address);
        return out.json(&json!({ "address": address, "started": started, "opened": opened, "link": link }));
    }
    out.line(&format!("Ahoy is at {address}"))?;
    if opened {
        out.line("If the page asks for a code, `ahoy pair` shows one.")
    } else {
        out.line(&format!("No browser was opened. Within a minute, open {}", link.address))
    }
}

/// Whether a browser would be seen by anybody.
fn has_screen() -> bool {
    let set = |key| std::env::var_os(key).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(target_os = "macos"))) || set("DISPLAY") || set("WAYLAND_DISPLAY") || set("BROWSER")
}

fn open_browser(paths: &Paths, link: &str) -> io::Result<()> {
    let browser = installed_browser().ok_or(io::ErrorKind::NotFound)?;
    let file = write_redirect(&paths.runtime, link)?;
    let mut command = Process::new(&browser);
    if browser.file_name().is_some_and(|name| name == "gio") {
        command.arg("open");
    }
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    // Not waited for: some openers are the browser.
    command.spawn().map(drop)
}

/// Writes a page that leads to `link`, for this user's eyes only.
///
/// # Errors
/// When the folder refuses.
pub(super) fn write_redirect(folder: &Path, link: &str) -> io::Result<std::path::PathBuf> {
    let path = folder.join("open.html");
    // The link is made of our port and base64url; nothing in it needs escaping.
    let page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"refresh\" content=\"0;url={link}\">\n<title>Ahoy</title>\n\
         <p><a href=\"{link}\">Open Ahoy</a></p>\n"
    );
    write_atomically(&path, page.as_bytes())?;
    Ok(path)
}
