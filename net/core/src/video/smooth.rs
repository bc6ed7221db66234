//! When a frame is shown: evenly, as soon as the unsteadiness of its way allows, and not far from its sound.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::Moment;

use crate::receive::Transit;

/// Frames that say how unsteady the way is: five seconds.
const LATELY: usize = 150;
/// Frames before that is believed.
const FEW: usize = 10;
/// Share of frames that should be in time.
const IN_TIME: f64 = 0.95;
/// The longest that frames wait for steadiness: beyond it being current matters more.
const MOST: Duration = Duration::from_millis(150);
/// Pictures may be this much earlier than their sound; later than 45 ms is noticed (ITU-R BT.1359).
const AHEAD_OF_SOUND: Duration = Duration::from_millis(30);
/// The longest that frames wait for their sound.
const MOST_FOR_SOUND: Duration = Duration::from_millis(250);
/// A media clock that jumps further than this began anew.
const JUMP_US: i64 = 5_000_000;

/// See the module's first line.
#[derive(Debug, Default)]
pub struct Smooth {
    transit: Transit,
    late: VecDeque<Duration>,
    wait: Duration,
    /// How long frames wait for their sound.
    for_sound: Duration,
    /// How much longer the fastest picture took than the fastest voice, microseconds.
    behind_voice: Option<i64>,
}

impl Smooth {
    /// Takes in a frame whose last datagram came at `arrival`.
    pub fn take(&mut self, arrival: Moment, media_time: Duration) {
        if self.transit.against(arrival, media_time).is_some_and(|off| off.abs() > JUMP_US) {
            self.transit.clear();
            self.late.clear();
        }
        self.transit.take(arrival, media_time);
        if self.late.len() >= LATELY {
            self.late.pop_front();
        }
        self.late.push_back(self.transit.lateness(arrival, media_time));
        if self.late.len() >= FEW {
            let mut sorted: Vec<Duration> = self.late.iter().copied().collect();
            sorted.sort_unstable();
            let at = ((sorted.len() - 1) as f64 * IN_TIME) as usize;
            self.wait = sorted.get(at).copied().unwrap_or_default().min(MOST);
        }
    }

    /// Takes in when sound is heard: the least transit of the voice, and how long it waits to be played.
    pub fn hear(&mut self, voice: &Transit, waits: Duration) {
        let ahead = voice.least().zip(self.transit.least()).map(|(voice, own)| voice.saturating_sub(own));
        self.behind_voice = ahead.map(i64::saturating_neg);
        let ahead = ahead.map_or(0, |us| us.saturating_add(i64::try_from(waits.as_micros()).unwrap_or(0)));
        let ahead = Duration::from_micros(u64::try_from(ahead).unwrap_or(0));
        self.for_sound = ahead.saturating_sub(AHEAD_OF_SOUND).min(MOST_FOR_SOUND);
    }

    /// When a picture is ready to be shown, after the fastest packet with the voice of its moment has come; `None` while
    /// no voice is heard beside it.
    pub fn after_voice(&self) -> Option<Duration> {
        let ready =
            self.behind_voice?.saturating_add(i64::try_from(self.wait.as_micros()).unwrap_or(i64::MAX));
        Some(Duration::from_micros(u64::try_from(ready).unwrap_or(0)))
    }

    /// When the frame of `media_time` is to be shown.
    pub fn due(&self, media_time: Duration) -> Moment {
        let us =
            i128::from(self.transit.least().unwrap_or(0)) + media_time.as_micros().min(1 << 62).cast_signed();
        Moment::from_micros(u64::try_from(us).unwrap_or(0)) + self.waits()
    }

    /// How long the fastest frame waits.
    pub fn waits(&self) -> Duration {
        self.wait.max(self.for_sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(smooth: &mut Smooth, n: std::ops::Range<u64>, late_ms: impl Fn(u64) -> u64) {
        for n in n {
            smooth.take(Moment::from_millis(5_000 + 33 * n + late_ms(n)), Duration::from_millis(33 * n));
        }
    }

    #[test]
    fn a_steady_way_waits_for_nothing_and_a_shaky_one_for_nineteen_of_twenty() {
        let mut steady = Smooth::default();
        feed(&mut steady, 0..200, |_| 40);
        assert_eq!(steady.due(Duration::from_millis(330)), Moment::from_millis(5_370));
        let mut shaky = Smooth::default();
        feed(&mut shaky, 0..200, |n| 40 + n * 7 % 40);
        assert_eq!(shaky.after_voice(), None, "no voice is heard");
        let mut voice = Transit::default();
        voice.take(Moment::from_millis(5_000), Duration::ZERO);
        shaky.hear(&voice, Duration::ZERO);
        assert_eq!(shaky.after_voice(), Some(Duration::from_millis(40) + shaky.waits()));
        assert!((36..=39).contains(&shaky.waits().as_millis()), "{:?}", shaky.waits());
        feed(&mut shaky, 200..360, |_| 40);
        assert_eq!(shaky.waits(), Duration::ZERO, "and forgets it in five seconds");
        feed(&mut shaky, 360..600, |n| if n % 3 == 0 { 900 } else { 0 });
        assert_eq!(shaky.waits(), MOST);
    }

    #[test]
    fn pictures_wait_for_their_sound() {
        let (mut smooth, mut voice) = (Smooth::default(), Transit::default());
        feed(&mut smooth, 0..50, |_| 30);
        for n in 0..50u64 {
            voice.take(Moment::from_millis(5_020 + 10 * n), Duration::from_millis(10 * n));
        }
        // Sound is heard 20 + 90 ms after it was captured, pictures would be seen after 30.
        smooth.hear(&voice, Duration::from_millis(90));
        assert_eq!(smooth.waits(), Duration::from_millis(50), "110 - 30 - 30");
        smooth.hear(&voice, Duration::from_millis(20));
        assert_eq!(smooth.waits(), Duration::ZERO);
        assert_eq!(smooth.after_voice(), Some(Duration::from_millis(10)), "30 - 20");
        smooth.hear(&voice, Duration::from_secs(9));
        assert_eq!(smooth.waits(), MOST_FOR_SOUND);
    }

    #[test]
    fn a_clock_that_begins_anew_is_followed() {
        let mut smooth = Smooth::default();
        feed(&mut smooth, 0..500, |_| 0);
        smooth.take(Moment::from_millis(30_000), Duration::ZERO);
        assert_eq!(smooth.due(Duration::ZERO), Moment::from_millis(30_000) + smooth.waits());
        let _ = smooth.due(Duration::MAX);
    }
}
