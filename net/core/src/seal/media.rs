//! Seals media frames: SFrame (RFC 9605) with AES-256-GCM, a key of each sender, its generations, and a replay window.

use sframe::CipherSuite;
use sframe::frame::{EncryptedFrameView, FrameCounter, MediaFrameView};
use sframe::key::{DecryptionKey, EncryptionKey};

use super::ReplayWindow;
use super::control::OpenError;

/// Generations that a receiver keeps: the running one, the one before, the one to come.
const KEPT: usize = 3;
/// Generations count modulo this (6 bits of the key id).
pub const GENERATIONS: u8 = 64;
/// Largest sealed frame that is looked at: what the pieces of a picture hold.
pub const MAX_SEALED: usize = crate::wire::picture::MAX_SEALED;
const SUITE: CipherSuite = CipherSuite::AesGcm256Sha512;

/// What a sender tells its receivers so that they can open its frames.
#[derive(Clone, PartialEq, Eq)]
pub struct SenderKey {
    /// Which of the sender's keys, 0 to 63.
    pub generation: u8,
    /// Random.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SenderKey").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// The key id on the wire: slot (6 bits), track (4), generation (6).
pub fn key_id(slot: u8, track: u8, generation: u8) -> u64 {
    u64::from(slot & 63) << 10 | u64::from(track & 15) << 6 | u64::from(generation % GENERATIONS)
}

/// Gives SFrame the frame's own number as its counter: unique under one key because frames are numbered once.
struct Numbered(u64);

impl FrameCounter for Numbered {
    type Error = std::convert::Infallible;

    fn try_next(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0)
    }
}

/// Seals the frames of one track of this device.
pub struct MediaSealer {
    key: EncryptionKey,
    generation: u8,
    slot: u8,
    track: u8,
    /// The lowest number that was not used under this key.
    next: u64,
}

impl std::fmt::Debug for MediaSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaSealer").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl MediaSealer {
    /// Seals with `key` from here on. `None` only if the cipher refuses the key, which it never does.
    pub fn new(slot: u8, track: u8, key: &SenderKey) -> Option<MediaSealer> {
        let id = key_id(slot, track, key.generation);
        let derived = EncryptionKey::derive_from(SUITE, id, key.secret).ok()?;
        Some(MediaSealer { key: derived, generation: key.generation, slot, track, next: 0 })
    }

    /// Goes over to `key`. Numbers go on, so receivers see one row of frames.
    pub fn change_key(&mut self, key: &SenderKey) {
        if let Some(new) = MediaSealer::new(self.slot, self.track, key) {
            *self = MediaSealer { next: self.next, ..new };
        }
    }

    /// The generation in use.
    pub const fn generation(&self) -> u8 {
        self.generation
    }

    /// Seals `content` as frame `number`, with `clear` authenticated beside it. `None` if the number was used before.
    pub fn seal(&mut self, number: u64, content: &[u8], clear: &[u8]) -> Option<Vec<u8>> {
        if number < self.next || number == u64::MAX {
            return None;
        }
        let frame = MediaFrameView::with_meta_data(&mut Numbered(number), content, clear);
        let mut buffer = Vec::new();
        let view = frame.encrypt_into(&self.key, &mut buffer).ok()?;
        let sealed = view.sframe_cipher_text().to_vec();
        self.next = number + 1;
        Some(sealed)
    }
}

/// Opens the frames of one track of a peer.
#[derive(Default)]
pub struct MediaOpener {
    keys: Vec<(u8, DecryptionKey)>,
    seen: ReplayWindow,
}

impl std::fmt::Debug for MediaOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaOpener").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// An opened frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub number: u64,
    /// What was sealed.
    pub content: Vec<u8>,
}

impl MediaOpener {
    /// Takes a key of the sender; the oldest of more than three is forgotten.
    pub fn add_key(&mut self, slot: u8, track: u8, key: &SenderKey) {
        if let Ok(derived) =
            DecryptionKey::derive_from(SUITE, key_id(slot, track, key.generation), key.secret)
        {
            self.keys.retain(|(generation, _)| *generation != key.generation);
            self.keys.push((key.generation, derived));
            if self.keys.len() > KEPT {
                self.keys.remove(0);
            }
        }
    }

    /// Opens a sealed frame that came with `clear`.
    ///
    /// # Errors
    /// Why not; the frame is to be counted and dropped.
    pub fn open(&mut self, sealed: &[u8], clear: &[u8]) -> Result<Opened, OpenError> {
        if sealed.len() > MAX_SEALED {
            return Err(OpenError::Malformed);
        }
        let frame =
            EncryptedFrameView::try_with_meta_data(sealed, clear).map_err(|_| OpenError::Malformed)?;
        let (id, number) = (frame.header().key_id(), frame.header().counter());
        if !self.seen.is_new(number) {
            return Err(OpenError::Replayed);
        }
        let generation = (id % u64::from(GENERATIONS)) as u8;
        let (_, key) = self.keys.iter().find(|(g, _)| *g == generation).ok_or(OpenError::Forged)?;
        let mut buffer = Vec::new();
        let opened = frame.decrypt_into(key, &mut buffer).map_err(|_| OpenError::Forged)?;
        let content = opened.payload().to_vec();
        // Only now: a forged number must not move the window.
        self.seen.accept(number);
        Ok(Opened { number, content })
    }
}

/// Bytes that sealing adds at most: header of 1 + 2 + 8 bytes and tag.
pub const OVERHEAD: usize = 27;

/// Whether sealed `content` fits a voice datagram; what does not is not sent.
pub fn fits(content: &[u8], max_datagram: usize) -> bool {
    content.len() + OVERHEAD + crate::wire::datagram::VOICE_HEADER <= max_datagram
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const KEY: SenderKey = SenderKey { generation: 5, secret: [9; 32] };

    fn pair() -> (MediaSealer, MediaOpener) {
        let mut opener = MediaOpener::default();
        opener.add_key(1, 0, &KEY);
        (MediaSealer::new(1, 0, &KEY).unwrap(), opener)
    }

    #[test]
    fn a_frame_opens_once_and_only_unchanged() {
        let (mut sealer, mut opener) = pair();
        let sealed = sealer.seal(7, b"sound", b"clear").unwrap();
        assert!(!sealed.windows(5).any(|w| w == b"sound"));
        assert!(sealed.len() <= 5 + OVERHEAD);
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(opener.open(&altered, b"clear").is_err());
        }
        assert_eq!(opener.open(&sealed, b"clean"), Err(OpenError::Forged));
        assert_eq!(opener.open(&sealed, b"clear"), Ok(Opened { number: 7, content: b"sound".to_vec() }));
        assert_eq!(opener.open(&sealed, b"clear"), Err(OpenError::Replayed));
        assert_eq!(opener.open(&[], b""), Err(OpenError::Malformed));
    }

    #[test]
    fn no_number_is_used_twice() {
        let (mut sealer, _) = pair();
        assert!(sealer.seal(3, b"", b"").is_some());
        assert!(sealer.seal(3, b"", b"").is_none());
        assert!(sealer.seal(2, b"", b"").is_none());
        assert!(sealer.seal(4, b"", b"").is_some());
    }

    #[test]
    fn a_change_of_key_leaves_no_gap_and_old_keys_are_forgotten() {
        let (mut sealer, mut opener) = pair();
        let old = sealer.seal(1, b"old", b"").unwrap();
        let mut last = KEY;
        for n in 1..=3u8 {
            last = SenderKey { generation: 5 + n, secret: [n; 32] };
            opener.add_key(1, 0, &last);
        }
        sealer.change_key(&last);
        let new = sealer.seal(2, b"new", b"").unwrap();
        assert_eq!(opener.open(&new, b"").unwrap().content, b"new");
        assert_eq!(opener.open(&old, b""), Err(OpenError::Forged), "its key is four generations old");
    }
}
