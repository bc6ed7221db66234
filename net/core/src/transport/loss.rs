//! How much a link loses, and in what bursts.

use super::Fate;

/// Datagrams that a change must show in: a second of voice.
const RECENT: f32 = 100.0;
/// Datagrams over which rare loss is seen: ten seconds of voice.
const LASTING: f32 = 1_000.0;
/// Losses among the recent ones that are no accident.
const NO_ACCIDENT: f32 = 4.0;

/// What a link loses.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Loss {
    /// Share of datagrams, 0 to 1.
    pub share: f32,
    /// Mean length of a row of lost ones; 1 is random loss.
    pub burst: f32,
    /// How many fates this is known from.
    pub known: u64,
}

/// Follows the fates of a link's datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    recent: f32,
    lasting: f32,
    /// Mean length of the last rows of losses.
    burst: f32,
    row: u32,
    known: u64,
}

impl Losses {
    /// Takes in fates in order of sending.
    pub fn take(&mut self, fates: &[Fate]) {
        for fate in fates {
            self.known += 1;
            let lost = if fate.arrived.is_none() { 1.0 } else { 0.0 };
            // Early on each one counts alike.
            let weight = |memory: f32| 1.0 / memory.min(self.known as f32);
            self.recent += (lost - self.recent) * weight(RECENT);
            self.lasting += (lost - self.lasting) * weight(LASTING);
            if fate.arrived.is_none() {
                self.row += 1;
            } else if self.row > 0 {
                let row = self.row as f32;
                self.burst = if self.burst == 0.0 { row } else { self.burst + (row - self.burst) / 16.0 };
                self.row = 0;
            }
        }
    }

    /// What is known.
    pub fn now(&self) -> Loss {
        // A rise counts once it is no accident; a fall counts slowly.
        let rise = if self.recent * RECENT >= NO_ACCIDENT { self.recent } else { 0.0 };
        Loss { share: rise.max(self.lasting), burst: self.burst.max(1.0), known: self.known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_base::Moment;

    fn fates(lost: impl Iterator<Item = bool>) -> Vec<Fate> {
        let fate = |(n, lost): (usize, bool)| Fate {
            number: n as u64,
            sent: Moment::ZERO,
            bytes: 100,
            arrived: (!lost).then_some(Moment::ZERO),
        };
        lost.enumerate().map(fate).collect()
    }

    #[test]
    fn a_rise_is_seen_in_a_second_and_a_fall_in_ten() {
        let mut losses = Losses::default();
        losses.take(&fates((0..1_000).map(|_| false)));
        losses.take(&fates((0..100).map(|n| n % 5 == 0)));
        assert!((0.1..0.25).contains(&losses.now().share), "{:?}", losses.now());
        losses.take(&fates((0..1_000).map(|n| n % 5 == 0)));
        losses.take(&fates((0..300).map(|_| false)));
        assert!(losses.now().share > 0.08, "{:?}", losses.now());
        losses.take(&fates((0..4_000).map(|_| false)));
        assert!(losses.now().share < 0.005);
    }

    #[test]
    fn one_lost_datagram_is_an_accident() {
        let mut losses = Losses::default();
        losses.take(&fates((0..1_000).map(|n| n == 990)));
        assert!(losses.now().share < 0.002);
    }

    #[test]
    fn bursts_are_told_from_random_loss() {
        let mut random = Losses::default();
        random.take(&fates((0..2_000).map(|n| n % 20 == 7)));
        assert!((random.now().burst - 1.0).abs() < 0.01);
        let mut bursts = Losses::default();
        bursts.take(&fates((0..4_000).map(|n| n % 100 < 5)));
        assert!((bursts.now().burst - 5.0).abs() < 0.01);
        assert!((bursts.now().share - random.now().share).abs() < 0.03);
    }
}
