//! From a name to a running source, and the lists of what there is. What a system lacks is said in words, here alone.

use ahoy_base::VideoTrack;

use super::device_name::SourceName;
use super::source::{CardSource, FileSource, LONGEST_WAIT, Source, SourceError};
use super::{VideoDevice, VideoDevices};

/// Opens the source of that name.
pub(super) fn open(track: VideoTrack, name: &SourceName) -> Result<Box<dyn Source>, SourceError> {
    match name {
        SourceName::File { path, repeat } => Ok(Box::new(FileSource::open(path, *repeat)?)),
        SourceName::TestCard { size, rate } => Ok(Box::new(CardSource::open(*size, *rate))),
        SourceName::Null => Ok(Box::new(Nothing)),
        SourceName::Default | SourceName::Browser => system::open(track, None),
        SourceName::Real(id) => system::open(track, Some(id)),
    }
}

/// The cameras of this machine.
pub(super) fn cameras() -> Vec<VideoDevice> {
    system::cameras()
}

/// The screens and windows of this machine.
pub(super) fn screens() -> Vec<VideoDevice> {
    system::screens()
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
        std::thread::sleep(LONGEST_WAIT);
        Ok(None)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::super::{SourceState, v4l2, x11};
    use super::{Source, SourceError, VideoDevice, VideoTrack};

    pub(super) fn open(track: VideoTrack, id: Option<&str>) -> Result<Box<dyn Source>, SourceError> {
        match track {
            VideoTrack::Camera => Ok(Box::new(v4l2::CameraSource::open(id)?)),
            // Below Wayland an X11 display shows nothing but its own windows: black would be shared.
            VideoTrack::Screen if is_wayland() => Err(SourceError::new(
                SourceState::Refused,
                "This desktop (Wayland) lets programs share a screen only through its own dialog, which the browser opens. Choose \
                 “This browser” to share.",
            )),
            VideoTrack::Screen => Ok(Box::new(x11::ScreenSource::open(id)?)),
        }
    }

    pub(super) fn cameras() -> Vec<VideoDevice> {
        v4l2::list()
    }

    pub(super) fn screens() -> Vec<VideoDevice> {
        if is_wayland() { Vec::new() } else { x11::list() }
    }

    fn is_wayland() -> bool {
        std::env::var_os("WAYLAND_DISPLAY").is_some_and(|name| !name.is_empty())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::super::SourceState;
    use super::{Source, SourceError, VideoDevice, VideoTrack};

    pub(super) fn open(_: VideoTrack, _: Option<&str>) -> Result<Box<dyn Source>, SourceError> {
        let text = "On this system the browser has the camera and the screen. Choose “This browser”.";
        Err(SourceError::new(SourceState::Missing, text))
    }

    pub(super) fn cameras() -> Vec<VideoDevice> {
        Vec::new()
    }

    pub(super) fn screens() -> Vec<VideoDevice> {
        Vec::new()
    }
}
