//! Plays one peer: packets in from the network, 10 ms of sound out each tick. Decides nothing: `Playout` does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahoy_base::{CallId, Decibel, EncodedAudio, Moment, PeerId, SAMPLE_RATE, TICK_SAMPLES, VoiceLevel};
use ahoy_codec::CodecError;
use ahoy_codec::audio::{
    ComfortNoise, LevelMeter, MAX_FRAME_SAMPLES, MAX_STRETCH, OpusDecoder, accelerate, cut, expand,
};
use ahoy_net_core::receive::{Playout, PlayoutStats, Pull, ReceivedAudio, Step, Tempo};
use rtrb::{Consumer, Producer, RingBuffer};

/// Frames between the network and the player: half a second with three copies of each. The player empties it every 10 ms.
const MAX_PACKETS: usize = 200;

/// Made-up ticks that are played as loud as what they replace: the neural concealment goes on like speech for 100 ms.
const FULL: u32 = 8;
/// From this one on only background is played: a voice that is gone must not hum on.
const GONE: u32 = 24;
/// Sound that is needed to leave a pitch period out, or to put one in: two of the longest.
const STRETCHED: usize = 1_440;
/// Sound that a cut in a pause fades over.
const CUT_SOUND: usize = 120;
/// Frames up to this loud (-45 dBFS) are background: the decoder's comfort noise goes on for as long as a pause does.
const BACKGROUND: VoiceLevel = VoiceLevel::new(3);

/// Where the network puts a peer's packets.
pub(crate) struct PeerSink {
    packets: Producer<ReceivedAudio>,
    /// How much longer sound shall wait because of pictures, microseconds.
    longer: Arc<AtomicU32>,
}

/// Where the player takes them from.
pub(super) struct PeerSource {
    packets: Consumer<ReceivedAudio>,
    longer: Arc<AtomicU32>,
}

/// Both ends of a peer's way into the playback thread.
pub(super) fn pair() -> (PeerSink, PeerSource) {
    let (into, from) = RingBuffer::new(MAX_PACKETS);
    let longer = Arc::<AtomicU32>::default();
    (PeerSink { packets: into, longer: longer.clone() }, PeerSource { packets: from, longer })
}

impl PeerSink {
    /// Hands a packet over; dropped when the playback thread has not looked for a second.
    pub(crate) fn push(&mut self, received: ReceivedAudio) {
        if self.packets.push(received).is_err() {
            tracing::debug!("a packet found the player asleep");
        }
    }

    /// Sound shall wait so much longer, by and by: its pictures are later.
    pub(crate) fn wait_for_pictures(&self, longer: Duration) {
        self.longer.store(u32::try_from(longer.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

/// Figures of a peer's sound since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PeerFigures {
    /// Of the jitter buffer.
    pub(crate) playout: PlayoutStats,
    /// How loud the peer is.
    pub(crate) level: Decibel,
    /// Decoded sound that waits.
    pub(crate) ahead: Duration,
    /// Samples that were played.
    pub(crate) played_samples: u64,
    /// Samples left out to catch up.
    pub(crate) removed_samples: u64,
    /// Samples repeated to fall back.
    pub(crate) added_samples: u64,
    /// Packets that were no Opus.
    pub(crate) broken: u64,
}

/// The latest figures of all peers; one short lock a peer ten times a second.
#[derive(Clone, Default)]
pub(super) struct FiguresBoard(Arc<Mutex<BTreeMap<(CallId, PeerId), PeerFigures>>>);

impl FiguresBoard {
    pub(super) fn read(&self, call: CallId, peer: PeerId) -> Option<PeerFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(call, peer)).copied()
    }

    /// Replaces all. Allocates only when somebody came or went.
    pub(super) fn write(&self, figures: impl Iterator<Item = ((CallId, PeerId), PeerFigures)> + Clone) {
        replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), figures);
    }
}

/// Makes `board` hold exactly `entries`; allocates only where keys differ.
pub(super) fn replace<K: Ord, V>(board: &mut BTreeMap<K, V>, entries: impl Iterator<Item = (K, V)> + Clone) {
    let same =
        board.len() == entries.clone().count() && entries.clone().all(|(key, _)| board.contains_key(&key));
    if !same {
        board.clear();
    }
    for (key, value) in entries {
        board.insert(key, value);
    }
}

/// One peer's sound. Lives on the playback thread.
pub(super) struct PeerPlayer {
    source: PeerSource,
    playout: Playout,
    decoder: OpusDecoder,
    ready: VecDeque<f32>,
    /// Sound being decoded and stretched.
    frame: Vec<f32>,
    decoded: Box<[f32; MAX_FRAME_SAMPLES]>,
    noise: ComfortNoise,
    /// Ticks made up one after the other, after something loud.
    made_up: u32,
    /// How loud the last real frame was.
    last_level: VoiceLevel,
    meter: LevelMeter,
    figures: PeerFigures,
}

impl PeerPlayer {
    /// A player that has heard nothing.
    ///
    /// # Errors
    /// When no decoder can be made: out of memory.
    pub(super) fn new(source: PeerSource) -> Result<PeerPlayer, CodecError> {
        Ok(PeerPlayer {
            source,
            playout: Playout::new(),
            decoder: OpusDecoder::new()?,
            ready: VecDeque::with_capacity(2 * MAX_FRAME_SAMPLES),
            frame: Vec::with_capacity(MAX_FRAME_SAMPLES + STRETCHED + MAX_STRETCH),
            decoded: Box::new([0.0; MAX_FRAME_SAMPLES]),
            noise: ComfortNoise::default(),
            made_up: 0,
            last_level: VoiceLevel::default(),
            meter: LevelMeter::default(),
            figures: PeerFigures::default(),
        })
    }

    /// Fills `out` at `now` with the sound that is heard from `heard` on. `true` when some of it is the peer's.
    pub(super) fn pull(&mut self, now: Moment, heard: Moment, out: &mut [f32; TICK_SAMPLES]) -> bool {
        let longer = self.source.longer.load(Ordering::Relaxed);
        self.playout.wait_for_pictures(Duration::from_micros(longer.into()));
        while let Ok(received) = self.source.packets.pop() {
            self.playout.insert(received);
        }
        let mut sounds = !self.ready.is_empty();
        while self.ready.len() < TICK_SAMPLES {
            let step = self.playout.next(Pull { now, heard, ahead: self.ahead() });
            sounds |= step != Step::Nothing;
            if !self.perform(step) {
                break;
            }
        }
        self.figures.played_samples += if sounds { TICK_SAMPLES as u64 } else { 0 };
        out.iter_mut().for_each(|s| *s = self.ready.pop_front().unwrap_or(0.0));
        self.figures.level = self.meter.take(out);
        sounds
    }

    /// Figures as of the last pull.
    pub(super) fn figures(&self) -> PeerFigures {
        PeerFigures { playout: self.playout.stats(), ahead: self.ahead(), ..self.figures }
    }

    fn ahead(&self) -> Duration {
        Duration::from_micros(self.ready.len() as u64 * 1_000_000 / u64::from(SAMPLE_RATE))
    }

    /// Makes more sound; `false` when there is nothing to make.
    fn perform(&mut self, step: Step) -> bool {
        match step {
            Step::Play(frame, tempo) => self.play(&frame, tempo),
            Step::Conceal(_, length) => {
                let mut tick = [0.0; TICK_SAMPLES];
                self.count_broken(|player| player.decoder.conceal(&mut tick));
                if self.last_level > BACKGROUND {
                    let gain = |n: u32| GONE.saturating_sub(n.max(FULL)) as f32 / (GONE - FULL) as f32;
                    self.noise.fill(&mut tick, gain(self.made_up), gain(self.made_up + 1));
                    self.made_up = self.made_up.saturating_add(1);
                }
                self.ready.extend(tick.iter().take(samples(length)));
            }
            Step::Nothing => return false,
        }
        true
    }

    fn play(&mut self, frame: &EncodedAudio, tempo: Tempo) {
        self.made_up = 0;
        self.last_level = frame.level;
        self.frame.clear();
        self.decode(frame);
        // A pitch period, and a cut, can be longer than a short frame: what follows is stretched with it.
        let needed = match tempo {
            Tempo::Normal | Tempo::Slower(_) => 0,
            Tempo::Faster(_) => STRETCHED,
            Tempo::Cut(length) => samples(length) + CUT_SOUND,
        };
        while self.frame.len() < needed
            && let Some(next) = self.playout.next_in_row()
        {
            self.decode(&next);
        }
        let length = self.frame.len();
        let stretched = match tempo {
            Tempo::Normal => length,
            Tempo::Faster(most) => accelerate(&mut self.frame, samples(most)),
            Tempo::Cut(length) => cut(&mut self.frame, samples(length)),
            Tempo::Slower(most) => {
                self.frame.resize(length + MAX_STRETCH, 0.0);
                expand(&mut self.frame, length, samples(most))
            }
        };
        self.figures.removed_samples += length.saturating_sub(stretched) as u64;
        self.figures.added_samples += stretched.saturating_sub(length) as u64;
        self.ready.extend(self.frame.iter().take(stretched));
    }

    /// Puts a frame's sound behind what is in `frame`.
    fn decode(&mut self, frame: &EncodedAudio) {
        let mut length = TICK_SAMPLES;
        self.count_broken(|player| {
            length = player.decoder.decode(&frame.opus, &mut player.decoded)?;
            Ok(())
        });
        let Some(sound) = self.decoded.get(..length) else { return };
        if frame.level <= BACKGROUND {
            sound.chunks(TICK_SAMPLES).for_each(|tick| self.noise.learn(tick));
        }
        self.frame.extend_from_slice(sound);
    }

    fn count_broken(&mut self, decode: impl FnOnce(&mut PeerPlayer) -> Result<(), CodecError>) {
        if decode(self).is_err() {
            // It was sealed by the peer, so it is the peer's fault; silence is all that can be made of it.
            self.figures.broken += 1;
        }
    }
}

fn samples(time: Duration) -> usize {
    usize::try_from(time.as_micros() * u128::from(SAMPLE_RATE) / 1_000_000).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ahoy_base::{OpusPacket, TICK};
    use ahoy_codec::audio::{MAX_PACKET, OpusEncoder, rms};
    use ahoy_codec::synthetic::Sine;

    /// `n` packets of a sine, each as if it came `late(n)` ms after it was sent.
    fn packets(n: u64, late: impl Fn(u64) -> u64) -> Vec<ReceivedAudio> {
        let (mut encoder, mut sine) = (OpusEncoder::new().unwrap(), Sine::new(440.0, 0.3));
        (0..n)
            .map(|n| {
                let frame: [f32; TICK_SAMPLES] = std::array::from_fn(|_| sine.sample());
                let mut packet = [0; MAX_PACKET];
                let length = encoder.encode(&frame, &mut packet).unwrap();
                ReceivedAudio {
                    arrival: Moment::from_millis(1_000 + n * 10 + late(n)),
                    frame: EncodedAudio {
                        seq: n,
                        media_time: Duration::from_millis(n * 10),
                        duration: TICK,
                        level: VoiceLevel::new(9),
                        opus: OpusPacket::new(&packet[..length]).unwrap(),
                    },
                    copy: false,
                }
            })
            .collect()
    }

    fn play(mut packets: Vec<ReceivedAudio>, until_ms: u64) -> (Vec<f32>, PeerFigures) {
        let (mut sink, source) = pair();
        let mut player = PeerPlayer::new(source).unwrap();
        let mut heard = Vec::new();
        for at in (1_000..until_ms).step_by(10).map(Moment::from_millis) {
            packets.extract_if(.., |p| p.arrival <= at).for_each(|p| sink.push(p));
            let mut out = [0.0; TICK_SAMPLES];
            player.pull(at, at, &mut out);
            heard.extend(out);
        }
        (heard, player.figures())
    }

    #[test]
    fn a_sine_comes_out_whole_level_and_all() {
        let (heard, figures) = play(packets(400, |_| 5), 5_100);
        let quiet = heard[4_800..180_000].chunks(480).filter(|c| rms(c) < 0.15).count();
        assert_eq!(quiet, 0, "no hole");
        assert!((rms(&heard[48_000..96_000]) - 0.212).abs() < 0.02);
        assert_eq!(
            (figures.playout.played, figures.broken, figures.playout.lost),
            (400, 0, 0),
            "{figures:?}"
        );
    }

    #[test]
    fn a_lost_packet_leaves_no_hole() {
        let mut all = packets(400, |_| 5);
        all.retain(|p| p.frame.seq % 50 != 26);
        let (heard, figures) = play(all, 5_000);
        let levels: Vec<f32> = heard[9_600..180_000].chunks(480).map(rms).filter(|l| *l < 0.008).collect();
        assert!(levels.is_empty(), "{levels:?}");
        assert_eq!(figures.playout.lost, 8);
    }

    #[test]
    fn a_voice_that_stops_dies_away_and_does_not_hum_on() {
        let (heard, _) = play(packets(100, |_| 5), 4_000);
        let end = 48 * 1_020;
        assert!(rms(&heard[end..end + 480]) > 0.1, "the first gap is filled");
        assert!(heard[end + 48 * 260..].iter().all(|s| s.abs() < 0.003), "then there is hardly any");
        assert!(heard.windows(2).all(|w| (w[1] - w[0]).abs() < 0.1), "and no click");
    }

    #[test]
    fn garbage_from_the_peer_is_silence_and_counted() {
        let mut all = packets(20, |_| 5);
        all.iter_mut().for_each(|p| p.frame.opus = OpusPacket::new(&[0xff; 7]).unwrap());
        let (heard, figures) = play(all, 1_600);
        assert!(rms(&heard) < 0.01 && figures.broken == 20, "{figures:?}");
    }
}
