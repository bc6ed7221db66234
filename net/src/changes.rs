//! Notices that the network changed under us: addresses that come and go, and time that passed while we slept.

use std::net::IpAddr;
use std::time::Duration;

use ahoy_base::Moment;
use futures::StreamExt;
use if_watch::tokio::IfWatcher;

use crate::addresses;

/// Addresses of one change come within milliseconds of each other.
const SETTLE: Duration = Duration::from_millis(30);
/// How often clocks are compared.
const TICK: Duration = Duration::from_secs(1);
/// A tick that comes so late was slept through.
const SLEPT: Duration = Duration::from_secs(3);

/// Why paths may be others now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The machine's addresses.
    Addresses,
    /// The machine, or this process, slept.
    Slept,
}

/// Tells of changes.
pub(crate) struct Changes {
    watcher: Option<IfWatcher>,
    known: Vec<IpAddr>,
    ticks: tokio::time::Interval,
    clock: fn() -> Moment,
    /// Milliseconds since 1970.
    wall_ms: fn() -> u64,
    at: (Moment, u64),
}

impl Changes {
    /// Starts to look. Must be called inside a tokio runtime.
    pub(crate) fn new(clock: fn() -> Moment, wall_ms: fn() -> u64) -> Changes {
        let watcher = IfWatcher::new().map_err(|error| {
            tracing::warn!(%error, "changes of network are noticed by silence alone");
        });
        Changes {
            watcher: watcher.ok(),
            known: addresses::of_this_machine(),
            ticks: tokio::time::interval(TICK),
            clock,
            wall_ms,
            at: (clock(), wall_ms()),
        }
    }

    /// Waits for the next change. Cancel safe.
    pub(crate) async fn next(&mut self) -> Change {
        loop {
            let event = async {
                match &mut self.watcher {
                    Some(watcher) => watcher.next().await.is_some(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                more = event => {
                    if !more {
                        self.watcher = None;
                    }
                    tokio::time::sleep(SETTLE).await;
                    if self.addresses_changed() {
                        return Change::Addresses;
                    }
                }
                _ = self.ticks.tick() => {
                    if self.slept() {
                        self.known = addresses::of_this_machine();
                        return Change::Slept;
                    }
                    // What the watcher did not tell.
                    if self.addresses_changed() {
                        return Change::Addresses;
                    }
                }
            }
        }
    }

    fn addresses_changed(&mut self) -> bool {
        let now = addresses::of_this_machine();
        let changed = now != self.known;
        self.known = now;
        changed
    }

    /// Whether more time passed since the last tick than a tick. The steady clock stands still while Linux sleeps, the
    /// other does not; a stopped process sees both run.
    fn slept(&mut self) -> bool {
        let now = ((self.clock)(), (self.wall_ms)());
        let before = std::mem::replace(&mut self.at, now);
        let wall = Duration::from_millis(now.1.saturating_sub(before.1));
        now.0.since(before.0).max(wall) > TICK + SLEPT
    }
}
