//! The streams of each device: ours to speak, its to hear, and one that asks where the table is joined.

use std::time::Duration;

use ahoy_base::PeerId;
use futures::StreamExt;
use libp2p::swarm::Stream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Driver, Outgoing, PROTOCOL};
use crate::NetEvent;
use crate::identity::{from_libp2p, to_libp2p};
use crate::signalling::{self, MAX_WAITING};

/// How long opening a stream may take. On a connection that closes meanwhile libp2p may never give an answer.
pub(crate) const OPEN_TIME: Duration = Duration::from_secs(5);

/// What tasks around streams tell the swarm task.
pub(super) enum StreamNews {
    Opened(PeerId, Stream),
    Failed(PeerId, String),
    Closed(PeerId),
}

/// Streams of one protocol that others opened and the swarm's task has not looked at yet.
pub(super) type Arrived = mpsc::Receiver<(libp2p::PeerId, Stream)>;

/// Lets streams wait for the swarm's task: libp2p itself keeps one and drops the rest.
pub(super) fn arrived(mut streams: libp2p_stream::IncomingStreams) -> Arrived {
    let (queue, arrived) = mpsc::channel(MAX_WAITING);
    tokio::spawn(async move {
        while let Some(stream) = streams.next().await {
            if queue.send(stream).await.is_err() {
                return;
            }
        }
    });
    arrived
}

impl Driver {
    /// The device opened its stream to us; from now on it is heard. Ours is opened for those we want to speak with alone:
    /// a stranger gets no sign that anybody listens.
    pub(super) fn on_incoming(&mut self, peer: &libp2p::PeerId, mut stream: Stream) {
        let Some(peer) = from_libp2p(peer) else { return };
        let events = self.parts.events.clone();
        let reader = tokio::spawn(async move {
            loop {
                match signalling::read_message(&mut stream).await {
                    Ok(Some(bytes)) => {
                        if events.send(NetEvent::Signal { peer, bytes }).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::debug!(?peer, %error, "a signalling stream ends");
                        return;
                    }
                }
            }
        });
        match self.peers.entry(peer) {
            Some(entry) => {
                // A device that opens a second stream has given up the first.
                if let Some(old) = entry.reader.replace(reader) {
                    old.abort();
                }
                if entry.wanted || entry.nearby {
                    self.open_stream(peer);
                }
            }
            None => reader.abort(),
        }
    }

    pub(super) fn open_stream(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let (Outgoing::None, Some(target)) = (&entry.outgoing, to_libp2p(peer)) else { return };
        entry.outgoing = Outgoing::Opening;
        let mut control = self.swarm.behaviour().stream.new_control();
        let news = self.news_out.clone();
        tokio::spawn(async move {
            let result = match timeout(OPEN_TIME, control.open_stream(target, PROTOCOL)).await {
                Ok(Ok(stream)) => StreamNews::Opened(peer, stream),
                Ok(Err(error)) => StreamNews::Failed(peer, error.to_string()),
                Err(_) => StreamNews::Failed(peer, "no answer".to_owned()),
            };
            // The task is gone only when the daemon stops.
            let _ = news.send(result).await;
        });
    }

    pub(super) async fn on_stream(&mut self, news: StreamNews) {
        let now = (self.clock)();
        match news {
            StreamNews::Opened(peer, stream) => {
                let (outlet, messages) = mpsc::channel(MAX_WAITING);
                self.outlets().insert(peer, outlet);
                if let Some(entry) = self.peers.get_mut(peer) {
                    entry.outgoing = Outgoing::Open;
                    entry.finding.found();
                }
                let news = self.news_out.clone();
                tokio::spawn(async move {
                    signalling::write_all(stream, messages).await;
                    let _ = news.send(StreamNews::Closed(peer)).await;
                });
                self.tell(NetEvent::PeerUp { peer }).await;
                self.announce(peer).await;
            }
            StreamNews::Failed(peer, why) => {
                if let Some(entry) = self.peers.get_mut(peer) {
                    entry.outgoing = Outgoing::None;
                    entry.why = why;
                    // A connection without our protocol leads nowhere; it is tried again in a round like everybody else.
                    if entry.wanted || entry.nearby {
                        entry.finding.want_later(now);
                    }
                }
            }
            StreamNews::Closed(peer) => {
                self.outlets().remove(&peer);
                if let Some(entry) = self.peers.get_mut(peer) {
                    entry.outgoing = Outgoing::None;
                    if entry.wanted || entry.nearby {
                        self.seek(now, peer);
                    }
                }
                self.tell(NetEvent::PeerDown { peer }).await;
            }
        }
    }

    /// Asks a device where the table is joined, and holds the stream so that the connection stays.
    pub(super) fn ask_for_entry(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        if entry.entry.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Some(target) = to_libp2p(peer) else { return };
        let control = self.swarm.behaviour().stream.new_control();
        entry.entry = Some(self.parts.table.ask(control, target));
    }
}
