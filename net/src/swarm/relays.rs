//! Through which devices we can be reached while nobody reaches us straight: asked for, watched, and asked for again.
//!
//! libp2p tells of success alone, and a reservation that is lost is never asked for again by itself; so what ends is noted here.

use std::collections::BTreeMap;
use std::time::Duration;

use ahoy_base::{Moment, PeerId};
use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;

/// Relays we are reachable through at once: one may stop at any moment.
const WANTED: usize = 2;
/// Relays remembered; contacts with a public address are few.
const MAX_RELAYS: usize = 64;
/// Pause before a relay that refused or went away is asked again; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// See [`FIRST_PAUSE`].
const MAX_PAUSE: Duration = Duration::from_secs(120);

/// What is known of all relays.
#[derive(Default)]
pub(super) struct Relays {
    relays: BTreeMap<PeerId, Relay>,
}

struct Relay {
    /// Where it is, as far as we are connected with it straight.
    address: Option<Multiaddr>,
    state: State,
    pause: Duration,
}

enum State {
    Idle { not_before: Moment },
    Asked(ListenerId),
    Open(ListenerId),
}

impl Relays {
    /// A device we are connected with at `address` serves as a relay.
    pub(super) fn serves(&mut self, now: Moment, peer: PeerId, address: Multiaddr) {
        if !self.relays.contains_key(&peer) && self.relays.len() >= MAX_RELAYS {
            return;
        }
        let relay = self.relays.entry(peer).or_insert(Relay {
            address: None,
            state: State::Idle { not_before: now },
            pause: FIRST_PAUSE,
        });
        relay.address = Some(address);
        if let State::Idle { not_before } = &mut relay.state {
            *not_before = now.min(*not_before);
        }
    }

    /// We are no longer connected with it: its listener, if there was one, is to be removed.
    pub(super) fn left(&mut self, now: Moment, peer: PeerId) -> Option<ListenerId> {
        let relay = self.relays.get_mut(&peer)?;
        relay.address = None;
        let (State::Asked(listener) | State::Open(listener)) = relay.state else { return None };
        relay.state = State::Idle { not_before: now };
        Some(listener)
    }

    /// The next relay to ask, if one is needed and may be asked.
    pub(super) fn next(&self, now: Moment) -> Option<(PeerId, Multiaddr)> {
        let held = self.relays.values().filter(|r| !matches!(r.state, State::Idle { .. })).count();
        if held >= WANTED {
            return None;
        }
        self.relays.iter().find_map(|(peer, relay)| match relay.state {
            State::Idle { not_before } if not_before <= now => Some((*peer, relay.address.clone()?)),
            State::Idle { .. } | State::Asked(_) | State::Open(_) => None,
        })
    }

    /// It was asked; `listener` is the circuit listener.
    pub(super) fn asked(&mut self, peer: PeerId, listener: ListenerId) {
        if let Some(relay) = self.relays.get_mut(&peer) {
            relay.state = State::Asked(listener);
        }
    }

    /// It takes us.
    pub(super) fn accepted(&mut self, peer: PeerId) {
        if let Some(relay) = self.relays.get_mut(&peer)
            && let State::Asked(listener) = relay.state
        {
            relay.state = State::Open(listener);
            relay.pause = FIRST_PAUSE;
        }
    }

    /// A listener closed; whose it was is asked again after a pause.
    pub(super) fn closed(&mut self, now: Moment, listener: ListenerId) {
        for relay in self.relays.values_mut() {
            let (State::Asked(held) | State::Open(held)) = relay.state else { continue };
            if held == listener {
                relay.state = State::Idle { not_before: now + relay.pause };
                relay.pause = (relay.pause * 2).min(MAX_PAUSE);
            }
        }
    }

    /// Whether we are reachable through it.
    pub(super) fn holds(&self, peer: PeerId) -> bool {
        self.relays.get(&peer).is_some_and(|relay| !matches!(relay.state, State::Idle { .. }))
    }

    /// Listeners to be closed, because we are reached without them.
    pub(super) fn give_up(&mut self, now: Moment) -> Vec<ListenerId> {
        let mut listeners = Vec::new();
        for relay in self.relays.values_mut() {
            if let State::Asked(listener) | State::Open(listener) = relay.state {
                relay.state = State::Idle { not_before: now };
                listeners.push(listener);
            }
        }
        listeners
    }

    /// Through how many we are reachable, and how many are known.
    pub(super) fn count(&self) -> (usize, usize) {
        let open = self.relays.values().filter(|r| matches!(r.state, State::Open(_))).count();
        (open, self.relays.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> PeerId {
        PeerId::from_public_key([n; 32])
    }

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn two_are_held_and_one_that_is_lost_is_asked_again_after_longer_pauses() {
        let mut relays = Relays::default();
        for n in 1..=3 {
            relays.serves(at(0), id(n), Multiaddr::empty());
        }
        let mut listeners = Vec::new();
        while let Some((peer, _)) = relays.next(at(0)) {
            let listener = ListenerId::next();
            relays.asked(peer, listener);
            relays.accepted(peer);
            listeners.push(listener);
        }
        assert_eq!((relays.count(), listeners.len()), ((2, 3), 2));
        // The third takes the place of the first, which rests.
        relays.closed(at(10), listeners[0]);
        assert_eq!(relays.next(at(10)).map(|(p, _)| p), Some(id(3)));
        relays.asked(id(3), ListenerId::next());
        assert!(relays.left(at(11), id(3)).is_some());
        assert_eq!(relays.next(at(2_009)), None);
        assert_eq!(relays.next(at(2_010)).map(|(p, _)| p), Some(id(1)));
        let again = ListenerId::next();
        relays.asked(id(1), again);
        relays.closed(at(3_000), again);
        assert_eq!(relays.next(at(6_999)), None);
        assert_eq!(relays.next(at(7_000)).map(|(p, _)| p), Some(id(1)));
    }

    #[test]
    fn whoever_is_reached_straight_lets_go() {
        let mut relays = Relays::default();
        relays.serves(at(0), id(1), Multiaddr::empty());
        let listener = ListenerId::next();
        relays.asked(id(1), listener);
        assert_eq!(relays.give_up(at(1)), [listener]);
        assert_eq!(relays.count(), (0, 1));
    }
}
