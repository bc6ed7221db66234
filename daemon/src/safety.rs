//! The safety number of two people: sixty digits that are the same on both sides when nobody sits in between.

use ahoy_base::PeerId;
use sha2::{Digest, Sha512};

/// Rounds of hashing, so that trying keys until digits look alike costs 5200 times as much.
///
/// Source: the number that Signal's fingerprints use (libsignal, `NumericFingerprintGenerator`).
const ROUNDS: u32 = 5_200;
/// Groups of five digits; each takes five bytes of the hash.
const GROUPS: usize = 12;

/// Sixty digits in groups of five, separated by spaces. Order of `a` and `b` does not matter.
pub(crate) fn number(a: PeerId, b: PeerId) -> String {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let mut hash = Sha512::new();
    hash.update(b"ahoy-safety-number/1");
    hash.update(low.public_key());
    hash.update(high.public_key());
    let mut digest = hash.finalize();
    for _ in 1..ROUNDS {
        digest = Sha512::new()
            .chain_update(digest)
            .chain_update(low.public_key())
            .chain_update(high.public_key())
            .finalize();
    }
    let groups: Vec<String> = digest
        .chunks_exact(5)
        .take(GROUPS)
        .map(|five| {
            let n = five.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
            format!("{:05}", n % 100_000)
        })
        .collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_sixty_digits_and_others_do_not() {
        let (a, b) = (PeerId::from_public_key([1; 32]), PeerId::from_public_key([2; 32]));
        let number = super::number(a, b);
        assert_eq!(number, super::number(b, a));
        assert_eq!(number.chars().filter(char::is_ascii_digit).count(), 60);
        assert_eq!(number.split(' ').count(), 12);
        assert_ne!(number, super::number(a, PeerId::from_public_key([3; 32])));
    }
}
