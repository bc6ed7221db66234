//! The call to Echo judged: figures of sound, network and devices together, as the page and the command line show them.

use std::time::Duration;

use ahoy_base::{Decibel, Moment};
use ahoy_call::{Call, EchoTest, Microphone};

use crate::audio::{DeviceState, Heard, LOOP_DELAY};
use crate::node::Node;
use crate::view::EchoTestView;
use crate::view_builder;

/// Shorter calls are not judged: the first word comes back after more than a second.
const LEAST: Duration = Duration::from_secs(4);
/// A voice is back within this, without the second that Echo waits.
const LATEST: Duration = Duration::from_secs(1);

/// What is known of a running `call` to Echo, once there is enough. `lost`: share of its sound that never came.
pub(crate) fn examine(now: Moment, node: &Node, call: &Call, muted: bool, lost: f64) -> Option<EchoTestView> {
    if call.hold().local || call.phase().code() != "active" {
        return None;
    }
    let heard = node.audio().heard(now, LOOP_DELAY..LOOP_DELAY + LATEST);
    let devices = node.audio().devices();
    // Another device may have taken the place of one that is missing.
    let works = |state: DeviceState| state == DeviceState::Ok || state == DeviceState::Missing;
    let silent = devices.microphone.state == DeviceState::Missing && heard.peak <= Decibel::SILENCE;
    (heard.time >= LEAST).then(|| {
        let microphone = works(devices.microphone.state) && !silent;
        let figures = figures(&heard, microphone, works(devices.speaker.state), muted, lost);
        view(&figures, &heard)
    })
}

fn figures(heard: &Heard, microphone: bool, speaker: bool, muted: bool, lost: f64) -> EchoTest {
    let Heard { microphone: voice, peak, clipped, others, lag, return_loss, .. } = *heard;
    EchoTest {
        microphone: microphone.then_some(Microphone {
            speech: voice.speech,
            background: voice.background,
            peak,
            clipped,
        }),
        speaker,
        muted,
        returned: others,
        round_trip: lag.map(|lag| lag.saturating_sub(LOOP_DELAY)),
        echo_return_loss: return_loss,
        lost,
    }
}

fn view(test: &EchoTest, heard: &Heard) -> EchoTestView {
    let faults: Vec<_> =
        test.faults().iter().map(|f| view_builder::fault(f.code(), f.weight(), f.words())).collect();
    let level = |level: Decibel| tenths(f64::from(level.as_f32()));
    EchoTestView {
        text: match faults.as_slice() {
            [] => "Your sound works: the others hear you well".to_owned(),
            [first, ..] => first.text.clone(),
        },
        speech_dbfs: heard.microphone.speech.map(level),
        background_dbfs: level(heard.microphone.background),
        peak_dbfs: level(heard.peak),
        returned_dbfs: level(heard.others),
        round_trip_ms: test.round_trip.map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX)),
        echo_return_loss_db: test.echo_return_loss.map(|loss| tenths(f64::from(loss))),
        lost_percent: tenths(test.lost * 100.0),
        faults,
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
