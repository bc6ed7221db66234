//! A congestion controller that never holds media back: the engine above paces and decides, QUIC only carries.
//!
//! quinn's own controllers are made for bulk: they let a queue grow, which is delay. Datagrams are sent the moment
//! they are made, and what a path can't carry is seen as loss (docs/decisions/0011).

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory};

/// Bytes that may be under way: a second of 2 Mbit/s. Voice alone never comes near; a flood still ends somewhere.
const WINDOW: u64 = 256 * 1024;

/// Makes [`MediaController`]s.
#[derive(Debug, Default)]
pub(crate) struct MediaControllerFactory;

impl ControllerFactory for MediaControllerFactory {
    fn build(self: Arc<Self>, _: Instant, _: u16) -> Box<dyn Controller> {
        Box::new(MediaController)
    }
}

#[derive(Debug, Clone)]
struct MediaController;

impl Controller for MediaController {
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}

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
