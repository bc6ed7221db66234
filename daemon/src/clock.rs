//! The only clock of the product. Everything that needs a time is handed one from here.

use ahoy_base::Moment;

/// The instant on CLOCK_MONOTONIC, which does not run while the machine sleeps and is shared by all its processes.
#[cfg(unix)]
pub(crate) fn now() -> Moment {
    from_timespec(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

/// The instant since this process first asked; Windows has no clock that traces of two processes could share safely.
#[cfg(not(unix))]
pub(crate) fn now() -> Moment {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    Moment::ZERO + START.get_or_init(std::time::Instant::now).elapsed()
}

/// Where media time of this daemon starts: one instant for voice and pictures, so that a receiver can lay them side by side
/// without a report of clocks. It is asked for before anything is captured.
pub(crate) fn media_epoch() -> Moment {
    static EPOCH: std::sync::OnceLock<Moment> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(now)
}

/// Time on the wall in milliseconds since 1970, for records that people read; zero if the wall clock is before that.
pub(crate) fn wall_ms() -> u64 {
    wall_us() / 1_000
}

/// Time on the wall in microseconds since 1970.
pub(crate) fn wall_us() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(unix)]
fn from_timespec(t: rustix::time::Timespec) -> Moment {
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(t.tv_nsec).unwrap_or(0);
    Moment::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
}
