//! How our voice goes out: which copies a datagram carries, and when it is sent again.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::{EncodedAudio, Moment};

use crate::transport::{VoicePlan, Weather, plan};
use crate::wire::datagram::MediaHeader;
use crate::wire::voice::MAX_OLDER;

/// A plan for better weather waits so long: weather that comes and goes would change the sound each time.
const BETTER_AFTER: Duration = Duration::from_secs(5);
/// Second sendings that may wait: three of each of the last 40 ms. A flood beyond it is dropped.
const MAX_AGAIN: usize = 16;
/// Frames kept for a standby link: 160 ms of them, longer than it takes to doubt a link.
const MAX_SENT: usize = 16;

struct Kept {
    number: u64,
    end: Duration,
    opus: Vec<u8>,
}

struct Again {
    at: Moment,
    left: u8,
    header: MediaHeader,
    sealed: Vec<u8>,
}

/// See the module's first line.
pub(super) struct Voice {
    plan: VoicePlan,
    /// The last frames, the newest first.
    kept: VecDeque<Kept>,
    again: VecDeque<Again>,
    /// The last frames as they went out, the oldest first.
    sent: VecDeque<(Moment, MediaHeader, Vec<u8>)>,
    /// Since when a cheaper plan would do.
    better_since: Option<Moment>,
}

impl Voice {
    pub(super) fn new() -> Voice {
        Voice {
            plan: VoicePlan::FIRST,
            kept: VecDeque::new(),
            again: VecDeque::new(),
            sent: VecDeque::new(),
            better_since: None,
        }
    }

    pub(super) fn plan(&self) -> VoicePlan {
        self.plan
    }

    /// Takes over what this weather asks for; the new plan if the encoder has to know.
    pub(super) fn follow(&mut self, now: Moment, weather: Weather) -> Option<VoicePlan> {
        let wanted = plan(weather);
        if wanted == self.plan {
            self.better_since = None;
            return None;
        }
        let more = |plan: &VoicePlan| plan.cost();
        let too_dear = more(&self.plan) > weather.budget;
        if more(&wanted) < more(&self.plan) && !too_dear {
            let since = *self.better_since.get_or_insert(now);
            if now.since(since) < BETTER_AFTER {
                return None;
            }
        }
        self.better_since = None;
        let before = std::mem::replace(&mut self.plan, wanted);
        ((before.frame, before.bitrate) != (wanted.frame, wanted.bitrate)).then_some(wanted)
    }

    /// The frames that go beside `frame`, the newest first: those right before it, without a gap.
    pub(super) fn older(&self, frame: &EncodedAudio, number: u64) -> Vec<Vec<u8>> {
        let mut begins = frame.media_time;
        let in_row = self.kept.iter().zip(1u64..).take_while(|(kept, age)| {
            let touches = kept.number.checked_add(*age) == Some(number) && kept.end == begins;
            let duration = crate::wire::voice::opus_duration(&kept.opus).unwrap_or_default();
            begins = kept.end.saturating_sub(duration);
            touches
        });
        in_row.take(usize::from(self.plan.older)).map(|(kept, _)| kept.opus.clone()).collect()
    }

    /// Keeps `frame` for those that follow.
    pub(super) fn keep(&mut self, frame: &EncodedAudio, number: u64) {
        self.kept.truncate(MAX_OLDER - 1);
        let end = frame.media_time.saturating_add(frame.duration);
        self.kept.push_front(Kept { number, end, opus: frame.opus.to_vec() });
    }

    /// Plans the second sendings of a datagram that went out at `now`.
    pub(super) fn send_again(&mut self, now: Moment, header: MediaHeader, sealed: Vec<u8>) {
        if self.plan.again > 0 && self.again.len() < MAX_AGAIN {
            let again = Again { at: now + self.plan.spacing, left: self.plan.again, header, sealed };
            self.again.push_back(again);
        }
    }

    /// Keeps a datagram that went out at `now`.
    pub(super) fn remember(&mut self, now: Moment, header: MediaHeader, sealed: &[u8]) {
        if self.sent.len() == MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((now, header, sealed.to_vec()));
    }

    /// What went out at `since` or after, as far as it is kept.
    pub(super) fn since(&self, since: Moment) -> Vec<(MediaHeader, Vec<u8>)> {
        let late = self.sent.iter().filter(|(at, ..)| *at >= since);
        late.map(|(_, header, sealed)| (*header, sealed.clone())).collect()
    }

    /// When the next second sending is due.
    pub(super) fn due(&self) -> Option<Moment> {
        self.again.iter().map(|again| again.at).min()
    }

    /// A datagram that is due again.
    pub(super) fn take_due(&mut self, now: Moment) -> Option<(MediaHeader, Vec<u8>)> {
        let index = self.again.iter().position(|again| again.at <= now)?;
        let mut again = self.again.remove(index)?;
        let (header, sealed) = (again.header, again.sealed.clone());
        again.left -= 1;
        if again.left > 0 {
            again.at = now + self.plan.spacing;
            self.again.push_back(again);
        }
        Some((header, sealed))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::transport::Loss;
    use ahoy_base::{Bitrate, OpusPacket, TICK, VoiceLevel};

    fn weather(share: f32) -> Weather {
        Weather { loss: Loss { share, burst: 1.0, known: 1_000 }, budget: Bitrate::kbps(2_000) }
    }

    fn frame(media: u64, byte: u8) -> EncodedAudio {
        EncodedAudio {
            seq: 0,
            media_time: Duration::from_millis(media),
            duration: TICK,
            level: VoiceLevel::default(),
            // CELT, 10 ms (RFC 6716, 3.1).
            opus: OpusPacket::new(&[18 << 3, byte]).unwrap(),
        }
    }

    #[test]
    fn worse_weather_is_met_at_once_and_better_waits() {
        let mut voice = Voice::new();
        assert_eq!(voice.follow(Moment::ZERO, weather(0.2)).unwrap().bitrate, Bitrate::kbps(40));
        let later = |s: u64| Moment::from_millis(1_000 * s);
        assert_eq!(voice.follow(later(1), weather(0.0)), None);
        assert_eq!(voice.follow(later(5), weather(0.0)), None);
        assert_eq!(voice.plan().again, 3);
        assert!(voice.follow(later(7), weather(0.0)).is_some());
        assert_eq!(voice.plan().again, 0);
        // No news for the encoder when only the sending changes.
        assert_eq!(voice.follow(later(8), weather(0.01)), None);
        assert_eq!(voice.plan().again, 1);
        // What can't be afforded goes at once.
        let poor = Weather { budget: Bitrate::kbps(60), ..weather(0.0) };
        assert!(voice.follow(later(9), poor).is_some());
    }

    #[test]
    fn copies_are_those_right_before() {
        let mut voice = Voice::new();
        voice.follow(Moment::ZERO, weather(0.3));
        assert!(voice.older(&frame(0, 0), 7).is_empty());
        voice.keep(&frame(0, 1), 7);
        assert_eq!(voice.older(&frame(10, 0), 8), [frame(0, 1).opus.to_vec()]);
        assert!(voice.older(&frame(20, 0), 8).is_empty(), "a pause lies between");
        assert!(voice.older(&frame(10, 0), 9).is_empty(), "one was never sealed");
    }

    #[test]
    fn a_datagram_is_sent_again_as_often_as_planned() {
        let mut voice = Voice::new();
        voice.follow(Moment::ZERO, weather(0.2));
        let header =
            MediaHeader { slot: 0, track: 0, frame: 0, media_ticks: 0, level: VoiceLevel::default() };
        voice.send_again(Moment::ZERO, header, vec![1]);
        let mut sent = Vec::new();
        for ms in 0..50 {
            while let Some((_, sealed)) = voice.take_due(Moment::from_millis(ms)) {
                sent.push((ms, sealed));
            }
        }
        assert_eq!(sent, [(2, vec![1]), (4, vec![1]), (6, vec![1])]);
        assert_eq!(voice.due(), None);
        (0..1_000).for_each(|_| voice.send_again(Moment::ZERO, header, vec![1]));
        assert_eq!(voice.again.len(), MAX_AGAIN);
    }
}
