//! Where a recording listens in: ticks of both voices with their times. Nothing here blocks a sound thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ahoy_base::{Moment, TICK_SAMPLES};

/// Ticks that wait for the recording: two and a half seconds of two voices, for a disk that is busy.
const MAX_WAITING: usize = 512;

/// 10 ms of a voice.
pub(crate) struct Tapped {
    /// This person's, or the other's.
    pub(crate) own: bool,
    /// When it was said, or is heard, here.
    pub(crate) at: Moment,
    /// The samples.
    pub(crate) sound: [f32; TICK_SAMPLES],
}

/// The sound threads' end. What finds no room is silence in the recording.
#[derive(Clone)]
pub(crate) struct SoundTap(SyncSender<Tapped>);

impl SoundTap {
    /// Both ends.
    pub(crate) fn new() -> (SoundTap, Receiver<Tapped>) {
        let (tap, heard) = sync_channel(MAX_WAITING);
        (SoundTap(tap), heard)
    }

    /// What this person said, as the others get it.
    pub(super) fn own(&self, at: Moment, sound: &[f32; TICK_SAMPLES]) {
        self.push(Tapped { own: true, at, sound: *sound });
    }

    /// What is heard of the other.
    pub(super) fn theirs(&self, at: Moment, sound: &[f32; TICK_SAMPLES]) {
        self.push(Tapped { own: false, at, sound: *sound });
    }

    fn push(&self, heard: Tapped) {
        // Full: the disk holds the recording up. Gone: it has just ended.
        let _ = self.0.try_send(heard);
    }
}
