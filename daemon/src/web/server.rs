//! Listens on this machine's loopback addresses and hands each connection to the router, within bounds.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::neighbour;
use super::protocol::UiError;
use super::state::Limits;
use crate::config::DEFAULT_PORT;

/// Ports tried after the wanted one before any free one is taken.
const NEXT_PORTS: u16 = 20;
/// Longest head of a request: browsers send 1 to 2 kB to us.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after a failed accept (no file descriptors left), so that it does not turn into a busy loop.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A port that listens, not yet served.
#[derive(Debug)]
pub(crate) struct Bound {
    listeners: Vec<TcpListener>,
    /// The port.
    pub(crate) port: u16,
}

/// Takes a port on 127.0.0.1 and `[::1]`, on no other address. `wanted` first (0: any), or, if it is the default, the one
/// of last time: installed pages belong to a port. A port that somebody else has on one of the two addresses is not
/// taken on the other: `localhost` must be us alone.
///
/// # Errors
/// When no port can be taken at all.
pub(crate) async fn bind(wanted: u16, last_time: Option<u16>) -> Result<Bound, UiError> {
    let last_time = last_time.filter(|_| wanted == DEFAULT_PORT);
    let next = (wanted > 0).then(|| wanted..=wanted.saturating_add(NEXT_PORTS));
    let mut failure = None;
    for port in last_time.into_iter().chain(next.into_iter().flatten()).chain([0]) {
        match bind_both(port).await {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = Some(error),
        }
    }
    let why = failure.map_or_else(String::new, |error| format!(" ({error})"));
    Err(UiError::new(
        format!("No port of this computer can be used for the page{why}."),
        "Calls and all commands work without it.",
        "See `ahoy doctor`; a firewall or another program may hold all ports.",
    ))
}

async fn bind_both(port: u16) -> io::Result<Bound> {
    let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = four.local_addr()?.port();
    let listeners = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(six) => vec![four, six],
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
        // This machine has no IPv6; then nobody else can be there either.
        Err(_) => vec![four],
    };
    Ok(Bound { listeners, port })
}

/// Serves until dropped. Each connection gets `router`; there are never more than `limits.connections`.
pub(crate) async fn serve(bound: Bound, router: Router, limits: Limits) {
    let seats = Arc::new(Semaphore::new(limits.connections));
    let mut doors = JoinSet::new();
    for listener in bound.listeners {
        doors.spawn(accept(listener, router.clone(), limits, seats.clone()));
    }
    while doors.join_next().await.is_some() {}
}

async fn accept(listener: TcpListener, router: Router, limits: Limits, seats: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the page's port takes no connection just now");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        if stranger(peer, stream.local_addr()) {
            tracing::warn!("another user of this computer tried to open the page, and was turned away");
            continue;
        }
        // Full: the newest is closed at once, which a browser shows as "try again".
        let Ok(seat) = seats.clone().try_acquire_owned() else { continue };
        // Sound does not pass here, but clicks do: no waiting for more.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        connections.spawn(async move {
            serve_connection(stream, router, limits).await;
            drop(seat);
        });
    }
}

fn stranger(peer: SocketAddr, ours: io::Result<SocketAddr>) -> bool {
    ours.is_ok_and(|ours| neighbour::is_a_stranger(peer, ours))
}

/// Speaks HTTP/1.1 on one connection until it ends; a head that dawdles ends it.
pub(crate) async fn serve_connection<S>(stream: S, router: Router, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a local connection ended early");
    }
}
