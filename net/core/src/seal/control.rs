//! Seals control messages between two devices: Noise transport messages with their number on the wire.

use super::ReplayWindow;

/// Bytes that a sealed message is longer than its content: number and tag.
pub const OVERHEAD: usize = 8 + 16;
/// Longest content; a list of addresses is under 500 bytes.
pub const MAX_CONTENT: usize = 4_096;

/// Why a sealed message was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// It came before.
    Replayed,
    /// It was not sealed with this key, or changed since.
    Forged,
    /// It is too short or too long to be one.
    Malformed,
}

/// Both directions of a session's control messages. Works over lossy and reordered ways: each message has its number.
pub struct ControlSeal {
    transport: snow::StatelessTransportState,
    next: u64,
    seen: ReplayWindow,
}

impl std::fmt::Debug for ControlSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlSeal").field("next", &self.next).finish_non_exhaustive()
    }
}

impl ControlSeal {
    pub(super) fn new(transport: snow::StatelessTransportState) -> ControlSeal {
        ControlSeal { transport, next: 0, seen: ReplayWindow::default() }
    }

    /// Seals `content`: 8 bytes number, little endian, then the ciphertext. `None` if it is too long or the key used up.
    pub fn seal(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        if content.len() > MAX_CONTENT {
            return None;
        }
        let mut out = self.next.to_le_bytes().to_vec();
        out.resize(content.len() + OVERHEAD, 0);
        let n = self.transport.write_message(self.next, content, out.get_mut(8..)?).ok()?;
        out.truncate(8 + n);
        self.next += 1;
        Some(out)
    }

    /// Opens what the other side sealed.
    ///
    /// # Errors
    /// Why not; the message is to be counted and dropped.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (number, ciphertext) = sealed.split_first_chunk::<8>().ok_or(OpenError::Malformed)?;
        if ciphertext.len() < 16 || ciphertext.len() > MAX_CONTENT + 16 {
            return Err(OpenError::Malformed);
        }
        let number = u64::from_le_bytes(*number);
        if !self.seen.is_new(number) {
            return Err(OpenError::Replayed);
        }
        let mut out = vec![0; ciphertext.len()];
        let n = self.transport.read_message(number, ciphertext, &mut out).map_err(|_| OpenError::Forged)?;
        out.truncate(n);
        // Only now: a forged number must not move the window.
        self.seen.accept(number);
        Ok(out)
    }
}
