//! The thread of one recording: takes what is heard and shown, and writes it, a cluster a second.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use ahoy_base::{CallId, Moment, VideoCodec, VideoTrack};
use ahoy_codec::webm::{WebmBlock, WebmKind};
use tokio::sync::mpsc;

use super::RecordingEvent;
use super::file::WebmFile;
use super::file_trouble;
use super::sound::SoundLine;
use crate::audio::{AudioHandle, Tapped};
use crate::clock;
use crate::video::hub::{VideoReader, Viewed};

/// Pictures are looked for at least this often; sound comes every 10 ms.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A cluster is written this often: what a kill takes away.
const CLUSTER_EVERY: Duration = Duration::from_secs(1);
/// Sound and pictures of one time come within this.
const SLACK: Duration = Duration::from_millis(500);

/// What a track is called in the file.
pub(super) struct Name(String);

impl Name {
    pub(super) fn of_picture(person: &str, track: VideoTrack) -> Name {
        Name(format!("{person}, {}", track.word()))
    }
}

/// What the thread is made of.
pub(super) struct Parts {
    pub(super) call: CallId,
    pub(super) began: Moment,
    pub(super) file: WebmFile,
    pub(super) path: PathBuf,
    /// Names of this person and the other.
    pub(super) voices: [String; 2],
    pub(super) heard: Receiver<Tapped>,
    pub(super) pictures: Vec<(Name, VideoReader)>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) audio: AudioHandle,
    pub(super) events: mpsc::Sender<RecordingEvent>,
}

/// Starts it.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn spawn(parts: Parts) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("recording".to_owned()).spawn(move || {
        let (call, path, events, audio) =
            (parts.call, parts.path.clone(), parts.events.clone(), parts.audio.clone());
        let done = Recorder::new(parts).and_then(Recorder::run);
        audio.record(call, None);
        let event = match done {
            Ok(()) => RecordingEvent::Finished { call, path },
            Err(error) => RecordingEvent::Failed { call, error: file_trouble(&path, &error) },
        };
        // Nobody listens any more once the daemon ends.
        let _ = events.try_send(event);
    })
}

struct Recorder {
    parts: Parts,
    /// This person's voice and the other's.
    lines: [SoundLine; 2],
    /// Numbers of the tracks of pictures: the codec of a camera may change, that of a track can't.
    tracks: BTreeMap<(usize, VideoCodec), Option<u8>>,
    /// When the last picture of a track was shown, in milliseconds.
    shown: BTreeMap<u8, u64>,
    blocks: Vec<WebmBlock>,
    flushed: Moment,
}

impl Recorder {
    fn new(mut parts: Parts) -> io::Result<Recorder> {
        let flushed = parts.began;
        let mut line = |at: usize| {
            // The first two always fit.
            let track = u8::try_from(at + 1).unwrap_or(1);
            let line = SoundLine::new(track, parts.began).map_err(io::Error::other)?;
            let kind = WebmKind::Opus { pre_skip: line.pre_skip() };
            let name = parts.voices.get(at).map_or("", String::as_str);
            parts.file.add_track(name, kind)?;
            Ok::<_, io::Error>(line)
        };
        let lines = [line(0)?, line(1)?];
        Ok(Recorder {
            parts,
            lines,
            tracks: BTreeMap::new(),
            shown: BTreeMap::new(),
            blocks: Vec::new(),
            flushed,
        })
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            match self.parts.heard.recv_timeout(LOOK_EVERY) {
                Ok(heard) => self.hear(&heard),
                Err(RecvTimeoutError::Timeout) => {}
                // The taps are gone with the sound; pictures may go on.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_EVERY),
            }
            self.look()?;
            let now = clock::now();
            let over = self.parts.stop.load(Ordering::Relaxed);
            if over {
                while let Ok(heard) = self.parts.heard.try_recv() {
                    self.hear(&heard);
                }
            }
            if over || now.since(self.flushed) >= CLUSTER_EVERY {
                self.flush(if over { now } else { now - SLACK }, over)?;
                self.flushed = now;
            }
            if over {
                return self.parts.file.finish();
            }
        }
    }

    fn hear(&mut self, heard: &Tapped) {
        let [own, theirs] = &mut self.lines;
        let line = if heard.own { own } else { theirs };
        line.push(heard.at, &heard.sound, &mut self.blocks);
    }

    /// Takes the pictures that came.
    fn look(&mut self) -> io::Result<()> {
        for at in 0..self.parts.pictures.len() {
            while let Some(viewed) = self.parts.pictures.get_mut(at).and_then(|(_, reader)| reader.take()) {
                self.see(at, &viewed)?;
            }
        }
        Ok(())
    }

    fn see(&mut self, at: usize, viewed: &Viewed) -> io::Result<()> {
        let frame = &viewed.frame;
        let track = match self.tracks.get(&(at, frame.codec)) {
            Some(track) => *track,
            None => {
                let name = self.parts.pictures.get(at).map_or("", |(name, _)| name.0.as_str());
                let kind = WebmKind::Video { codec: frame.codec, size: frame.size };
                let track = self.parts.file.add_track(name, kind)?;
                self.tracks.insert((at, frame.codec), track);
                track
            }
        };
        let Some(track) = track else { return Ok(()) };
        self.parts.file.grow(track, frame.size)?;
        let at_ms = u64::try_from(viewed.at.since(self.parts.began).as_millis()).unwrap_or(u64::MAX);
        // Two that were let out at once are two pictures all the same.
        let at_ms = self.shown.get(&track).map_or(at_ms, |last| at_ms.max(last + 1));
        self.shown.insert(track, at_ms);
        self.parts.file.push(WebmBlock { track, at_ms, key: frame.is_key(), data: frame.data.clone() });
        Ok(())
    }

    /// Writes what is earlier than `until`; silence where no sound came.
    fn flush(&mut self, until: Moment, over: bool) -> io::Result<()> {
        for line in &mut self.lines {
            line.silence_until(until, &mut self.blocks);
        }
        self.blocks.drain(..).for_each(|block| self.parts.file.push(block));
        let until_ms = u64::try_from(until.since(self.parts.began).as_millis()).unwrap_or(u64::MAX);
        self.parts.file.flush(if over { u64::MAX } else { until_ms })
    }
}
