//! The door as a transport of libp2p: signalling where nothing but the web gets through.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, Ready, ready};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::core::upgrade::Version;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport, identity};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::{Door, DoorAddress, Purpose, Stream};
use crate::addresses;

/// Connections and news that wait for the swarm.
const MAX_WAITING: usize = 64;

/// See the module's first line.
pub(crate) struct DoorTransport {
    door: Door,
    listeners: HashMap<ListenerId, JoinHandle<()>>,
    news_out: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

enum News {
    Address(ListenerId, Multiaddr),
    Incoming { listener: ListenerId, stream: Stream, local: SocketAddr, remote: SocketAddr },
    Failed(ListenerId, io::Error),
}

impl DoorTransport {
    pub(crate) fn new(door: Door) -> DoorTransport {
        let (news_out, news) = mpsc::channel(MAX_WAITING);
        DoorTransport { door, listeners: HashMap::new(), news_out, news }
    }

    /// With TLS of the devices and yamux on top, as libp2p wants connections.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub(crate) fn secured(
        self,
        key: &identity::Keypair,
    ) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Box<dyn std::error::Error + Send + Sync>> {
        let tls = libp2p::tls::Config::new(key)?;
        Ok(self
            .upgrade(Version::V1Lazy)
            .authenticate(tls)
            .multiplex(libp2p::yamux::Config::default())
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed())
    }
}

impl Transport for DoorTransport {
    type Output = Compat<Stream>;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Self::Output>>;
    type Dial = BoxFuture<'static, io::Result<Self::Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        let door = DoorAddress::of(&address).filter(|_| !addresses::is_relayed(&address));
        let Some((ip, port)) = door.and_then(|d| Some((d.host.parse::<IpAddr>().ok()?, d.port))) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let listener = bind(SocketAddr::new(ip, port)).map_err(TransportError::Other)?;
        let local = listener.local_addr().map_err(TransportError::Other)?;
        let (swarm, mut accepted) = mpsc::channel(MAX_WAITING);
        let (door, news) = (self.door.clone(), self.news_out.clone());
        let task = tokio::spawn(async move {
            for ip in listened_at(local.ip()) {
                if news.send(News::Address(id, multiaddr(SocketAddr::new(ip, local.port())))).await.is_err() {
                    return;
                }
            }
            let listen = door.listen(listener, swarm);
            let hand_on = async {
                while let Some((stream, remote, local)) = accepted.recv().await {
                    let incoming = News::Incoming { listener: id, stream, local, remote };
                    if news.send(incoming).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = listen => {}
                () = hand_on => {}
            }
            let _ = news.send(News::Failed(id, io::ErrorKind::ConnectionAborted.into())).await;
        });
        self.listeners.insert(id, task);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listeners.remove(&id).is_some_and(|task| {
            task.abort();
            true
        })
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(at) = DoorAddress::of(&address).filter(|_| !addresses::is_relayed(&address)) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let door = self.door.clone();
        Ok(async move { Ok(door.dial(&at, &Purpose::Swarm).await?.0.compat()) }.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        loop {
            let Poll::Ready(Some(news)) = self.news.poll_recv(context) else { return Poll::Pending };
            return Poll::Ready(match news {
                News::Address(listener_id, listen_addr) => {
                    TransportEvent::NewAddress { listener_id, listen_addr }
                }
                News::Incoming { listener, .. } if !self.listeners.contains_key(&listener) => continue,
                News::Incoming { listener, stream, local, remote } => TransportEvent::Incoming {
                    listener_id: listener,
                    upgrade: ready(Ok(stream.compat())),
                    local_addr: multiaddr(local),
                    send_back_addr: multiaddr(remote),
                },
                News::Failed(listener_id, error) => TransportEvent::ListenerError { listener_id, error },
            });
        }
    }
}

impl Drop for DoorTransport {
    fn drop(&mut self) {
        self.listeners.values().for_each(JoinHandle::abort);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // Two sockets, one a family: addresses then always mean what they say.
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

fn listened_at(ip: IpAddr) -> Vec<IpAddr> {
    if !ip.is_unspecified() {
        return vec![ip];
    }
    addresses::of_this_machine().into_iter().filter(|other| other.is_ipv4() == ip.is_ipv4()).collect()
}

fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip())
        .with(Protocol::Tcp(address.port()))
        .with(Protocol::Tls)
        .with(Protocol::Ws("/".into()))
}
