//! Leads what a page captured and encoded to a call's thread, as it is.

use std::sync::Arc;

use ahoy_base::{Bitrate, VideoPlan, VideoSize, VideoTrack};

use super::encode::Fed;
use super::hub::{BrowserSource, VideoHub};
use super::newest::Newest;

/// Frames that wait for the call's thread; more would only be delay.
const MAX_WAITING: usize = 8;

/// What a page is asked for until the call's thread says what the path carries.
pub(super) const FIRST_PLAN: VideoPlan =
    VideoPlan { bitrate: Bitrate::kbps(500), size: VideoSize { width: 640, height: 360 }, frame_rate: 30 };

/// Starts a thread that ends with the page's capture, or with the call's thread.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn relay(
    mut source: BrowserSource,
    place: Arc<Newest<Fed>>,
    hub: VideoHub,
    track: VideoTrack,
) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name(format!("{} of the page", track.word()))
        .spawn(move || {
            // Frames were thrown away: what follows needs them, up to a key frame.
            let mut hole = false;
            while let Some(frame) = source.frames.blocking_recv() {
                if place.is_closed() {
                    return;
                }
                if hole && !frame.is_key() {
                    continue;
                }
                hole = false;
                place.update(|waiting| {
                    let mut frames = match waiting {
                        Some(Fed::Frames(frames)) => frames,
                        Some(Fed::Picture(_)) | None => std::collections::VecDeque::new(),
                    };
                    if frames.len() >= MAX_WAITING {
                        frames.clear();
                        hole = !frame.is_key();
                    }
                    if !hole {
                        frames.push_back(frame);
                    }
                    Fed::Frames(frames)
                });
                if hole {
                    hub.browser(track).want_key();
                }
            }
        })
        .map(drop)
}
