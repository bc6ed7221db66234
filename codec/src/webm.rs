//! WebM files (Matroska, RFC 9559, in the words that WebM allows), written so that what is on the disk can be played
//! whenever the writer stops.
//!
//! ```text
//!  EBML header | Segment, open-ended: [ SeekHead | Info | Tracks, with room ] Cluster Cluster ... [ Cues ]
//!              '----------------- [`head`]: always the same length -----------' [`cluster`]        [`cues`]
//! ```
//! A segment of unknown size ends with its file. Clusters are whole when they are written. The head is written again in
//! place, as a whole: when a track is added, and at the end, with duration, cues and the segment's size.

use ahoy_base::{SAMPLE_RATE, VideoCodec, VideoSize};

/// One track of a file; its number is its place in the list, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebmTrack {
    /// Shown by players where one chooses; cut to [`MAX_TRACK_NAME`] characters.
    pub name: String,
    /// What is in it.
    pub kind: WebmKind,
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebmKind {
    /// Mono Opus (RFC 7845).
    Opus {
        /// Samples at 48 kHz that a player leaves out at the beginning: what the encoder adds before the first.
        pre_skip: u16,
    },
    /// VP8 or VP9.
    Video {
        /// Which.
        codec: VideoCodec,
        /// Its largest picture; frames say their own size.
        size: VideoSize,
    },
}

/// One frame or packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebmBlock {
    /// Number of its track, from 1.
    pub track: u8,
    /// When it is shown or heard, in milliseconds from the beginning of the file.
    pub at_ms: u64,
    /// Can be decoded without any other.
    pub key: bool,
    /// The frame.
    pub data: Vec<u8>,
}

/// Where a player may jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebmCue {
    /// Milliseconds from the beginning.
    pub at_ms: u64,
    /// Of which track, from 1.
    pub track: u8,
    /// Where in the file its cluster begins.
    pub cluster: u64,
}

/// What is known at the end of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebmEnd {
    /// How long it is, in milliseconds.
    pub duration_ms: u64,
    /// Where in the file [`cues`] begin.
    pub cues_at: u64,
    /// Bytes of the file, cues included.
    pub length: u64,
}

/// Most tracks of a file: what fits into the room for them, however long their names are.
pub const MAX_TRACKS: usize = 16;
/// Longest name of a track, in characters.
pub const MAX_TRACK_NAME: usize = 60;
/// A block may stand so far from the beginning of its cluster: 16 bits with a sign.
pub const MAX_IN_CLUSTER_MS: u64 = 32_000;

/// Bytes of the file's head: the lists in it have room to be written again.
pub const HEAD: usize = SEGMENT_AT + 12 + SEEK_ROOM + INFO_ROOM + TRACKS_ROOM;
/// Where the segment begins: the EBML header is always as long.
const SEGMENT_AT: usize = 36;
/// Where the segment's own content begins; places in the file are counted from here.
const CONTENT_AT: usize = SEGMENT_AT + 12;
/// Room for three places.
const SEEK_ROOM: usize = 96;
/// Room for units, duration, date and the program's name twice.
const INFO_ROOM: usize = 160;
/// Room for [`MAX_TRACKS`]: each takes at most 60 bytes and four a character of its name.
const TRACKS_ROOM: usize = 6_144;
/// The size of an element that ends with what is around it (RFC 8794, 6.2).
const UNKNOWN: u64 = u64::MAX;
/// What a player decodes before the place it jumps to, in nanoseconds (RFC 7845, 4.6: 80 ms).
const SEEK_PRE_ROLL_NS: u64 = 80_000_000;
/// Names the program in the file.
const APP: &str = "Ahoy";

/// The first [`HEAD`] bytes of a file with these tracks ([`MAX_TRACKS`] at most, more are left out), begun
/// `began_ms` after 1970; with `end`, of a finished one.
pub fn head(tracks: &[WebmTrack], began_ms: u64, end: Option<WebmEnd>) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEAD);
    let ebml = [
        uint(0x4286, 1),
        uint(0x42f7, 1),
        uint(0x42f2, 4),
        uint(0x42f3, 8),
        element(0x4282, b"webm"),
        uint(0x4287, 4),
        uint(0x4285, 2),
    ];
    file.extend(element(0x1a45_dfa3, &ebml.concat()));
    debug_assert_eq!(file.len(), SEGMENT_AT);
    id(&mut file, 0x1853_8067);
    wide_size(&mut file, end.map_or(UNKNOWN, |end| end.length.saturating_sub(CONTENT_AT as u64)));

    let mut places = vec![(0x1549_a966, SEEK_ROOM as u64), (0x1654_ae6b, (SEEK_ROOM + INFO_ROOM) as u64)];
    places.extend(end.map(|end| (0x1c53_bb6b, end.cues_at.saturating_sub(CONTENT_AT as u64))));
    let seeks: Vec<u8> = places
        .into_iter()
        .flat_map(|(what, at)| {
            let mut name = Vec::new();
            id(&mut name, what);
            element(0x4dbb, &[element(0x53ab, &name), uint(0x53ac, at)].concat())
        })
        .collect();
    roomy(&mut file, element(0x114d_9b74, &seeks), SEEK_ROOM);

    // Matroska counts nanoseconds from the beginning of 2001.
    let date = i64::try_from(began_ms).unwrap_or(0).saturating_sub(978_307_200_000).saturating_mul(1_000_000);
    let mut info = vec![uint(0x002a_d7b1, 1_000_000), element(0x4461, &date.to_be_bytes())];
    // Milliseconds; exact far beyond the age of the universe.
    info.extend(end.map(|end| element(0x4489, &(end.duration_ms as f64).to_be_bytes())));
    info.extend([element(0x4d80, APP.as_bytes()), element(0x5741, APP.as_bytes())]);
    roomy(&mut file, element(0x1549_a966, &info.concat()), INFO_ROOM);

    let entries: Vec<u8> =
        (1u8..).zip(tracks.iter().take(MAX_TRACKS)).flat_map(|(n, t)| entry(n, t)).collect();
    roomy(&mut file, element(0x1654_ae6b, &entries), TRACKS_ROOM);
    file
}

/// A cluster of `blocks`, in their order. Times further than [`MAX_IN_CLUSTER_MS`] from the first are cut to that.
pub fn cluster(blocks: &[WebmBlock]) -> Vec<u8> {
    let base = blocks.first().map_or(0, |block| block.at_ms);
    let mut content = uint(0xe7, base);
    for block in blocks {
        let most = MAX_IN_CLUSTER_MS.cast_signed();
        let at = block.at_ms.cast_signed().saturating_sub(base.cast_signed()).clamp(-most, most);
        let at = i16::try_from(at).unwrap_or(0).to_be_bytes();
        let flags = if block.key { 0x80 } else { 0 };
        let [high, low] = at;
        let head = [0x80 | (block.track & 0x7f), high, low, flags];
        id(&mut content, 0xa3);
        size(&mut content, (head.len() + block.data.len()) as u64);
        content.extend_from_slice(&head);
        content.extend_from_slice(&block.data);
    }
    element(0x1f43_b675, &content)
}

/// The list of places to jump to; written behind the last cluster.
pub fn cues(cues: &[WebmCue]) -> Vec<u8> {
    let points: Vec<u8> = cues
        .iter()
        .flat_map(|cue| {
            let place =
                [uint(0xf7, u64::from(cue.track)), uint(0xf1, cue.cluster.saturating_sub(CONTENT_AT as u64))];
            element(0xbb, &[uint(0xb3, cue.at_ms), element(0xb7, &place.concat())].concat())
        })
        .collect();
    element(0x1c53_bb6b, &points)
}

fn entry(number: u8, track: &WebmTrack) -> Vec<u8> {
    let name: String = track.name.chars().take(MAX_TRACK_NAME).collect();
    let n = u64::from(number);
    let mut parts = vec![uint(0xd7, n), uint(0x73c5, n), uint(0x9c, 0), element(0x22_b59c, b"und")];
    parts.push(element(0x536e, name.as_bytes()));
    match track.kind {
        WebmKind::Opus { pre_skip } => {
            let delay_ns = u64::from(pre_skip) * 1_000_000_000 / u64::from(SAMPLE_RATE);
            let sound = [element(0xb5, &f64::from(SAMPLE_RATE).to_be_bytes()), uint(0x9f, 1)];
            parts.extend([
                uint(0x83, 2),
                element(0x86, b"A_OPUS"),
                element(0x63a2, &opus_head(pre_skip)),
                uint(0x56aa, delay_ns),
                uint(0x56bb, SEEK_PRE_ROLL_NS),
                element(0xe1, &sound.concat()),
            ]);
        }
        WebmKind::Video { codec, size } => {
            let name: &[u8] = match codec {
                VideoCodec::Vp8 => b"V_VP8",
                VideoCodec::Vp9 => b"V_VP9",
            };
            let pixels = [uint(0xb0, u64::from(size.width)), uint(0xba, u64::from(size.height))];
            parts.extend([uint(0x83, 1), element(0x86, name), element(0xe0, &pixels.concat())]);
        }
    }
    element(0xae, &parts.concat())
}

/// RFC 7845, 5.1: version 1, one channel, no gain, family 0.
fn opus_head(pre_skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend(pre_skip.to_le_bytes());
    head.extend(SAMPLE_RATE.to_le_bytes());
    head.extend([0, 0, 0]);
    head
}

fn element(name: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 12);
    id(&mut out, name);
    size(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    out
}

fn uint(name: u32, value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take(7).take_while(|byte| **byte == 0).count();
    element(name, bytes.get(zeros..).unwrap_or(&bytes))
}

/// An id carries its length in its first bits: it is written as it stands.
fn id(out: &mut Vec<u8>, name: u32) {
    out.extend(name.to_be_bytes().into_iter().skip_while(|byte| *byte == 0));
}

/// The shortest form of a size (RFC 8794, 4).
fn size(out: &mut Vec<u8>, value: u64) {
    // All ones means unknown, so each length holds one value less.
    let length = (1..8u32).find(|n| value < (1 << (7 * n)) - 1).unwrap_or(8);
    let marked = value | (1 << (7 * length));
    out.extend(marked.to_be_bytes().into_iter().skip(8 - length as usize));
}

/// A size in eight bytes, whatever it is, so that it can be written again in its place.
fn wide_size(out: &mut Vec<u8>, value: u64) {
    out.extend((value & ((1 << 56) - 1) | (1 << 56)).to_be_bytes());
}

/// Puts an element into its room and fills the rest with an empty one (Void).
fn roomy(file: &mut Vec<u8>, element: Vec<u8>, room: usize) {
    debug_assert!(element.len() + 9 <= room, "{} do not fit into {room}", element.len());
    let rest = room.saturating_sub(element.len() + 9);
    file.extend(element);
    id(file, 0xec);
    wide_size(file, rest as u64);
    file.resize(file.len() + rest, 0);
}

#[cfg(test)]
#[path = "webm_tests.rs"]
mod tests;
