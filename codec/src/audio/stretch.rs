//! Plays a little faster or slower without changing the pitch: one pitch period taken out or put in.
//!
//! The period is where the sound is most like itself (normalised cross-correlation); the cut is a cross-fade over that
//! period. The idea is that of WSOLA (Verhelst and Roelands, 1993) and of NetEQ's accelerate and preemptive expand.

/// Shortest period: 400 Hz, at 48 kHz.
const MIN_PERIOD: usize = 120;
/// Longest period: 80 Hz.
const MAX_PERIOD: usize = 600;
/// Likeness below which a cut would be heard, unless it is quiet.
const MIN_LIKENESS: f32 = 0.5;
/// Mean square below which anything may be cut: -50 dBFS.
const QUIET: f32 = 1e-5;
/// Over how much sound a cut in a pause fades: 2.5 ms.
const CUT_FADE: usize = 120;
/// Most samples that one call takes out or puts in.
pub const MAX_STRETCH: usize = MAX_PERIOD;

/// Takes one pitch period of at most `most` samples out of `samples` and gives the new length; the same length if nothing
/// fits.
///
/// `samples`: mono 48 kHz, periods of up to half of it are found; what lies behind the new length is left over.
/// Allocation-free.
pub fn accelerate(samples: &mut [f32], most: usize) -> usize {
    let length = samples.len();
    let Some(period) = period(samples, most) else { return length };
    // The first period fades into the second, then the rest follows.
    let (head, tail) = samples.split_at_mut(period);
    for (n, (h, t)) in head.iter_mut().zip(&*tail).enumerate() {
        let fade = n as f32 / period as f32;
        *h = *h * (1.0 - fade) + t * fade;
    }
    samples.copy_within(period * 2.., period);
    length - period
}

/// Takes exactly `cut` samples out of the beginning of `samples` with a cross-fade, and gives the new length; the same length if
/// there is too little. For pauses, where no pitch can be missed. Allocation-free.
pub fn cut(samples: &mut [f32], cut: usize) -> usize {
    let length = samples.len();
    let fade = CUT_FADE.min(length.saturating_sub(cut));
    if cut == 0 || fade < CUT_FADE {
        return length;
    }
    for n in 0..fade {
        let along = n as f32 / fade as f32;
        let later = samples.get(n + cut).copied().unwrap_or_default();
        if let Some(sample) = samples.get_mut(n) {
            *sample += (later - *sample) * along;
        }
    }
    samples.copy_within(cut + fade.., fade);
    length - cut
}

/// Puts one pitch period of at most `most` samples into the first `length` of `samples` and gives the new length; the same if
/// nothing fits.
///
/// `samples` must have room for [`MAX_STRETCH`] more than `length`. Allocation-free.
pub fn expand(samples: &mut [f32], length: usize, most: usize) -> usize {
    let Some(period) = samples.get(..length).and_then(|sound| period(sound, most)) else { return length };
    if length + period > samples.len() {
        return length;
    }
    // The first period is heard, then the second fades back into the first, then the sound goes on from the second.
    samples.copy_within(period..length, period * 2);
    let (first, rest) = samples.split_at_mut(period);
    for (n, (f, m)) in first.iter().zip(rest.iter_mut()).enumerate() {
        let fade = n as f32 / period as f32;
        *m = *m * (1.0 - fade) + f * fade;
    }
    length + period
}

/// The period at which the beginning of `samples` repeats; `None` if it does not, and is loud.
fn period(samples: &[f32], most: usize) -> Option<usize> {
    let longest = MAX_PERIOD.min(samples.len() / 2).min(most);
    let energy = mean_square(samples.get(..2 * longest)?);
    // Coarse at a quarter of the rate, then exact around the best.
    let coarse = best(samples, (MIN_PERIOD..=longest).step_by(4), 4)?.0;
    let exact = coarse.saturating_sub(4).max(MIN_PERIOD)..=(coarse + 4).min(longest);
    let (period, likeness) = best(samples, exact, 1)?;
    (likeness >= MIN_LIKENESS || energy < QUIET).then_some(period)
}

fn best(samples: &[f32], periods: impl Iterator<Item = usize>, step: usize) -> Option<(usize, f32)> {
    periods
        .filter_map(|p| Some((p, likeness(samples.get(..p)?, samples.get(p..2 * p)?, step))))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

fn likeness(a: &[f32], b: &[f32], step: usize) -> f32 {
    let (mut dot, mut aa, mut bb) = (0.0f32, 1e-9f32, 1e-9f32);
    for (x, y) in a.iter().zip(b).step_by(step) {
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    dot / (aa * bb).sqrt()
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(length: usize) -> Vec<f32> {
        (0..length).map(|n| (n as f32 * std::f32::consts::TAU * 200.0 / 48_000.0).sin() * 0.5).collect()
    }

    /// The largest step of a 200 Hz sine of 0.5, with some room for the cross-fade.
    const MAX_STEP: f32 = 0.5 * std::f32::consts::TAU * 200.0 / 48_000.0 * 1.3;

    fn smooth(samples: &[f32]) -> bool {
        samples.windows(2).all(|w| (w[1] - w[0]).abs() < MAX_STEP)
    }

    #[test]
    fn faster_is_shorter_by_a_period_and_has_no_click() {
        let mut short = tone(960);
        let n = accelerate(&mut short, MAX_PERIOD);
        assert!(n <= 720 && smooth(&short[..n]), "a single packet is enough");
        let mut samples = tone(1_440);
        let n = accelerate(&mut samples, MAX_PERIOD);
        assert!((1_440 - MAX_PERIOD..1_440).contains(&n));
        assert_eq!((1_440 - n) % 240, 0, "whole periods of 200 Hz");
        assert!(smooth(&samples[..n]));
    }

    #[test]
    fn slower_is_longer_by_a_period_and_has_no_click() {
        let mut samples = tone(1_440);
        samples.resize(1_440 + MAX_STRETCH, 0.0);
        let n = expand(&mut samples, 1_440, MAX_PERIOD);
        assert!(n > 1_440 && n <= 1_440 + MAX_PERIOD);
        assert_eq!((n - 1_440) % 240, 0);
        assert!(smooth(&samples[..n]));
    }

    #[test]
    fn a_cut_is_exact_and_has_no_click() {
        let mut samples = tone(960);
        assert_eq!(cut(&mut samples, 333), 627);
        // A fade between two sines is steeper than each.
        assert!(samples[..627].windows(2).all(|w| (w[1] - w[0]).abs() < 2.0 * MAX_STEP));
        assert_eq!(samples[626], tone(960)[959]);
        assert_eq!(cut(&mut [0.5; 480], 400), 480, "too little is left");
        assert_eq!(cut(&mut [0.5; 480], 360), 120);
        assert_eq!(cut(&mut [0.5; 480], 0), 480);
    }

    #[test]
    fn noise_is_left_alone_and_silence_is_free() {
        let mut state = 1u32;
        let mut noise: Vec<f32> = (0..1_440)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as f32 / u32::MAX as f32 - 0.5
            })
            .collect();
        assert_eq!(accelerate(&mut noise, MAX_PERIOD), 1_440);
        assert!(accelerate(&mut [0.0; 1_440], 200) < 1_440 && accelerate(&mut [0.0; 1_440], 200) >= 1_240);
        assert_eq!(accelerate(&mut [0.0; 100], MAX_PERIOD), 100, "too short to tell");
    }
}
