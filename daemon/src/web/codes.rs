//! One-time codes: how a browser that holds nothing yet shows that this user sent it.
//!
//! Two kinds: a long one in a link that `ahoy open` makes, and eight digits that a person types. Pure: time is an
//! argument.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::Moment;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

/// How long a link's code may take from the command to the browser.
const LINK_LIVES: Duration = Duration::from_secs(60);
/// How long somebody may take to type eight digits.
const PAIR_LIVES: Duration = Duration::from_secs(600);
/// Wrong tries before a typed code is void: chance of a hit by guessing is then 5 in 10^8.
const PAIR_TRIES: u32 = 5;
/// Links that may be under way at once; older ones are void.
const MAX_LINKS: usize = 8;

/// Which kind of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CodeKind {
    /// 128 bits, 60 s, in a link.
    Link,
    /// Eight digits, 10 minutes, typed; five wrong tries make it void.
    Pair,
}

/// Why a code is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeError {
    /// Never made, used already, or too old: these must look the same.
    Wrong,
    /// The typed code is void after too many wrong ones.
    TooManyTries,
}

/// The codes that are out. Kept as hashes, so that comparing them takes the same time whatever is right.
#[derive(Debug, Default)]
pub(super) struct Codes {
    links: VecDeque<(Moment, [u8; 32])>,
    pair: Option<Pair>,
}

#[derive(Debug)]
struct Pair {
    made: Moment,
    hash: [u8; 32],
    wrong: u32,
}

impl Codes {
    /// Makes a code out of 16 random bytes. A new typed code makes the one before it void.
    pub(super) fn make(&mut self, kind: CodeKind, now: Moment, random: [u8; 16]) -> String {
        match kind {
            CodeKind::Link => {
                let code = data_encoding::BASE64URL_NOPAD.encode(&random);
                self.links.push_back((now, hash(&code)));
                while self.links.len() > MAX_LINKS {
                    self.links.pop_front();
                }
                code
            }
            CodeKind::Pair => {
                // 128 bits over 10^8: the bias is below 10^-30.
                let code = format!("{:08}", u128::from_le_bytes(random) % 100_000_000);
                self.pair = Some(Pair { made: now, hash: hash(&code), wrong: 0 });
                code
            }
        }
    }

    /// How long a code of this kind lives.
    pub(super) const fn lives(kind: CodeKind) -> Duration {
        match kind {
            CodeKind::Link => LINK_LIVES,
            CodeKind::Pair => PAIR_LIVES,
        }
    }

    /// Takes a code: right ones work once.
    pub(super) fn redeem(&mut self, code: &str, now: Moment) -> Result<(), CodeError> {
        // People type codes in groups.
        let typed: String = code.chars().filter(|c| !matches!(c, ' ' | '-')).take(64).collect();
        if typed.len() == 8 && typed.bytes().all(|b| b.is_ascii_digit()) {
            return self.redeem_pair(&typed, now);
        }
        self.links.retain(|(made, _)| now.since(*made) < LINK_LIVES);
        let wanted = hash(code);
        let found = self.links.iter().position(|(_, hash)| *hash == wanted).ok_or(CodeError::Wrong)?;
        self.links.remove(found);
        Ok(())
    }

    fn redeem_pair(&mut self, typed: &str, now: Moment) -> Result<(), CodeError> {
        let pair =
            self.pair.as_mut().filter(|pair| now.since(pair.made) < PAIR_LIVES).ok_or(CodeError::Wrong)?;
        if pair.wrong >= PAIR_TRIES {
            return Err(CodeError::TooManyTries);
        }
        if pair.hash != hash(typed) {
            pair.wrong += 1;
            return Err(if pair.wrong >= PAIR_TRIES { CodeError::TooManyTries } else { CodeError::Wrong });
        }
        self.pair = None;
        Ok(())
    }
}

fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(code.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(1_000);

    #[test]
    fn a_link_works_once_and_within_a_minute() {
        let mut codes = Codes::default();
        let code = codes.make(CodeKind::Link, START, [7; 16]);
        assert_eq!(code.len(), 22, "128 bits");
        assert_eq!(codes.redeem(&code, START + LINK_LIVES - Duration::from_millis(1)), Ok(()));
        assert_eq!(codes.redeem(&code, START), Err(CodeError::Wrong), "replayed");
        let late = codes.make(CodeKind::Link, START, [8; 16]);
        assert_eq!(codes.redeem(&late, START + LINK_LIVES), Err(CodeError::Wrong), "expired");
        assert_eq!(codes.redeem(&late, START), Err(CodeError::Wrong), "gone for good");
    }

    #[test]
    fn typed_codes_may_have_spaces_and_work_once() {
        let mut codes = Codes::default();
        let code = codes.make(CodeKind::Pair, START, 12_345_678u128.to_le_bytes());
        assert_eq!(code, "12345678");
        assert_eq!(codes.redeem(" 1234-5678 ", START + PAIR_LIVES - Duration::from_millis(1)), Ok(()));
        assert_eq!(codes.redeem("12345678", START), Err(CodeError::Wrong));
        let _late = codes.make(CodeKind::Pair, START, 12_345_678u128.to_le_bytes());
        assert_eq!(codes.redeem("12345678", START + PAIR_LIVES), Err(CodeError::Wrong));
    }

    #[test]
    fn five_wrong_tries_make_a_typed_code_void_until_there_is_a_new_one() {
        let mut codes = Codes::default();
        let code = codes.make(CodeKind::Pair, START, [1; 16]);
        for _ in 0..4 {
            assert_eq!(codes.redeem("00000000", START), Err(CodeError::Wrong));
        }
        assert_eq!(codes.redeem("00000000", START), Err(CodeError::TooManyTries));
        assert_eq!(codes.redeem(&code, START), Err(CodeError::TooManyTries), "the right one is void too");
        let code = codes.make(CodeKind::Pair, START, [2; 16]);
        for _ in 0..4 {
            assert_eq!(codes.redeem("00000000", START), Err(CodeError::Wrong));
        }
        assert_eq!(codes.redeem(&code, START), Ok(()), "the fifth try may be right");
    }

    #[test]
    fn only_the_latest_links_are_kept() {
        let mut codes = Codes::default();
        let made: Vec<_> = (0..=MAX_LINKS)
            .filter_map(|n| u8::try_from(n).ok())
            .map(|n| codes.make(CodeKind::Link, START, [n; 16]))
            .collect();
        assert_eq!(made.iter().filter(|code| codes.redeem(code, START).is_ok()).count(), MAX_LINKS);
        assert_eq!(codes.redeem("", START), Err(CodeError::Wrong));
    }
}
