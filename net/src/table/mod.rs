//! The distributed table in which devices leave word of where they are, for their contacts alone.
//!
//! It is a swarm of its own with a key that is new at each start: who keeps or looks up a record shows an IP address, and
//! nothing that leads to the device. Names and contents are made by `ahoy_net_core::find`. Everything about it is a hint: an
//! address is believed when the device behind it proves its PeerId.

mod node;
mod shelf;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ahoy_base::PeerId;
use ahoy_net_core::find::Finder;
use futures::StreamExt;
use libp2p::{Multiaddr, StreamProtocol};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::reach::{decode_addresses, encode_addresses};
use crate::signalling::{read_message, write_message};
use crate::swarm::OPEN_TIME;
use crate::{NetConfig, RelayRole};
use node::Node;

/// The stream over which a device says where the table is joined.
const ENTRY: StreamProtocol = StreamProtocol::new("/ahoy/entry/1");
/// Ways into the table that are told and taken at once.
const MAX_ENTRIES: usize = 8;
/// Devices whose question is kept open at once; beyond that it is answered and closed.
const MAX_ASKING: usize = 512;
/// Requests that wait for the node.
const MAX_WAITING: usize = 1_024;

/// What the table has found.
pub(crate) enum TableNews {
    /// Where a device is, or nothing.
    Found(PeerId, Vec<Multiaddr>),
}

/// What the table is asked.
enum Request {
    LookUp(PeerId),
    Befriend(PeerId, bool),
    Invited(PeerId, [u8; 16]),
    Hide(PeerId, bool),
    /// Where this device is reached, best first.
    Listens(Vec<Multiaddr>),
    /// Ways into the table.
    Enter(Vec<Multiaddr>),
}

/// The handle. Without one node of others known, look-ups find nothing at once.
pub(crate) struct Table {
    requests: mpsc::Sender<Request>,
    news: mpsc::Receiver<TableNews>,
    shared: Arc<Shared>,
}

/// What the node tells without being asked.
#[derive(Default)]
struct Shared {
    neighbours: AtomicUsize,
    /// Ways into the table for others.
    entries: Mutex<Vec<Multiaddr>>,
    asking: AtomicUsize,
}

impl Table {
    /// Starts a node of the table.
    ///
    /// # Errors
    /// When its swarm can't be built.
    pub(crate) fn start(config: &NetConfig, media: &[SocketAddr]) -> Result<Table, Error> {
        let (requests, requests_in) = mpsc::channel(MAX_WAITING);
        let (news_in, news) = mpsc::channel(MAX_WAITING);
        let shared = Arc::new(Shared::default());
        let node = Node::new(config, Finder::new(&config.secret), media, Arc::clone(&shared), news_in)?;
        tokio::spawn(node.run(requests_in));
        Ok(Table { requests, news, shared })
    }

    /// Other nodes known.
    pub(crate) fn neighbours(&self) -> usize {
        self.shared.neighbours.load(Ordering::Relaxed)
    }

    /// Looks for a device; always answered with [`TableNews::Found`].
    pub(crate) fn look_up(&self, peer: PeerId) {
        self.ask_node(Request::LookUp(peer));
    }

    /// A record is kept for `peer`, or no longer.
    pub(crate) fn befriend(&self, peer: PeerId, on: bool) {
        self.ask_node(Request::Befriend(peer, on));
    }

    /// `peer`'s card carries this invitation.
    pub(crate) fn invited(&self, peer: PeerId, invite: [u8; 16]) {
        self.ask_node(Request::Invited(peer, invite));
    }

    /// The record for `peer` names relays alone, or all.
    pub(crate) fn hide(&self, peer: PeerId, on: bool) {
        self.ask_node(Request::Hide(peer, on));
    }

    /// Where this device is reached changed.
    pub(crate) fn listens(&self, addresses: &[Multiaddr]) {
        self.ask_node(Request::Listens(addresses.to_vec()));
    }

    /// What it found next. Cancel safe.
    pub(crate) async fn next(&mut self) -> TableNews {
        match self.news.recv().await {
            Some(news) => news,
            // The node is gone only when the daemon stops.
            None => std::future::pending().await,
        }
    }

    /// Answers those who ask over `control` where the table is joined.
    ///
    /// # Errors
    /// When the protocol is registered already.
    pub(crate) fn serve_entry(&self, control: &mut libp2p_stream::Control) -> Result<(), Error> {
        let mut incoming =
            control.accept(ENTRY).map_err(|_| Error::Swarm("the protocol is registered twice".to_owned()))?;
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            while let Some((_, mut stream)) = incoming.next().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let entries = shared.entries.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    if write_message(&mut stream, &encode_addresses(&entries)).await.is_err() {
                        return;
                    }
                    let asking = shared.asking.fetch_add(1, Ordering::Relaxed);
                    if asking < MAX_ASKING {
                        // Held open so that the connection stays; the asker says nothing more.
                        let _ = read_message(&mut stream).await;
                    }
                    shared.asking.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(())
    }

    /// Asks a device where the table is joined, and holds the stream so that the connection stays.
    pub(crate) fn ask(&self, mut control: libp2p_stream::Control, peer: libp2p::PeerId) -> JoinHandle<()> {
        let requests = self.requests.clone();
        tokio::spawn(async move {
            let opened = tokio::time::timeout(OPEN_TIME, control.open_stream(peer, ENTRY)).await;
            let Ok(Ok(mut stream)) = opened else { return };
            while let Ok(Some(message)) = read_message(&mut stream).await {
                if requests.send(Request::Enter(decode_addresses(&message))).await.is_err() {
                    return;
                }
            }
        })
    }

    fn ask_node(&self, request: Request) {
        if self.requests.try_send(request).is_err() {
            tracing::warn!("the distributed table takes no requests; contacts are found in other ways");
        }
    }
}

/// Whether this device keeps records for others.
fn keeps(role: RelayRole, public: bool) -> bool {
    role.is_asked_for() || role != RelayRole::Off && public
}
