//! From a name to a running source, and the lists of what there is.

use ahoy_base::VideoTrack;

use super::device_name::SourceName;
use super::source::{CardSource, FileSource, Source, SourceError};
use super::{SourceState, VideoDevice, VideoDevices};

/// Opens the source of that name.
pub(super) fn open(track: VideoTrack, name: &SourceName) -> Result<Box<dyn Source>, SourceError> {
    match name {
        SourceName::File { path, repeat } => Ok(Box::new(FileSource::open(path, *repeat)?)),
        SourceName::TestCard { size, rate } => Ok(Box::new(CardSource::open(*size, *rate))),
        SourceName::Null => Ok(Box::new(Nothing)),
        SourceName::Default | SourceName::Real(_) | SourceName::Browser => {
            let what = match track {
                VideoTrack::Camera => "camera",
                VideoTrack::Screen => "screen",
            };
            Err(SourceError::new(SourceState::Missing, format!("No {what} was found on this machine.")))
        }
    }
}

/// The cameras of this machine.
pub(super) fn cameras() -> Vec<VideoDevice> {
    Vec::new()
}

/// The screens and windows of this machine.
pub(super) fn screens() -> Vec<VideoDevice> {
    Vec::new()
}

/// Whether a source of that name can be opened now.
pub(super) fn is_there(track: VideoTrack, name: &SourceName, devices: &VideoDevices) -> bool {
    let list = match track {
        VideoTrack::Camera => &devices.cameras,
        VideoTrack::Screen => &devices.screens,
    };
    match name {
        SourceName::Default => !list.is_empty(),
        SourceName::Real(id) => list.iter().any(|device| device.id == *id),
        SourceName::Null | SourceName::File { .. } | SourceName::TestCard { .. } | SourceName::Browser => {
            true
        }
    }
}

/// `null`: no picture, ever.
struct Nothing;

impl Source for Nothing {
    fn next(&mut self) -> Result<Option<super::source::Captured>, SourceError> {
        std::thread::sleep(super::source::LONGEST_WAIT);
        Ok(None)
    }
}
