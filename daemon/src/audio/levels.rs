//! How loud it is, written by the sound threads and read by pages without either waiting for the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI16, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use ahoy_base::{Decibel, PeerId};

use super::peer_player::replace;
use super::sound_check::SoundCheck;
use crate::web::protocol::Levels;

/// See the module's first line.
pub(super) struct SharedLevels {
    microphone: AtomicI16,
    speaker: AtomicI16,
    /// Written by the playback thread, ten times a second.
    peers: Mutex<BTreeMap<PeerId, Decibel>>,
    pub(super) speaking_while_muted: AtomicBool,
    pub(super) silent_ms: AtomicU32,
    /// For test calls.
    pub(super) check: SoundCheck,
}

impl Default for SharedLevels {
    fn default() -> SharedLevels {
        let silence = || AtomicI16::new(tenths(Decibel::SILENCE));
        SharedLevels {
            microphone: silence(),
            speaker: silence(),
            peers: Mutex::default(),
            speaking_while_muted: AtomicBool::new(false),
            silent_ms: AtomicU32::new(0),
            check: SoundCheck::default(),
        }
    }
}

impl SharedLevels {
    pub(super) fn set_microphone(&self, level: Decibel) {
        self.microphone.store(tenths(level), Relaxed);
    }

    pub(super) fn set_speaker(&self, level: Decibel) {
        self.speaker.store(tenths(level), Relaxed);
    }

    pub(super) fn set_peers(&self, levels: impl Iterator<Item = (PeerId, Decibel)> + Clone) {
        replace(&mut self.peers.lock().unwrap_or_else(PoisonError::into_inner), levels);
    }

    pub(super) fn read(&self) -> Levels {
        let level = |tenths: &AtomicI16| Decibel::tenths(tenths.load(Relaxed)).as_f32();
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        Levels {
            microphone: level(&self.microphone),
            speaker: level(&self.speaker),
            peers: peers.iter().map(|(peer, level)| (peer.to_string(), level.as_f32())).collect(),
            speaking_while_muted: self.speaking_while_muted.load(Relaxed),
            microphone_silent_ms: self.silent_ms.load(Relaxed),
        }
    }
}

fn tenths(level: Decibel) -> i16 {
    // Casts from float saturate.
    (level.as_f32() * 10.0) as i16
}
