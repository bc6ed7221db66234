//! Who is at the other end of a loopback connection: other users of this machine are turned away before they can ask.
//!
//! Linux tells in /proc/net/tcp and tcp6 (proc_net_tcp.txt of the kernel's documentation): addresses as hexadecimal
//! words in the machine's byte order, the owner's uid in column 8. A second wall: the first is the token.

use std::net::SocketAddr;

/// Whether the owner of the connection from `peer` to `ours` is known to be somebody else than this user or root.
pub(super) fn is_a_stranger(peer: SocketAddr, ours: SocketAddr) -> bool {
    owner(peer, ours).is_some_and(|uid| uid != 0 && Some(uid) != own_uid())
}

#[cfg(target_os = "linux")]
fn own_uid() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

#[cfg(not(target_os = "linux"))]
fn own_uid() -> Option<u32> {
    None
}

#[cfg(target_os = "linux")]
fn owner(peer: SocketAddr, ours: SocketAddr) -> Option<u32> {
    // A socket of the IPv6 kind may speak IPv4, so both lists are looked through.
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|list| {
        let text = std::fs::read_to_string(list).ok()?;
        owner_in(&text, peer, ours)
    })
}

#[cfg(not(target_os = "linux"))]
fn owner(_peer: SocketAddr, _ours: SocketAddr) -> Option<u32> {
    None
}

/// Finds the owner of the socket whose own address is `peer` and whose other end is `ours`.
#[cfg(any(target_os = "linux", test))]
fn owner_in(list: &str, peer: SocketAddr, ours: SocketAddr) -> Option<u32> {
    list.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let (local, remote) = (columns.nth(1)?, columns.next()?);
        if address(local)? != peer || address(remote)? != ours {
            return None;
        }
        columns.nth(4)?.parse().ok()
    })
}

#[cfg(any(target_os = "linux", test))]
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let bytes = data_encoding::HEXUPPER.decode(ip.as_bytes()).ok()?;
    let words: Vec<u8> = bytes
        .chunks(4)
        .filter_map(|word| <[u8; 4]>::try_from(word).ok())
        .flat_map(|word| u32::from_be_bytes(word).to_ne_bytes())
        .collect();
    if let Ok(four) = <[u8; 4]>::try_from(words.as_slice()) {
        return Some((four, port).into());
    }
    let six = std::net::Ipv6Addr::from(<[u8; 16]>::try_from(words.as_slice()).ok()?);
    Some(six.to_ipv4_mapped().map_or_else(|| (six, port).into(), |four| (four, port).into()))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const LIST: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:1D17 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0\n   \
        1: 0100007F:C350 0100007F:1D17 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0 20 4 30 10 -1\n   \
        2: 0000000000000000FFFF00000100007F:C351 0000000000000000FFFF00000100007F:1D17 01 0:0 00:0 0  1002        0 3\n   \
        3: 00000000000000000000000001000000:C352 00000000000000000000000001000000:1D17 01 0:0 00:0 0  1003        0 4\n";

    #[test]
    fn the_owner_of_the_other_end_is_found() {
        let ours: SocketAddr = "127.0.0.1:7447".parse().unwrap();
        for (peer, ours, uid) in [
            ("127.0.0.1:50000", ours, Some(1_001)),
            ("127.0.0.1:50001", ours, Some(1_002)),
            ("[::1]:50002", "[::1]:7447".parse().unwrap(), Some(1_003)),
            ("127.0.0.1:50003", ours, None),
        ] {
            assert_eq!(owner_in(LIST, peer.parse().unwrap(), ours), uid, "{peer}");
        }
        assert_eq!(owner_in("garbage\nx y z", ours, ours), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_user_is_no_stranger() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(owner(peer, listener.local_addr().unwrap()), own_uid());
        assert!(!is_a_stranger(client.local_addr().unwrap(), listener.local_addr().unwrap()));
    }
}
