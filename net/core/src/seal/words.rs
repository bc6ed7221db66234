//! Four words that two people read to each other: the same on both sides when nobody sits in between.

/// Words a call has: 2048 to the fourth, 44 bits, which nobody can search for within a handshake.
pub const N_WORDS: usize = 4;

/// The words of a handshake hash: its first 44 bits, 11 a word, in the English list of BIP-39.
pub fn safety_words(handshake_hash: &[u8; 32]) -> Vec<&'static str> {
    let bits = handshake_hash.iter().take(6).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let list = bip39::Language::English.word_list();
    (0..N_WORDS).filter_map(|n| list.get((bits >> (48 - 11 * (n + 1)) & 0x7ff) as usize).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_first_44_bits() {
        assert_eq!(safety_words(&[0; 32]), ["abandon"; 4]);
        assert_eq!(safety_words(&[0xff; 32]), ["zoo"; 4]);
        let mut hash = [0; 32];
        hash[1] = 0x20; // bit 10: the first word's last bit
        assert_eq!(safety_words(&hash), ["ability", "abandon", "abandon", "abandon"]);
        hash[31] = 1;
        assert_eq!(safety_words(&hash)[0], "ability");
    }
}
