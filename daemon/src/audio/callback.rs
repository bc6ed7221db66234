//! What runs on a device's own thread: samples into a ring, samples out of a ring, and nothing else.
//!
//! No allocation, no lock, no log, no panic; a test holds both callbacks to the first two. Waking the sound thread is an
//! unpark, which is an atomic and at most one system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::Thread;

use ahoy_base::Moment;
use rtrb::{Consumer, Producer};

/// Samples that a ring holds: 340 ms at 48 kHz. Devices ask for 10 ms; some give 100.
pub(super) const RING: usize = 16_384;

/// What a callback tells its thread.
#[derive(Debug, Default)]
pub(super) struct DeviceClock {
    /// When the newest callback's first sample was, or will be, at the device; microseconds, 0 before the first.
    pub(super) last_us: AtomicU64,
    /// Frames of the newest callback.
    pub(super) last_frames: AtomicU32,
    /// When the very first sample was at the device; 0 before.
    pub(super) first_us: AtomicU64,
    /// Frames of all callbacks.
    pub(super) frames: AtomicU64,
    /// Samples that found no room, or were missing.
    pub(super) slips: AtomicU64,
}

impl DeviceClock {
    fn tick(&self, at: Moment, frames: usize) {
        // The first callback wins; 0 means none yet.
        let _ = self.first_us.compare_exchange(0, at.as_micros(), Ordering::Relaxed, Ordering::Relaxed);
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
        self.last_frames.store(u32::try_from(frames).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.last_us.store(at.as_micros(), Ordering::Release);
    }

    fn slip(&self, samples: usize) {
        self.slips.fetch_add(samples as u64, Ordering::Relaxed);
    }
}

/// Takes what a microphone gives.
pub(super) struct CaptureCallback {
    ring: Producer<f32>,
    clock: Arc<DeviceClock>,
    wake: Thread,
    channels: usize,
}

impl CaptureCallback {
    /// `channels`: of the device, interleaved.
    pub(super) fn new(
        ring: Producer<f32>,
        clock: Arc<DeviceClock>,
        wake: Thread,
        channels: u16,
    ) -> CaptureCallback {
        CaptureCallback { ring, clock, wake, channels: usize::from(channels.max(1)) }
    }

    /// Takes a block whose first sample was captured at `at`. `sample` reads one.
    pub(super) fn call<T: Copy>(&mut self, data: &[T], at: Moment, sample: impl Fn(T) -> f32) {
        let frames = data.len() / self.channels;
        let room = frames.min(self.ring.slots());
        let share = 1.0 / self.channels as f32;
        let mono =
            data.chunks_exact(self.channels).map(|f| f.iter().map(|s| sample(*s)).sum::<f32>() * share);
        if let Ok(chunk) = self.ring.write_chunk_uninit(room) {
            chunk.fill_from_iter(mono);
        }
        self.clock.slip(frames - room);
        self.clock.tick(at, frames);
        self.wake.unpark();
    }
}

/// Gives a speaker what it plays.
pub(super) struct PlaybackCallback {
    ring: Consumer<f32>,
    clock: Arc<DeviceClock>,
    wake: Thread,
    channels: usize,
}

impl PlaybackCallback {
    /// `channels`: of the device, interleaved; all get the same.
    pub(super) fn new(
        ring: Consumer<f32>,
        clock: Arc<DeviceClock>,
        wake: Thread,
        channels: u16,
    ) -> PlaybackCallback {
        PlaybackCallback { ring, clock, wake, channels: usize::from(channels.max(1)) }
    }

    /// Fills a block whose first sample is played at `at`. `sample` makes one. Silence where nothing is there.
    pub(super) fn call<T: Copy>(&mut self, out: &mut [T], at: Moment, sample: impl Fn(f32) -> T) {
        let frames = out.len() / self.channels;
        let there = frames.min(self.ring.slots());
        let mut blocks = out.chunks_exact_mut(self.channels);
        if let Ok(chunk) = self.ring.read_chunk(there) {
            for (value, block) in chunk.into_iter().zip(&mut blocks) {
                block.fill(sample(value));
            }
        }
        blocks.for_each(|block| block.fill(sample(0.0)));
        self.clock.slip(frames - there);
        self.clock.tick(at, frames);
        self.wake.unpark();
    }
}

#[cfg(test)]
pub(in crate::audio) mod tests {
    use super::*;
    use crate::audio::callback::tests::guard::without_allocation;

    /// Counts allocations of one thread while a closure runs.
    pub(in crate::audio) mod guard {
        #![expect(unsafe_code, reason = "an allocator can't be written without; it forwards to the system's")]
        use std::alloc::{GlobalAlloc, Layout, System};
        use std::cell::Cell;

        thread_local! {
            static COUNT: Cell<Option<usize>> = const { Cell::new(None) };
        }

        struct Counting;

        #[global_allocator]
        static COUNTING: Counting = Counting;

        fn note() {
            // A thread that ends has no cell any more, and counts nothing.
            let _ = COUNT.try_with(|count| count.set(count.get().map(|n| n + 1)));
        }

        // SAFETY: every call is handed to the system's allocator unchanged.
        unsafe impl GlobalAlloc for Counting {
            unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                note();
                // SAFETY: the caller keeps the contract.
                unsafe { System.alloc(layout) }
            }

            unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
                note();
                // SAFETY: the caller keeps the contract.
                unsafe { System.dealloc(pointer, layout) }
            }
        }

        /// Runs `body` and gives how often it allocated or freed.
        pub(in crate::audio) fn without_allocation(body: impl FnOnce()) -> usize {
            COUNT.set(Some(0));
            body();
            COUNT.replace(None).unwrap_or_default()
        }
    }

    fn clock() -> Arc<DeviceClock> {
        Arc::new(DeviceClock::default())
    }

    #[test]
    fn the_guard_itself_sees_an_allocation() {
        assert!(without_allocation(|| drop(std::hint::black_box(vec![1u8; 100]))) > 0);
    }

    #[test]
    fn callbacks_neither_allocate_nor_free_even_when_the_ring_is_full_or_empty() {
        let (into, mut from) = rtrb::RingBuffer::new(1_000);
        let mut capture = CaptureCallback::new(into, clock(), std::thread::current(), 2);
        let stereo = [0.5f32; 960];
        let n = without_allocation(|| {
            for _ in 0..5 {
                capture.call(&stereo, Moment::from_micros(7), |s| s);
            }
        });
        assert_eq!(n, 0);
        assert_eq!(from.slots(), 1_000);
        assert_eq!(capture.clock.slips.load(Ordering::Relaxed), 5 * 480 - 1_000);
        assert_eq!(from.pop(), Ok(0.5), "both channels are mixed");

        let (mut into, from) = rtrb::RingBuffer::new(1_000);
        (0..600).for_each(|_| into.push(0.25).unwrap_or_default());
        let mut playback = PlaybackCallback::new(from, clock(), std::thread::current(), 2);
        let mut out = [9i16; 960];
        let n = without_allocation(|| {
            for _ in 0..2 {
                playback.call(&mut out, Moment::from_micros(9), |s| (s * 1_000.0) as i16);
            }
        });
        assert_eq!(n, 0);
        assert_eq!((out[0], out[239], out[240], out[959]), (250, 250, 0, 0));
        assert_eq!(playback.clock.slips.load(Ordering::Relaxed), 360);
        assert_eq!(playback.clock.first_us.load(Ordering::Relaxed), 9);
    }
}
