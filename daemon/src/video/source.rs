//! What gives pictures, one after the other, on a thread of its own; and the ones without hardware.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ahoy_base::{Moment, VideoSize};
use ahoy_codec::video::{Picture, TestCard, Y4mReader};

use super::SourceState;
use crate::clock;

/// A picture and when it was captured.
#[derive(Clone)]
pub(super) struct Captured {
    pub(super) picture: Arc<Picture>,
    pub(super) at: Moment,
}

/// Gives pictures. Dropping it closes the device.
pub(super) trait Source: Send {
    /// Waits for the next picture, a quarter of a second at most: `None` when there was none.
    ///
    /// # Errors
    /// When no more will come.
    fn next(&mut self) -> Result<Option<Captured>, SourceError>;

    /// Does what can be done before the next picture is due, after the last was handed on.
    fn prepare(&mut self) {}
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceError {
    pub(super) state: SourceState,
    /// For people: what happened and what to do.
    pub(super) text: String,
}

impl SourceError {
    pub(super) fn new(state: SourceState, text: impl Into<String>) -> SourceError {
        SourceError { state, text: text.into() }
    }
}

/// The longest that [`Source::next`] waits.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Deadlines of a source with a fixed rate: picture n is due at the start plus n over the rate, whatever happened before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    start: Moment,
    rate: (u32, u32),
    next: u64,
}

impl Deadlines {
    /// From `start` on, `rate` pictures a second (a ratio).
    pub(super) fn new(start: Moment, rate: (u32, u32)) -> Deadlines {
        Deadlines { start, rate, next: 0 }
    }

    /// When the next picture is due.
    pub(super) fn due(&self) -> Moment {
        self.of(self.next)
    }

    /// Takes the next picture's turn: its number and time.
    pub(super) fn take(&mut self) -> (u64, Moment) {
        let (n, due) = (self.next, self.due());
        self.next += 1;
        (n, due)
    }

    /// How many pictures were due before the newest one that is due at `now`: those that come too late.
    pub(super) fn missed(&self, now: Moment) -> u64 {
        let (above, below) = self.rate;
        let passed = now.since(self.start).as_micros() * u128::from(above);
        let newest = u64::try_from(passed / (u128::from(below) * 1_000_000)).unwrap_or(u64::MAX);
        newest.saturating_sub(self.next)
    }

    fn of(&self, n: u64) -> Moment {
        let (above, below) = self.rate;
        let micros = u128::from(n) * u128::from(below) * 1_000_000 / u128::from(above.max(1));
        self.start + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// A y4m file, from its first picture on.
pub(super) struct FileSource {
    reader: Option<Y4mReader<BufReader<File>>>,
    repeat: bool,
    deadlines: Deadlines,
    /// Read before it is due.
    ready: Option<Picture>,
}

impl FileSource {
    /// Opens the file; its first picture is due at once.
    pub(super) fn open(path: &Path, repeat: bool) -> Result<FileSource, SourceError> {
        let failed = |error: &dyn std::fmt::Display| {
            let text = format!("The file {} can't be shown: {error}.", path.display());
            SourceError::new(SourceState::Missing, text)
        };
        let file = File::open(path).map_err(|error| failed(&error))?;
        let mut reader = Y4mReader::new(BufReader::new(file)).map_err(|error| failed(&error))?;
        let first = reader.next_picture().map_err(|error| failed(&error))?;
        if first.is_none() {
            return Err(failed(&"it has no picture"));
        }
        let deadlines = Deadlines::new(clock::now(), reader.rate());
        Ok(FileSource { reader: Some(reader), repeat, deadlines, ready: first })
    }

    fn read(&mut self) -> Option<Picture> {
        let picture = self.reader.as_mut()?.next_picture().ok().flatten();
        if picture.is_some() || !self.repeat {
            return picture;
        }
        let mut file = self.reader.take()?.into_inner();
        file.seek(SeekFrom::Start(0)).ok()?;
        self.reader.insert(Y4mReader::new(file).ok()?).next_picture().ok().flatten()
    }
}

impl Source for FileSource {
    fn next(&mut self) -> Result<Option<Captured>, SourceError> {
        for _ in 0..self.deadlines.missed(clock::now()) {
            self.deadlines.take();
            self.ready = self.read();
        }
        let Some(picture) = self.ready.take() else {
            // The end: the last picture stands.
            std::thread::sleep(LONGEST_WAIT);
            return Ok(None);
        };
        let (_, at) = self.deadlines.take();
        sleep_until(at);
        let captured = Captured { picture: Arc::new(picture), at };
        Ok(Some(captured))
    }

    fn prepare(&mut self) {
        if self.ready.is_none() {
            self.ready = self.read();
        }
    }
}

/// The test card.
pub(super) struct CardSource {
    card: TestCard,
    deadlines: Deadlines,
    ready: Option<(u64, Picture)>,
}

impl CardSource {
    /// Starts it; its first picture is due at once.
    pub(super) fn open(size: VideoSize, rate: u8) -> CardSource {
        let card = TestCard::new(size);
        let first = card.draw(0);
        CardSource {
            card,
            deadlines: Deadlines::new(clock::now(), (rate.into(), 1)),
            ready: Some((0, first)),
        }
    }
}

impl Source for CardSource {
    fn next(&mut self) -> Result<Option<Captured>, SourceError> {
        for _ in 0..self.deadlines.missed(clock::now()) {
            self.deadlines.take();
        }
        let (n, at) = self.deadlines.take();
        let ready = self.ready.take().filter(|(number, _)| *number == n);
        let picture = ready.map_or_else(|| self.card.draw(n), |(_, picture)| picture);
        sleep_until(at);
        Ok(Some(Captured { picture: Arc::new(picture), at }))
    }

    fn prepare(&mut self) {
        let next = self.deadlines.next;
        self.ready = Some((next, self.card.draw(next)));
    }
}

fn sleep_until(at: Moment) {
    let wait = at.since(clock::now());
    if !wait.is_zero() {
        std::thread::sleep(wait);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::Write;

    #[test]
    fn picture_n_is_due_by_the_time_of_the_first_alone() {
        let start = Moment::from_millis(1_000);
        let mut deadlines = Deadlines::new(start, (30_000, 1_001));
        let hour = 30 * 3_600;
        deadlines.next = hour;
        assert_eq!(deadlines.take(), (hour, start + Duration::from_micros(hour * 1_001_000_000 / 30_000)));
        assert_eq!(deadlines.next, hour + 1);
    }

    #[test]
    fn a_late_source_leaves_out_what_is_too_late() {
        let start = Moment::from_millis(1_000);
        let mut deadlines = Deadlines::new(start, (25, 1));
        assert_eq!(deadlines.missed(start), 0);
        deadlines.take();
        assert_eq!(deadlines.missed(start + Duration::from_millis(39)), 0);
        assert_eq!(deadlines.missed(start + Duration::from_millis(79)), 0, "picture 1 is the newest");
        assert_eq!(deadlines.missed(start + Duration::from_millis(125)), 2, "picture 3 is the newest");
        assert_eq!(deadlines.missed(Moment::ZERO), 0);
    }

    #[test]
    fn a_file_is_read_in_order_and_begins_again_if_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.y4m");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"YUV4MPEG2 W2 H2 F30:1\nFRAME\naaaaaaFRAME\nbbbbbb").unwrap();
        for (repeat, expected) in [(false, "ab--"), (true, "abab")] {
            let mut source = FileSource::open(&path, repeat).unwrap();
            let mut seen = String::new();
            for _ in 0..4 {
                let picture = source.ready.take().or_else(|| source.read());
                seen.push(picture.map_or('-', |p| char::from(p.data()[0])));
            }
            assert_eq!(seen, expected);
        }
        let missing = FileSource::open(Path::new("/nowhere.y4m"), true).err().unwrap();
        assert!(missing.state == SourceState::Missing && missing.text.contains("/nowhere.y4m"));
    }
}
