//! Asks others whether they reach us (AutoNAT v2), for little: a question costs 30 to 100 kB each, sent to prove that it
//! is no attack on somebody else, and a narrow link is busy with that for a second.

use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId, autonat};

use crate::addresses;
use crate::quic_endpoint::Media;

/// AutoNAT's client, which asks about addresses on the internet alone, and about none while there is a call.
pub(super) struct Reachability {
    autonat: autonat::v2::client::Behaviour,
    media: Media,
}

impl Reachability {
    /// `media` knows of calls.
    pub(super) fn new(media: Media) -> Reachability {
        Reachability { autonat: autonat::v2::client::Behaviour::default(), media }
    }
}

impl NetworkBehaviour for Reachability {
    type ConnectionHandler = THandler<autonat::v2::client::Behaviour>;
    type ToSwarm = autonat::v2::client::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.autonat.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.autonat.handle_established_outbound_connection(id, peer, remote, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // The answer for others would say nothing: nobody beyond this network gets there.
        let asks =
            !matches!(&event, FromSwarm::NewExternalAddrCandidate(new) if !addresses::is_global(new.addr));
        if asks {
            self.autonat.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.autonat.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // The swarm's task looks again at each tick.
        if self.media.expects_any() { Poll::Pending } else { self.autonat.poll(cx) }
    }
}
