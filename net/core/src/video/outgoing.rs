//! Our picture on its way out: numbers, seals and cuts frames, keeps them for a moment to send pieces again, and makes
//! requests for the encoder of what the receiver asks.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::{EncodedVideo, Moment, VideoRequest, VideoTrack};

use super::pacer::Class;
use super::parity::{self, Weight};
use crate::seal::media::{MediaSealer, SenderKey};
use crate::transport::Loss;
use crate::wire::datagram::to_ticks;
use crate::wire::picture::{
    Ask, MAX_PIECE, PARITY_HEADER, PIECE_HEADER, PictureHeader, Piece, cut, pack, track_number,
};

/// How long a frame is kept to be sent again: nobody waits longer for one.
const KEPT_FOR: Duration = Duration::from_millis(1_200);
/// Bytes of frames kept: that time at 10 Mbit/s.
const KEPT_BYTES: usize = 1_536 * 1_024;
/// Asks for a key frame within this of the last one that was passed on are about the same loss…
const KEY_PAUSE: Duration = Duration::from_millis(200);
/// …and for going on from a kept frame.
const GO_ON_PAUSE: Duration = Duration::from_millis(60);

/// One datagram of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    /// Of which track.
    pub track: VideoTrack,
    /// The frame's number.
    pub number: u64,
    /// A piece, or parity.
    pub share: Share,
}

/// Which datagram of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// A piece.
    Piece(u8),
    /// Parity.
    Parity(u8),
}

/// A datagram for the pacer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ToSend {
    /// How urgent.
    pub class: Class,
    /// Which.
    pub item: Item,
    /// Bytes of the datagram.
    pub bytes: usize,
}

/// Counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutgoingFigures {
    /// Frames.
    pub frames: u64,
    /// Of those, key frames.
    pub keys: u64,
    /// Datagrams of frames, first sendings.
    pub pieces: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of parity.
    pub parity_bytes: u64,
    /// Bytes sent again because they were asked for.
    pub again_bytes: u64,
    /// Frames too large to send.
    pub too_large: u64,
    /// Pixels of the last frame.
    pub size: Option<ahoy_base::VideoSize>,
}

/// What is known of the way, for a frame that goes out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Way {
    /// Bytes a datagram may have.
    pub max_datagram: usize,
    /// What is lost.
    pub loss: Loss,
    /// The round trip.
    pub rtt: Duration,
}

struct Sent {
    number: u64,
    at: Moment,
    header: PictureHeader,
    sealed: Vec<u8>,
    piece: usize,
    parity: Vec<Vec<u8>>,
    /// When each piece was last sent again.
    again: Vec<Option<Moment>>,
}

/// See the module's first line.
pub struct Outgoing {
    track: VideoTrack,
    slot: u8,
    sealer: Option<MediaSealer>,
    /// Added to the encoder's numbers, so that a restarted encoder never uses one twice.
    offset: u64,
    next: u64,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    has: Option<u64>,
    key_asked: Option<Moment>,
    go_on_asked: Option<Moment>,
    /// Frames before this are not sent again: what comes next does without them.
    given_up: u64,
    figures: OutgoingFigures,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("track", &self.track)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Nothing was sent.
    pub fn new(slot: u8, track: VideoTrack) -> Outgoing {
        Outgoing {
            track,
            slot,
            sealer: None,
            offset: 0,
            next: 0,
            sent: VecDeque::new(),
            sent_bytes: 0,
            has: None,
            key_asked: None,
            go_on_asked: None,
            given_up: 0,
            figures: OutgoingFigures::default(),
        }
    }

    /// Seals with `key` from here on.
    pub fn use_key(&mut self, key: &SenderKey) {
        match &mut self.sealer {
            Some(sealer) => sealer.change_key(key),
            None => self.sealer = MediaSealer::new(self.slot, track_number(self.track), key),
        }
    }

    /// Counters.
    pub fn figures(&self) -> OutgoingFigures {
        self.figures
    }

    /// Bytes of frames that may be asked for.
    pub fn bytes(&self) -> usize {
        self.sent_bytes
    }

    /// Takes a frame: its datagrams, in order. None without a key to seal with, or if the frame is larger than 255 pieces.
    pub fn push(&mut self, now: Moment, frame: &EncodedVideo, way: Way) -> Vec<ToSend> {
        let mut number = frame.seq.saturating_add(self.offset);
        if number < self.next {
            self.offset = self.next.saturating_sub(frame.seq);
            number = self.next;
        }
        // A frame that needs one this far back is as good as one that needs nothing we know: neither can be told.
        let back = frame.needs.map_or(Some(0), |needs| u16::try_from(frame.seq.checked_sub(needs)?).ok());
        let content = pack(frame, back.unwrap_or(u16::MAX));
        let most = MAX_PIECE.min(way.max_datagram.saturating_sub(PARITY_HEADER)) & !1;
        let sealed_bytes = content.len() + crate::seal::media::OVERHEAD;
        let piece = sealed_bytes.div_ceil(cut(sealed_bytes, most).max(1)).next_multiple_of(2);
        let Ok(pieces) = u8::try_from(cut(sealed_bytes, piece)) else {
            self.figures.too_large += 1;
            return Vec::new();
        };
        self.seal(now, number, frame, &content, piece, pieces, way).unwrap_or_default()
    }

    #[expect(clippy::too_many_arguments, reason = "one step of push, split for its length")]
    fn seal(
        &mut self,
        now: Moment,
        number: u64,
        frame: &EncodedVideo,
        content: &[u8],
        piece: usize,
        pieces: u8,
        way: Way,
    ) -> Option<Vec<ToSend>> {
        let header = PictureHeader {
            slot: self.slot,
            track: self.track,
            // The low bits alone; the whole number is inside the seal.
            frame: number as u16,
            pieces,
            media_ticks: to_ticks(frame.media_time),
            key: frame.is_key(),
            discardable: frame.discardable,
        };
        let sealed = self.sealer.as_mut()?.seal(number, content, &header.authenticated())?;
        self.next = number + 1;
        // Sealing adds up to ten bytes fewer than allowed for: less than what the last piece holds, unless pieces are tiny.
        if cut(sealed.len(), piece) != usize::from(pieces) {
            self.figures.too_large += 1;
            return None;
        }
        let refs: Vec<&[u8]> = sealed.chunks(piece).collect();
        let weight = match (frame.is_key() || frame.kept, frame.discardable) {
            (true, _) => Weight::Key,
            (false, false) => Weight::Chain,
            (false, true) => Weight::Discardable,
        };
        let many = parity::parities(refs.len(), weight, way.loss, way.rtt);
        let parity = if many > 0 { parity::make(&refs, piece, many) } else { Vec::new() };
        let class = if frame.is_key() { Class::Key } else { Class::Delta };
        let item = |share| Item { track: self.track, number, share };
        let mut out: Vec<ToSend> = (0u8..)
            .zip(&refs)
            .map(|(n, bytes)| ToSend {
                class,
                item: item(Share::Piece(n)),
                bytes: PIECE_HEADER + bytes.len(),
            })
            .collect();
        out.extend((0u8..).zip(&parity).map(|(n, bytes)| ToSend {
            class: Class::Parity,
            item: item(Share::Parity(n)),
            bytes: PARITY_HEADER + bytes.len(),
        }));
        self.figures.frames += 1;
        self.figures.keys += u64::from(frame.is_key());
        self.figures.size = Some(frame.size);
        self.keep(
            now,
            Sent { number, at: now, header, again: vec![None; refs.len()], sealed, piece, parity },
        );
        Some(out)
    }

    /// The bytes of a datagram that the pacer let go; `None` if the frame is forgotten.
    pub fn piece(&mut self, item: Item, again: bool) -> Option<Piece<'_>> {
        let sent = self.sent.iter().rev().find(|sent| sent.number == item.number)?;
        let (index, parity, bytes) = match item.share {
            Share::Piece(n) => (n, None, sent.sealed.chunks(sent.piece).nth(usize::from(n))?),
            Share::Parity(n) => {
                let many = u8::try_from(sent.parity.len()).ok()?;
                let length = u32::try_from(sent.sealed.len()).ok()?;
                (n, Some((many, length)), sent.parity.get(usize::from(n))?.as_slice())
            }
        };
        let size = bytes.len() as u64;
        match (parity, again) {
            (Some(_), _) => self.figures.parity_bytes += size,
            (None, true) => self.figures.again_bytes += size,
            (None, false) => {
                self.figures.pieces += 1;
                self.figures.bytes += size;
            }
        }
        Some(Piece { header: sent.header, index, parity, bytes })
    }

    /// What the receiver asks for: datagrams to send again, and what the encoder is to do.
    pub fn asked(&mut self, now: Moment, rtt: Duration, ask: &Ask) -> (Vec<ToSend>, Vec<VideoRequest>) {
        let mut requests = Vec::new();
        let kept = ask.kept.map(|low| unwrap(low, self.next));
        if let Some(kept) = kept.filter(|kept| self.has.is_none_or(|has| *kept > has))
            && let Some(seq) = self.seq_of(kept)
        {
            self.has = Some(kept);
            requests.push(VideoRequest::Has(seq));
        }
        let passed = |at: Option<Moment>, pause: Duration| at.is_none_or(|at| now.since(at) > pause);
        let since_key = passed(self.key_asked, KEY_PAUSE + rtt);
        match (ask.key, ask.go_on, kept.and_then(|kept| self.seq_of(kept))) {
            (true, _, _) | (false, true, None) if since_key => {
                self.key_asked = Some(now);
                requests.push(VideoRequest::Key);
            }
            (false, true, Some(seq)) if since_key && passed(self.go_on_asked, GO_ON_PAUSE + rtt) => {
                self.go_on_asked = Some(now);
                requests.push(VideoRequest::GoOnFrom(seq));
            }
            _ => {}
        }
        let again = ask.missing.iter().flat_map(|missing| self.again(now, rtt, missing)).collect();
        (again, requests)
    }

    /// What an encoder is to do after frames were dropped on our side. None of them is sent again.
    pub fn go_on(&mut self, now: Moment) -> VideoRequest {
        self.given_up = self.next;
        match self.has.and_then(|has| self.seq_of(has)) {
            Some(seq) => {
                self.go_on_asked = Some(now);
                VideoRequest::GoOnFrom(seq)
            }
            None => {
                self.key_asked = Some(now);
                VideoRequest::Key
            }
        }
    }

    fn again(&mut self, now: Moment, rtt: Duration, missing: &crate::wire::picture::Missing) -> Vec<ToSend> {
        let number = unwrap(missing.frame, self.next);
        if number < self.given_up {
            return Vec::new();
        }
        let track = self.track;
        let Some(sent) = self.sent.iter_mut().rev().find(|sent| sent.number == number) else {
            return Vec::new();
        };
        let wanted = |n: usize| {
            missing.pieces.is_empty()
                || missing.pieces.get(n / 8).is_some_and(|byte| byte >> (n % 8) & 1 == 1)
        };
        let sizes: Vec<usize> = sent.sealed.chunks(sent.piece).map(<[u8]>::len).collect();
        let mut out = Vec::new();
        for ((n, bytes), again) in (0u8..).zip(sizes).zip(&mut sent.again) {
            // What is under way is not sent once more.
            let fresh = again.is_some_and(|at| now.since(at) < rtt.mul_f64(0.8));
            if wanted(usize::from(n)) && !fresh {
                *again = Some(now);
                let item = Item { track, number, share: Share::Piece(n) };
                out.push(ToSend { class: Class::Again, item, bytes: PIECE_HEADER + bytes });
            }
        }
        out
    }

    /// The encoder's number of a frame; `None` if it was another encoder's.
    fn seq_of(&self, number: u64) -> Option<u64> {
        number.checked_sub(self.offset).filter(|_| number < self.next)
    }

    fn keep(&mut self, now: Moment, sent: Sent) {
        let size = |sent: &Sent| sent.sealed.len() + sent.parity.iter().map(Vec::len).sum::<usize>();
        self.sent_bytes += size(&sent);
        self.sent.push_back(sent);
        while self.sent.len() > 1
            && let Some(old) =
                self.sent.pop_front_if(|old| self.sent_bytes > KEPT_BYTES || now.since(old.at) > KEPT_FOR)
        {
            self.sent_bytes -= size(&old);
        }
    }
}

/// The number nearest to `near` that ends in `low`.
pub(super) fn unwrap(low: u16, near: u64) -> u64 {
    let ahead = i64::from(low.wrapping_sub(near as u16).cast_signed());
    near.saturating_add_signed(ahead)
}
