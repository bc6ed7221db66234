//! A session that is told nonsense by its peer: handshake messages, hellos and datagrams in any order.
#![no_main]

use std::net::SocketAddr;

use ahoy_base::{LinkId, Moment, PeerId};
use ahoy_net_core::session::{
    Exposure,    Input, LinkSide, LocalIdentity, NewLink, Output, PathKind, Role, Session, SessionConfig,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let identity = LocalIdentity { peer: PeerId::from_public_key([1; 32]), signing_key: [2; 32], noise_static: [3; 32] };
    let config = SessionConfig {
        call: ahoy_base::CallId::from_bytes([4; 16]),
        role: if bytes.first().is_some_and(|b| b & 1 == 1) { Role::Initiator } else { Role::Responder },
        local: identity,
        remote: PeerId::from_public_key([5; 32]),
        seed: [6; 32],
        candidates: Vec::new(),
        exposure: Exposure::Straight,
    };
    let mut now = Moment::from_millis(1);
    let mut session = Session::new(now, config);
    let link = LinkId::new(7);
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let (kind, side, route) = (PathKind::Direct, LinkSide::Dialer, remote);
    let new = NewLink { link, kind, side, remote, route, exporter: [8; 32], max_datagram: 1_200 };
    session.handle(now, Input::LinkUp(new));
    for piece in bytes.chunks(64) {
        now = now + std::time::Duration::from_millis(50);
        match piece.first().map(|b| b >> 6) {
            Some(0) => session.handle(now, Input::Handshake(piece)),
            Some(1) => session.handle(now, Input::LinkHello { link, bytes: piece }),
            Some(2) => session.handle(now, Input::Datagram { link, bytes: piece }),
            Some(3) if piece.len() == 64 => session.handle(now, Input::Packet { from: remote, bytes: piece }),
            _ => session.handle(now, Input::Wake),
        }
        while !matches!(session.poll(), Output::Wake { .. }) {}
    }
});
