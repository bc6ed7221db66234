//! What the NAT before us does to ports, told by who sees us where (RFC 4787, 4.1). Pure.
//!
//! Two observers that see the same socket of ours at the same time: at one address and port, the mapping does not depend on
//! whom we talk to; at two, it does. Whether that is their address or their port as well can't be told from outside and makes
//! no difference to what a hole is good for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ahoy_base::Moment;

use crate::session::AddressKind;

/// How a NAT maps ports of ours, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mapping {
    /// Fewer than two observers, or none.
    #[default]
    Unknown,
    /// We are seen at our own address: there is no NAT.
    Own,
    /// The same for everybody.
    EndpointIndependent,
    /// Another one for each address, or address and port, that we talk to ("symmetric").
    AddressDependent,
}

/// Observations that are compared; a call has a handful.
const MAX_SEEN: usize = 16;
/// Two observations are of the same mapping if they are no further apart: NATs keep one of UDP for 30 s and more.
const TOGETHER: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Moment,
    by: SocketAddr,
    address: SocketAddr,
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct Observed {
    seen: VecDeque<Seen>,
    mapping: Mapping,
}

impl Observed {
    /// What is known.
    pub fn mapping(&self) -> Mapping {
        self.mapping
    }

    /// After a change of network all is open again.
    pub fn forget(&mut self) {
        *self = Observed::default();
    }

    /// `by` sees our media port at `address`. `own`: the addresses that the machine knows of itself.
    ///
    /// IPv4 alone, and observers of the internet alone: IPv6 has no NAT worth the name, and neighbours are on our side of it.
    pub fn note(&mut self, now: Moment, by: SocketAddr, address: SocketAddr, own: &[SocketAddr]) {
        let far = |a: SocketAddr| AddressKind::of(a.ip()) == AddressKind::Ipv4;
        if !far(by) {
            return;
        }
        if own.contains(&address) {
            self.mapping = Mapping::Own;
            return;
        }
        if !far(address) {
            return;
        }
        self.seen.retain(|seen| now.since(seen.at) <= TOGETHER && seen.by.ip() != by.ip());
        let mut others = self.seen.iter().peekable();
        if others.peek().is_some() {
            let same = others.all(|seen| seen.address == address);
            self.mapping = if same { Mapping::EndpointIndependent } else { Mapping::AddressDependent };
        }
        if self.seen.len() == MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen { at: now, by, address });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const OWN: &str = "192.168.1.2:4000";

    #[test]
    fn what_two_observers_see_tells_the_kind_of_nat() {
        use Mapping::{AddressDependent, EndpointIndependent, Own, Unknown};
        // (second, observer, where it sees us)
        let (one, two) = ((0, "8.8.8.8:1", "9.9.9.9:5000"), (1, "8.8.4.4:1", "9.9.9.9:5000"));
        for (what, seen, expected) in [
            ("nobody", &[][..], Unknown),
            ("one observer", &[one], Unknown),
            ("two who agree", &[one, two], EndpointIndependent),
            ("another port", &[one, (1, "8.8.4.4:1", "9.9.9.9:5001")], AddressDependent),
            ("another address of a pool", &[one, (1, "8.8.4.4:1", "9.9.9.8:5000")], AddressDependent),
            ("the same observer again", &[one, (1, "8.8.8.8:2", "9.9.9.9:5001")], Unknown),
            ("one of them is a neighbour", &[one, (1, "192.168.1.3:1", "192.168.1.2:4000")], Unknown),
            ("a neighbour's lie", &[one, (1, "192.168.1.3:1", "9.9.9.9:1")], Unknown),
            ("an observer that sees nonsense", &[one, (1, "8.8.4.4:1", "10.1.1.1:4")], Unknown),
            ("IPv6", &[one, (1, "[2001:db8::1]:1", "[2001:db8::2]:4000")], Unknown),
            ("too far apart to be one mapping", &[one, (31, "8.8.4.4:1", "9.9.9.9:5001")], Unknown),
            ("two of three agree", &[one, two, (2, "8.8.1.1:1", "9.9.9.9:5002")], AddressDependent),
            ("what was known stays", &[one, two, (90, "8.8.1.1:1", "9.9.9.9:7000")], EndpointIndependent),
            ("no NAT", &[(0, "8.8.8.8:1", OWN)], Own),
        ] {
            let mut observed = Observed::default();
            for (secs, by, address) in seen {
                let at = Moment::from_millis(secs * 1_000);
                observed.note(at, by.parse().unwrap(), address.parse().unwrap(), &[OWN.parse().unwrap()]);
            }
            assert_eq!(observed.mapping(), expected, "{what}");
            observed.forget();
            assert_eq!(observed.mapping(), Unknown);
        }
    }

    #[test]
    fn a_thousand_observers_are_no_more_than_a_handful() {
        let mut observed = Observed::default();
        for n in 0..1_000u32 {
            let by = SocketAddr::from((std::net::Ipv4Addr::from(0x0808_0000 + n), 1));
            observed.note(Moment::from_millis(1), by, "9.9.9.9:5000".parse().unwrap(), &[]);
        }
        assert_eq!(observed.seen.len(), MAX_SEEN);
        assert_eq!(observed.mapping(), Mapping::EndpointIndependent);
    }
}
