//! What a device and a relay say to each other before packets pass: one question and one answer on a libp2p stream.

use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::Bitrate;
use prost::Message;

use super::address::{read_addresses, write_addresses};
use crate::path::packet::TAG;
use crate::path::relay::{Lent, Limits, Refusal};

/// Where a relay may say it is reached.
pub const MAX_ADDRESSES: usize = 4;
/// Version of this question.
const VERSION: u32 = 1;

/// What a relay answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A splice, and where the relay's media port is.
    Lent(Lent, Vec<SocketAddr>),
    /// None.
    Refused(Refusal),
}

/// The question: "lend me a splice".
pub fn ask() -> Vec<u8> {
    pb::Ask { version: VERSION }.encode_to_vec()
}

/// Whether these bytes are the question.
pub fn is_ask(bytes: &[u8]) -> bool {
    pb::Ask::decode(bytes).is_ok_and(|ask| ask.version >= VERSION)
}

impl Answer {
    /// The answer in protobuf.
    pub fn encode(&self) -> Vec<u8> {
        let pb = match self {
            Answer::Lent(lent, addresses) => pb::Answer {
                refused: 0,
                addresses: write_addresses(addresses, MAX_ADDRESSES),
                id: lent.id.to_vec(),
                near: lent.near.to_vec(),
                far: lent.far.to_vec(),
                bits_per_second: lent.limits.rate.as_bps(),
                seconds: lent.limits.life.as_secs(),
            },
            Answer::Refused(why) => pb::Answer { refused: number(*why), ..pb::Answer::default() },
        };
        pb.encode_to_vec()
    }

    /// Reads an answer; `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Answer> {
        let pb = pb::Answer::decode(bytes).ok()?;
        if pb.refused != 0 {
            return Some(Answer::Refused(refusal(pb.refused)));
        }
        let id: [u8; TAG] = pb.id.try_into().ok()?;
        let limits = Limits { rate: Bitrate::bps(pb.bits_per_second), life: Duration::from_secs(pb.seconds) };
        let lent = Lent { id, near: pb.near.try_into().ok()?, far: pb.far.try_into().ok()?, limits };
        Some(Answer::Lent(lent, read_addresses(&pb.addresses, MAX_ADDRESSES)))
    }
}

const fn number(refusal: Refusal) -> u32 {
    match refusal {
        Refusal::NotForYou => 1,
        Refusal::TooMany => 2,
        Refusal::Full => 3,
        Refusal::UsedUp => 4,
    }
}

/// A reason that this version does not know is no invitation either.
const fn refusal(number: u32) -> Refusal {
    match number {
        2 => Refusal::TooMany,
        3 => Refusal::Full,
        4 => Refusal::UsedUp,
        _ => Refusal::NotForYou,
    }
}

/// The protobuf form. Field numbers are the protocol.
mod pb {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Ask {
        #[prost(uint32, tag = "1")]
        pub(super) version: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Answer {
        #[prost(uint32, tag = "1")]
        pub(super) refused: u32,
        /// 6 or 18 bytes each: address, then port, big endian.
        #[prost(bytes = "vec", repeated, tag = "2")]
        pub(super) addresses: Vec<Vec<u8>>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) near: Vec<u8>,
        #[prost(bytes = "vec", tag = "5")]
        pub(super) far: Vec<u8>,
        #[prost(uint64, tag = "6")]
        pub(super) bits_per_second: u64,
        #[prost(uint64, tag = "7")]
        pub(super) seconds: u64,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn question_and_answers_survive_and_garbage_is_none() {
        assert!(is_ask(&ask()) && !is_ask(b"") && !is_ask(&[0xff]));
        let lent = Lent { id: [3; 8], near: [1; 32], far: [2; 32], limits: Limits::STANDARD };
        let addresses = vec!["9.9.9.9:4".parse().unwrap(), "[2001:db8::1]:5".parse().unwrap()];
        let refusals = [Refusal::NotForYou, Refusal::TooMany, Refusal::Full, Refusal::UsedUp];
        let answers = refusals.map(Answer::Refused).into_iter().chain([Answer::Lent(lent, addresses)]);
        for answer in answers {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        assert_eq!(Answer::decode(&[0xff]), None);
        assert_eq!(Answer::decode(&[]), None);
    }
}
