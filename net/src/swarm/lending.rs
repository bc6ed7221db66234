//! Splices of UDP relays: lent to those who ask for one, and who of our own friends lends them. And what is done when the
//! network changes under all of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use ahoy_base::PeerId;
use ahoy_net_core::path::relay::Relay;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};

use super::dialling::whole;
use super::streams::{Arrived, arrived};
use super::{Driver, Outgoing};
use crate::identity::{from_libp2p, to_libp2p};
use crate::{NetEvent, RelayRole, addresses, relay};

/// Devices known at once that lend splices; one is enough, a few are to choose from.
const MAX_LENDERS: usize = 32;

/// Connected devices that lend splices.
pub(crate) type Lenders = Arc<Mutex<BTreeSet<PeerId>>>;

impl Driver {
    /// For streams of other protocols.
    pub(crate) fn streams(&self) -> libp2p_stream::Control {
        self.swarm.behaviour().stream.new_control()
    }

    /// Who lends splices.
    pub(crate) fn lenders(&self) -> Lenders {
        self.lenders.clone()
    }

    /// Begins to lend splices if this device is to and can. It never stops by itself: whom it no longer reaches finds out
    /// by silence.
    pub(super) fn offer_splices(&mut self) {
        let public = || self.parts.media.candidates().iter().any(|a| addresses::is_public(a.ip()));
        let wanted = self.role != RelayRole::Off && (self.role.is_asked_for() || public());
        if !wanted || self.asks.is_some() {
            return;
        }
        let now = (self.clock)();
        self.parts.media.port().with_relay(|relay| *relay = Some(Relay::new(now)));
        self.asks = self.swarm.behaviour().stream.new_control().accept(relay::PROTOCOL).ok().map(arrived);
        tracing::info!("relays for others");
    }

    /// A device asks for a splice; the owner of this one decides.
    pub(super) fn on_splice_ask(&self, peer: &libp2p::PeerId, stream: libp2p::swarm::Stream) {
        let Some(peer) = from_libp2p(peer) else { return };
        let (events, media) = (self.parts.events.clone(), self.parts.media.clone());
        tokio::spawn(relay::serve(stream, peer, media, async move |ask| {
            // Nobody listens only while the daemon stops; the asker then gets no answer.
            let _ = events.send(NetEvent::RelayAsked { peer, ask }).await;
        }));
    }

    /// A device lends splices. Only friends and anchors are asked: a stranger would learn that we call somebody.
    pub(super) fn on_lender_found(&mut self, peer: PeerId) {
        let known = self.peers.get(peer).is_some_and(|entry| (entry.wanted || entry.anchor) && !entry.hidden);
        let mut lenders = self.lenders.lock().unwrap_or_else(PoisonError::into_inner);
        if known && lenders.len() < MAX_LENDERS {
            lenders.insert(peer);
        }
    }

    pub(super) fn on_lender_gone(&self, peer: PeerId) {
        self.lenders.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
    }

    /// Dials everybody whom we want to hear from, whatever connections there are: those go once a new one stands. They may
    /// be dead, which they would say after ten seconds.
    pub(super) fn dial_anew(&mut self) {
        let now = (self.clock)();
        let mut dials = Vec::new();
        for (peer, entry) in self.peers.iter_mut().filter(|(_, e)| e.is_kept()) {
            entry.stale = entry.roads.iter().map(|road| road.connection).collect();
            if entry.stale.is_empty() {
                if matches!(entry.outgoing, Outgoing::None) {
                    entry.finding.want(now);
                }
                continue;
            }
            let Some(theirs) = to_libp2p(peer) else { continue };
            let addresses: Vec<_> =
                entry.finding.addresses().map(|address| whole(address.clone(), theirs)).collect();
            if !addresses.is_empty() {
                dials.push(
                    DialOpts::peer_id(theirs).condition(PeerCondition::Always).addresses(addresses).build(),
                );
            }
        }
        for options in dials {
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%error, "not dialled anew");
            }
        }
    }
}

/// The next stream of a protocol that may not be offered.
pub(super) async fn next_of(
    streams: &mut Option<Arrived>,
) -> Option<(libp2p::PeerId, libp2p::swarm::Stream)> {
    match streams {
        Some(streams) => streams.recv().await,
        None => std::future::pending().await,
    }
}
