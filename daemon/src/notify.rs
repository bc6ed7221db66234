//! Tells systemd how we do: ready, stopping, alive. Does nothing where nobody asked (`sd_notify(3)`).

use std::time::Duration;

/// Sends one state, e.g. `READY=1`.
#[cfg(target_os = "linux")]
pub(crate) fn tell(state: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = path.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|to| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &to));
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Nobody to tell here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tell(_: &str) {}

/// How often the watchdog wants to hear of us: half the time it allows. `None`: it does not watch.
pub(crate) fn watchdog_every() -> Option<Duration> {
    let us = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    (ours && us > 0).then(|| Duration::from_micros(us) / 2)
}
