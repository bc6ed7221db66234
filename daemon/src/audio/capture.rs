//! The capture thread: samples of the microphone become levels, and Opus packets for every call that is not muted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::Thread;
use std::time::Duration;

use ahoy_base::{
    CallId, Decibel, EncodedAudio, Moment, OpusPacket, SAMPLE_RATE, TICK, TICK_SAMPLES, VoiceLevel,
};
use ahoy_codec::CodecError;
use ahoy_codec::audio::{
    FrameLength, LevelMeter, MAX_PACKET, OpusEncoder, Resampler, VoiceProcessing, peak, rms,
};
use ahoy_net_core::session::VoicePlan;
use rtrb::Consumer;
use serde_json::json;

use super::callback::DeviceClock;
use super::levels::SharedLevels;
use super::tap::SoundTap;
use super::{VoiceOut, VoiceSettings};
use crate::clock;
use crate::trace::Trace;

/// What waits for the thread: a handful of orders around each call.
const MAX_ORDERS: usize = 64;
/// The thread looks for orders at least this often while no sound comes.
const IDLE: Duration = Duration::from_millis(50);
/// Peak below which a microphone gives nothing at all: below the noise of any real one (-80 dBFS).
const DEAD: f32 = 1e-4;
/// Ticks for which a call that was answered is waited for: 3 s, as the desk does.
const PREPARED: u32 = 300;
/// A tick.
const TICK_MS: u32 = 10;
/// Speech is louder than this.
const SPEECH: Decibel = Decibel::tenths(-400);
/// Ticks above [`SPEECH`], less those below it, that count as talking: a third of a second.
const TALKING: u32 = 30;

/// 10 ms of sound.
pub(super) type Tick = [f32; TICK_SAMPLES];

/// What the desk tells the thread.
pub(super) enum CaptureOrder {
    /// Samples come from here now.
    Device {
        ring: Consumer<f32>,
        clock: Arc<DeviceClock>,
        /// Hz.
        rate: u32,
        /// Whether the speaker can be heard there: a virtual microphone stands in no room.
        in_a_room: bool,
    },
    /// No samples come any more.
    NoDevice,
    /// A call was answered and starts in a moment: the newest sound is kept, so that the first packet leaves at once.
    Prepare,
    /// Packets go here too.
    StartCall(CallId, VoiceOut),
    /// And here no more.
    StopCall(CallId),
    /// Whether a call hears anything.
    Mute(CallId, bool),
    /// What a call hears of this person is recorded, or no more.
    Record(CallId, Option<SoundTap>),
    /// What is done to the sound.
    Voice(VoiceSettings),
}

/// The desk's end.
pub(super) struct CaptureThread {
    orders: SyncSender<CaptureOrder>,
    pub(super) thread: Thread,
}

impl CaptureThread {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread or no encoder to be had.
    pub(super) fn start(
        levels: Arc<SharedLevels>,
        far: Consumer<Tick>,
        trace: Trace,
    ) -> Result<CaptureThread, String> {
        let (orders, inbox) = sync_channel(MAX_ORDERS);
        let state =
            Capture::new(levels, far, trace, clock::media_epoch()).map_err(|error| error.to_string())?;
        let handle = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || state.run(&inbox))
            .map_err(|error| error.to_string())?;
        Ok(CaptureThread { orders, thread: handle.thread().clone() })
    }

    pub(super) fn tell(&self, order: CaptureOrder) {
        // Only a dead thread takes no orders; it has logged why.
        let _ = self.orders.send(order);
        self.thread.unpark();
    }
}

struct Source {
    ring: Consumer<f32>,
    clock: Arc<DeviceClock>,
    resampler: Resampler,
    /// Its time is known and told.
    started: bool,
}

struct CallOut {
    out: VoiceOut,
    /// Sent frames; a frame that the call's task has no room for is lost like any other.
    seq: u64,
    muted: bool,
}

struct Capture {
    source: Option<Source>,
    /// What the speaker is about to play.
    far: Consumer<Tick>,
    voice: VoiceSettings,
    in_a_room: bool,
    processing: VoiceProcessing,
    encoder: OpusEncoder,
    calls: BTreeMap<CallId, CallOut>,
    /// Kept for calls that start later: muted before answered.
    muted: BTreeMap<CallId, bool>,
    taps: BTreeMap<CallId, SoundTap>,
    /// Samples that are no whole tick yet.
    rest: Vec<f32>,
    /// Ticks that are no whole frame yet.
    frame: Vec<f32>,
    /// Ticks for which a call that was answered is still waited for.
    prepared: u32,
    /// What was said last, while it is.
    newest: Option<Tick>,
    length: FrameLength,
    meter: LevelMeter,
    levels: Arc<SharedLevels>,
    trace: Trace,
    /// Media time counts from here, across devices, as that of pictures does.
    epoch: Moment,
    media_time: Duration,
    talk: u32,
}

impl Capture {
    fn new(
        levels: Arc<SharedLevels>,
        far: Consumer<Tick>,
        trace: Trace,
        epoch: Moment,
    ) -> Result<Capture, CodecError> {
        Ok(Capture {
            source: None,
            far,
            voice: VoiceSettings::default(),
            in_a_room: true,
            processing: VoiceProcessing::default(),
            encoder: OpusEncoder::new()?,
            calls: BTreeMap::new(),
            muted: BTreeMap::new(),
            taps: BTreeMap::new(),
            rest: Vec::with_capacity(TICK_SAMPLES),
            frame: Vec::with_capacity(FrameLength::Long.samples()),
            prepared: 0,
            newest: None,
            length: FrameLength::Short,
            meter: LevelMeter::default(),
            levels,
            trace,
            epoch,
            media_time: Duration::ZERO,
            talk: 0,
        })
    }

    fn run(mut self, orders: &Receiver<CaptureOrder>) {
        loop {
            loop {
                match orders.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.take();
            std::thread::park_timeout(IDLE);
        }
    }

    fn obey(&mut self, order: CaptureOrder) {
        match order {
            CaptureOrder::Device { ring, clock, rate, in_a_room } => match Resampler::to_48k(rate) {
                Ok(resampler) => {
                    self.rest.clear();
                    self.frame.clear();
                    self.source = Some(Source { ring, clock, resampler, started: false });
                    self.in_a_room = in_a_room;
                    self.levels.check.stands_in_a_room(in_a_room);
                    self.set_processing();
                }
                Err(error) => tracing::warn!(%error, "the microphone's rate can't be used"),
            },
            CaptureOrder::NoDevice => {
                self.source = None;
                self.newest = None;
                self.rest.clear();
                self.frame.clear();
                self.levels.set_microphone(Decibel::SILENCE);
                self.levels.silent_ms.store(0, Ordering::Relaxed);
                self.levels.speaking_while_muted.store(false, Ordering::Relaxed);
            }
            CaptureOrder::StartCall(call, out) => {
                if self.calls.is_empty() {
                    self.levels.check.begin(clock::now());
                }
                let muted = self.muted.get(&call).copied().unwrap_or(false);
                // A call that comes back from hold counts on: its session knows numbers only to grow.
                self.calls.insert(call, CallOut { out, seq: 0, muted });
                self.prepared = 0;
                if let Some(newest) = self.newest.take() {
                    self.follow_plans();
                    self.collect_frame(&newest);
                }
            }
            CaptureOrder::Prepare => self.prepared = PREPARED,
            CaptureOrder::StopCall(call) => {
                self.calls.remove(&call);
            }
            CaptureOrder::Record(call, tap) => match tap {
                Some(tap) => drop(self.taps.insert(call, tap)),
                None => drop(self.taps.remove(&call)),
            },
            CaptureOrder::Voice(voice) => {
                self.voice = voice;
                self.set_processing();
            }
            CaptureOrder::Mute(call, muted) => {
                if let Some(out) = self.calls.get_mut(&call) {
                    out.muted = muted;
                }
                self.muted.insert(call, muted);
                // Ids of calls are never used again; the newest hundred are all that can be open.
                while self.muted.len() > 100 {
                    self.muted.pop_first();
                }
            }
        }
    }

    fn set_processing(&mut self) {
        self.processing.set(VoiceSettings { echo: self.voice.echo && self.in_a_room, ..self.voice });
    }

    /// Takes all that the microphone gave.
    fn take(&mut self) {
        let Some(mut source) = self.source.take() else { return };
        let slots = source.ring.slots();
        if slots > 0
            && self.follow_clock(&mut source)
            && let Ok(chunk) = source.ring.read_chunk(slots)
        {
            let (first, second) = chunk.as_slices();
            for part in [first, second] {
                source.resampler.push(part, |block| self.collect(block));
            }
            chunk.commit_all();
        }
        self.source = Some(source);
    }

    /// Puts media time where the device's clock says, at its start; later samples count it on. `false` while the clock
    /// does not show the samples that are there already.
    fn follow_clock(&mut self, source: &mut Source) -> bool {
        let first = source.clock.first_us.load(Ordering::Relaxed);
        if first == 0 || source.started {
            return first > 0;
        }
        source.started = true;
        let first = Moment::from_micros(first);
        self.trace.event(first, "mic_start", json!({}));
        self.media_time = self.media_time.max(first.since(self.epoch));
        true
    }

    fn collect(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(TICK_SAMPLES - self.rest.len()));
            self.rest.extend_from_slice(now);
            samples = later;
            if self.rest.len() == TICK_SAMPLES {
                let tick = std::mem::take(&mut self.rest);
                self.tick(&tick);
                self.rest = tick;
                self.rest.clear();
            }
        }
    }

    /// Takes 10 ms of sound.
    fn tick(&mut self, tick: &[f32]) {
        while let Ok(played) = self.far.pop() {
            self.processing.played(&played);
        }
        let Ok(mut tick) = Tick::try_from(tick) else { return };
        self.watch_device(&tick);
        if !self.calls.is_empty() {
            self.levels.check.said(self.epoch + self.media_time, &tick);
        }
        // Sound that nobody hears takes its time too: pictures are laid beside the same clock.
        self.media_time += TICK;
        self.prepared = self.prepared.saturating_sub(1);
        self.newest = None;
        if self.calls.is_empty() && self.prepared == 0 {
            // Nobody hears it: what the page shows is the microphone as it is.
            self.levels.set_microphone(self.meter.take(&tick));
            return;
        }
        self.processing.process(&mut tick);
        self.levels.set_microphone(self.meter.take(&tick));
        if self.calls.is_empty() {
            self.newest = Some(tick);
            return;
        }
        self.watch_talk(&tick);
        for (call, tap) in &self.taps {
            if self.calls.get(call).is_some_and(|call| !call.muted) {
                tap.own(clock::now(), &tick);
            }
        }
        if self.frame.is_empty() {
            self.follow_plans();
        }
        self.collect_frame(&tick);
    }

    /// Sends a frame when one is full.
    fn collect_frame(&mut self, tick: &Tick) {
        self.frame.extend_from_slice(tick);
        if self.frame.len() >= self.length.samples() {
            let frame = std::mem::take(&mut self.frame);
            self.send(&frame);
            self.frame = frame;
            self.frame.clear();
        }
    }

    /// One encoder serves all calls: the narrowest of them decides.
    fn follow_plans(&mut self) {
        let plans = self.calls.values().filter(|call| !call.muted).map(|call| *call.out.plan.borrow());
        let Some(plan) = plans.reduce(|a, b| VoicePlan {
            frame: a.frame.max(b.frame),
            bitrate: a.bitrate.min(b.bitrate),
            ..a
        }) else {
            return;
        };
        self.length = if plan.frame > TICK { FrameLength::Long } else { FrameLength::Short };
        if plan.bitrate != self.encoder.bitrate()
            && let Err(error) = self.encoder.set_bitrate(plan.bitrate)
        {
            tracing::error!(%error, "the encoder keeps its bit rate");
        }
    }

    fn send(&mut self, frame: &[f32]) {
        if self.calls.values().all(|call| call.muted) {
            return;
        }
        let duration = Duration::from_micros(frame.len() as u64 * 1_000_000 / u64::from(SAMPLE_RATE));
        let mut packet = [0; MAX_PACKET];
        let length = match self.encoder.encode(frame, &mut packet) {
            Ok(length) => length,
            Err(error) => {
                tracing::error!(%error, "a frame of the microphone could not be encoded");
                return;
            }
        };
        let packet = packet.get(..length).filter(|opus| !opus.is_empty());
        let Some(opus) = packet.and_then(OpusPacket::new) else { return };
        let level = VoiceLevel::from_decibel(Decibel::from_amplitude(rms(frame)));
        let media_time = self.media_time.saturating_sub(duration);
        for call in self.calls.values_mut().filter(|call| !call.muted) {
            let frame = EncodedAudio { seq: call.seq, media_time, duration, level, opus: opus.clone() };
            call.seq += 1;
            // No room: the task is behind, and later sound matters more.
            let _ = call.out.frames.try_send(frame);
        }
    }

    /// Notices a microphone that gives nothing.
    fn watch_device(&mut self, tick: &[f32]) {
        let silent = &self.levels.silent_ms;
        let ms = if peak(tick) > DEAD { 0 } else { silent.load(Ordering::Relaxed).saturating_add(TICK_MS) };
        silent.store(ms, Ordering::Relaxed);
    }

    /// Notices a person who talks while muted; the speaker's sound is out of it by now.
    fn watch_talk(&mut self, tick: &[f32]) {
        let muted = !self.calls.is_empty() && self.calls.values().all(|call| call.muted);
        let speech = Decibel::from_amplitude(rms(tick)) > SPEECH;
        self.talk = if speech { (self.talk + 2).min(2 * TALKING) } else { self.talk.saturating_sub(1) };
        let talking = muted && self.talk >= TALKING;
        self.levels.speaking_while_muted.store(talking, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::audio::callback::tests::guard::without_allocation;
    use ahoy_base::Bitrate;
    use ahoy_codec::synthetic::{Sine, Speech};
    use rtrb::{Producer, RingBuffer};
    use tokio::sync::{mpsc, watch};

    const CALL: CallId = CallId::from_bytes([7; 16]);
    const EPOCH: Moment = Moment::from_millis(1);

    struct Rig {
        capture: Capture,
        into: Producer<f32>,
        out: mpsc::Receiver<EncodedAudio>,
        tell: watch::Sender<VoicePlan>,
    }

    fn rig(first_us: u64) -> Rig {
        let (_, far) = RingBuffer::new(1);
        let mut capture = Capture::new(Arc::default(), far, Trace::off(), EPOCH).unwrap();
        let into = device(&mut capture, first_us);
        let (frames, out) = mpsc::channel(1_000);
        let (tell, plan) = watch::channel(VoicePlan::FIRST);
        capture.obey(CaptureOrder::StartCall(CALL, VoiceOut { frames, plan }));
        Rig { capture, into, out, tell }
    }

    fn device(capture: &mut Capture, first_us: u64) -> Producer<f32> {
        let (into, from) = RingBuffer::new(8_192);
        let clock = Arc::new(DeviceClock::default());
        clock.first_us.store(first_us, Ordering::Relaxed);
        capture.obey(CaptureOrder::Device { ring: from, clock, rate: SAMPLE_RATE, in_a_room: false });
        into
    }

    fn speak(rig: &mut Rig, blocks: usize, amplitude: f32) {
        let mut sine = Sine::new(300.0, amplitude);
        for _ in 0..blocks {
            (0..480).for_each(|_| rig.into.push(sine.sample()).unwrap());
            rig.capture.take();
        }
    }

    fn sent(rig: &mut Rig) -> Vec<EncodedAudio> {
        std::iter::from_fn(|| rig.out.try_recv().ok()).collect()
    }

    #[test]
    fn the_first_packet_of_an_answered_call_leaves_at_once_and_nothing_from_before_the_answer() {
        let (_, far) = RingBuffer::new(1);
        let mut capture = Capture::new(Arc::default(), far, Trace::off(), EPOCH).unwrap();
        let into = device(&mut capture, 1_000);
        let (frames, out) = mpsc::channel(1_000);
        let (tell, plan) = watch::channel(VoicePlan::FIRST);
        let start = || CaptureOrder::StartCall(CALL, VoiceOut { frames: frames.clone(), plan: plan.clone() });
        let mut rig = Rig { capture, into, out, tell };
        // The microphone is open for its level; somebody answers, and the call begins three ticks later.
        speak(&mut rig, 5, 0.3);
        rig.capture.obey(CaptureOrder::Prepare);
        speak(&mut rig, 3, 0.3);
        rig.capture.obey(start());
        let first = sent(&mut rig);
        assert_eq!(first.iter().map(|f| (f.seq, f.media_time)).collect::<Vec<_>>(), [(0, 7 * TICK)]);
        speak(&mut rig, 1, 0.3);
        assert_eq!(sent(&mut rig).iter().map(|f| (f.seq, f.media_time)).collect::<Vec<_>>(), [(1, 8 * TICK)]);
        // Back from hold nobody has answered anything: sound begins with the order.
        rig.capture.obey(CaptureOrder::StopCall(CALL));
        speak(&mut rig, 4, 0.3);
        rig.capture.obey(start());
        assert!(sent(&mut rig).is_empty());
        // An answered call that never begins is not waited for longer than the devices are.
        rig.capture.obey(CaptureOrder::StopCall(CALL));
        rig.capture.obey(CaptureOrder::Prepare);
        speak(&mut rig, PREPARED as usize, 0.3);
        rig.capture.obey(start());
        assert!(sent(&mut rig).is_empty());
    }

    #[test]
    fn every_ten_milliseconds_make_a_packet_with_its_time() {
        let mut rig = rig(1_000);
        speak(&mut rig, 5, 0.3);
        let sent = sent(&mut rig);
        assert_eq!(sent.iter().map(|f| f.seq).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(sent.iter().map(|f| f.media_time.as_millis()).collect::<Vec<_>>(), [0, 10, 20, 30, 40]);
        assert!(sent.iter().all(|f| f.level.step() >= 10 && !f.opus.is_empty() && f.duration == TICK));
    }

    #[test]
    fn a_plan_changes_length_and_rate_between_frames() {
        let mut rig = rig(1_000);
        speak(&mut rig, 3, 0.3);
        let narrow = VoicePlan { frame: 2 * TICK, bitrate: Bitrate::kbps(16), ..VoicePlan::FIRST };
        rig.tell.send(narrow).unwrap();
        speak(&mut rig, 4, 0.3);
        rig.tell.send(VoicePlan::FIRST).unwrap();
        speak(&mut rig, 1, 0.3);
        let times: Vec<(u128, u128)> =
            sent(&mut rig).iter().map(|f| (f.media_time.as_millis(), f.duration.as_millis())).collect();
        assert_eq!(times, [(0, 10), (10, 10), (20, 10), (30, 20), (50, 20), (70, 10)]);
    }

    #[test]
    fn media_time_goes_on_across_devices_by_the_clock() {
        let mut rig = rig(21_000);
        speak(&mut rig, 4, 0.3);
        rig.into = device(&mut rig.capture, 521_000);
        speak(&mut rig, 2, 0.3);
        let times: Vec<u128> = sent(&mut rig).iter().map(|f| f.media_time.as_millis()).collect();
        assert_eq!(times, [20, 30, 40, 50, 520, 530], "since the daemon's epoch");
    }

    #[test]
    fn media_time_goes_on_while_nobody_is_called() {
        let mut rig = rig(1_000);
        speak(&mut rig, 2, 0.3);
        rig.capture.obey(CaptureOrder::StopCall(CALL));
        speak(&mut rig, 21, 0.3);
        let (frames, out) = mpsc::channel(1_000);
        rig.out = out;
        let plan = rig.tell.subscribe();
        rig.capture.obey(CaptureOrder::StartCall(CALL, VoiceOut { frames, plan }));
        speak(&mut rig, 1, 0.3);
        let times: Vec<u128> = sent(&mut rig).iter().map(|f| f.media_time.as_millis()).collect();
        assert_eq!(times, [230]);
    }

    #[test]
    fn a_muted_call_gets_nothing_and_talking_is_noticed() {
        let mut rig = rig(1_000);
        rig.capture.obey(CaptureOrder::Mute(CALL, true));
        speak(&mut rig, 60, 0.3);
        assert!(sent(&mut rig).is_empty());
        assert!(rig.capture.levels.read().speaking_while_muted);
        rig.capture.obey(CaptureOrder::Mute(CALL, false));
        speak(&mut rig, 4, 0.3);
        let after = sent(&mut rig);
        assert_eq!((after.len(), after[0].seq, after[0].media_time.as_millis()), (4, 0, 600));
        assert!(!rig.capture.levels.read().speaking_while_muted);
    }

    #[test]
    fn a_dead_microphone_is_noticed_and_costs_few_packets() {
        let mut rig = rig(1_000);
        speak(&mut rig, 1_000, 0.0);
        assert_eq!(rig.capture.levels.read().microphone_silent_ms, 10_000);
        assert!(sent(&mut rig).len() < 120);
        speak(&mut rig, 2, 0.3);
        assert_eq!(rig.capture.levels.read().microphone_silent_ms, 0);
    }

    /// Runs `ticks` of a voice and of a speaker through the thread's work, as two calls hear it, and counts allocations.
    fn allocations(rate: u32, voice: VoiceSettings, ticks: usize) -> usize {
        let (mut far_in, far) = RingBuffer::new(64);
        let mut capture = Capture::new(Arc::default(), far, Trace::off(), EPOCH).unwrap();
        let (mut into, from) = RingBuffer::new(8_192);
        let clock = Arc::new(DeviceClock::default());
        clock.first_us.store(2_000, Ordering::Relaxed);
        capture.obey(CaptureOrder::Device { ring: from, clock, rate, in_a_room: true });
        capture.obey(CaptureOrder::Voice(voice));
        let (_tell, plan) = watch::channel(VoicePlan::FIRST);
        let mut heard = Vec::new();
        for n in 0..2 {
            let (frames, out) = mpsc::channel(8);
            let call = CallId::from_bytes([n; 16]);
            capture.obey(CaptureOrder::StartCall(call, VoiceOut { frames, plan: plan.clone() }));
            heard.push(out);
        }
        let (mut near, mut theirs) = (Speech::new(5), Speech::new(8));
        let mut tick = || {
            let played: Tick = std::array::from_fn(|_| theirs.sample());
            far_in.push(played).unwrap();
            let samples = rate as usize / 100;
            (0..samples).for_each(|n| into.push(near.sample() + 0.3 * played[n % 480]).unwrap());
            capture.take();
            heard.iter_mut().for_each(|out| while out.try_recv().is_ok() {});
        };
        // Buffers grow to their size, echo and noise are found, the encoder is through its first modes.
        (0..600).for_each(|_| tick());
        without_allocation(|| (0..ticks).for_each(|_| tick()))
    }

    #[test]
    fn a_tick_of_the_microphone_allocates_nothing_but_inside_the_voice_processing() {
        assert_eq!(allocations(SAMPLE_RATE, VoiceSettings::NONE, 1_000), 0);
        assert_eq!(allocations(44_100, VoiceSettings { gain: true, ..VoiceSettings::NONE }, 1_000), 0);
        // `sonora` makes buffers of its own: one a tick for noise, forty for echo, freed in the same tick.
        let noise = VoiceSettings { echo: false, ..VoiceSettings::default() };
        assert!(allocations(SAMPLE_RATE, noise, 500) <= 2 * 500);
        assert!(allocations(SAMPLE_RATE, VoiceSettings::default(), 500) <= 90 * 500);
    }
}
