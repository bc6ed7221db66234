//! The playback thread: every peer's sound, the ring and the test notes become one stream for the speaker.
//!
//! It makes each block as late as it dares: a few milliseconds before the device takes it, more once the device found
//! too little. A block made early would be delay, one made late a hole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::Thread;
use std::time::Duration;

use ahoy_base::{CallId, Decibel, Moment, PeerId, TICK_SAMPLES};
use ahoy_codec::audio::{Gain, LevelMeter, Resampler, mix};
use ahoy_codec::synthetic::{Tone, TonePlayer};
use rtrb::Producer;
use serde_json::json;
use tokio::sync::mpsc;

use super::AudioEvent;
use super::callback::{DeviceClock, RING};
use super::capture::Tick;
use super::levels::SharedLevels;
use super::peer_player::{FiguresBoard, PeerPlayer, PeerSource};
use super::tap::SoundTap;
use crate::clock;
use crate::trace::Trace;

/// What waits for the thread: a handful of orders around each call.
const MAX_ORDERS: usize = 64;
/// The thread looks for orders at least this often while no device runs.
const IDLE: Duration = Duration::from_millis(50);
/// How long before the device takes it a block is made: mixing and decoding two peers take under 1 ms here.
const LEAD: Duration = Duration::from_millis(4);
/// What a hole adds to that.
const MORE_LEAD: Duration = Duration::from_millis(2);
/// What waits for an uneven device at the least: the largest block that PulseAudio asks for when asked for 10 ms.
const CUSHION: Duration = Duration::from_millis(20);
/// An uneven device without a hole for this long needs less.
const LESS_AFTER: Duration = Duration::from_secs(10);
/// More would be heard as delay.
const MAX_LEAD: Duration = Duration::from_millis(60);
/// Blocks of the device that may wait when it does not say when it takes them.
const MAX_AHEAD: u32 = 8;
/// Ticks between two reports of levels and figures: 100 ms.
const REPORT_EVERY: u64 = 10;

/// How a device asks for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// One size at one interval: blocks can be made just in time.
    Steady,
    /// As it likes (a sound server asks for 10 or 20 ms, early or late): some sound must wait for it.
    Uneven,
}

/// What the desk tells the thread.
pub(super) enum PlaybackOrder {
    /// Samples go here now, at a rate in Hz.
    Device {
        ring: Producer<f32>,
        clock: Arc<DeviceClock>,
        rate: u32,
        /// Whether its first sample is worth a `speaker_start`.
        announce: bool,
        /// How it asks for blocks.
        pace: Pace,
    },
    /// They go nowhere.
    NoDevice,
    /// A peer is to be heard.
    AddPeer(CallId, PeerId, PeerSource),
    /// And no more.
    RemovePeer(CallId, PeerId),
    /// What is heard of a call is recorded, or no more.
    Record(CallId, Option<SoundTap>),
    /// Rings like this.
    Tone(Option<Tone>),
    /// Loudness of the ring, 0 to 100.
    Volume(u8),
    /// Plays the test notes.
    Test,
}

/// The desk's end.
pub(super) struct PlaybackThread {
    orders: SyncSender<PlaybackOrder>,
    pub(super) thread: Thread,
    /// A tone plays.
    pub(super) sounding: Arc<AtomicBool>,
}

impl PlaybackThread {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(
        levels: Arc<SharedLevels>,
        far: Producer<Tick>,
        figures: FiguresBoard,
        events: mpsc::Sender<AudioEvent>,
        trace: Trace,
    ) -> Result<PlaybackThread, String> {
        let (orders, inbox) = sync_channel(MAX_ORDERS);
        let sounding = Arc::new(AtomicBool::new(false));
        let state = Playback::new(levels, far, figures, events, trace, sounding.clone());
        let handle = std::thread::Builder::new()
            .name("playback".to_owned())
            .spawn(move || state.run(&inbox))
            .map_err(|error| error.to_string())?;
        Ok(PlaybackThread { orders, thread: handle.thread().clone(), sounding })
    }

    pub(super) fn tell(&self, order: PlaybackOrder) {
        if let PlaybackOrder::Tone(Some(_)) | PlaybackOrder::Test = order {
            // Before the thread has seen the order: the desk must not close the speaker in between.
            self.sounding.store(true, Ordering::Relaxed);
        }
        // Only a dead thread takes no orders; it has logged why.
        let _ = self.orders.send(order);
        self.thread.unpark();
    }
}

/// The way to a device.
struct Out {
    ring: Producer<f32>,
    clock: Arc<DeviceClock>,
    resampler: Resampler,
    rate: u32,
    /// Steady: how long before the device takes it a block is made. Uneven: how much sound waits for it.
    lead: Duration,
    slips: u64,
    announce: bool,
    pace: Pace,
    /// When the last hole was, or when `lead` was last lowered.
    quiet_since: Moment,
}

impl Out {
    /// Frames that wait in the ring.
    fn waiting(&self) -> usize {
        RING.saturating_sub(self.ring.slots())
    }

    fn time(&self, frames: usize) -> Duration {
        Duration::from_micros(frames as u64 * 1_000_000 / u64::from(self.rate.max(1)))
    }

    /// When the device last took a block, and how long a block lasts; `None` before the first.
    fn beat(&self) -> Option<(Moment, usize, Duration)> {
        let last = self.clock.last_us.load(Ordering::Acquire);
        let frames = self.clock.last_frames.load(Ordering::Relaxed) as usize;
        (last > 0 && frames > 0).then(|| (Moment::from_micros(last), frames, self.time(frames)))
    }

    /// How many frames must wait at `now`, and when that changes.
    fn wanted(&self, now: Moment) -> (usize, Duration) {
        if self.pace == Pace::Uneven {
            let frames = self.lead.as_micros() * u128::from(self.rate) / 1_000_000;
            // The device's own asking wakes the thread.
            return (usize::try_from(frames).unwrap_or(RING), IDLE);
        }
        let Some((last, frames, period)) = self.beat() else {
            return (TICK_SAMPLES * self.rate as usize / ahoy_base::SAMPLE_RATE as usize, IDLE);
        };
        let passed = (now + self.lead).since(last);
        let blocks =
            u32::try_from(passed.as_micros() / period.as_micros().max(1)).unwrap_or(MAX_AHEAD).min(MAX_AHEAD);
        let next = last + period * (blocks + 1);
        let wait = next.since(now + self.lead).clamp(Duration::from_micros(200), IDLE);
        (frames * blocks as usize, wait)
    }

    /// When what is pushed next will be taken by the device.
    fn taken_at(&self, now: Moment) -> Moment {
        let ahead = self.time(self.waiting());
        match (self.pace, self.beat()) {
            (Pace::Steady, Some((last, _, period))) => last + period + ahead,
            (Pace::Steady, None) | (Pace::Uneven, _) => now + ahead,
        }
    }

    /// A hole means that blocks must be made earlier; a long time without one, that an uneven device needs less.
    fn learn(&mut self, now: Moment) {
        let slips = self.clock.slips.load(Ordering::Relaxed);
        if slips > self.slips {
            self.slips = slips;
            self.lead = (self.lead + MORE_LEAD).min(MAX_LEAD);
            self.quiet_since = now;
        } else if self.pace == Pace::Uneven && now.since(self.quiet_since) >= LESS_AFTER {
            self.lead = self.lead.saturating_sub(MORE_LEAD).max(CUSHION);
            self.quiet_since = now;
        }
    }
}

struct Peer {
    player: PeerPlayer,
    gain: Gain,
    heard: bool,
}

struct Playback {
    out: Option<Out>,
    peers: BTreeMap<(CallId, PeerId), Peer>,
    taps: BTreeMap<CallId, SoundTap>,
    tone: Option<TonePlayer>,
    test: Option<TonePlayer>,
    /// Linear gain of the ring.
    volume: f32,
    meter: LevelMeter,
    ticks: u64,
    levels: Arc<SharedLevels>,
    /// What the microphone will hear of it.
    far: Producer<Tick>,
    figures: FiguresBoard,
    events: mpsc::Sender<AudioEvent>,
    trace: Trace,
    sounding: Arc<AtomicBool>,
}

impl Playback {
    fn new(
        levels: Arc<SharedLevels>,
        far: Producer<Tick>,
        figures: FiguresBoard,
        events: mpsc::Sender<AudioEvent>,
        trace: Trace,
        sounding: Arc<AtomicBool>,
    ) -> Playback {
        Playback {
            out: None,
            peers: BTreeMap::new(),
            taps: BTreeMap::new(),
            tone: None,
            test: None,
            volume: 1.0,
            meter: LevelMeter::default(),
            ticks: 0,
            levels,
            far,
            figures,
            events,
            trace,
            sounding,
        }
    }

    fn run(mut self, orders: &Receiver<PlaybackOrder>) {
        loop {
            loop {
                match orders.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            std::thread::park_timeout(self.produce());
        }
    }

    fn obey(&mut self, order: PlaybackOrder) {
        match order {
            PlaybackOrder::Device { ring, clock, rate, announce, pace } => match Resampler::from_48k(rate) {
                Ok(resampler) => {
                    let (lead, quiet_since) =
                        (if pace == Pace::Steady { LEAD } else { CUSHION }, crate::clock::now());
                    self.out = Some(Out {
                        ring,
                        clock,
                        resampler,
                        rate,
                        lead,
                        slips: 0,
                        announce,
                        pace,
                        quiet_since,
                    });
                }
                Err(error) => tracing::warn!(%error, "the speaker's rate can't be used"),
            },
            PlaybackOrder::NoDevice => {
                self.out = None;
                self.levels.set_speaker(Decibel::SILENCE);
            }
            PlaybackOrder::AddPeer(call, peer, source) => match PeerPlayer::new(source) {
                Ok(player) => {
                    self.peers.insert((call, peer), Peer { player, gain: Gain::new(0.0), heard: false });
                }
                Err(error) => tracing::error!(%error, "a peer's sound can't be decoded"),
            },
            PlaybackOrder::RemovePeer(call, peer) => {
                self.peers.remove(&(call, peer));
                self.report();
            }
            PlaybackOrder::Record(call, tap) => match tap {
                Some(tap) => drop(self.taps.insert(call, tap)),
                None => drop(self.taps.remove(&call)),
            },
            PlaybackOrder::Tone(tone) => {
                if self.tone.map(|playing| playing.tone()) != tone {
                    self.tone = tone.map(TonePlayer::new);
                }
                self.note_tones();
            }
            // Loudness is heard as a power of amplitude.
            PlaybackOrder::Volume(percent) => self.volume = (f32::from(percent.min(100)) / 100.0).powi(2),
            PlaybackOrder::Test => {
                self.test = Some(TonePlayer::new(Tone::Test));
                self.note_tones();
            }
        }
    }

    /// Makes the blocks that must be there by now, and says how long there is nothing to do.
    fn produce(&mut self) -> Duration {
        let Some(mut out) = self.out.take() else { return IDLE };
        out.learn(clock::now());
        if out.announce
            && let Some(first) = Some(out.clock.first_us.load(Ordering::Relaxed)).filter(|us| *us > 0)
        {
            out.announce = false;
            self.trace.event(Moment::from_micros(first), "speaker_start", json!({}));
        }
        let wait = loop {
            let now = clock::now();
            let (wanted, wait) = out.wanted(now);
            if out.waiting() >= wanted || out.ring.slots() < RING / 2 {
                break wait;
            }
            let mut block = [0.0; TICK_SAMPLES];
            self.make(now, out.taken_at(now), &mut block);
            let Out { ring, resampler, .. } = &mut out;
            resampler.push(&block, |samples| {
                if let Ok(chunk) = ring.write_chunk_uninit(samples.len().min(ring.slots())) {
                    chunk.fill_from_iter(samples.iter().copied());
                }
            });
        };
        self.out = Some(out);
        wait
    }

    /// Mixes at `now` 10 ms that are heard from `at` on.
    fn make(&mut self, now: Moment, at: Moment, block: &mut [f32; TICK_SAMPLES]) {
        for ((call, peer), state) in &mut self.peers {
            let mut voice = [0.0; TICK_SAMPLES];
            let heard = state.player.pull(now, at, &mut voice);
            if let Some(tap) = self.taps.get(call).filter(|_| heard) {
                tap.theirs(at, &voice);
            }
            state.gain.add(1.0, &voice, block);
            if heard && !state.heard {
                state.heard = true;
                // A full channel means a stuck app; the call matters more than the news.
                let _ = self.events.try_send(AudioEvent::FirstAudio { call: *call, peer: *peer, at });
            }
        }
        if !self.peers.is_empty() {
            self.levels.check.heard(at, block);
        }
        let volume = self.volume;
        add_tone(&mut self.tone, volume, block);
        add_tone(&mut self.test, 1.0, block);
        mix(block);
        // Full while no microphone is open: nobody needs it then.
        let _ = self.far.push(*block);
        self.levels.set_speaker(self.meter.take(block));
        self.ticks += 1;
        if self.ticks.is_multiple_of(REPORT_EVERY) {
            self.report();
            self.note_tones();
        }
    }

    fn report(&self) {
        self.figures.write(self.peers.iter().map(|(key, state)| (*key, state.player.figures())));
        self.levels
            .set_peers(self.peers.iter().map(|((_, peer), state)| (*peer, state.player.figures().level)));
    }

    fn note_tones(&self) {
        self.sounding.store(self.tone.is_some() || self.test.is_some(), Ordering::Relaxed);
    }
}

/// Adds a tone to a block, and lets go of it at its end.
fn add_tone(player: &mut Option<TonePlayer>, gain: f32, block: &mut [f32; TICK_SAMPLES]) {
    let Some(tone) = player else { return };
    for sample in block {
        let Some(value) = tone.sample() else {
            *player = None;
            return;
        };
        *sample += value * gain;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::audio::callback::tests::guard::without_allocation;
    use crate::audio::peer_player::pair;
    use ahoy_base::{EncodedAudio, OpusPacket, TICK, VoiceLevel};
    use ahoy_codec::audio::{MAX_PACKET, OpusEncoder, rms};
    use ahoy_codec::synthetic::Speech;
    use ahoy_net_core::receive::ReceivedAudio;

    fn out() -> Out {
        Out {
            ring: rtrb::RingBuffer::new(RING).0,
            clock: Arc::default(),
            resampler: Resampler::from_48k(48_000).unwrap(),
            rate: 48_000,
            lead: LEAD,
            slips: 0,
            announce: false,
            pace: Pace::Steady,
            quiet_since: Moment::ZERO,
        }
    }

    fn beat(out: &Out, at_ms: u64, frames: u32) {
        out.clock.last_us.store(at_ms * 1_000, Ordering::Relaxed);
        out.clock.last_frames.store(frames, Ordering::Relaxed);
    }

    #[test]
    fn a_block_is_wanted_just_before_the_device_takes_it() {
        let out = out();
        assert_eq!(out.wanted(Moment::from_millis(5)), (480, IDLE), "one is there before the first beat");
        beat(&out, 100, 480);
        assert_eq!(out.wanted(Moment::from_millis(100)), (0, Duration::from_millis(6)));
        assert_eq!(out.wanted(Moment::from_millis(106)), (480, Duration::from_millis(10)));
        assert_eq!(out.wanted(Moment::from_millis(500)).0, 480 * MAX_AHEAD as usize, "a device that stalls");
        beat(&out, 100, 4_800);
        assert_eq!(
            out.wanted(Moment::from_millis(196)).0,
            4_800,
            "a device with large blocks gets them whole"
        );
    }

    #[test]
    fn a_hole_makes_blocks_earlier_up_to_a_bound() {
        let mut out = out();
        beat(&out, 100, 480);
        out.clock.slips.store(1, Ordering::Relaxed);
        out.learn(Moment::ZERO);
        out.learn(Moment::ZERO);
        assert_eq!(out.lead, LEAD + MORE_LEAD, "one hole, one step");
        for n in 2..1_000 {
            out.clock.slips.store(n, Ordering::Relaxed);
            out.learn(Moment::ZERO);
        }
        assert_eq!(out.lead, MAX_LEAD);
        assert!(out.wanted(Moment::from_millis(100)).0 >= 480 * 6);
    }

    #[test]
    fn an_uneven_device_has_a_cushion_that_shrinks_again() {
        let mut out = Out { pace: Pace::Uneven, lead: CUSHION, ..out() };
        beat(&out, 100, 480);
        assert_eq!(out.wanted(Moment::from_millis(100)), (960, IDLE));
        out.clock.slips.store(1, Ordering::Relaxed);
        out.learn(Moment::from_millis(100));
        assert_eq!(out.wanted(Moment::from_millis(100)).0, 1_056);
        out.learn(Moment::from_millis(10_099));
        assert_eq!(out.lead, CUSHION + MORE_LEAD);
        out.learn(Moment::from_millis(10_100));
        out.learn(Moment::from_millis(30_000));
        assert_eq!(out.lead, CUSHION, "and no further");
    }

    #[test]
    fn what_is_pushed_is_heard_after_what_waits() {
        let mut out = out();
        beat(&out, 100, 480);
        assert_eq!(out.taken_at(Moment::from_millis(106)), Moment::from_millis(110));
        (0..480).for_each(|_| out.ring.push(0.0).unwrap());
        assert_eq!(out.taken_at(Moment::from_millis(106)), Moment::from_millis(120));
    }

    /// A second voice beside the first, as packets of 10 ms that come `late(n)` ms after they were said.
    fn voice(seed: u32, n: u64, late: impl Fn(u64) -> u64) -> Vec<ReceivedAudio> {
        let (mut encoder, mut speech) = (OpusEncoder::new().unwrap(), Speech::new(seed));
        let mut packet = [0; MAX_PACKET];
        let packets = (0..n).filter_map(|n| {
            let frame: Tick = std::array::from_fn(|_| speech.sample());
            let length = encoder.encode(&frame, &mut packet).unwrap();
            let opus = OpusPacket::new(&packet[..length]).filter(|opus| !opus.is_empty())?;
            let level = VoiceLevel::from_decibel(Decibel::from_amplitude(rms(&frame)));
            let media_time = Duration::from_millis(n * 10);
            let frame = EncodedAudio { seq: n, media_time, duration: TICK, level, opus };
            Some(ReceivedAudio {
                arrival: Moment::from_millis(1_000 + n * 10 + late(n)),
                frame,
                copy: n % 7 == 0,
            })
        });
        let mut packets: Vec<_> = packets.filter(|packet| packet.frame.seq % 31 != 0).collect();
        packets.sort_by_key(|packet| packet.arrival);
        packets
    }

    #[test]
    fn a_tick_of_the_speaker_allocates_nothing_whatever_the_network_does() {
        let (far, mut taken) = rtrb::RingBuffer::new(4);
        let (events, _news) = mpsc::channel(4);
        let (figures, trace) = (FiguresBoard::default(), Trace::off());
        let mut playback = Playback::new(Arc::default(), far, figures, events, trace, Arc::default());
        let mut resampler = Resampler::from_48k(44_100).unwrap();
        // One comes evenly, the other with 40 ms of jitter; both lose a packet in 31.
        let mut ways = Vec::new();
        for (n, jitter) in [(1u8, 1u64), (2, 40)] {
            let (sink, source) = pair();
            let peer = PeerId::from_public_key([n; 32]);
            playback.obey(PlaybackOrder::AddPeer(CallId::from_bytes([n; 16]), peer, source));
            ways.push((sink, voice(n.into(), 1_500, |n| n * 7_919 % jitter).into_iter().peekable()));
        }
        let mut at = Moment::from_millis(1_000);
        let mut tick = |count: bool| {
            for (sink, packets) in &mut ways {
                while let Some(packet) = packets.next_if(|packet| packet.arrival <= at) {
                    sink.push(packet);
                }
            }
            let mut block = [0.0; TICK_SAMPLES];
            let mut work = || {
                playback.make(at, at, &mut block);
                resampler.push(&block, |samples| assert!(samples.len() < 480));
            };
            let n = if count {
                without_allocation(work)
            } else {
                work();
                0
            };
            while taken.pop().is_ok() {}
            at = at + TICK;
            n
        };
        (0..400).for_each(|_| _ = tick(false));
        let allocated: usize = (0..1_000).map(|_| tick(true)).sum();
        assert_eq!(allocated, 0);
    }
}
