//! Lanes that do not come in at our own door: those that wait at a relay's, those over the swarm's connections, and those
//! that wait at ours for somebody who is reachable through us.

use std::time::Duration;

use ahoy_base::PeerId;
use ahoy_net_core::session::PathKind;
use libp2p::swarm::Stream;

use super::{Driver, Ways};
use crate::addresses;
use crate::door::{DoorAddress, Purpose, SPLICE_PROTOCOL, Ticket};
use crate::identity::{from_libp2p, to_libp2p};
use crate::lanes::Accepted;
use crate::reach::{decode_addresses, encode_addresses};
use crate::signalling::{read_message, write_message};

/// How long a device may take to say that it has its ticket.
const RING_TIME: Duration = Duration::from_secs(3);
/// Pauses between the times it is sent: libp2p drops a stream that comes while another waits to be taken, and the four lanes
/// of a call ring at once.
const RING_AGAIN_MS: [u64; 4] = [20, 80, 320, 1_280];

impl Driver {
    /// How a link to `peer` may go without UDP.
    pub(super) fn ways(&self, peer: PeerId) -> Ways {
        let Some(entry) = self.peers.get(peer) else {
            return Ways { doors: Vec::new(), meets: Vec::new(), road: None };
        };
        // Whom our address is hidden from must not see it at its own door either.
        let straight = entry.finding.addresses().filter(|a| !entry.hidden && !addresses::is_relayed(a));
        let relayed = entry.finding.addresses().filter(|a| addresses::is_relayed(a));
        let control = self.swarm.behaviour().stream.new_control();
        let road = entry.road().filter(|road| road.relayed || !entry.hidden);
        Ways {
            doors: DoorAddress::all(straight),
            meets: DoorAddress::all(relayed),
            road: road.map(|road| (control, road.remote, kind_of(road.relayed))),
        }
    }

    /// A device opened a lane over its connection with us.
    pub(super) fn on_lane(&mut self, peer: &libp2p::PeerId, stream: Stream) {
        let Some(peer) = from_libp2p(peer) else { return };
        let road = self.peers.get(peer).and_then(|entry| entry.road().filter(|r| r.relayed || !entry.hidden));
        if let Some(road) = road {
            let lane = Accepted::Swarm(peer, stream, road.remote, kind_of(road.relayed));
            // Full: the lane closes and its device tries again.
            let _ = self.parts.accepted.try_send(lane);
        }
    }

    /// A relay has a lane for us at its door; we come and fetch it, if we hold a reservation there and expect a call.
    pub(super) fn on_ticket(&mut self, relay: &libp2p::PeerId, mut stream: Stream) {
        let Some(relay) = from_libp2p(relay).filter(|relay| self.relays.holds(*relay)) else { return };
        if !self.parts.media.expects_any() {
            return;
        }
        let known = self.peers.get(relay).map(|entry| DoorAddress::all(entry.finding.addresses()));
        let (door, accepted) = (self.parts.door.clone(), self.parts.accepted.clone());
        tokio::spawn(async move {
            let Ok(Some(message)) = read_message(&mut stream).await else { return };
            let Some((ticket, doors)) = message.split_first_chunk::<16>() else { return };
            // The relay rings again until it reads this.
            let _ = write_message(&mut stream, &[]).await;
            let told = decode_addresses(doors);
            let doors = known.unwrap_or_default().into_iter().chain(DoorAddress::all(told.iter()));
            for at in doors {
                match door.dial(&at, &Purpose::Join(*ticket)).await {
                    Ok((stream, remote)) => {
                        // The other end of it proves who it is, or is closed.
                        let _ = accepted.send(Accepted::Joined(stream, remote)).await;
                        return;
                    }
                    Err(error) => tracing::debug!(%error, "a relay's door does not open"),
                }
            }
        });
    }

    /// Sends a device that is reachable through us the ticket of a lane that waits.
    pub(super) fn ring(&mut self, peer: PeerId, ticket: Ticket) {
        let Some(theirs) = to_libp2p(peer) else { return };
        let doors: Vec<_> = self.listening.iter().filter(|a| DoorAddress::of(a).is_some()).cloned().collect();
        let mut control = self.swarm.behaviour().stream.new_control();
        tokio::spawn(async move {
            let message = [&ticket[..], &encode_addresses(&doors)].concat();
            for pause in RING_AGAIN_MS.map(Duration::from_millis) {
                let rung = async {
                    let mut stream =
                        control.open_stream(theirs, SPLICE_PROTOCOL).await.map_err(std::io::Error::other)?;
                    write_message(&mut stream, &message).await?;
                    read_message(&mut stream).await
                };
                match tokio::time::timeout(RING_TIME, rung).await {
                    Ok(Ok(Some(_))) => return,
                    Ok(end) => tracing::debug!(?end, "a device does not take its ticket"),
                    Err(_) => tracing::debug!("a device says nothing to its ticket"),
                }
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// A device is reachable through us from now on, or no longer.
    pub(super) fn carry_for(&mut self, peer: &libp2p::PeerId, on: bool) {
        if let Some(peer) = from_libp2p(peer) {
            self.parts.splices.reachable(peer, on);
        }
    }
}

fn kind_of(relayed: bool) -> PathKind {
    if relayed { PathKind::Circuit } else { PathKind::Tcp }
}
