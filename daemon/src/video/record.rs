//! `--video-out record:FOLDER`: each received track as it was released, an IVF file and a line of JSON a frame beside it.
//!
//! The format is a contract with the outside (docs/PROTOCOL.md, "Recordings").

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use ahoy_base::{PeerId, VideoCodec, VideoTrack};
use ahoy_codec::video::{ivf_frame_header, ivf_header};
use serde_json::json;

use super::ShownVideo;

/// Frames that may wait for the disk: seconds of a call. What finds no room is missing in the file, never in the call.
const MAX_WAITING: usize = 256;
/// What was written is on its way to the disk after this: a killed daemon leaves it readable.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Everybody's way to the recordings. Cheap to clone; nothing blocks.
#[derive(Clone)]
pub(super) struct Recorder(SyncSender<(PeerId, VideoTrack, ShownVideo)>);

impl Recorder {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// In words, when it can't be made.
    pub(super) fn start(folder: PathBuf) -> Result<Recorder, String> {
        let failed =
            |error: io::Error| format!("Nothing can be recorded into {}: {error}.", folder.display());
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let (frames_in, frames) = sync_channel(MAX_WAITING);
        let theirs = folder.clone();
        std::thread::Builder::new()
            .name("video record".to_owned())
            .spawn(move || Files { folder: theirs, tracks: BTreeMap::new() }.run(&frames))
            .map_err(failed)?;
        Ok(Recorder(frames_in))
    }

    /// Writes a frame, soon.
    pub(super) fn push(&self, peer: PeerId, track: VideoTrack, shown: ShownVideo) {
        if self.0.try_send((peer, track, shown)).is_err() {
            tracing::warn!("a frame is missing in the recording: the disk is too slow, or full");
        }
    }
}

struct Files {
    folder: PathBuf,
    tracks: BTreeMap<(PeerId, VideoTrack), Track>,
}

impl Files {
    fn run(mut self, frames: &Receiver<(PeerId, VideoTrack, ShownVideo)>) {
        loop {
            match frames.recv_timeout(FLUSH_EVERY) {
                Ok((peer, track, shown)) => {
                    if let Err(error) = self.write(peer, track, &shown) {
                        tracing::warn!(%error, "the recording of a picture has stopped; the call goes on");
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    for track in self.tracks.values_mut() {
                        if let Err(error) = track.flush() {
                            tracing::warn!(%error, "the recording of a picture is not on the disk");
                        }
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&mut self, peer: PeerId, track: VideoTrack, shown: &ShownVideo) -> io::Result<()> {
        let file = match self.tracks.entry((peer, track)) {
            std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(Track::create(&self.folder, format!("{peer}-{}", track.word()), shown)?)
            }
        };
        if file.codec != shown.frame.codec {
            // A file has one codec. The next one's name counts on.
            file.flush()?;
            let part = file.part + 1;
            let name = format!("{peer}-{}-{part}", track.word());
            *file = Track { part, ..Track::create(&self.folder, name, shown)? };
        }
        file.write(shown)
    }
}

/// The two files of one track.
struct Track {
    codec: VideoCodec,
    part: u32,
    ivf: BufWriter<File>,
    lines: BufWriter<File>,
    frames: u32,
    flushed: u32,
}

impl Track {
    fn create(folder: &Path, name: String, shown: &ShownVideo) -> io::Result<Track> {
        let mut ivf = BufWriter::new(File::create(folder.join(format!("{name}.ivf")))?);
        ivf.write_all(&ivf_header(shown.frame.codec, shown.frame.size, 0))?;
        let lines = BufWriter::new(File::create(folder.join(format!("{name}.jsonl")))?);
        Ok(Track { codec: shown.frame.codec, part: 1, ivf, lines, frames: 0, flushed: 0 })
    }

    fn write(&mut self, shown: &ShownVideo) -> io::Result<()> {
        let frame = &shown.frame;
        self.ivf.write_all(&ivf_frame_header(frame))?;
        self.ivf.write_all(&frame.data)?;
        self.frames += 1;
        let line = json!({
            "frame": frame.seq,
            "capture_us": u64::try_from(frame.media_time.as_micros()).unwrap_or(u64::MAX),
            "arrival_us": shown.arrival.as_micros(),
            "release_us": shown.release.as_micros(),
            "bytes": frame.data.len(),
            "key": frame.is_key(),
            "width": frame.size.width,
            "height": frame.size.height,
        });
        writeln!(self.lines, "{line}")
    }

    /// Puts what was written on its way to the disk, and the number of frames into the header.
    fn flush(&mut self) -> io::Result<()> {
        if self.flushed == self.frames {
            return Ok(());
        }
        self.flushed = self.frames;
        self.ivf.seek(SeekFrom::Start(24))?;
        self.ivf.write_all(&self.frames.to_le_bytes())?;
        self.ivf.seek(SeekFrom::End(0))?;
        self.ivf.flush()?;
        self.lines.flush()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ahoy_base::{EncodedVideo, Moment, VideoSize};
    use ahoy_codec::video::read_ivf;
    use std::sync::Arc;

    fn shown(seq: u64, codec: VideoCodec) -> ShownVideo {
        let frame = EncodedVideo {
            seq,
            media_time: Duration::from_micros(seq * 33_333),
            codec,
            size: VideoSize { width: 640, height: 360 },
            needs: seq.checked_sub(1),
            kept: seq == 0,
            discardable: false,
            data: vec![seq as u8; 3],
        };
        ShownVideo {
            frame: Arc::new(frame),
            arrival: Moment::from_micros(70),
            release: Moment::from_micros(90),
        }
    }

    #[test]
    fn every_frame_is_in_both_files_and_another_codec_begins_others() {
        let folder = tempfile::tempdir().unwrap();
        let peer = PeerId::from_public_key([7; 32]);
        let mut files = Files { folder: folder.path().to_owned(), tracks: BTreeMap::new() };
        for (seq, codec) in [(0, VideoCodec::Vp9), (2, VideoCodec::Vp9), (3, VideoCodec::Vp8)] {
            files.write(peer, VideoTrack::Camera, &shown(seq, codec)).unwrap();
        }
        files.tracks.values_mut().for_each(|track| track.flush().unwrap());
        let read =
            |ending: &str| std::fs::read(folder.path().join(format!("{peer}-camera{ending}"))).unwrap();
        let first = read(".ivf");
        assert_eq!(first[24..28], 2u32.to_le_bytes());
        let (codec, frames) = read_ivf(&first).unwrap();
        assert_eq!((codec, frames), (VideoCodec::Vp9, vec![(0, &[0, 0, 0][..]), (66_666, &[2, 2, 2])]));
        let lines = String::from_utf8(read(".jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        let expected = json!({ "frame": 2, "capture_us": 66_666, "arrival_us": 70, "release_us": 90, "bytes": 3,
            "key": false, "width": 640, "height": 360 });
        assert_eq!((lines.lines().count(), last), (2, expected));
        assert_eq!(read_ivf(&read("-2.ivf")).unwrap().0, VideoCodec::Vp8);
    }
}
