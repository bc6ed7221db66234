//! Devices by name: what `--mic`, `--speaker` and the device menu say.

use std::path::PathBuf;

/// A microphone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MicrophoneName {
    /// Whatever the system uses.
    Default,
    /// A real one, by its id.
    Real(String),
    /// Silence.
    Null,
    /// A sine of so many hertz.
    Tone(f32),
    /// A WAV file in real time, from its first sample when capture starts.
    File {
        /// Which.
        path: PathBuf,
        /// Whether it begins again at its end.
        repeat: bool,
    },
    /// What the speaker of the same name played a second ago.
    Loop,
}

/// A speaker.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SpeakerName {
    /// Whatever the system uses.
    Default,
    /// A real one, by its id.
    Real(String),
    /// Nothing is heard.
    Null,
    /// A WAV file of all that would have been heard.
    Record(PathBuf),
    /// The microphone of the same name.
    Loop,
}

impl MicrophoneName {
    /// Understands a name; anything that is no virtual device is taken for the id of a real one.
    pub(super) fn parse(name: &str) -> MicrophoneName {
        if let Some(hertz) = name.strip_prefix("tone:").and_then(|h| h.parse().ok())
            && (20.0..=20_000.0).contains(&hertz)
        {
            return MicrophoneName::Tone(hertz);
        }
        if let Some(path) = name.strip_prefix("file:") {
            let (path, repeat) = path.strip_suffix("?loop").map_or((path, false), |path| (path, true));
            return MicrophoneName::File { path: path.into(), repeat };
        }
        match name {
            "" | "default" => MicrophoneName::Default,
            "null" => MicrophoneName::Null,
            "loop:echo" => MicrophoneName::Loop,
            id => MicrophoneName::Real(id.to_owned()),
        }
    }
}

impl SpeakerName {
    /// As [`MicrophoneName::parse`].
    pub(super) fn parse(name: &str) -> SpeakerName {
        if let Some(path) = name.strip_prefix("record:") {
            return SpeakerName::Record(path.into());
        }
        match name {
            "" | "default" => SpeakerName::Default,
            "null" => SpeakerName::Null,
            "loop:echo" => SpeakerName::Loop,
            id => SpeakerName::Real(id.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_contract_is_understood() {
        let file = |path: &str, repeat| MicrophoneName::File { path: path.into(), repeat };
        for (name, device) in [
            ("", MicrophoneName::Default),
            ("default", MicrophoneName::Default),
            ("null", MicrophoneName::Null),
            ("tone:440", MicrophoneName::Tone(440.0)),
            ("tone:loud", MicrophoneName::Real("tone:loud".into())),
            ("file:/a b.wav", file("/a b.wav", false)),
            ("file:/a.wav?loop", file("/a.wav", true)),
            ("loop:echo", MicrophoneName::Loop),
            ("pulseaudio:vmic", MicrophoneName::Real("pulseaudio:vmic".into())),
        ] {
            assert_eq!(MicrophoneName::parse(name), device, "{name}");
        }
        for (name, device) in [
            ("default", SpeakerName::Default),
            ("null", SpeakerName::Null),
            ("record:/r.wav", SpeakerName::Record("/r.wav".into())),
            ("loop:echo", SpeakerName::Loop),
            ("alsa:hw:0", SpeakerName::Real("alsa:hw:0".into())),
        ] {
            assert_eq!(SpeakerName::parse(name), device, "{name}");
        }
    }
}
