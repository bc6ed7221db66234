//! Recordings of calls: one WebM file a call, with all voices and pictures, each as a track of its own.
//!
//! ```text
//!  capture thread (own voice, as it is sent)  --\
//!  playback thread (their voice, as it is heard) --> SoundTap --> recording thread: Opus, in place --> WebmFile
//!  hub (pictures, encoded, as they are shown) ----------------->        "          as they are    --'
//! ```
//! All times are those of this machine: the file is what this person heard and saw. Nothing here decides whether a call may
//! be recorded: `Calls` told everybody before [`Recordings::start`]. Whatever goes wrong here, the call goes on.

mod file;
mod sound;
mod thread;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use ahoy_base::{CallId, PeerId, VideoTrack};
use tokio::sync::mpsc;

use crate::audio::SoundTap;
use crate::clock;
use crate::node::Devices;
use crate::video::hub::TrackKey;
use crate::web::protocol::UiError;
use file::WebmFile;
use thread::{Name, Parts};

/// Longest name of a person in the name of a file, in characters.
const MAX_NAME: usize = 60;
/// Files of one second and one name that are told apart.
const MAX_SAME: u32 = 100;

/// News of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordingEvent {
    /// It had to stop; what was written until then can be played.
    Failed {
        /// Of which call.
        call: CallId,
        /// For people.
        error: UiError,
    },
    /// It is complete.
    Finished {
        /// Of which call.
        call: CallId,
        /// Where it lies.
        path: PathBuf,
    },
}

/// Who is in a recorded call.
pub(crate) struct People {
    /// This device, and its person's name.
    pub(crate) me: (PeerId, String),
    /// The other.
    pub(crate) peer: (PeerId, String),
}

/// The recordings that run. Ends them when dropped, without waiting.
pub(crate) struct Recordings {
    folder: PathBuf,
    events: mpsc::Sender<RecordingEvent>,
    running: BTreeMap<CallId, Running>,
    ending: Vec<JoinHandle<()>>,
}

struct Running {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Recordings {
    /// Files will lie in `folder`, which is made when it is needed.
    pub(crate) fn new(folder: PathBuf, events: mpsc::Sender<RecordingEvent>) -> Recordings {
        Recordings { folder, events, running: BTreeMap::new(), ending: Vec::new() }
    }

    /// Looks whether a file could be written, before anybody is told of a recording.
    ///
    /// # Errors
    /// In words, when none could.
    pub(crate) fn check(&self) -> Result<(), UiError> {
        let probe = self.folder.join(format!(".ahoy-{}", std::process::id()));
        let tried = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&probe, b"probe"));
        // Left over only where it could not be made.
        let _ = fs::remove_file(&probe);
        tried.map_err(|error| file_trouble(&self.folder, &error))
    }

    /// Begins to write `call`.
    pub(crate) fn start(&mut self, call: CallId, people: People, devices: &Devices) {
        if self.running.contains_key(&call) {
            return;
        }
        match self.begin(call, people, devices) {
            Ok(running) => drop(self.running.insert(call, running)),
            Err(error) => {
                let error = file_trouble(&self.folder, &error);
                // Room for more than all calls that can be open.
                let _ = self.events.try_send(RecordingEvent::Failed { call, error });
            }
        }
    }

    fn begin(&self, call: CallId, people: People, devices: &Devices) -> io::Result<Running> {
        fs::create_dir_all(&self.folder)?;
        let began = jiff::Zoned::now().strftime("%Y-%m-%d %H-%M-%S").to_string();
        let (file, path) = create(&self.folder, &began, &people.peer.1, clock::wall_ms())?;
        let now = clock::now();
        let hub = devices.video.hub();
        let mut pictures = Vec::new();
        for (peer, name) in [&people.me, &people.peer] {
            for track in VideoTrack::ALL {
                let key = TrackKey { call, peer: *peer, track };
                pictures.push((Name::of_picture(name, track), hub.record(now, key)));
            }
        }
        let (tap, heard) = SoundTap::new();
        let stop = Arc::new(AtomicBool::new(false));
        let parts = Parts {
            call,
            began: now,
            file,
            path: path.clone(),
            voices: [people.me.1, people.peer.1],
            heard,
            pictures,
            stop: stop.clone(),
            audio: devices.audio.clone(),
            events: self.events.clone(),
        };
        let thread = thread::spawn(parts)?;
        devices.audio.record(call, Some(tap));
        Ok(Running { path, stop, thread })
    }

    /// Ends the recording of `call`; its file is finished in a moment.
    pub(crate) fn stop(&mut self, call: CallId) {
        if let Some(running) = self.running.remove(&call) {
            running.stop.store(true, Ordering::Relaxed);
            self.ending.retain(|thread| !thread.is_finished());
            self.ending.push(running.thread);
        }
    }

    /// Where the recording of `call` goes, while it runs.
    pub(crate) fn path(&self, call: CallId) -> Option<&Path> {
        self.running.get(&call).map(|running| running.path.as_path())
    }

    /// Ends all, and waits until their files are finished: a few milliseconds each.
    pub(crate) fn close(&mut self) {
        let calls: Vec<CallId> = self.running.keys().copied().collect();
        calls.into_iter().for_each(|call| self.stop(call));
        for thread in self.ending.drain(..) {
            // One that panicked has left a file that can be played.
            let _ = thread.join();
        }
    }
}

impl Drop for Recordings {
    fn drop(&mut self) {
        self.running.values().for_each(|running| running.stop.store(true, Ordering::Relaxed));
    }
}

/// Makes the file: when, and with whom.
fn create(folder: &Path, began: &str, name: &str, began_ms: u64) -> io::Result<(WebmFile, PathBuf)> {
    let with: String = name
        .chars()
        .map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { ' ' } else { c })
        .take(MAX_NAME)
        .collect();
    let with = with.trim().trim_end_matches('.');
    let mut tried = Err(io::ErrorKind::AlreadyExists.into());
    for n in 1..=MAX_SAME {
        let more = if n == 1 { String::new() } else { format!(" ({n})") };
        let path = folder.join(format!("{began} {with}{more}.webm"));
        tried = WebmFile::create(&path, began_ms).map(|file| (file, path));
        if !tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    tried
}

/// Why nothing, or nothing more, can be written.
#[expect(clippy::wildcard_enum_match_arm, reason = "of all troubles of a disk two have words of their own")]
fn file_trouble(place: &Path, error: &io::Error) -> UiError {
    let place = place.display();
    let why = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Ahoy may not write there".to_owned()
        }
        _ => error.to_string(),
    };
    UiError::new(
        format!("The call can't be recorded into {place}: {why}."),
        "The call goes on. What was recorded until now can be played.",
        "Make room there, or mend its permissions, then record again.",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_file_is_named_after_the_other_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let name = |who: &str| {
            let (_, path) = create(folder.path(), "2026-11-25 14-03-07", who, 0).unwrap();
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(name("Mira Okafor"), "2026-11-25 14-03-07 Mira Okafor.webm");
        assert_eq!(name("Mira Okafor"), "2026-11-25 14-03-07 Mira Okafor (2).webm");
        assert_eq!(name("../\u{7}..\\a:b."), "2026-11-25 14-03-07 ..  .. a b.webm");
    }

    #[test]
    fn where_nothing_can_be_written_is_said_in_words_before_anybody_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (events, _news) = mpsc::channel(1);
        let good = Recordings::new(folder.path().join("a/b"), events.clone());
        assert_eq!(good.check(), Ok(()));
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 0, "nothing is left there");
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = Recordings::new(file.join("under"), events).check().unwrap_err();
        assert!(error.what.contains("can't be recorded into") && error.works.contains("call goes on"));
        let full = file_trouble(Path::new("/x"), &io::ErrorKind::StorageFull.into());
        assert_eq!(full.what, "The call can't be recorded into /x: the disk is full.");
    }
}
