//! How often somebody may knock: a bucket of tokens for each block of addresses, in bounded memory. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ahoy_base::Moment;

/// Blocks remembered at once: 100 kB. When full, the block that was quiet longest is forgotten.
const MAX_BLOCKS: usize = 2_048;

/// How often a block may knock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Knocks at once.
    pub burst: u32,
    /// Knocks a second in the long run.
    pub a_second: u32,
    /// Knocks a second of all blocks together, and as many at once.
    pub of_all: u32,
}

/// Counts the knocks at one door.
#[derive(Debug)]
pub struct Knocks {
    allowance: Allowance,
    blocks: BTreeMap<Block, Bucket>,
    all: Bucket,
}

/// A /24 of IPv4 or a /48 of IPv6: what one party has by itself.
type Block = [u8; 6];

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Millionths of a knock.
    left: u64,
    at: Moment,
}

const ONE: u64 = 1_000_000;

impl Bucket {
    fn take(&mut self, now: Moment, burst: u32, a_second: u32) -> bool {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let more = passed.saturating_mul(u64::from(a_second));
        self.left = self.left.saturating_add(more).min(u64::from(burst) * ONE);
        self.at = self.at.max(now);
        let Some(left) = self.left.checked_sub(ONE) else { return false };
        self.left = left;
        true
    }
}

impl Knocks {
    /// Counts from `now` on.
    pub fn new(now: Moment, allowance: Allowance) -> Knocks {
        let all = Bucket { left: u64::from(allowance.of_all) * ONE, at: now };
        Knocks { allowance, blocks: BTreeMap::new(), all }
    }

    /// Whether one from `ip` may come in at `now`. One that may not costs nothing further.
    pub fn lets_in(&mut self, now: Moment, ip: IpAddr) -> bool {
        let Allowance { burst, a_second, of_all } = self.allowance;
        let block = block_of(ip);
        if self.blocks.len() >= MAX_BLOCKS && !self.blocks.contains_key(&block) {
            let quiet = self.blocks.iter().min_by_key(|(_, b)| b.at).map(|(block, _)| *block);
            quiet.map(|block| self.blocks.remove(&block));
        }
        let bucket =
            self.blocks.entry(block).or_insert_with(|| Bucket { left: u64::from(burst) * ONE, at: now });
        bucket.take(now, burst, a_second) && self.all.take(now, of_all, of_all)
    }
}

fn block_of(ip: IpAddr) -> Block {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            [0, 0, 4, a, b, c]
        }
        IpAddr::V6(ip) => {
            let o = ip.octets();
            [o[0], o[1], o[2], o[3], o[4], o[5]]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    const ALLOWANCE: Allowance = Allowance { burst: 10, a_second: 2, of_all: 100 };

    fn knock(knocks: &mut Knocks, ms: u64, ip: impl Into<IpAddr>) -> bool {
        knocks.lets_in(Moment::from_millis(ms), ip.into())
    }

    #[test]
    fn a_block_gets_its_burst_and_then_its_rate_whatever_its_addresses() {
        let mut knocks = Knocks::new(Moment::ZERO, ALLOWANCE);
        let let_in = (0..200).filter(|n| knock(&mut knocks, 0, Ipv4Addr::new(203, 0, 113, *n))).count();
        assert_eq!(let_in, 10);
        assert!(!knock(&mut knocks, 499, Ipv4Addr::new(203, 0, 113, 1)));
        assert!(knock(&mut knocks, 500, Ipv4Addr::new(203, 0, 113, 1)));
        assert!(!knock(&mut knocks, 501, Ipv4Addr::new(203, 0, 113, 1)));
        assert!(knock(&mut knocks, 501, Ipv4Addr::new(203, 0, 114, 1)));
    }

    #[test]
    fn ten_thousand_a_second_from_everywhere_let_in_a_hundred() {
        let mut knocks = Knocks::new(Moment::ZERO, ALLOWANCE);
        let mut let_in = 0;
        for n in 0..10_000u32 {
            let ip = Ipv6Addr::from((0x2001_0db8u128 << 96) | (u128::from(n) << 80));
            let_in += u32::from(
                knocks.lets_in(Moment::ZERO + Duration::from_micros(u64::from(n) * 100), ip.into()),
            );
        }
        assert!((100..=200).contains(&let_in), "{let_in}");
        assert!(knocks.blocks.len() <= MAX_BLOCKS);
    }
}
