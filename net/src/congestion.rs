//! A congestion controller that never holds media back: the engine above paces and decides, QUIC only carries.
//!
//! quinn's own controllers are made for bulk: they let a queue grow, which is delay. Datagrams are sent the moment
//! they are made, and what a path can't carry is seen as loss (docs/decisions/0011).

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory};

/// Bytes that may be under way: a second of 2 Mbit/s. Voice alone never comes near; a flood still ends somewhere.
const WINDOW: u64 = 256 * 1024;

/// Makes [`MediaController`]s.
#[derive(Debug, Default)]
pub(crate) struct MediaControllerFactory;

impl ControllerFactory for MediaControllerFactory {
    fn build(self: Arc<Self>, _: Instant, _: u16) -> Box<dyn Controller> {
        Box::new(MediaController::default())
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct MediaController {
    marks: Arc<AtomicU64>,
}

impl MediaController {
    /// Congestion marks so far.
    pub(crate) fn marks(&self) -> u64 {
        self.marks.load(Ordering::Relaxed)
    }
}

impl Controller for MediaController {
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, lost_bytes: u64) {
        // quinn-proto 0.11 tells a mark (ECN-CE) as an event without lost bytes.
        if lost_bytes == 0 {
            self.marks.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_mtu_update(&mut self, _: u16) {}

    fn window(&self) -> u64 {
        WINDOW
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
