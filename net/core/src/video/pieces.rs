//! Makes sealed frames of pieces and parity, in whatever order they come.

use std::collections::BTreeMap;

use ahoy_base::Moment;

use super::parity;
use crate::wire::picture::{PictureHeader, Piece};

/// Frames that may be incomplete at once: two seconds.
const MAX_PARTIAL: usize = 64;
/// Bytes that incomplete frames may hold: many times what a good sender has under way.
const MAX_BYTES: usize = 3 * 1_024 * 1_024;
/// Parities kept of a frame.
const MAX_PARITIES: usize = 255;

/// A frame of which not all came.
#[derive(Debug)]
pub struct Partial {
    header: PictureHeader,
    pieces: Vec<Option<Vec<u8>>>,
    here: usize,
    parity: BTreeMap<u8, Vec<u8>>,
    /// Parities there are, and bytes of the sealed frame.
    shape: Option<(u8, u32)>,
    bytes: usize,
    /// When the last datagram of it came.
    pub last: Moment,
}

/// A frame of which enough came.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its header, not yet proven.
    pub header: PictureHeader,
    /// What is sealed.
    pub sealed: Vec<u8>,
    /// Parity made some of it.
    pub mended: bool,
}

/// See the module's first line.
#[derive(Debug, Default)]
pub struct Pieces {
    partial: BTreeMap<u64, Partial>,
    bytes: usize,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept.
    Kept,
    /// It was there already, or is not needed.
    Double,
    /// It contradicts what came before.
    Broken,
    /// It was the last one missing.
    Whole(Whole),
}

impl Pieces {
    /// Takes a piece of frame `number`.
    pub fn take(&mut self, now: Moment, number: u64, piece: &Piece<'_>) -> Taken {
        let count = usize::from(piece.header.pieces);
        let partial = self.partial.entry(number).or_insert_with(|| Partial {
            header: piece.header,
            pieces: vec![None; count],
            here: 0,
            parity: BTreeMap::new(),
            shape: None,
            bytes: 0,
            last: now,
        });
        if partial.header != piece.header
            || (partial.shape.is_some() && piece.parity.is_some_and(|p| partial.shape != Some(p)))
        {
            return Taken::Broken;
        }
        let added = match piece.parity {
            Some(shape) => {
                partial.shape = Some(shape);
                partial.parity.len() < MAX_PARITIES
                    && partial.parity.insert(piece.index, piece.bytes.to_vec()).is_none()
            }
            None => match partial.pieces.get_mut(usize::from(piece.index)) {
                Some(slot @ None) => {
                    *slot = Some(piece.bytes.to_vec());
                    partial.here += 1;
                    true
                }
                Some(Some(_)) | None => false,
            },
        };
        if !added {
            return Taken::Double;
        }
        partial.last = partial.last.max(now);
        partial.bytes += piece.bytes.len();
        self.bytes += piece.bytes.len();
        if partial.here + partial.parity.len() >= count {
            let Some(partial) = self.remove(number) else { return Taken::Broken };
            return partial.join().map_or(Taken::Broken, Taken::Whole);
        }
        while self.partial.len() > MAX_PARTIAL || (self.bytes > MAX_BYTES && self.partial.len() > 1) {
            let Some((oldest, _)) = self.partial.first_key_value() else { break };
            let oldest = *oldest;
            self.remove(oldest);
        }
        Taken::Kept
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A frame of which some came.
    pub fn get(&self, number: u64) -> Option<&Partial> {
        self.partial.get(&number)
    }

    /// The oldest of them.
    pub fn first(&self) -> Option<u64> {
        self.partial.first_key_value().map(|(n, _)| *n)
    }

    /// Forgets `number` and all before it.
    pub fn forget_to(&mut self, number: u64) {
        while let Some((first, _)) = self.partial.first_key_value()
            && *first <= number
        {
            let first = *first;
            self.remove(first);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Partial> {
        let partial = self.partial.remove(&number)?;
        self.bytes -= partial.bytes;
        Some(partial)
    }
}

impl Partial {
    /// How many more datagrams make the frame.
    pub fn lacks(&self) -> usize {
        self.pieces.len().saturating_sub(self.here + self.parity.len())
    }

    /// It can be decoded without any other.
    pub fn is_key(&self) -> bool {
        self.header.key
    }

    /// No later frame needs it.
    pub fn is_discardable(&self) -> bool {
        self.header.discardable
    }

    /// A piece is missing before one that came.
    pub fn has_hole(&self) -> bool {
        let last = self.pieces.iter().rposition(Option::is_some).map_or(0, |n| n + 1);
        last > self.here || !self.parity.is_empty()
    }

    /// The first `most` pieces that are missing, as an ask names them.
    pub fn missing(&self, most: usize) -> Vec<u8> {
        let mut bits = vec![0u8; self.pieces.len().div_ceil(8)];
        let missing = self.pieces.iter().enumerate().filter(|(_, p)| p.is_none()).take(most);
        for (n, _) in missing {
            if let Some(byte) = bits.get_mut(n / 8) {
                *byte |= 1 << (n % 8);
            }
        }
        bits
    }

    fn join(mut self) -> Option<Whole> {
        let mended = self.here < self.pieces.len();
        if mended {
            let (many, _) = self.shape?;
            let length = self.parity.first_key_value()?.1.len();
            // Pieces of another length than parity says can't be theirs.
            let last = self.pieces.len() - 1;
            let fits = |(n, piece): (usize, &Option<Vec<u8>>)| {
                piece.as_ref().is_none_or(|p| p.len() == length || (n == last && p.len() < length))
            };
            if !self.pieces.iter().enumerate().all(fits) || self.parity.values().any(|p| p.len() != length) {
                return None;
            }
            let parity: Vec<(usize, &[u8])> =
                self.parity.iter().map(|(n, p)| (usize::from(*n), p.as_slice())).collect();
            for (n, piece) in parity::mend(&self.pieces, &parity, usize::from(many), length)? {
                *self.pieces.get_mut(n)? = Some(piece);
            }
        }
        let mut sealed: Vec<u8> = self.pieces.into_iter().flatten().flatten().collect();
        if let Some((_, bytes)) = self.shape {
            sealed.truncate(bytes as usize);
        }
        Some(Whole { header: self.header, sealed, mended })
    }
}
