//! Carries out what `Finding` decides: dials, look-ups, reservations, and the word that a round has failed.

use ahoy_base::{Moment, PeerId};
use ahoy_net_core::find::{Source, Step, Tried};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};

use super::{Driver, Outgoing};
use crate::addresses::{self, bare};
use crate::identity::to_libp2p;
use crate::table::TableNews;
use crate::{NetEvent, Reached};

/// Reservations asked for in one go.
const MAX_ASKS: usize = 2;

impl Driver {
    /// Keeps addresses, the first as the best; whether any is new.
    pub(super) fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, source: Source) -> bool {
        let now = (self.clock)();
        let Some(entry) = self.peers.entry(peer) else { return false };
        let mut fresh = false;
        // The newest goes first, so the best is learnt last.
        for address in addresses.into_iter().rev().map(bare).filter(|a| !a.is_empty()) {
            let way = addresses::way_of(&address);
            fresh |= entry.finding.learn(now, address, source, way);
        }
        if fresh && entry.is_kept() && matches!(entry.outgoing, Outgoing::None) {
            self.seek(now, peer);
        }
        fresh
    }

    /// Gets a stream to a device: over a connection that is there, else a search begins.
    pub(super) fn seek(&mut self, now: Moment, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        if !entry.is_kept() || !matches!(entry.outgoing, Outgoing::None) {
            return;
        }
        if to_libp2p(peer).is_some_and(|theirs| self.swarm.is_connected(&theirs)) {
            self.open_stream(peer);
        } else {
            entry.finding.want(now);
        }
    }

    /// Does what is due of all searches and reservations.
    pub(super) async fn go_on(&mut self) {
        let now = (self.clock)();
        let mut steps = Vec::new();
        for (peer, entry) in self.peers.iter_mut() {
            while let Some(step) = entry.finding.poll(now) {
                steps.push((peer, step));
            }
        }
        for (peer, step) in steps {
            self.carry_out(peer, step).await;
        }
        self.reserve(now);
        self.tell_reached().await;
    }

    pub(super) async fn carry_out(&mut self, peer: PeerId, step: Step<Multiaddr>) {
        match step {
            Step::Dial(addresses) => self.dial(peer, addresses),
            Step::LookUp => self.parts.table.look_up(peer),
            Step::Failed(tried) => {
                let why = self.peers.get_mut(peer).map(|e| std::mem::take(&mut e.why)).unwrap_or_default();
                let why = format!("{}; {}", in_words(&tried), why);
                self.tell(NetEvent::DialFailed { peer, tried, why }).await;
            }
        }
    }

    fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let Some(theirs) = to_libp2p(peer) else { return };
        let options = DialOpts::peer_id(theirs)
            // An earlier stage may still be waiting for an answer; the first connection of all is kept.
            .condition(PeerCondition::Disconnected)
            .addresses(addresses.into_iter().map(|a| whole(a, theirs)).collect())
            .build();
        if let Err(error) = self.swarm.dial(options) {
            self.on_dial_failed(peer, &error);
        }
    }

    pub(super) fn on_dial_failed(&mut self, peer: PeerId, error: &DialError) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.why = error.to_string();
            entry.finding.came_to_nothing();
        }
    }

    pub(super) fn on_table(&mut self, news: TableNews) {
        match news {
            TableNews::Found(peer, addresses) => {
                let now = (self.clock)();
                let Some(entry) = self.peers.get_mut(peer) else { return };
                for address in &addresses {
                    entry.finding.learn(now, address.clone(), Source::Table, addresses::way_of(address));
                }
                if let Some(Step::Dial(addresses)) = entry.finding.looked_up(addresses) {
                    self.dial(peer, addresses);
                }
            }
        }
    }

    /// Sees to it that we are reachable through relays while we are not without.
    fn reserve(&mut self, now: Moment) {
        if self.public.iter().any(addresses::is_global) {
            for listener in self.relays.give_up(now) {
                self.swarm.remove_listener(listener);
            }
            return;
        }
        for _ in 0..MAX_ASKS {
            let Some((peer, address)) = self.relays.next(now) else { return };
            let Some(theirs) = to_libp2p(peer) else { return };
            let circuit = address.with(Protocol::P2p(theirs)).with(Protocol::P2pCircuit);
            match self.swarm.listen_on(circuit) {
                Ok(listener) => self.relays.asked(peer, listener),
                Err(error) => {
                    tracing::debug!(%error, "a relay can't be asked");
                    return;
                }
            }
        }
    }

    /// How well we are reached, when it changed.
    async fn tell_reached(&mut self) {
        let (anchors, all_anchors) =
            self.peers.anchors(|peer| to_libp2p(peer).is_some_and(|theirs| self.swarm.is_connected(&theirs)));
        let (relays, all_relays) = self.relays.count();
        let reached = Reached {
            straight: self.public.iter().any(|a| !addresses::is_relayed(a)),
            relays,
            known_relays: all_relays,
            bootstraps: anchors,
            known_bootstraps: all_anchors,
            udp: self.peers.udp(),
            table: self.parts.table.neighbours(),
            serves: self.role.is_asked_for() || self.role != crate::RelayRole::Off && !self.public.is_empty(),
            mapping: self.mapped.standing,
            nat: self.parts.media.nat(),
            proxy: self.parts.door.proxy_trouble(),
        };
        if self.told != Some(reached) {
            self.told = Some(reached);
            self.tell(NetEvent::Reached(reached)).await;
        }
    }
}

/// An address with the device at its end, which libp2p wants of circuits.
pub(super) fn whole(address: Multiaddr, peer: libp2p::PeerId) -> Multiaddr {
    if addresses::is_relayed(&address) { address.with(Protocol::P2p(peer)) } else { address }
}

fn in_words(tried: &[Tried]) -> String {
    let tried: Vec<String> = tried.iter().map(|t| format!("{:?} {}", t.stage, t.addresses)).collect();
    format!("tried {}", tried.join(", ").to_lowercase())
}
