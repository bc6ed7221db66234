//! A peer's picture on its way in: pieces to frames, frames to what is shown and when, and what to ask for.

use std::time::Duration;

use ahoy_base::{EncodedVideo, Moment, VideoSize, VideoTrack};

use super::asking::Asking;
use super::order::Order;
use super::outgoing::unwrap;
use super::pieces::{Pieces, Taken};
use super::smooth::Smooth;
use crate::receive::Transit;
use crate::seal::control::OpenError;
use crate::seal::media::{MediaOpener, SenderKey};
use crate::wire::datagram::from_ticks;
use crate::wire::picture::{Ask, Piece, track_number, unpack};

/// A gap between frames that counts as a freeze (the contract's figure).
const FREEZE: Duration = Duration::from_millis(200);
/// Numbers ahead of the newest frame that are believed: a minute of frames.
const AHEAD: u64 = 2_000;

/// A frame at the moment it is to be seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The frame.
    pub frame: EncodedVideo,
    /// When the last datagram that it needed came.
    pub arrival: Moment,
}

/// Counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IncomingFigures {
    /// Frames shown.
    pub frames: u64,
    /// Of those, key frames.
    pub keys: u64,
    /// Bytes of frames shown.
    pub bytes: u64,
    /// Frames that parity completed.
    pub mended: u64,
    /// Asks for missing pieces.
    pub asks: u64,
    /// Asks to go on from a kept frame.
    pub go_ons: u64,
    /// Asks for a key frame.
    pub key_asks: u64,
    /// Frames that were never shown.
    pub skipped: u64,
    /// Gaps of more than 200 ms between shown frames.
    pub freezes: u64,
    /// Their length together.
    pub frozen: Duration,
    /// How long frames wait for steadiness and for their sound.
    pub waits: Duration,
    /// When they are ready to be shown, after the voice of their moment came; `None` while there is none.
    pub after_voice: Option<Duration>,
    /// Pixels of the last frame.
    pub size: Option<VideoSize>,
}

/// See the module's first line.
#[derive(Debug)]
pub struct Incoming {
    track: VideoTrack,
    opener: MediaOpener,
    pieces: Pieces,
    order: Order,
    smooth: Smooth,
    asking: Asking,
    /// Newest number and media time heard, to unwrap the next.
    newest: u64,
    heard_media: Duration,
    shown_at: Option<Moment>,
    figures: IncomingFigures,
}

impl Incoming {
    /// Nothing came.
    pub fn new(track: VideoTrack) -> Incoming {
        Incoming {
            track,
            opener: MediaOpener::default(),
            pieces: Pieces::default(),
            order: Order::default(),
            smooth: Smooth::default(),
            asking: Asking::new(track),
            newest: 0,
            heard_media: Duration::ZERO,
            shown_at: None,
            figures: IncomingFigures::default(),
        }
    }

    /// Takes a key of the sender.
    pub fn add_key(&mut self, slot: u8, key: &SenderKey) {
        self.opener.add_key(slot, track_number(self.track), key);
    }

    /// Counters.
    pub fn figures(&self) -> IncomingFigures {
        let (waits, after_voice) = (self.smooth.waits(), self.smooth.after_voice());
        IncomingFigures { waits, after_voice, ..self.figures }
    }

    /// Bytes of frames that are incomplete or wait.
    pub fn bytes(&self) -> usize {
        self.pieces.bytes() + self.order.bytes()
    }

    /// The track begins, or ends: the time between is no freeze.
    pub fn pause(&mut self) {
        self.shown_at = None;
    }

    /// When sound is heard: the least transit of the voice, and how long it waits.
    pub fn hear(&mut self, voice: &Transit, waits: Duration) {
        self.smooth.hear(voice, waits);
    }

    /// The decoder lost its state: only a key frame helps.
    pub fn need_key(&mut self) {
        self.order.forget();
        self.asking.want_key();
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// When it contradicts others, or the frame that it completes was not sealed by the peer.
    pub fn take(&mut self, now: Moment, piece: &Piece<'_>) -> Result<(), OpenError> {
        let number = unwrap(piece.header.frame, self.newest);
        if number > self.newest + AHEAD {
            return Err(OpenError::Malformed);
        }
        if self.order.released().is_some_and(|last| number <= last) || self.order.holds(number) {
            if piece.parity.is_none() {
                self.asking.double();
            }
            return Ok(());
        }
        match self.pieces.take(now, number, piece) {
            Taken::Kept => {}
            Taken::Double => self.asking.double(),
            Taken::Broken => return Err(OpenError::Malformed),
            Taken::Whole(whole) => {
                let opened = self.opener.open(&whole.sealed, &whole.header.authenticated())?;
                let content = unpack(&opened.content).ok_or(OpenError::Malformed)?;
                if opened.number as u16 != whole.header.frame {
                    return Err(OpenError::Malformed);
                }
                let back = u64::from(content.needs_back);
                let needs = if back == 0 {
                    None
                } else {
                    Some(number.checked_sub(back).ok_or(OpenError::Malformed)?)
                };
                let media_time = from_ticks(whole.header.media_ticks, self.heard_media);
                self.heard_media = media_time;
                let frame = EncodedVideo {
                    seq: number,
                    media_time,
                    codec: content.codec,
                    size: content.size,
                    needs,
                    kept: content.kept,
                    discardable: whole.header.discardable,
                    data: content.data.to_vec(),
                };
                self.figures.mended += u64::from(whole.mended);
                self.smooth.take(now, media_time);
                self.order.insert(frame, now);
            }
        }
        self.asking.came(now, number, self.order.released());
        self.newest = self.newest.max(number);
        Ok(())
    }

    /// The next frame whose moment has come.
    pub fn show(&mut self, now: Moment) -> Option<Shown> {
        let (number, due) = self.next()?;
        if due > now {
            return None;
        }
        let before = self.order.released();
        let (frame, arrival) = self.order.release(number)?;
        self.pieces.forget_to(number);
        self.figures.skipped += before.map_or(0, |before| number - before - 1);
        self.figures.frames += 1;
        self.figures.keys += u64::from(frame.is_key());
        self.figures.bytes += frame.data.len() as u64;
        self.figures.size = Some(frame.size);
        let gap = self.shown_at.map_or(Duration::ZERO, |at| now.since(at));
        if gap > FREEZE {
            self.figures.freezes += 1;
            self.figures.frozen += gap;
        }
        self.shown_at = Some(now);
        Some(Shown { frame, arrival })
    }

    /// What is to be asked for. Look after [`Incoming::show`].
    pub fn ask(&mut self, now: Moment, rtt: Duration) -> Option<Ask> {
        let next = self.next();
        let ask = self.asking.look(now, rtt, &self.pieces, &self.order, next)?;
        self.figures.asks += u64::from(!ask.missing.is_empty());
        self.figures.go_ons += u64::from(ask.go_on);
        self.figures.key_asks += u64::from(ask.key);
        Some(ask)
    }

    /// When [`Incoming::show`] or [`Incoming::ask`] has something to do.
    pub fn due(&self) -> Option<Moment> {
        self.next().map(|(_, due)| due).into_iter().chain(self.asking.due()).min()
    }

    fn next(&self) -> Option<(u64, Moment)> {
        let (number, media_time) = self.order.next()?;
        // What comes after a freeze is late already: it does not wait.
        Some((number, self.smooth.due(media_time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::picture::PictureHeader;

    /// A peer that sends nonsense: any numbers, sizes and shapes, well formed as they may be.
    #[test]
    fn a_hostile_peer_fills_no_memory_and_breaks_nothing() {
        let mut incoming = Incoming::new(VideoTrack::Camera);
        let (mut state, mut most) = (1u64, 0);
        let mut roll = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let bytes = vec![7u8; 1_120];
        for step in 0..60_000u64 {
            let now = Moment::from_millis(1_000 + step / 10);
            let pieces = (1 + roll(255)) as u8;
            let header = PictureHeader {
                slot: 0,
                track: VideoTrack::Camera,
                frame: (step / 40 + roll(300)) as u16,
                pieces,
                media_ticks: roll(1 << 32) as u32,
                key: roll(2) == 0,
                discardable: roll(2) == 0,
            };
            let length = 2 * (1 + roll(560)) as usize;
            let bytes = bytes.get(..length).unwrap_or_default();
            let parity = (roll(4) == 0).then(|| (1 + roll(200) as u8, (length * usize::from(pieces)) as u32));
            let _ =
                incoming.take(now, &Piece { header, index: roll(u64::from(pieces)) as u8, parity, bytes });
            let _ = incoming.show(now);
            let _ = incoming.ask(now, Duration::from_millis(roll(400)));
            let _ = incoming.due();
            most = most.max(incoming.bytes());
        }
        assert!(most < 4 * 1_024 * 1_024, "{most} bytes");
        assert_eq!(incoming.figures().frames, 0);
    }
}
