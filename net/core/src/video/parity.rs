//! Parity of the pieces of a frame: how much is sent with which loss, how it is made, how pieces are made of it.
//!
//! One parity is the exclusive or of all pieces; more of them are Reed-Solomon (Leopard, by `reed-solomon-simd`). Any `k` of
//! the `k + r` datagrams make the frame.

use std::time::Duration;

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use crate::transport::Loss;

/// Below this round trip asking again is as good as parity, and costs only what was lost: it fits before the next frame.
const QUICK: Duration = Duration::from_millis(18);
/// Up to this one asking again still mends most of what parity did not.
const BEARABLE: Duration = Duration::from_millis(150);
/// Loss below this is left to asking again: one frame in a hundred.
const SOME_LOSS: f64 = 0.002;
/// Fates before which nothing is known of a link's loss.
const UNKNOWN: u64 = 40;
/// Most parity, as a share of the pieces.
const MOST: f64 = 1.0;
/// Most that random loss is taken for; above it the rate helps, not parity.
const WORST: f64 = 0.3;

/// What a frame is to those after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// Everything waits for it.
    Key,
    /// The frames after it wait for it.
    Chain,
    /// None waits for it.
    Discardable,
}

/// How many parities go with a frame of `pieces`, so that it seldom has to be asked for.
pub fn parities(pieces: usize, weight: Weight, loss: Loss, rtt: Duration) -> usize {
    let p = f64::from(loss.share).min(WORST);
    if loss.known < UNKNOWN || p < SOME_LOSS || rtt < QUICK || pieces == 0 {
        return 0;
    }
    // The share of frames that may still be incomplete with it.
    let goal = match (weight, rtt <= BEARABLE) {
        (Weight::Key, true) => 0.004,
        (Weight::Key, false) => 0.002,
        (Weight::Chain, true) => 0.02,
        (Weight::Chain, false) => 0.006,
        (Weight::Discardable, _) => 0.1,
    };
    // Losses in rows hit one frame harder than chance would.
    let rows = f64::from(loss.burst).clamp(1.0, 4.0).sqrt();
    let most = ((pieces as f64 * MOST).ceil() as usize).clamp(1, 255 - pieces.min(254));
    (0..most).find(|r| incomplete(pieces, *r, p) * rows <= goal).unwrap_or(most)
}

/// The chance that more than `r` of `k + r` datagrams are lost, each by chance `p`.
fn incomplete(k: usize, r: usize, p: f64) -> f64 {
    let n = k + r;
    let mut chance = (1.0 - p).powi(n as i32);
    let mut within = chance;
    for lost in 1..=r {
        chance *= p / (1.0 - p) * (n - lost + 1) as f64 / lost as f64;
        within += chance;
    }
    (1.0 - within).max(0.0)
}

/// `many` parities of `pieces`, each `length` bytes; a shorter piece counts as if zeroes followed.
pub fn make(pieces: &[&[u8]], length: usize, many: usize) -> Vec<Vec<u8>> {
    if many == 1 {
        return vec![exclusive_or(pieces.iter().copied(), length)];
    }
    let Ok(mut encoder) = ReedSolomonEncoder::new(pieces.len(), many, length) else { return Vec::new() };
    for piece in pieces {
        if encoder.add_original_shard(whole(piece, length)).is_err() {
            return Vec::new();
        }
    }
    match encoder.encode() {
        Ok(result) => result.recovery_iter().map(<[u8]>::to_vec).collect(),
        Err(_) => Vec::new(),
    }
}

/// The pieces that are missing, by number. `None` if there is too little to make them of.
pub fn mend(
    pieces: &[Option<Vec<u8>>],
    parity: &[(usize, &[u8])],
    many: usize,
    length: usize,
) -> Option<Vec<(usize, Vec<u8>)>> {
    let there = || pieces.iter().enumerate().filter_map(|(n, p)| Some((n, p.as_deref()?)));
    let missing: Vec<usize> =
        (0..pieces.len()).filter(|n| pieces.get(*n).is_some_and(Option::is_none)).collect();
    if missing.is_empty() {
        return Some(Vec::new());
    }
    if missing.len() > parity.len() {
        return None;
    }
    if many == 1 {
        let (_, parity) = parity.first()?;
        let missing = missing.first()?;
        return Some(vec![(*missing, exclusive_or(there().map(|(_, p)| p).chain([*parity]), length))]);
    }
    let mut decoder = ReedSolomonDecoder::new(pieces.len(), many, length).ok()?;
    for (n, piece) in there() {
        decoder.add_original_shard(n, whole(piece, length)).ok()?;
    }
    for (n, bytes) in parity {
        decoder.add_recovery_shard(*n, bytes).ok()?;
    }
    let result = decoder.decode().ok()?;
    missing.into_iter().map(|n| Some((n, result.restored_original(n)?.to_vec()))).collect()
}

fn whole(piece: &[u8], length: usize) -> Vec<u8> {
    let mut whole = piece.to_vec();
    whole.resize(length, 0);
    whole
}

fn exclusive_or<'a>(all: impl Iterator<Item = &'a [u8]>, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    for one in all {
        out.iter_mut().zip(one).for_each(|(o, b)| *o ^= b);
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn loss(share: f32, burst: f32) -> Loss {
        Loss { share, burst, known: 1_000 }
    }

    #[test]
    fn parity_is_by_loss_size_weight_and_round_trip() {
        let ms = Duration::from_millis;
        // pieces, weight, loss, burst, round trip -> parities
        for (k, weight, share, burst, rtt, expected) in [
            (5, Weight::Chain, 0.0, 1.0, 50, 0),
            (5, Weight::Chain, 0.05, 1.0, 5, 0),
            (5, Weight::Chain, 0.01, 1.0, 50, 1),
            (5, Weight::Chain, 0.05, 1.0, 50, 2),
            (5, Weight::Key, 0.05, 1.0, 50, 2),
            (2, Weight::Key, 0.05, 1.0, 50, 2),
            (5, Weight::Chain, 0.05, 1.0, 250, 2),
            (5, Weight::Chain, 0.1, 1.0, 50, 3),
            (5, Weight::Chain, 0.2, 1.0, 50, 4),
            (5, Weight::Discardable, 0.05, 1.0, 50, 1),
            (1, Weight::Chain, 0.1, 1.0, 50, 1),
            (1, Weight::Chain, 0.01, 1.0, 50, 0),
            (12, Weight::Chain, 0.05, 1.0, 50, 3),
            (12, Weight::Chain, 0.05, 4.0, 50, 3),
            (12, Weight::Key, 0.05, 4.0, 50, 4),
            (30, Weight::Key, 0.02, 1.0, 50, 4),
            (250, Weight::Key, 0.3, 4.0, 50, 5),
        ] {
            assert_eq!(
                parities(k, weight, loss(share, burst), ms(rtt)),
                expected,
                "{k} pieces, {weight:?}, {share} in rows of {burst}, {rtt} ms"
            );
        }
        assert_eq!(parities(5, Weight::Key, Loss::default(), ms(50)), 0, "nothing is known");
    }

    #[test]
    fn any_pieces_and_parities_that_are_enough_make_the_frame() {
        for (k, many) in [(1, 1), (4, 1), (2, 2), (5, 3), (30, 9), (3, 3)] {
            let length = 64;
            let frame: Vec<Vec<u8>> = (0..k)
                .map(|n| (0..if n + 1 == k { 11 } else { length }).map(|b| (n * 31 + b) as u8).collect())
                .collect();
            let refs: Vec<&[u8]> = frame.iter().map(Vec::as_slice).collect();
            let parity = make(&refs, length, many);
            assert_eq!(parity.len(), many);
            for first_lost in 0..k {
                let lost: Vec<usize> = (0..many.min(k)).map(|n| (first_lost + n * 2) % k).collect();
                let pieces: Vec<Option<Vec<u8>>> =
                    (0..k).map(|n| (!lost.contains(&n)).then(|| frame.get(n).unwrap().clone())).collect();
                let given: Vec<(usize, &[u8])> =
                    parity.iter().enumerate().map(|(n, p)| (n, p.as_slice())).collect();
                let n_missing = pieces.iter().filter(|p| p.is_none()).count();
                for (n, piece) in mend(&pieces, &given, many, length).unwrap() {
                    let want = frame.get(n).unwrap();
                    assert_eq!(piece.get(..want.len()).unwrap(), want.as_slice(), "{k} {many} {n}");
                }
                let few = given.get(..n_missing - 1).unwrap();
                assert_eq!(mend(&pieces, few, many, length), None);
            }
        }
    }
}
