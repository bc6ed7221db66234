//! A WebM file that grows: whole clusters at the end, its head again in place. At any moment it can be played up to the
//! last cluster.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use ahoy_base::VideoSize;
use ahoy_codec::webm::{self, HEAD, MAX_IN_CLUSTER_MS, WebmBlock, WebmCue, WebmEnd, WebmKind, WebmTrack};

use crate::paths::private_file;

/// In a file of sound alone a player may jump to places this far apart.
const SOUND_CUES_MS: u64 = 5_000;
/// Places to jump to: a day of sound, and far more pictures that stand alone than a call has.
const MAX_CUES: usize = 20_000;

/// See the module's first line.
pub(super) struct WebmFile {
    file: File,
    began_ms: u64,
    /// Bytes that are whole.
    length: u64,
    tracks: Vec<WebmTrack>,
    /// Blocks for clusters to come.
    waiting: Vec<WebmBlock>,
    cues: Vec<WebmCue>,
    last_ms: u64,
}

impl WebmFile {
    /// A fresh file, readable by this user alone, begun `began_ms` after 1970.
    ///
    /// # Errors
    /// Also when there is one of that name already.
    pub(super) fn create(path: &Path, began_ms: u64) -> io::Result<WebmFile> {
        let mut file = private_file().write(true).create_new(true).open(path)?;
        file.write_all(&webm::head(&[], began_ms, None))?;
        Ok(WebmFile {
            file,
            began_ms,
            length: HEAD as u64,
            tracks: Vec::new(),
            waiting: Vec::new(),
            cues: Vec::new(),
            last_ms: 0,
        })
    }

    /// Adds a track; its number. `None` when no more fit.
    ///
    /// # Errors
    /// Of the disk.
    pub(super) fn add_track(&mut self, name: &str, kind: WebmKind) -> io::Result<Option<u8>> {
        if self.tracks.len() >= webm::MAX_TRACKS {
            return Ok(None);
        }
        self.tracks.push(WebmTrack { name: name.to_owned(), kind });
        self.write_head(None)?;
        Ok(u8::try_from(self.tracks.len()).ok())
    }

    /// A picture of `track` has this size; the head says the largest.
    ///
    /// # Errors
    /// Of the disk.
    pub(super) fn grow(&mut self, track: u8, to: VideoSize) -> io::Result<()> {
        let Some(WebmTrack { kind: WebmKind::Video { size, .. }, .. }) =
            usize::from(track).checked_sub(1).and_then(|at| self.tracks.get_mut(at))
        else {
            return Ok(());
        };
        let largest = VideoSize { width: size.width.max(to.width), height: size.height.max(to.height) };
        if std::mem::replace(size, largest) == largest {
            return Ok(());
        }
        self.write_head(None)
    }

    /// Keeps a block for its cluster. In any order.
    pub(super) fn push(&mut self, block: WebmBlock) {
        self.waiting.push(block);
    }

    /// Writes what is earlier than `until_ms`, as one cluster, or several after a pause.
    ///
    /// # Errors
    /// Of the disk; what was whole before stays so.
    pub(super) fn flush(&mut self, until_ms: u64) -> io::Result<()> {
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|block| block.at_ms < until_ms);
        self.waiting = later;
        // Stable: frames of one time keep their order.
        due.sort_by_key(|block| block.at_ms);
        for cluster in due.chunk_by(|a, b| b.at_ms / MAX_IN_CLUSTER_MS == a.at_ms / MAX_IN_CLUSTER_MS) {
            self.note_cues(cluster);
            self.append(&webm::cluster(cluster))?;
            self.last_ms = cluster.last().map_or(self.last_ms, |block| block.at_ms.max(self.last_ms));
        }
        Ok(())
    }

    /// Writes the rest, where to jump, and how long it is.
    ///
    /// # Errors
    /// Of the disk; the file can be played all the same.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush(u64::MAX)?;
        let cues_at = self.length;
        if !self.cues.is_empty() {
            let cues = webm::cues(&self.cues);
            self.append(&cues)?;
        }
        self.write_head(Some(WebmEnd { duration_ms: self.last_ms, cues_at, length: self.length }))
    }

    fn note_cues(&mut self, cluster: &[WebmBlock]) {
        let pictures = self.tracks.iter().any(|track| matches!(track.kind, WebmKind::Video { .. }));
        let mut first = BTreeMap::new();
        for block in cluster.iter().filter(|block| block.key) {
            first.entry(block.track).or_insert(block.at_ms);
        }
        for (track, at_ms) in first {
            let sound = usize::from(track)
                .checked_sub(1)
                .and_then(|at| self.tracks.get(at))
                .is_none_or(|track| matches!(track.kind, WebmKind::Opus { .. }));
            let recent = self
                .cues
                .iter()
                .rev()
                .find(|cue| cue.track == track)
                .is_some_and(|cue| at_ms < cue.at_ms + SOUND_CUES_MS);
            let other = self.cues.last().is_some_and(|cue| cue.track != track);
            if self.cues.len() < MAX_CUES && (!sound || !(pictures || recent || other)) {
                self.cues.push(WebmCue { at_ms, track, cluster: self.length });
            }
        }
    }

    /// All of it or nothing.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        if let Err(error) = self.file.write_all(bytes) {
            // A player stops at what is cut off anyway.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn write_head(&mut self, end: Option<WebmEnd>) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&webm::head(&self.tracks, self.began_ms, end))
    }
}
