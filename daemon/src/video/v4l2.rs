//! Cameras through Video4Linux: what the kernel's drivers give, converted to I420.

use std::io::ErrorKind;
use std::sync::Arc;

use ahoy_base::VideoSize;
use ahoy_codec::video::{Picture, from_jpeg, from_nv12, from_yuyv};
use linuxvideo::format::{FrameSizes, PixFormat, PixelFormat};
use linuxvideo::stream::ReadStream;
use linuxvideo::{BufType, CapabilityFlags, Device, Fract};

use super::source::{Captured, LONGEST_WAIT, Source, SourceError};
use super::{SourceKind, SourceState, VideoDevice};
use crate::clock;

/// What is asked of a camera: more is not sent at once, less is a pity.
const WISH: VideoSize = VideoSize { width: 1_280, height: 720 };
/// Pictures a second that are asked for.
const RATE: u32 = 30;
/// Ids of ours begin so; then comes where the camera is plugged in, which stays the same across restarts.
const PREFIX: &str = "v4l2:";
/// The crate has no name for it.
const NV12: PixelFormat = PixelFormat::from_fourcc(*b"NV12");
/// Broken pictures in a row that a camera is forgiven: half a second.
const MAX_BROKEN: u32 = 15;

/// The cameras that are plugged in.
pub(super) fn list() -> Vec<VideoDevice> {
    let mut found: Vec<VideoDevice> = devices()
        .into_iter()
        .map(|(id, name, _)| VideoDevice { id, name, kind: SourceKind::Camera })
        .collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    found
}

/// Devices that capture video in a layout we know, with id and name.
fn devices() -> Vec<(String, String, Device)> {
    let Ok(all) = linuxvideo::list() else { return Vec::new() };
    let known = |device: Device| {
        let about = device.capabilities().ok()?;
        if !about.device_capabilities().contains(CapabilityFlags::VIDEO_CAPTURE) || layout(&device).is_none()
        {
            return None;
        }
        Some((format!("{PREFIX}{}", about.bus_info()), about.card().to_owned(), device))
    };
    all.filter_map(|device| known(device.ok()?)).collect()
}

/// The layout to ask for: raw where the camera gives 720 lines at full rate so, else JPEG.
fn layout(device: &Device) -> Option<PixelFormat> {
    let given: Vec<PixelFormat> =
        device.formats(BufType::VIDEO_CAPTURE).filter_map(|f| Some(f.ok()?.pixel_format())).collect();
    // Over USB 2 raw pictures of this size come ten times a second: most cameras give them as JPEG at full rate.
    [PixelFormat::MJPG, PixelFormat::JPEG, PixelFormat::YUYV, NV12]
        .into_iter()
        .find(|wanted| given.contains(wanted))
}

/// The camera's size nearest to what is wished for.
fn size(device: &Device, layout: PixelFormat) -> VideoSize {
    let Ok(FrameSizes::Discrete(sizes)) = device.frame_sizes(layout) else { return WISH };
    let side = |length: u32| u16::try_from(length).unwrap_or(u16::MAX);
    let sizes = sizes.iter().map(|s| VideoSize { width: side(s.width()), height: side(s.height()) });
    nearest(sizes).unwrap_or(WISH)
}

/// The largest that is not above the wish, else the smallest.
fn nearest(sizes: impl Iterator<Item = VideoSize> + Clone) -> Option<VideoSize> {
    let pixels = |size: &VideoSize| u32::from(size.width) * u32::from(size.height);
    let fits = |size: &VideoSize| size.width <= WISH.width && size.height <= WISH.height;
    sizes.clone().filter(fits).max_by_key(pixels).or_else(|| sizes.min_by_key(pixels))
}

/// A running camera.
pub(super) struct CameraSource {
    stream: ReadStream,
    layout: PixelFormat,
    size: VideoSize,
    stride: usize,
    name: String,
    broken: u32,
}

impl CameraSource {
    /// Opens the camera `id`; `None`: the first that is there.
    pub(super) fn open(id: Option<&str>) -> Result<CameraSource, SourceError> {
        let mut found = devices();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let chosen = found.into_iter().find(|(their_id, ..)| id.is_none_or(|id| id == their_id));
        let (_, name, device) = chosen.ok_or_else(|| missing(id.is_some()))?;
        start(name.clone(), device).map_err(|error| refusal(&name, &error))
    }
}

fn start(name: String, device: Device) -> std::io::Result<CameraSource> {
    let layout = layout(&device).ok_or(ErrorKind::Unsupported)?;
    let wish = size(&device, layout);
    let camera = device.video_capture(PixFormat::new(wish.width.into(), wish.height.into(), layout))?;
    // A camera without a rate to choose has one of its own.
    let _ = camera.set_frame_interval(Fract::new(1, RATE));
    let format = camera.format();
    let side = |length: u32| u16::try_from(length).map_err(|_| ErrorKind::InvalidData);
    let size = VideoSize { width: side(format.width())?, height: side(format.height())? };
    let (layout, stride) = (format.pixel_format(), format.bytes_per_line() as usize);
    Ok(CameraSource { stream: camera.into_stream()?, layout, size, stride, name, broken: 0 })
}

impl Source for CameraSource {
    fn next(&mut self) -> Result<Option<Captured>, SourceError> {
        let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: LONGEST_WAIT.subsec_nanos().into() };
        let mut waiting = [rustix::event::PollFd::new(&self.stream, rustix::event::PollFlags::IN)];
        let ready = rustix::event::poll(&mut waiting, Some(&wait)).map_err(|_| unplugged(&self.name))?;
        if ready == 0 {
            return Ok(None);
        }
        let (layout, size, stride) = (self.layout, self.size, self.stride);
        let taken = self.stream.dequeue(|buffer| {
            let at = clock::now();
            let picture = if buffer.is_error() { None } else { convert(layout, size, stride, &buffer) };
            Ok((at, picture))
        });
        let (at, picture) = taken.map_err(|error| refusal_in_use(&self.name, &error))?;
        let Some(picture) = picture else {
            self.broken += 1;
            let text =
                format!("The camera {} gives broken pictures. Unplug it and plug it in again.", self.name);
            let dead = SourceError::new(SourceState::Missing, text);
            return if self.broken < MAX_BROKEN { Ok(None) } else { Err(dead) };
        };
        self.broken = 0;
        Ok(Some(Captured { picture: Arc::new(picture), at }))
    }
}

fn convert(layout: PixelFormat, size: VideoSize, stride: usize, bytes: &[u8]) -> Option<Picture> {
    let converted = if layout == PixelFormat::YUYV {
        from_yuyv(size, bytes, stride.max(2 * usize::from(size.width)))
    } else if layout == NV12 {
        from_nv12(size, bytes)
    } else {
        from_jpeg(bytes)
    };
    converted.inspect_err(|error| tracing::debug!(%error, "a picture of the camera is left out")).ok()
}

fn missing(by_id: bool) -> SourceError {
    let text = if by_id {
        "The chosen camera is not plugged in. Plug it in, or choose another."
    } else {
        "No camera was found. Plug one in, or choose “This browser” if it has one."
    };
    SourceError::new(SourceState::Missing, text)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "of the kinds of errors two have a mend of their own")]
fn refusal(name: &str, error: &std::io::Error) -> SourceError {
    match error.kind() {
        ErrorKind::ResourceBusy => SourceError::new(
            SourceState::Busy,
            format!(
                "The camera {name} is used by another program. Close that, then switch the camera on again."
            ),
        ),
        ErrorKind::PermissionDenied => SourceError::new(
            SourceState::Refused,
            format!("This user may not use the camera {name}. Join the group “video”, then log in again."),
        ),
        _ => SourceError::new(SourceState::Missing, format!("The camera {name} can't be opened ({error}).")),
    }
}

fn refusal_in_use(name: &str, error: &std::io::Error) -> SourceError {
    tracing::debug!(%error, "the camera stopped");
    unplugged(name)
}

fn unplugged(name: &str) -> SourceError {
    let text = format!("The camera {name} was unplugged. It is used again when it is back.");
    SourceError::new(SourceState::Missing, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_the_largest_that_is_sent_or_the_least_there_is() {
        let sizes = |all: &[(u16, u16)]| -> Vec<VideoSize> {
            all.iter().map(|(width, height)| VideoSize { width: *width, height: *height }).collect()
        };
        let of = |all: &[(u16, u16)]| nearest(sizes(all).into_iter()).map(|s| (s.width, s.height));
        assert_eq!(of(&[(640, 480), (1_280, 720), (1_920, 1_080)]), Some((1_280, 720)));
        assert_eq!(of(&[(640, 480), (1_600, 600)]), Some((640, 480)));
        assert_eq!(of(&[(3_840, 2_160), (1_920, 1_080)]), Some((1_920, 1_080)));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        for (kind, state, word) in [
            (ErrorKind::ResourceBusy, SourceState::Busy, "another program"),
            (ErrorKind::PermissionDenied, SourceState::Refused, "group"),
            (ErrorKind::Other, SourceState::Missing, "can't be opened"),
        ] {
            let error = refusal("C920", &kind.into());
            assert!(error.state == state && error.text.contains(word) && error.text.contains("C920"));
        }
        assert!(unplugged("C920").text.contains("unplugged"));
    }
}
