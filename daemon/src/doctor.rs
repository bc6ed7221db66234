//! What works and what does not on this machine and network, each with its mend.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock;
use crate::config::DEFAULT_PORT;
use crate::paths::{Paths, private_file};
use crate::view::{ChosenDevice, DeviceState, EchoTestView, FaultView, NetworkFact, View};

/// Start of 2026: a clock before it is wrong, because this program was written later.
const EARLIEST_MS: u64 = 1_767_225_600_000;

/// One subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Check {
    /// Stable word.
    pub(crate) id: String,
    /// The subject, for people.
    pub(crate) title: String,
    /// How it is.
    pub(crate) state: CheckState,
    /// What was found.
    pub(crate) text: String,
    /// What to do, if something is wrong.
    #[serde(rename = "do")]
    pub(crate) mend: Option<String>,
    /// Of the call to Echo: what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) figures: Option<EchoTestView>,
}

/// How a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckState {
    /// It works.
    Good,
    /// Calls work, but less well, or less comfortably.
    Weak,
    /// Calls, or one side of their sound, do not work.
    Broken,
}

/// What a running daemon knows of itself.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    /// Its latest view.
    pub(crate) view: &'a View,
    /// Its page's port, if it shows one.
    pub(crate) port: Option<u16>,
}

/// Looks at everything. Without a running daemon, what only it knows is left out.
pub(crate) fn examine(paths: &Paths, running: Option<&Running<'_>>) -> Vec<Check> {
    let mut checks = vec![data_folder(&paths.data), wall_clock(clock::wall_ms()), browser()];
    match running {
        None => checks.insert(
            0,
            weak(
                "daemon",
                "Daemon",
                "It is not running: nobody can ring.",
                "Start it with `ahoy`, then look here again.",
            ),
        ),
        Some(running) => {
            let (view, devices) = (running.view, &running.view.devices);
            checks.insert(0, good("daemon", "Daemon", format!("Version {} is running.", view.version)));
            checks.push(page(running.port));
            checks.push(device("microphone", "Microphone", "The others can't hear you", &devices.microphone));
            checks.push(device("speaker", "Speaker", "You can't hear the others", &devices.speaker));
            checks.push(addresses(view));
            checks.push(media_ports(view));
            checks.push(nearby(view));
            checks.extend(view.ready.facts.iter().map(fact));
            checks.extend(view.ready.faults.iter().map(|fault| found("Reaching others", fault)));
        }
    }
    checks
}

fn good(id: &str, title: &str, text: impl Into<String>) -> Check {
    check(CheckState::Good, id, title, text.into(), None)
}

fn weak(id: &str, title: &str, text: impl Into<String>, mend: impl Into<String>) -> Check {
    check(CheckState::Weak, id, title, text.into(), Some(mend.into()))
}

fn broken(id: &str, title: &str, text: impl Into<String>, mend: impl Into<String>) -> Check {
    check(CheckState::Broken, id, title, text.into(), Some(mend.into()))
}

fn check(state: CheckState, id: &str, title: &str, text: String, mend: Option<String>) -> Check {
    Check { id: id.to_owned(), title: title.to_owned(), state, text, mend, figures: None }
}

fn data_folder(folder: &Path) -> Check {
    let (id, title, shown) = ("data", "Data folder", folder.display());
    if !folder.exists() {
        return good(id, title, format!("{shown} will be made at the first start."));
    }
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let written = private_file().create_new(true).open(&probe).map(drop);
    // Best effort: it is empty.
    let _ = fs::remove_file(&probe);
    match written {
        Ok(()) => good(id, title, format!("{shown} can be written.")),
        Err(error) => broken(
            id,
            title,
            format!("{shown} can't be written: {error}. Contacts and calls are not kept."),
            "Make room on the disk, or give yourself the right to write there.",
        ),
    }
}

fn wall_clock(wall_ms: u64) -> Check {
    if wall_ms >= EARLIEST_MS {
        return good("clock", "Clock", "The date is plausible.");
    }
    weak(
        "clock",
        "Clock",
        "This computer's date is in the past: calls show wrong times, and messages may expire at once.",
        "Set the date, or switch on its setting over the network.",
    )
}

fn browser() -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        browsers().iter().find(|name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    match found {
        Some(name) => good("browser", "Browser", format!("{name} opens the page.")),
        None => weak(
            "browser",
            "Browser",
            "No browser was found; all commands work without one.",
            "Install one (for example firefox or chromium) and xdg-utils, or open the address yourself.",
        ),
    }
}

/// Programs that can open a page, the one that knows the person's choice first.
pub(crate) fn browsers() -> &'static [&'static str] {
    if cfg!(windows) {
        &["explorer.exe"]
    } else if cfg!(target_os = "macos") {
        &["open"]
    } else {
        &["xdg-open", "gio", "firefox", "firefox-esr", "chromium", "google-chrome", "x-www-browser"]
    }
}

fn page(port: Option<u16>) -> Check {
    match port {
        Some(DEFAULT_PORT) => good("page", "Page", format!("http://localhost:{DEFAULT_PORT}/")),
        Some(port) => {
            good("page", "Page", format!("http://localhost:{port}/ (not the usual port, which was taken)."))
        }
        None => weak("page", "Page", "This daemon shows no page.", "Start it without --no-ui."),
    }
}

fn device(id: &str, title: &str, consequence: &str, chosen: &ChosenDevice) -> Check {
    let message = chosen.message.clone();
    match chosen.state {
        DeviceState::Ok => good(id, title, format!("“{}” works.", chosen.id)),
        DeviceState::Missing => broken(
            id,
            title,
            message.unwrap_or_else(|| format!("“{}” is not plugged in. {consequence}.", chosen.id)),
            "Plug it in, or choose another one: see `ahoy devices`.",
        ),
        DeviceState::Busy => broken(
            id,
            title,
            message.unwrap_or_else(|| format!("Another program holds “{}”. {consequence}.", chosen.id)),
            "Close the other program, or choose another device: see `ahoy devices`.",
        ),
        DeviceState::NoSound => broken(
            id,
            title,
            message.unwrap_or_else(|| format!("This computer has no sound. {consequence}.")),
            "Plug in a headset; on Linux install pulseaudio or pipewire-pulse and libasound2.",
        ),
    }
}

fn addresses(view: &View) -> Check {
    let outside: Vec<&str> =
        view.ready.listening.iter().map(String::as_str).filter(|a| !is_loopback(a)).collect();
    let error = view.ready.last_error.as_deref().map_or_else(String::new, |error| format!(" ({error})"));
    if view.ready.listening.is_empty() {
        return broken(
            "addresses",
            "Network",
            format!("This daemon listens nowhere{error}: nobody can ring."),
            "See whether there is a network, and whether --listen names addresses of this computer.",
        );
    }
    if outside.is_empty() {
        return weak(
            "addresses",
            "Network",
            format!("Only this computer can reach it{error}."),
            "Connect to a network; Ahoy notices by itself.",
        );
    }
    good("addresses", "Network", format!("Reachable at {}.", outside.join(", ")))
}

fn is_loopback(address: &str) -> bool {
    address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1/")
}

fn media_ports(view: &View) -> Check {
    if view.ready.media_ports.is_empty() {
        return broken(
            "sound-port",
            "Sound over UDP",
            "No UDP port could be taken: calls ring, but no sound passes.",
            "Let this program use UDP in the firewall, then restart it.",
        );
    }
    let ports: Vec<String> = view.ready.media_ports.iter().map(u16::to_string).collect();
    let (noun, verb) = if ports.len() == 1 { ("Port", "is") } else { ("Ports", "are") };
    good("sound-port", "Sound over UDP", format!("{noun} {} {verb} open.", ports.join(" and ")))
}

fn nearby(view: &View) -> Check {
    if !view.ready.mdns {
        return weak(
            "nearby",
            "People nearby",
            "They are not looked for, and can't find this computer by themselves.",
            "Start without --mdns off; if that is not set, let UDP port 5353 pass the firewall.",
        );
    }
    good("nearby", "People nearby", format!("Looked for; {} found.", view.nearby.len()))
}

fn fact(fact: &NetworkFact) -> Check {
    let state = if fact.mend.is_some() { CheckState::Weak } else { CheckState::Good };
    check(state, &fact.code, &fact.title, fact.text.clone(), fact.mend.clone())
}

fn found(title: &str, fault: &FaultView) -> Check {
    let state = if fault.broken { CheckState::Broken } else { CheckState::Weak };
    let text = format!("{}. {}", fault.text, fault.works);
    check(state, &fault.code, title, text, Some(fault.mend.clone()))
}

/// What a call to Echo found: its figures, then all that is wrong. `None`: Echo could not be called, or said too little.
pub(crate) fn echo_test(test: Option<&EchoTestView>) -> Vec<Check> {
    let (id, title) = ("echo_test", "Echo");
    let Some(test) = test else {
        let text = "Echo could not be heard for long enough to judge the sound.";
        return vec![broken(id, title, text, "Run `ahoy call Echo`, and see what it says when you hang up.")];
    };
    let level = |level: f64| format!("{level:.0} dBFS");
    let mut figures = vec![
        test.speech_dbfs
            .map_or_else(|| "no voice".to_owned(), |speech| format!("your voice {}", level(speech))),
        format!("around you {}", level(test.background_dbfs)),
        format!("came back {}", level(test.returned_dbfs)),
    ];
    figures.extend(test.round_trip_ms.map(|ms| format!("after {ms} ms there and back")));
    figures.extend(
        test.echo_return_loss_db.map(|loss| format!("speaker at the microphone {loss:.0} dB quieter")),
    );
    figures.push(format!("{} % lost", test.lost_percent));
    let summary =
        Check { figures: Some(test.clone()), ..good(id, title, format!("{}.", figures.join(", "))) };
    std::iter::once(summary).chain(test.faults.iter().map(|fault| found("Your sound", fault))).collect()
}

/// Why Echo was not called.
pub(crate) fn echo_not_called() -> Check {
    let mend = "Run `ahoy doctor` again when it is over.";
    weak("echo_test", "Echo", "Not called: another call is going on.", mend)
}

/// The first of [`browsers`] that is installed, as a whole path.
pub(crate) fn installed_browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    browsers()
        .iter()
        .find_map(|name| std::env::split_paths(&path).map(|f| f.join(name)).find(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn paths(data: &Path) -> Paths {
        Paths { data: data.into(), config_file: data.into(), runtime: data.into(), control: data.into() }
    }

    fn golden(name: &str) -> View {
        let path = format!("{}/../webui/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    fn states(view: &View) -> Vec<(String, CheckState)> {
        let root = tempfile::tempdir().unwrap();
        let running = Running { view, port: Some(DEFAULT_PORT) };
        examine(&paths(root.path()), Some(&running))
            .into_iter()
            .map(|check| (check.id, check.state))
            .collect()
    }

    #[test]
    fn a_healthy_daemon_is_all_good() {
        let found = states(&golden("view-home"));
        let sick: Vec<_> =
            found.iter().filter(|(id, state)| id != "browser" && *state != CheckState::Good).collect();
        assert!(sick.is_empty(), "{sick:?}");
    }

    #[test]
    fn each_trouble_is_found_and_has_a_mend() {
        let state_of =
            |view: &View, id: &str| states(view).into_iter().find(|(found, _)| found == id).unwrap().1;
        assert_eq!(state_of(&golden("view-no-sound"), "microphone"), CheckState::Broken);
        assert_eq!(state_of(&golden("view-no-sound"), "speaker"), CheckState::Broken);
        let mut view = golden("view-home");
        view.ready.media_ports.clear();
        view.ready.mdns = false;
        view.ready.listening = vec!["/ip4/127.0.0.1/udp/1/quic-v1".into()];
        assert_eq!(state_of(&view, "sound-port"), CheckState::Broken);
        assert_eq!(state_of(&view, "nearby"), CheckState::Weak);
        assert_eq!(state_of(&view, "addresses"), CheckState::Weak);
        view.ready.faults = vec![FaultView {
            code: "udp_blocked".into(),
            broken: false,
            text: "This network lets no UDP through".into(),
            works: "Calls go over TCP.".into(),
            mend: "Let Ahoy use UDP in the firewall.".into(),
        }];
        assert_eq!(state_of(&view, "udp_blocked"), CheckState::Weak);
        let router = |mend: Option<&str>| NetworkFact {
            code: "router".into(),
            title: "Router".into(),
            text: "It passes calls on.".into(),
            mend: mend.map(Into::into),
        };
        for (mend, state) in [(None, CheckState::Good), (Some("Switch it on."), CheckState::Weak)] {
            view.ready.facts = vec![router(mend)];
            assert_eq!(state_of(&view, "router"), state);
        }
        view.ready.listening.clear();
        assert_eq!(state_of(&view, "addresses"), CheckState::Broken);
        assert_eq!(wall_clock(0).state, CheckState::Weak);
        let root = tempfile::tempdir().unwrap();
        let all = examine(&paths(root.path()), Some(&Running { view: &view, port: None }));
        assert!(all.iter().all(|check| (check.state == CheckState::Good) == check.mend.is_none()));
        assert_eq!(examine(&paths(root.path()), None)[0].id, "daemon");
    }
}
