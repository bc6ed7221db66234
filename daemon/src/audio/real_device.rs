//! Sound cards, through cpal: PulseAudio's protocol where a server answers (PipeWire speaks it too), else ALSA; WASAPI
//! on Windows. The only file that knows cpal.
//!
//! Buffers are always asked for by size: the default of PulseAudio is 2 s.

use std::time::Duration;

use ahoy_base::{Moment, SAMPLE_RATE};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, Sample, SampleFormat, SizedSample, StreamConfig};

use super::callback::{CaptureCallback, PlaybackCallback};
use super::{Device, DeviceState, Role};
use crate::clock;

/// How long a device may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(3);
/// What a microphone gives at a time.
const BLOCK: Duration = Duration::from_millis(10);
/// Channels that are asked for at most; some cards offer 32.
const MAX_CHANNELS: u16 = 2;

/// A running stream; dropping it closes the device.
pub(super) struct RealDevice {
    _stream: cpal::Stream,
    /// Samples a second.
    pub(super) rate: u32,
    /// For people.
    pub(super) name: String,
}

/// Why a device could not be opened.
#[derive(Clone, Debug)]
pub(super) struct OpenError {
    pub(super) state: DeviceState,
    /// For people.
    pub(super) text: String,
}

/// The way to this machine's sound. Made again when the sound server was restarted.
#[derive(Default)]
pub(super) struct SoundSystem(Option<cpal::Host>);

impl SoundSystem {
    /// All devices of `role`, without the copies of what speakers play.
    pub(super) fn list(&mut self, role: Role) -> Vec<Device> {
        let Some(host) = self.host() else { return Vec::new() };
        let default = default_of(host, role).and_then(|device| device.id().ok()).map(|id| id.to_string());
        let Ok(devices) = host.devices() else {
            // The server went away; the next call finds the new one.
            self.0 = None;
            return Vec::new();
        };
        let fits = |device: &cpal::Device| match role {
            Role::Microphone => device.supports_input(),
            Role::Speaker => device.supports_output(),
        };
        let mut list: Vec<Device> = devices
            .filter(fits)
            .filter_map(|device| {
                let id = device.id().ok()?.to_string();
                let is_default = Some(&id) == default.as_ref();
                Some(Device { name: name_of(&device), id, is_default })
            })
            .filter(|device| is_for_people(&device.id) || device.is_default)
            .collect();
        list.dedup_by(|a, b| a.id == b.id);
        list
    }

    /// Opens a microphone: the one of `id`, or the system's. `make` gets its number of channels.
    ///
    /// # Errors
    /// In words, when it can't be opened.
    #[expect(clippy::wildcard_enum_match_arm, reason = "cpal has formats that `choose` never picks")]
    pub(super) fn open_microphone(
        &mut self,
        id: Option<&str>,
        make: impl Fn(u16) -> CaptureCallback,
        on_error: impl Fn(cpal::Error) + Send + Clone + 'static,
    ) -> Result<RealDevice, OpenError> {
        let device = self.find(Role::Microphone, id)?;
        let configs = device.supported_input_configs().map_err(|error| explain(Role::Microphone, &error))?;
        let choice = choose(Role::Microphone, configs)?;
        let build = |config: StreamConfig| {
            let (callback, on_error) = (make(config.channels), on_error.clone());
            match choice.format {
                SampleFormat::I16 => record::<i16>(&device, config, callback, on_error),
                SampleFormat::I32 => record::<i32>(&device, config, callback, on_error),
                _ => record::<f32>(&device, config, callback, on_error),
            }
        };
        start(Role::Microphone, &device, &choice, BLOCK, build)
    }

    /// Opens a speaker, as [`SoundSystem::open_microphone`], with blocks of `length`.
    ///
    /// # Errors
    /// In words, when it can't be opened.
    #[expect(clippy::wildcard_enum_match_arm, reason = "cpal has formats that `choose` never picks")]
    pub(super) fn open_speaker(
        &mut self,
        id: Option<&str>,
        length: Duration,
        make: impl Fn(u16) -> PlaybackCallback,
        on_error: impl Fn(cpal::Error) + Send + Clone + 'static,
    ) -> Result<RealDevice, OpenError> {
        let device = self.find(Role::Speaker, id)?;
        let configs = device.supported_output_configs().map_err(|error| explain(Role::Speaker, &error))?;
        let choice = choose(Role::Speaker, configs)?;
        let build = |config: StreamConfig| {
            let (callback, on_error) = (make(config.channels), on_error.clone());
            match choice.format {
                SampleFormat::I16 => play::<i16>(&device, config, callback, on_error),
                SampleFormat::I32 => play::<i32>(&device, config, callback, on_error),
                _ => play::<f32>(&device, config, callback, on_error),
            }
        };
        start(Role::Speaker, &device, &choice, length, build)
    }

    fn find(&mut self, role: Role, id: Option<&str>) -> Result<cpal::Device, OpenError> {
        let host = self.host().ok_or_else(no_sound)?;
        match id {
            None => default_of(host, role).ok_or_else(no_sound),
            Some(id) => {
                let wanted = id.parse().ok().and_then(|id| host.device_by_id(&id));
                wanted.ok_or_else(|| OpenError {
                    state: DeviceState::Missing,
                    text: format!("The {} “{id}” is not plugged in.", role.word()),
                })
            }
        }
    }

    fn host(&mut self) -> Option<&cpal::Host> {
        if self.0.is_none() {
            // Best first: the sound server before the bare cards, which it holds.
            self.0 = cpal::available_hosts().into_iter().find_map(|id| cpal::host_from_id(id).ok());
        }
        self.0.as_ref()
    }
}

/// Whether an error of a running stream means that the device is gone.
pub(super) fn is_fatal(error: &cpal::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DeviceNotAvailable
            | ErrorKind::HostUnavailable
            | ErrorKind::StreamInvalidated
            | ErrorKind::BackendError
    )
}

struct Choice {
    channels: u16,
    rate: u32,
    format: SampleFormat,
}

/// The way of a device that costs us least: our own rate, floats, few channels.
fn choose(
    role: Role,
    configs: impl Iterator<Item = cpal::SupportedStreamConfigRange>,
) -> Result<Choice, OpenError> {
    let formats = [SampleFormat::F32, SampleFormat::I16, SampleFormat::I32];
    configs
        .filter_map(|config| {
            let format = formats.iter().position(|f| *f == config.sample_format())?;
            let rate = SAMPLE_RATE.clamp(config.min_sample_rate(), config.max_sample_rate());
            let many = config.channels() > MAX_CHANNELS;
            let cost = (rate != SAMPLE_RATE, many, format, config.channels());
            Some((cost, Choice { channels: config.channels(), rate, format: config.sample_format() }))
        })
        .min_by_key(|(cost, _)| *cost)
        .map(|(_, choice)| choice)
        .ok_or_else(|| OpenError {
            state: DeviceState::Missing,
            text: format!("This {} speaks no sound format that Ahoy knows.", role.word()),
        })
}

fn start(
    role: Role,
    device: &cpal::Device,
    choice: &Choice,
    length: Duration,
    build: impl Fn(StreamConfig) -> Result<cpal::Stream, cpal::Error>,
) -> Result<RealDevice, OpenError> {
    let frames =
        u32::try_from(length.as_micros() * u128::from(choice.rate) / 1_000_000).unwrap_or(choice.rate);
    let config =
        |buffer_size| StreamConfig { channels: choice.channels, sample_rate: choice.rate, buffer_size };
    let stream = build(config(BufferSize::Fixed(frames)))
        // Some cards refuse the size; their own is better than none.
        .or_else(|_| build(config(BufferSize::Default)))
        .map_err(|error| explain(role, &error))?;
    stream.play().map_err(|error| explain(role, &error))?;
    Ok(RealDevice { _stream: stream, rate: choice.rate, name: name_of(device) })
}

fn record<T: SizedSample + Copy + Send + 'static>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: CaptureCallback,
    on_error: impl Fn(cpal::Error) + Send + 'static,
) -> Result<cpal::Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    let (channels, rate) = (u64::from(config.channels.max(1)), u64::from(config.sample_rate.max(1)));
    device.build_input_stream::<T, _, _>(
        config,
        move |data, info| {
            let length = Duration::from_micros(data.len() as u64 / channels * 1_000_000 / rate);
            let times = info.timestamp();
            let behind = times.callback.checked_duration_since(times.capture).unwrap_or_default();
            let at: Moment = clock::now() - behind.max(length);
            callback.call(data, at, f32::from_sample);
        },
        on_error,
        Some(OPEN_WITHIN),
    )
}

fn play<T: SizedSample + Copy + FromSample<f32> + Send + 'static>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: PlaybackCallback,
    on_error: impl Fn(cpal::Error) + Send + 'static,
) -> Result<cpal::Stream, cpal::Error> {
    device.build_output_stream::<T, _, _>(
        config,
        move |out, _| callback.call(out, clock::now(), |s: f32| s.to_sample::<T>()),
        on_error,
        Some(OPEN_WITHIN),
    )
}

fn default_of(host: &cpal::Host, role: Role) -> Option<cpal::Device> {
    match role {
        Role::Microphone => host.default_input_device(),
        Role::Speaker => host.default_output_device(),
    }
}

fn name_of(device: &cpal::Device) -> String {
    device.description().map(|d| d.name().to_owned()).unwrap_or_else(|_| "Sound device".to_owned())
}

/// ALSA lists every way to every card, and PulseAudio a recorder for every speaker; people want cards.
fn is_for_people(id: &str) -> bool {
    let (host, device) = id.split_once(':').unwrap_or(("", id));
    match host {
        "alsa" => ["default", "plughw:", "sysdefault:"].iter().any(|kind| device.starts_with(kind)),
        _ => !device.ends_with(".monitor"),
    }
}

fn no_sound() -> OpenError {
    OpenError {
        state: DeviceState::NoSound,
        text: "This computer has no sound device that works, or no sound server runs.".to_owned(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "cpal's kinds grow; what is not known is shown as it is")]
fn explain(role: Role, error: &cpal::Error) -> OpenError {
    let role = role.word();
    let (state, text) = match error.kind() {
        ErrorKind::DeviceBusy => (DeviceState::Busy, format!("Another program holds the {role}.")),
        ErrorKind::PermissionDenied => (
            DeviceState::Busy,
            format!("This user may not use the {role}; on Linux, being in the group “audio” helps."),
        ),
        ErrorKind::HostUnavailable => return no_sound(),
        ErrorKind::DeviceNotAvailable => (DeviceState::Missing, format!("The {role} is not plugged in.")),
        _ => (DeviceState::Missing, format!("The {role} can't be opened ({error}).")),
    };
    OpenError { state, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_show_cards_and_not_plumbing() {
        for (id, shown) in [
            ("pulseaudio:alsa_input.usb-Headset", true),
            ("pulseaudio:alsa_output.pci.monitor", false),
            ("alsa:default", true),
            ("alsa:plughw:CARD=PCH,DEV=0", true),
            ("alsa:surround51:CARD=PCH", false),
            ("wasapi:{0.0.1}", true),
        ] {
            assert_eq!(is_for_people(id), shown, "{id}");
        }
    }
}
