//! What a call to Echo says of this person's sound: its figures judged, each thing that is wrong with its words and its mend.

use std::time::Duration;

use ahoy_base::Decibel;

use crate::network::Weight;
use crate::words::Words;

/// Figures of the last seconds of a call to Echo.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EchoTest {
    /// What the microphone gave; `None`: no microphone works.
    pub microphone: Option<Microphone>,
    /// Whether a speaker works.
    pub speaker: bool,
    /// Whether this person is muted in the call.
    pub muted: bool,
    /// How loud what came back was, where it was loudest.
    pub returned: Decibel,
    /// From the mouth through Echo to the ear, without the second that Echo waits; `None`: not enough was said to tell.
    pub round_trip: Option<Duration>,
    /// How much quieter the speaker's sound is at the microphone than it was played, in decibels; `None`: it is not heard there.
    pub echo_return_loss: Option<f32>,
    /// Share of the sound that never came, the worse way of both.
    pub lost: f64,
}

/// What a microphone gave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Microphone {
    /// How loud the voice is; `None`: nobody spoke.
    pub speech: Option<Decibel>,
    /// How loud it is in the pauses.
    pub background: Decibel,
    /// The loudest sample.
    pub peak: Decibel,
    /// Share of the voice that was cut off at full scale.
    pub clipped: f64,
}

/// One thing that is wrong with the sound, in the order in which they are mended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoundFault {
    /// No microphone works.
    NoMicrophone,
    /// No speaker works.
    NoSpeaker,
    /// The microphone is off in this call.
    Muted,
    /// Not one sample of it differs from zero: a switch on the device or in the system.
    MutedAtDevice,
    /// Less than the noise of any microphone.
    SilentMicrophone,
    /// Nobody spoke.
    NothingSaid,
    /// The voice is too quiet.
    TooQuiet,
    /// The voice is cut off at full scale.
    Clipping,
    /// The background is nearly as loud as the voice.
    Noisy,
    /// What was said did not come back.
    NothingCameBack,
    /// The speaker is nearly as loud at the microphone as it plays.
    OwnSpeakerHeard,
    /// Sound gets lost.
    Loss,
    /// It comes back late.
    Late,
}

impl EchoTest {
    /// Everything that is wrong, the first to mend first.
    pub fn faults(&self) -> Vec<SoundFault> {
        let mut faults = Vec::new();
        let Some(microphone) = &self.microphone else {
            faults.push(SoundFault::NoMicrophone);
            faults.extend((!self.speaker).then_some(SoundFault::NoSpeaker));
            return faults;
        };
        faults.extend((!self.speaker).then_some(SoundFault::NoSpeaker));
        faults.extend(self.muted.then_some(SoundFault::Muted));
        faults.extend(microphone.faults());
        let said = !self.muted && microphone.speech.is_some_and(|speech| speech >= QUIET);
        if said && self.speaker && self.returned < RETURNED {
            faults.push(SoundFault::NothingCameBack);
        }
        if self.echo_return_loss.is_some_and(|loss| loss < ECHO) {
            faults.push(SoundFault::OwnSpeakerHeard);
        }
        if self.lost >= LOST {
            faults.push(SoundFault::Loss);
        }
        if self.round_trip.is_some_and(|time| time >= LATE) {
            faults.push(SoundFault::Late);
        }
        faults
    }
}

impl Microphone {
    fn faults(&self) -> Vec<SoundFault> {
        if self.peak <= Decibel::SILENCE {
            return vec![SoundFault::MutedAtDevice];
        }
        if self.peak < DEAD {
            return vec![SoundFault::SilentMicrophone];
        }
        let Some(speech) = self.speech else { return vec![SoundFault::NothingSaid] };
        let mut faults = Vec::new();
        if speech < QUIET {
            faults.push(SoundFault::TooQuiet);
        }
        if self.clipped >= CLIPPED {
            faults.push(SoundFault::Clipping);
        }
        if self.background > LOUD_BACKGROUND && speech.as_f32() - self.background.as_f32() < CLEAR {
            faults.push(SoundFault::Noisy);
        }
        faults
    }
}

impl SoundFault {
    /// A stable word, for programs.
    pub const fn code(self) -> &'static str {
        match self {
            SoundFault::NoMicrophone => "no_microphone",
            SoundFault::NoSpeaker => "no_speaker",
            SoundFault::Muted => "muted",
            SoundFault::MutedAtDevice => "muted_at_device",
            SoundFault::SilentMicrophone => "silent_microphone",
            SoundFault::NothingSaid => "nothing_said",
            SoundFault::TooQuiet => "too_quiet",
            SoundFault::Clipping => "clipping",
            SoundFault::Noisy => "noisy",
            SoundFault::NothingCameBack => "nothing_came_back",
            SoundFault::OwnSpeakerHeard => "own_speaker_heard",
            SoundFault::Loss => "loss",
            SoundFault::Late => "late",
        }
    }

    /// What it means for calls.
    pub const fn weight(self) -> Weight {
        match self {
            SoundFault::NoMicrophone
            | SoundFault::NoSpeaker
            | SoundFault::MutedAtDevice
            | SoundFault::SilentMicrophone
            | SoundFault::NothingCameBack => Weight::Broken,
            SoundFault::Muted
            | SoundFault::NothingSaid
            | SoundFault::TooQuiet
            | SoundFault::Clipping
            | SoundFault::Noisy
            | SoundFault::OwnSpeakerHeard
            | SoundFault::Loss
            | SoundFault::Late => Weight::Weak,
        }
    }

    /// What happened, what still works, what to do.
    pub fn words(self) -> Words {
        let (what, works, todo) = match self {
            SoundFault::NoMicrophone => (
                "No microphone works",
                "You hear the others; they can't hear you.",
                "Plug one in, or choose another one in the device menu.",
            ),
            SoundFault::NoSpeaker => (
                "No speaker works",
                "The others hear you; you can't hear them.",
                "Plug in a headset, or choose another speaker in the device menu.",
            ),
            SoundFault::Muted => {
                ("You are muted in this call", "You hear what the others say.", "Switch the microphone on.")
            }
            SoundFault::MutedAtDevice => (
                "The microphone is muted outside Ahoy: it gives perfect silence",
                "You hear the others; they can't hear you.",
                "Look for a switch on the headset or its cable, and for the microphone in the system's sound settings.",
            ),
            SoundFault::SilentMicrophone => (
                "The microphone hears nothing",
                "You hear the others; they can't hear you.",
                "Check its plug and its level in the system's sound settings, or choose another microphone.",
            ),
            SoundFault::NothingSaid => (
                "Nobody spoke, so your voice could not be judged",
                "The microphone works: it hears the room.",
                "Call Echo again and talk for a few seconds; if you did, choose another microphone.",
            ),
            SoundFault::TooQuiet => (
                "You are hard to hear",
                "Ahoy makes you louder, and the noise of the room with you.",
                "Raise the microphone's level in the system's sound settings, or move closer to it.",
            ),
            SoundFault::Clipping => (
                "Your voice is too loud for the microphone and sounds torn",
                "The others understand you.",
                "Lower the microphone's level in the system's sound settings, or move away from it.",
            ),
            SoundFault::Noisy => (
                "It is loud around you",
                "Ahoy lowers steady noise if that is on in the settings.",
                "Move closer to the microphone, or use a headset.",
            ),
            SoundFault::NothingCameBack => (
                "What you said did not come back",
                "Your microphone works.",
                "Call Echo again; if it stays so, restart Ahoy and look for its messages.",
            ),
            SoundFault::OwnSpeakerHeard => (
                "The microphone hears your speaker nearly as loud as you do",
                "Ahoy takes the echo out if that is on in the settings, at some cost for your voice when both talk.",
                "Turn the speaker down, move the microphone away from it, or use a headset.",
            ),
            SoundFault::Loss => (
                "Sound gets lost on the way to Echo, which is on this computer",
                "Small gaps are filled in.",
                "Close programs that keep the processor busy.",
            ),
            SoundFault::Late => (
                "Your voice takes long through this computer's sound devices",
                "Calls work; you will talk over each other more often.",
                "Use a cable instead of Bluetooth, and close programs that keep the processor busy.",
            ),
        };
        Words { what: what.to_owned(), works: works.to_owned(), todo: todo.to_owned() }
    }
}

/// A voice below this needs more than the 20 dB that automatic gain may add.
const QUIET: Decibel = Decibel::tenths(-480);
/// A microphone whose loudest sample is below this hears nothing: -80 dBFS, below the noise of any real one.
const DEAD: Decibel = Decibel::tenths(-800);
/// What comes back of a voice is louder than this; comfort noise is not.
const RETURNED: Decibel = Decibel::tenths(-600);
/// Share of a voice at full scale from which tearing is heard.
const CLIPPED: f64 = 0.01;
/// A background louder than this is heard by the others.
const LOUD_BACKGROUND: Decibel = Decibel::tenths(-450);
/// Decibels between voice and background above which speech is understood without effort (ITU-T P.1301 rooms: 15 dB).
const CLEAR: f32 = 15.0;
/// Decibels below which a speaker at the microphone costs the voice when both talk.
const ECHO: f32 = 6.0;
/// Share of lost sound above which listening takes effort; of the same size as the page's quality.
const LOST: f64 = 0.03;
/// Twice the one-way delay at which people start to talk over each other (ITU-T G.114: 150 ms), less what a network may add.
const LATE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    const MICROPHONE: Microphone = Microphone {
        speech: Some(Decibel::tenths(-260)),
        background: Decibel::tenths(-600),
        peak: Decibel::tenths(-80),
        clipped: 0.0,
    };

    /// Nothing to complain of.
    const GOOD: EchoTest = EchoTest {
        microphone: Some(MICROPHONE),
        speaker: true,
        muted: false,
        returned: Decibel::tenths(-240),
        round_trip: Some(Duration::from_millis(70)),
        echo_return_loss: None,
        lost: 0.0,
    };

    fn with(microphone: Microphone) -> EchoTest {
        EchoTest { microphone: Some(microphone), returned: Decibel::SILENCE, ..GOOD }
    }

    #[test]
    fn each_fault_is_found_alone_and_where_two_are_there_the_first_to_mend_comes_first() {
        use SoundFault as F;
        let tenths = Decibel::tenths;
        let table: Vec<(EchoTest, &[SoundFault])> = vec![
            (GOOD, &[]),
            (EchoTest { echo_return_loss: Some(14.0), lost: 0.029, ..GOOD }, &[]),
            (EchoTest { microphone: None, ..GOOD }, &[F::NoMicrophone]),
            (EchoTest { microphone: None, speaker: false, ..GOOD }, &[F::NoMicrophone, F::NoSpeaker]),
            (EchoTest { speaker: false, returned: Decibel::SILENCE, ..GOOD }, &[F::NoSpeaker]),
            (EchoTest { muted: true, returned: Decibel::SILENCE, ..GOOD }, &[F::Muted]),
            (
                with(Microphone {
                    speech: None,
                    peak: Decibel::SILENCE,
                    background: Decibel::SILENCE,
                    ..MICROPHONE
                }),
                &[F::MutedAtDevice],
            ),
            (with(Microphone { speech: None, peak: tenths(-850), ..MICROPHONE }), &[F::SilentMicrophone]),
            (with(Microphone { speech: None, ..MICROPHONE }), &[F::NothingSaid]),
            (with(Microphone { speech: Some(tenths(-500)), ..MICROPHONE }), &[F::TooQuiet]),
            (
                EchoTest { microphone: Some(Microphone { clipped: 0.02, ..MICROPHONE }), ..GOOD },
                &[F::Clipping],
            ),
            (
                EchoTest { microphone: Some(Microphone { background: tenths(-380), ..MICROPHONE }), ..GOOD },
                &[F::Noisy],
            ),
            (EchoTest { returned: tenths(-700), ..GOOD }, &[F::NothingCameBack]),
            (EchoTest { echo_return_loss: Some(3.0), ..GOOD }, &[F::OwnSpeakerHeard]),
            (EchoTest { lost: 0.03, ..GOOD }, &[F::Loss]),
            (
                EchoTest { round_trip: Some(Duration::from_millis(260)), lost: 0.2, ..GOOD },
                &[F::Loss, F::Late],
            ),
            (EchoTest { round_trip: None, ..GOOD }, &[]),
        ];
        let mut found: Vec<SoundFault> = Vec::new();
        for (test, expected) in table {
            let faults = test.faults();
            assert_eq!(faults, expected, "{test:?}");
            found.extend(faults);
        }
        let codes: std::collections::BTreeSet<&str> = found.iter().map(|fault| fault.code()).collect();
        assert_eq!(codes.len(), 13, "every fault is in the table: {codes:?}");
        for fault in found {
            let words = fault.words();
            assert!(!words.what.ends_with('.'), "{words:?}");
            assert!(words.works.ends_with('.') && words.todo.ends_with('.'), "{words:?}");
        }
    }
}
