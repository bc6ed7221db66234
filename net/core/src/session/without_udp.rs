//! When a link over TCP or over the signalling's own connection is tried: while UDP brings no path. Pure.

use std::time::Duration;

use ahoy_base::Moment;

use super::PathKind;

/// What is tried how long after the keys are agreed and no path lives, and again as often after the last.
const TRIES: [(Duration, PathKind); 2] =
    [(Duration::from_millis(800), PathKind::Tcp), (Duration::from_secs(2), PathKind::Circuit)];
/// The pause between rounds: a door that is dialled takes up to 10 s to say no.
const AGAIN: Duration = Duration::from_secs(4);

/// See the module's first line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WithoutUdp {
    round: Option<Moment>,
    next: usize,
}

impl WithoutUdp {
    /// A path lives.
    pub(super) fn rest(&mut self) {
        *self = WithoutUdp::default();
    }

    /// No path lives at `now`; what is to be tried, if it is time.
    pub(super) fn due(&mut self, now: Moment) -> Option<PathKind> {
        let began = *self.round.get_or_insert(now);
        let (after, kind) = TRIES.get(self.next).copied()?;
        if now < began + after {
            return None;
        }
        self.next += 1;
        if self.next == TRIES.len() {
            *self = WithoutUdp { round: Some(now + AGAIN), next: 0 };
        }
        Some(kind)
    }

    /// When something is to be tried next.
    pub(super) fn at(&self) -> Moment {
        let after = TRIES.get(self.next).map(|(after, _)| *after);
        self.round.zip(after).map_or(Moment::NEVER, |(began, after)| began + after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn tcp_is_tried_first_then_circuits_then_both_again_until_a_path_lives() {
        let mut tries = WithoutUdp::default();
        assert_eq!((tries.at(), tries.due(at(100))), (Moment::NEVER, None));
        let mut seen = Vec::new();
        for ms in (100..16_000).step_by(50) {
            seen.extend(tries.due(at(ms)).map(|kind| (ms, kind)));
            assert!(tries.at() > at(ms));
        }
        let (tcp, circuit) = (PathKind::Tcp, PathKind::Circuit);
        assert_eq!(
            seen,
            [(900, tcp), (2_100, circuit), (6_900, tcp), (8_100, circuit), (12_900, tcp), (14_100, circuit)]
        );
        tries.rest();
        assert_eq!(tries.at(), Moment::NEVER);
    }
}
