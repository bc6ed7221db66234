//! What can be wrong between this device and the others, as data: each way a network can be broken, its words and its mend.

use ahoy_net_core::mapping::{Protocol, Standing};
use ahoy_net_core::path::nat;

use crate::end::{EndReason, Failure};
use crate::words::Words;

/// What this device knows of its network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Network {
    /// Addresses that listen, beyond this computer's own.
    pub addresses: usize,
    /// Whether UDP passes: some connection uses it, or only others stand. `None`: nothing to tell from.
    pub udp: Option<bool>,
    /// Somebody found that it is reached from the internet without a relay.
    pub straight: bool,
    /// Relays it is reached through, and that it knows.
    pub relays: (usize, usize),
    /// Bootstraps it is connected with, and that it was told.
    pub bootstraps: (usize, usize),
    /// Nodes of the distributed table that it knows.
    pub table: usize,
    /// What the proxy did at the last try; `None`: what it should, or there is none.
    pub proxy: Option<ProxyFault>,
    /// What is known of the router that could pass calls on.
    pub mapping: Standing,
    /// How a NAT maps ports, as those tell who saw this device.
    pub nat: nat::Mapping,
}

/// What a proxy did instead of opening a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyFault {
    /// Nobody is there.
    Unreachable,
    /// It wants a name and a password, or others.
    Authentication,
    /// It refuses with this HTTP status.
    Refused(u16),
    /// It speaks no HTTP.
    Garbled,
}

/// One way a network can be broken, in the order in which they are mended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No network at all.
    NoAddress,
    /// The proxy opens no tunnels.
    Proxy(ProxyFault),
    /// No bootstrap answers.
    NoBootstrap,
    /// UDP does not pass.
    UdpBlocked,
    /// Nobody reaches it straight, and relays that are known do not take it.
    RelaysRefuse,
    /// Nobody reaches it straight, and no relay is known.
    NoRelay,
}

/// Something worth knowing of the network that keeps nobody from calling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    /// The router passes calls on, asked by this protocol.
    RouterMaps(Protocol),
    /// It would, but stands behind another one.
    RouterBehindAnother,
    /// It does not.
    RouterRefuses,
    /// There is no NAT.
    NoNat,
    /// Everybody sees one port.
    OnePortForAll,
    /// Each sees another.
    PortForEach,
}

/// Whether a call can be had at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    /// Calls work, but less well or with fewer people.
    Weak,
    /// Calls to other computers do not work.
    Broken,
}

impl Network {
    /// What on this side explains that a call ended for `reason`.
    pub fn fault_behind(&self, reason: &EndReason) -> Option<Fault> {
        let first = self.faults().first().copied();
        match reason {
            EndReason::Failed(Failure::NoPath) => first,
            // Somebody who is not there is mostly just not there.
            EndReason::Offline => first.filter(|fault| match fault {
                Fault::NoAddress | Fault::Proxy(_) | Fault::NoBootstrap => true,
                Fault::UdpBlocked | Fault::RelaysRefuse | Fault::NoRelay => false,
            }),
            EndReason::HangupLocal
            | EndReason::HangupRemote
            | EndReason::Declined(_)
            | EndReason::Busy
            | EndReason::Cancelled
            | EndReason::Timeout
            | EndReason::Elsewhere
            | EndReason::Failed(Failure::Identity | Failure::Remote)
            | EndReason::Replaced { .. }
            | EndReason::Crashed
            | EndReason::Lost => None,
        }
    }

    /// Everything that is wrong, the first to mend first.
    pub fn faults(&self) -> Vec<Fault> {
        if self.addresses == 0 {
            // Everything else follows from it.
            return vec![Fault::NoAddress];
        }
        let mut faults = Vec::new();
        faults.extend(self.proxy.map(Fault::Proxy));
        if self.bootstraps.1 > 0 && self.bootstraps.0 == 0 {
            faults.push(Fault::NoBootstrap);
        }
        if self.udp == Some(false) {
            faults.push(Fault::UdpBlocked);
        }
        let straight = self.straight || matches!(self.mapping, Standing::Maps(_));
        match (straight, self.relays) {
            (true, _) | (false, (1.., _)) => {}
            (false, (0, 1..)) => faults.push(Fault::RelaysRefuse),
            (false, (0, 0)) => faults.push(Fault::NoRelay),
        }
        faults
    }

    /// What is worth knowing beside what is wrong.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        match self.mapping {
            Standing::Maps(protocol) => facts.push(Fact::RouterMaps(protocol)),
            // Who is reached anyway needs no router's help.
            _ if self.straight => {}
            Standing::BehindAnother => facts.push(Fact::RouterBehindAnother),
            Standing::Refuses => facts.push(Fact::RouterRefuses),
            Standing::Off | Standing::NoGateway | Standing::Asking => {}
        }
        match self.nat {
            nat::Mapping::Unknown => {}
            nat::Mapping::Own => facts.push(Fact::NoNat),
            nat::Mapping::EndpointIndependent => facts.push(Fact::OnePortForAll),
            nat::Mapping::AddressDependent => facts.push(Fact::PortForEach),
        }
        facts
    }
}

impl Fact {
    /// A stable word, for programs: what it is about.
    pub const fn code(self) -> &'static str {
        match self {
            Fact::RouterMaps(_) | Fact::RouterBehindAnother | Fact::RouterRefuses => "router",
            Fact::NoNat | Fact::OnePortForAll | Fact::PortForEach => "nat",
        }
    }

    /// What it is about, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Fact::RouterMaps(_) | Fact::RouterBehindAnother | Fact::RouterRefuses => "Router",
            Fact::NoNat | Fact::OnePortForAll | Fact::PortForEach => "Way out",
        }
    }

    /// What is so and what it means for calls; what would be better, if something would.
    pub fn words(self) -> (String, Option<&'static str>) {
        match self {
            Fact::RouterMaps(protocol) => {
                (format!("It passes calls on to this computer (asked by {}).", protocol.name()), None)
            }
            Fact::RouterBehindAnother => (
                "It would pass calls on, but stands behind another router. Most calls are direct all the same."
                    .to_owned(),
                Some(
                    "Nothing must be done. For more direct calls let the outer router pass everything on (bridge mode), or ask your \
                     provider for a public address.",
                ),
            ),
            Fact::RouterRefuses => (
                "It passes no calls on by itself. Most calls are direct all the same.".to_owned(),
                Some(
                    "Nothing must be done. For more direct calls switch on PCP, NAT-PMP or UPnP in the router's settings.",
                ),
            ),
            Fact::NoNat => (
                "Others see this computer at its own address: nothing stands between it and the internet that keeps calls from being direct."
                    .to_owned(),
                None,
            ),
            Fact::OnePortForAll => (
                "Everybody sees this computer at the same port (endpoint-independent mapping, RFC 4787): calls are direct, except with some \
                 people whose router gives each conversation a port of its own."
                    .to_owned(),
                None,
            ),
            Fact::PortForEach => (
                "The router gives each conversation a port of its own (address-dependent mapping, “symmetric NAT”): with people whose router \
                 does the same, or lets in only whom they have written to, calls go through a relay."
                    .to_owned(),
                Some(
                    "Nothing must be done if calls connect. For direct calls switch on PCP, NAT-PMP or UPnP in the router, or use another network: \
                     mobile networks and offices often have such routers.",
                ),
            ),
        }
    }
}

impl Fault {
    /// A stable word, for the trace and for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Fault::NoAddress => "no_address",
            Fault::Proxy(ProxyFault::Unreachable) => "proxy_unreachable",
            Fault::Proxy(ProxyFault::Authentication) => "proxy_authentication",
            Fault::Proxy(ProxyFault::Refused(_)) => "proxy_refused",
            Fault::Proxy(ProxyFault::Garbled) => "proxy_garbled",
            Fault::NoBootstrap => "no_bootstrap",
            Fault::UdpBlocked => "udp_blocked",
            Fault::RelaysRefuse => "relays_refuse",
            Fault::NoRelay => "no_relay",
        }
    }

    /// What it means for calls.
    pub const fn weight(self) -> Weight {
        match self {
            Fault::NoAddress => Weight::Broken,
            Fault::Proxy(_)
            | Fault::NoBootstrap
            | Fault::UdpBlocked
            | Fault::RelaysRefuse
            | Fault::NoRelay => Weight::Weak,
        }
    }

    /// What happened, what still works, what to do.
    pub fn words(self) -> Words {
        let (what, works, todo) = match self {
            Fault::NoAddress => (
                "This computer has no network".to_owned(),
                "Only Echo can be called.",
                "Plug in the cable or join a Wi-Fi; Ahoy notices by itself.",
            ),
            Fault::Proxy(ProxyFault::Unreachable) => (
                "The proxy can't be reached".to_owned(),
                "People on this network can be called.",
                "Check --proxy (or HTTPS_PROXY), and whether the proxy runs.",
            ),
            Fault::Proxy(ProxyFault::Authentication) => (
                "The proxy wants a name and a password".to_owned(),
                "People on this network can be called.",
                "Give them with --proxy http://NAME:PASSWORD@HOST:PORT; Ahoy knows Basic authentication alone.",
            ),
            Fault::Proxy(ProxyFault::Refused(status)) => (
                format!("The proxy refuses connections (status {status})"),
                "People on this network can be called.",
                "Ask whoever runs it to allow CONNECT to your relay's port, or use a relay that listens on 443.",
            ),
            Fault::Proxy(ProxyFault::Garbled) => (
                "What answers as the proxy speaks no HTTP".to_owned(),
                "People on this network can be called.",
                "Check the address and port of --proxy (or HTTPS_PROXY).",
            ),
            Fault::NoBootstrap => (
                "None of the computers given with --bootstrap answers".to_owned(),
                "Contacts are found by their last addresses and on this network.",
                "Check their addresses, and whether Ahoy runs there.",
            ),
            Fault::UdpBlocked => (
                "This network lets no UDP through".to_owned(),
                "Calls go over TCP, with a little more delay.",
                "Let Ahoy use UDP in the firewall, if it is yours.",
            ),
            Fault::RelaysRefuse => (
                "The relays that are known do not take this computer".to_owned(),
                "Whoever you call can still be reached; people behind other routers can't ring you.",
                "Their list may be full, or you are no contact of theirs: ask whoever runs one to add your card.",
            ),
            Fault::NoRelay => (
                "Nobody is known who could pass calls on to this computer".to_owned(),
                "Calls on this network, and to people who can be reached straight, work.",
                "Run Ahoy with --relay contacts on a computer with a public address, or add a contact who does.",
            ),
        };
        Words { what, works: works.to_owned(), todo: todo.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing to complain of.
    const GOOD: Network = Network {
        addresses: 2,
        udp: Some(true),
        straight: true,
        relays: (0, 0),
        bootstraps: (1, 2),
        table: 5,
        proxy: None,
        mapping: Standing::Off,
        nat: nat::Mapping::Unknown,
    };

    #[test]
    fn a_call_that_failed_is_explained_by_this_side_only_where_it_can_be() {
        let no_path = EndReason::Failed(Failure::NoPath);
        let alone = Network { straight: false, ..GOOD };
        assert_eq!(alone.fault_behind(&no_path), Some(Fault::NoRelay));
        assert_eq!(alone.fault_behind(&EndReason::Offline), None);
        let cut_off = Network { addresses: 0, ..GOOD };
        assert_eq!(cut_off.fault_behind(&EndReason::Offline), Some(Fault::NoAddress));
        assert_eq!(cut_off.fault_behind(&EndReason::Declined(None)), None);
        assert_eq!(GOOD.fault_behind(&no_path), None);
    }

    #[test]
    fn a_router_is_spoken_of_where_it_matters() {
        let hidden = Network { straight: false, relays: (0, 0), ..GOOD };
        for (mapping, straight, facts, faults) in [
            (Standing::Off, false, &[][..], &["no_relay"][..]),
            (Standing::Asking, false, &[], &["no_relay"]),
            (Standing::NoGateway, false, &[], &["no_relay"]),
            (Standing::Refuses, false, &[Fact::RouterRefuses], &["no_relay"]),
            (Standing::Refuses, true, &[], &[]),
            (Standing::BehindAnother, false, &[Fact::RouterBehindAnother], &["no_relay"]),
            (Standing::Maps(Protocol::Upnp), false, &[Fact::RouterMaps(Protocol::Upnp)], &[]),
            (Standing::Maps(Protocol::Pcp), true, &[Fact::RouterMaps(Protocol::Pcp)], &[]),
        ] {
            let network = Network { mapping, straight, ..hidden };
            assert_eq!(network.facts(), facts, "{network:?}");
            assert_eq!(network.faults().iter().map(|f| f.code()).collect::<Vec<_>>(), faults, "{network:?}");
        }
        for (nat, fact) in [
            (nat::Mapping::Own, Fact::NoNat),
            (nat::Mapping::EndpointIndependent, Fact::OnePortForAll),
            (nat::Mapping::AddressDependent, Fact::PortForEach),
        ] {
            assert_eq!(Network { nat, ..GOOD }.facts(), [fact]);
            assert_eq!(fact.code(), "nat");
            assert_eq!(Network { nat, ..GOOD }.faults(), [], "it keeps nobody from calling");
        }
        assert!(Fact::RouterMaps(Protocol::NatPmp).words().0.contains("NAT-PMP"));
    }

    #[test]
    fn each_way_a_network_is_broken_is_found_and_has_its_words() {
        let table = [
            (GOOD, &[][..]),
            (Network { straight: false, relays: (1, 3), ..GOOD }, &[][..]),
            (Network { udp: None, bootstraps: (0, 0), table: 0, ..GOOD }, &[][..]),
            (Network { addresses: 0, bootstraps: (0, 2), straight: false, ..GOOD }, &["no_address"][..]),
            (Network { udp: Some(false), ..GOOD }, &["udp_blocked"][..]),
            (Network { bootstraps: (0, 2), ..GOOD }, &["no_bootstrap"][..]),
            (Network { proxy: Some(ProxyFault::Unreachable), ..GOOD }, &["proxy_unreachable"][..]),
            (Network { proxy: Some(ProxyFault::Authentication), ..GOOD }, &["proxy_authentication"][..]),
            (Network { proxy: Some(ProxyFault::Refused(403)), ..GOOD }, &["proxy_refused"][..]),
            (Network { proxy: Some(ProxyFault::Garbled), ..GOOD }, &["proxy_garbled"][..]),
            (Network { straight: false, relays: (0, 2), ..GOOD }, &["relays_refuse"][..]),
            (Network { straight: false, ..GOOD }, &["no_relay"][..]),
            (
                Network { straight: false, udp: Some(false), bootstraps: (0, 1), ..GOOD },
                &["no_bootstrap", "udp_blocked", "no_relay"][..],
            ),
        ];
        for (network, expected) in table {
            let faults = network.faults();
            assert_eq!(faults.iter().map(|f| f.code()).collect::<Vec<_>>(), expected, "{network:?}");
            for fault in faults {
                let words = fault.words();
                assert!(!words.what.ends_with('.'), "{words:?}");
                assert!(words.works.ends_with('.') && words.todo.ends_with('.'), "{words:?}");
            }
        }
    }
}
