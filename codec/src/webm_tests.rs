//! A reader of WebM, written from the specification for these tests, reads what was written.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;

/// Id, content, and where it ends; an unknown size reaches to the end.
fn next(file: &[u8], at: usize) -> (u32, &[u8], usize) {
    let id_length = file[at].leading_zeros() as usize + 1;
    let id = file[at..at + id_length].iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let at = at + id_length;
    let length = file[at].leading_zeros() as usize + 1;
    let raw = file[at..at + length].iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    let size = raw & ((1 << (7 * length)) - 1);
    let start = at + length;
    let end =
        if size == (1 << (7 * length)) - 1 { file.len() } else { start + usize::try_from(size).unwrap() };
    (id, &file[start..end], end)
}

fn children(content: &[u8]) -> Vec<(u32, &[u8])> {
    let mut at = 0;
    let mut all = Vec::new();
    while at < content.len() {
        let (id, inner, end) = next(content, at);
        all.push((id, inner));
        at = end;
    }
    all
}

fn child(content: &[u8], id: u32) -> &[u8] {
    children(content).into_iter().find(|(found, _)| *found == id).unwrap().1
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

fn tracks() -> Vec<WebmTrack> {
    let size = VideoSize { width: 1_280, height: 720 };
    vec![
        WebmTrack { name: "Ann".into(), kind: WebmKind::Opus { pre_skip: 312 } },
        WebmTrack { name: "Bob, camera".into(), kind: WebmKind::Video { codec: VideoCodec::Vp9, size } },
    ]
}

fn block(track: u8, at_ms: u64, data: &[u8]) -> WebmBlock {
    WebmBlock { track, at_ms, key: track == 1, data: data.to_vec() }
}

#[test]
fn a_file_that_was_never_finished_has_tracks_and_every_whole_cluster() {
    let mut file = head(&tracks(), 1_000_000_000_000, None);
    assert_eq!(file.len(), HEAD);
    file.extend(cluster(&[block(1, 5_000, b"voice"), block(2, 4_990, b"picture"), block(1, 5_020, b"more")]));
    let whole = file.len();
    let (ebml, _, at) = next(&file, 0);
    let (segment, content, end) = next(&file, at);
    assert_eq!((ebml, segment, end), (0x1a45_dfa3, 0x1853_8067, file.len()));
    let info = child(content, 0x1549_a966);
    assert!(children(info).iter().all(|(id, _)| *id != 0x4489), "no duration is known");
    assert_eq!(number(child(info, 0x4461)) as i64, 21_692_800_000_000_000, "2001-09-09 from 2001 on");
    let entries = children(child(content, 0x1654_ae6b));
    assert_eq!(entries.len(), 2);
    let (sound, picture) = (entries[0].1, entries[1].1);
    assert_eq!((child(sound, 0x86), number(child(sound, 0x56aa))), (&b"A_OPUS"[..], 6_500_000));
    assert_eq!(&child(sound, 0x63a2)[..12], b"OpusHead\x01\x01\x38\x01");
    assert_eq!((child(picture, 0x86), child(picture, 0x536e)), (&b"V_VP9"[..], &b"Bob, camera"[..]));
    assert_eq!(number(child(child(picture, 0xe0), 0xb0)), 1_280);
    let read: Vec<(u8, i64, u8, &[u8])> = children(child(content, 0x1f43_b675))
        .into_iter()
        .filter(|(id, _)| *id == 0xa3)
        .map(|(_, b)| (b[0] & 0x7f, i64::from(i16::from_be_bytes([b[1], b[2]])), b[3], &b[4..]))
        .collect();
    assert_eq!(
        read,
        [(1, 0, 0x80, &b"voice"[..]), (2, -10, 0, &b"picture"[..]), (1, 20, 0x80, &b"more"[..])]
    );
    // Whatever comes after a whole cluster and is cut off leaves it as it is.
    file.extend(&cluster(&[block(1, 6_000, b"lost")])[..5]);
    assert_eq!(next(&file, at).1[..whole - HEAD], *next(&file[..whole], at).1.get(..whole - HEAD).unwrap());
}

#[test]
fn a_finished_file_says_its_length_and_where_to_jump() {
    let mut file = head(&tracks()[..1], 0, None);
    let first = cluster(&[block(1, 0, b"a")]);
    let second = (file.len() + first.len()) as u64;
    file.extend(first);
    file.extend(cluster(&[block(1, 1_000, b"b")]));
    let cues_at = file.len() as u64;
    file.extend(cues(&[
        WebmCue { at_ms: 0, track: 1, cluster: HEAD as u64 },
        WebmCue { at_ms: 1_000, track: 1, cluster: second },
    ]));
    let end = WebmEnd { duration_ms: 1_020, cues_at, length: file.len() as u64 };
    let again = head(&tracks(), 0, Some(end));
    assert_eq!(again.len(), HEAD, "it is written over the first");
    file[..HEAD].copy_from_slice(&again);
    let at = next(&file, 0).2;
    let (_, content, to) = next(&file, at);
    assert_eq!(to, file.len());
    let content_at = file.len() - content.len();
    let duration = child(child(content, 0x1549_a966), 0x4489);
    assert_eq!(f64::from_be_bytes(duration.try_into().unwrap()), 1_020.0);
    for (_, seek) in children(child(content, 0x114d_9b74)) {
        let place = content_at + usize::try_from(number(child(seek, 0x53ac))).unwrap();
        assert_eq!(
            u64::from(next(&file, place).0),
            number(child(seek, 0x53ab)),
            "each place is what it says"
        );
    }
    let points: Vec<(u64, u32)> = children(child(content, 0x1c53_bb6b))
        .into_iter()
        .map(|(_, point)| {
            let place = number(child(child(point, 0xb7), 0xf1));
            (number(child(point, 0xb3)), next(&file, content_at + usize::try_from(place).unwrap()).0)
        })
        .collect();
    assert_eq!(points, [(0, 0x1f43_b675), (1_000, 0x1f43_b675)]);
}

#[test]
fn the_room_holds_all_tracks_with_the_longest_names_and_leaves_more_out() {
    let size = VideoSize { width: u16::MAX, height: u16::MAX };
    for kind in [WebmKind::Opus { pre_skip: u16::MAX }, WebmKind::Video { codec: VideoCodec::Vp8, size }] {
        let track = WebmTrack { name: "🎙".repeat(200), kind };
        let file = head(&vec![track; MAX_TRACKS + 3], u64::MAX, None);
        assert_eq!(file.len(), HEAD);
        let (_, content, _) = next(&file, next(&file, 0).2);
        assert_eq!(children(child(content, 0x1654_ae6b)).len(), MAX_TRACKS);
    }
}

#[test]
fn sizes_take_the_shortest_form_and_never_the_one_that_means_unknown() {
    for (value, bytes) in [(0, 1), (126, 1), (127, 2), (16_382, 2), (16_383, 3), (1 << 40, 6)] {
        let mut out = Vec::new();
        size(&mut out, value);
        assert_eq!(out.len(), bytes, "{value}");
    }
}
