//! Ports that the gateway of this network passes on to us: when it is asked and with which protocol, when a mapping is
//! renewed, given up, or not believed. Pure.
//!
//! PCP (RFC 6887) is asked first, then NAT-PMP (RFC 6886), then UPnP; what granted one port is asked for the others. One
//! question at a time: home routers are small.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ahoy_base::Moment;

use crate::session::AddressKind;

/// Ports that are mapped at most; a device has a handful.
const MAX_PORTS: usize = 8;
/// How long a mapping is asked for (RFC 6886, 3.3: two hours are recommended).
pub const LIFETIME: Duration = Duration::from_secs(7_200);
/// A mapping that lives shorter would be asked for all the time, and is not used.
const SHORTEST: Duration = Duration::from_secs(60);
/// A mapping is not believed for longer than this, whatever the gateway says.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// A port is not asked for again sooner than this, whatever the gateway says.
const AGAIN: Duration = Duration::from_secs(30);
/// Pause after all protocols were refused, doubled each time…
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// …up to this. People do switch it on in their router.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// How far behind a gateway's clock may be before it has restarted (RFC 6886, 3.6).
const EPOCH_SLACK: u64 = 2;

/// How a gateway is asked; the first is tried first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Protocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
}

impl Protocol {
    /// All, the first to be tried first.
    pub const ALL: [Protocol; 3] = [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Pcp => "PCP",
            Protocol::NatPmp => "NAT-PMP",
            Protocol::Upnp => "UPnP",
        }
    }
}

/// What runs over a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// A port of ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Port {
    /// What runs over it.
    pub transport: Transport,
    /// Its number, not zero.
    pub number: u16,
}

/// The gateway of the default route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Ours towards it.
    pub own: Ipv4Addr,
}

/// A question to a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// Which gateway.
    pub gateway: Gateway,
    /// For which port.
    pub port: Port,
    /// How it is asked.
    pub protocol: Protocol,
}

/// What a gateway says that it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Where the world reaches the port.
    pub external: SocketAddr,
    /// For how long.
    pub lifetime: Duration,
    /// Seconds since the gateway started, if it says so.
    pub epoch: Option<u32>,
}

/// Something happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// The network changed, or was looked at first: its gateway.
    Route(Option<Gateway>),
    /// The ports that others shall reach.
    Ports(Vec<Port>),
    /// What became of a question; `None`: refused, or nobody answers.
    Answer(Question, Option<Grant>),
    /// The moment of the last [`Output::Wake`] has come.
    Wake,
}

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Ask, and answer with [`Input::Answer`]. Never two at a time.
    Ask(Question),
    /// Give a mapping up, best effort.
    Release(Question),
    /// All ports that are mapped now, and where the world reaches them.
    Mapped(Vec<(Port, SocketAddr)>),
    /// Nothing more until then. Always last.
    Wake(Moment),
}

/// What is known of the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// Nobody asks: it is switched off, or there is nothing to be mapped.
    #[default]
    Off,
    /// The network has no gateway, or none that stands between us and the internet.
    NoGateway,
    /// It is being asked.
    Asking,
    /// It maps our ports.
    Maps(Protocol),
    /// It does not, by any protocol.
    Refuses,
    /// It does, but its own address is a private one: another gateway stands before it.
    BehindAnother,
}

#[derive(Clone, Copy, Debug)]
struct Mapped {
    external: SocketAddr,
    protocol: Protocol,
    until: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mapped: Option<Mapped>,
    asked_at: Option<Moment>,
    due: Moment,
}

impl Entry {
    const fn fresh(now: Moment) -> Entry {
        Entry { mapped: None, asked_at: None, due: now }
    }

    /// Makes it due as soon as it may be asked for.
    fn hurry(&mut self, now: Moment) {
        self.due = self.asked_at.map_or(now, |at| now.max(at + AGAIN));
    }
}

/// See the module's first lines.
#[derive(Debug)]
pub struct Mapper {
    gateway: Option<Gateway>,
    ports: BTreeMap<Port, Entry>,
    asking: Option<Question>,
    /// What granted a port here.
    spoken: Option<Protocol>,
    /// Which of [`Protocol::ALL`] is tried next while none has.
    next: usize,
    pause: Duration,
    paused_until: Moment,
    /// When a gateway's clock was read, and what it said.
    epoch: Option<(Moment, u32)>,
    standing: Standing,
    outputs: VecDeque<Output>,
}

impl Default for Mapper {
    fn default() -> Mapper {
        Mapper {
            gateway: None,
            ports: BTreeMap::new(),
            asking: None,
            spoken: None,
            next: 0,
            pause: FIRST_PAUSE,
            paused_until: Moment::ZERO,
            epoch: None,
            standing: Standing::NoGateway,
            outputs: VecDeque::new(),
        }
    }
}

impl Mapper {
    /// Takes one input.
    pub fn handle(&mut self, now: Moment, input: Input) {
        match input {
            Input::Route(gateway) => self.on_route(now, gateway),
            Input::Ports(ports) => self.on_ports(now, ports),
            Input::Answer(question, grant) => self.on_answer(now, question, grant),
            Input::Wake => {}
        }
        self.expire(now);
        self.ask_due(now);
    }

    /// What there is to do.
    pub fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Wake(self.due()))
    }

    /// What is known of the gateway.
    pub fn standing(&self) -> Standing {
        if self.ports.is_empty() { Standing::Off } else { self.standing }
    }

    /// What is to be released when the network stops.
    pub fn held(&self) -> Vec<Question> {
        let held = |(port, entry): (&Port, &Entry)| {
            let (gateway, mapped) = self.gateway.zip(entry.mapped)?;
            Some(Question { gateway, port: *port, protocol: mapped.protocol })
        };
        self.ports.iter().filter_map(held).collect()
    }

    fn on_route(&mut self, now: Moment, gateway: Option<Gateway>) {
        // Who has an address of the internet is behind nobody.
        let gateway = gateway.filter(|g| AddressKind::of(g.own.into()) != AddressKind::Ipv4);
        (self.pause, self.paused_until, self.next) = (FIRST_PAUSE, Moment::ZERO, 0);
        if gateway.is_none() {
            self.standing = Standing::NoGateway;
        }
        if self.gateway == gateway {
            // It may have been another one meanwhile, or have forgotten us.
            self.ports.values_mut().for_each(|entry| entry.hurry(now));
            return;
        }
        let had_any = self.ports.values().any(|entry| entry.mapped.is_some());
        self.ports.values_mut().for_each(|entry| *entry = Entry::fresh(now));
        (self.gateway, self.asking, self.spoken, self.epoch) = (gateway, None, None, None);
        self.standing = if gateway.is_some() { Standing::Asking } else { Standing::NoGateway };
        if had_any {
            self.tell();
        }
    }

    fn on_ports(&mut self, now: Moment, ports: Vec<Port>) {
        let wanted = |port: &Port| ports.contains(port);
        let gone: Vec<Question> = self.held().into_iter().filter(|q| !wanted(&q.port)).collect();
        self.ports.retain(|port, _| wanted(port));
        for port in ports.into_iter().filter(|port| port.number != 0) {
            if self.ports.len() < MAX_PORTS {
                self.ports.entry(port).or_insert_with(|| Entry::fresh(now));
            }
        }
        if !gone.is_empty() {
            self.outputs.extend(gone.into_iter().map(Output::Release));
            self.tell();
        }
    }

    fn on_answer(&mut self, now: Moment, question: Question, grant: Option<Grant>) {
        if self.asking != Some(question) {
            return;
        }
        self.asking = None;
        match grant.map(|grant| (grant, judge(&grant))) {
            Some((grant, Verdict::Good(lifetime))) => self.on_granted(now, question, &grant, lifetime),
            Some((_, Verdict::BehindAnother)) => {
                self.outputs.push_back(Output::Release(question));
                self.drop_mapping(question.port);
                // No other protocol makes it another address.
                self.rest(now, Standing::BehindAnother);
            }
            Some((_, Verdict::Nonsense)) | None => self.on_refused(now, question),
        }
    }

    fn on_granted(&mut self, now: Moment, question: Question, grant: &Grant, lifetime: Duration) {
        if let Some(epoch) = grant.epoch {
            self.note_epoch(now, epoch);
        }
        // A port that is no longer wanted was granted while it went.
        let Some(entry) = self.ports.get_mut(&question.port) else {
            self.outputs.push_back(Output::Release(question));
            return;
        };
        let mapped = Mapped { external: grant.external, protocol: question.protocol, until: now + lifetime };
        let news = entry.mapped.is_none_or(|old| old.external != mapped.external);
        entry.mapped = Some(mapped);
        entry.due = now + (lifetime / 2).max(AGAIN);
        self.spoken = Some(question.protocol);
        self.standing = Standing::Maps(question.protocol);
        self.pause = FIRST_PAUSE;
        if news {
            self.tell();
        }
    }

    /// A gateway whose clock went back has restarted, and forgotten all it granted (RFC 6886, 3.6).
    fn note_epoch(&mut self, now: Moment, epoch: u32) {
        if let Some((at, before)) = self.epoch.replace((now, epoch)) {
            let least = u64::from(before) + now.since(at).as_secs() * 7 / 8;
            if u64::from(epoch) + EPOCH_SLACK < least {
                self.ports.values_mut().for_each(|entry| entry.hurry(now));
            }
        }
    }

    fn on_refused(&mut self, now: Moment, question: Question) {
        if let Some(entry) = self.ports.get_mut(&question.port) {
            if let Some(mapped) = entry.mapped {
                // Half of what is left, as RFC 6887, 11.2.1 says; at its end it is gone.
                entry.due = now + (mapped.until.since(now) / 2).max(AGAIN);
                return;
            }
            if self.spoken.is_some() {
                // It maps others: this one has to wait.
                entry.due = now + LONGEST_PAUSE;
                return;
            }
        }
        self.next += 1;
        if self.next >= Protocol::ALL.len() {
            self.rest(now, Standing::Refuses);
        }
    }

    fn rest(&mut self, now: Moment, standing: Standing) {
        self.next = 0;
        self.standing = standing;
        self.paused_until = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn drop_mapping(&mut self, port: Port) {
        let had = self.ports.get_mut(&port).and_then(|entry| entry.mapped.take());
        if self.ports.values().all(|entry| entry.mapped.is_none()) {
            (self.spoken, self.next) = (None, 0);
        }
        if had.is_some() {
            self.tell();
        }
    }

    fn expire(&mut self, now: Moment) {
        let over = |entry: &Entry| entry.mapped.is_some_and(|mapped| now >= mapped.until);
        let gone: Vec<Port> = self.ports.iter().filter(|(_, e)| over(e)).map(|(port, _)| *port).collect();
        for port in gone {
            self.drop_mapping(port);
            if self.spoken.is_none() {
                self.standing = Standing::Asking;
            }
        }
    }

    fn ask_due(&mut self, now: Moment) {
        let Some(gateway) = self.gateway.filter(|_| self.asking.is_none() && now >= self.paused_until) else {
            return;
        };
        let due = self.ports.iter_mut().filter(|(_, e)| e.due <= now).min_by_key(|(_, e)| e.due);
        let Some((port, entry)) = due else { return };
        let first = || Protocol::ALL.get(self.next).copied().unwrap_or(Protocol::Pcp);
        let protocol = entry.mapped.map(|m| m.protocol).or(self.spoken).unwrap_or_else(first);
        entry.asked_at = Some(now);
        let question = Question { gateway, port: *port, protocol };
        self.asking = Some(question);
        self.outputs.push_back(Output::Ask(question));
    }

    fn tell(&mut self) {
        let all = self.ports.iter().filter_map(|(port, e)| Some((*port, e.mapped?.external))).collect();
        self.outputs.push_back(Output::Mapped(all));
    }

    fn due(&self) -> Moment {
        let expiry =
            self.ports.values().filter_map(|e| e.mapped.map(|m| m.until)).min().unwrap_or(Moment::NEVER);
        let ask = self.ports.values().map(|e| e.due).min().unwrap_or(Moment::NEVER);
        let may_ask = self.gateway.is_some() && self.asking.is_none();
        if may_ask { expiry.min(ask.max(self.paused_until)) } else { expiry }
    }
}

/// What a grant is worth.
enum Verdict {
    /// The world reaches us there for so long.
    Good(Duration),
    /// The address is of another network that is not the world.
    BehindAnother,
    /// It can't be so.
    Nonsense,
}

/// A gateway may be anybody's: what can't be of use is not told to anybody, and never asked for more often.
fn judge(grant: &Grant) -> Verdict {
    let IpAddr::V4(ip) = grant.external.ip().to_canonical() else { return Verdict::Nonsense };
    // 240.0.0.0/4 and 0.0.0.0/8 are nobody's (RFC 6890).
    let nobody = ip.is_multicast() || ip.octets()[0] >= 240 || ip.octets()[0] == 0;
    if grant.external.port() == 0 || nobody || grant.lifetime < SHORTEST {
        return Verdict::Nonsense;
    }
    match AddressKind::of(ip.into()) {
        AddressKind::Ipv4 => Verdict::Good(grant.lifetime.min(LONGEST)),
        AddressKind::Lan => Verdict::BehindAnother,
        AddressKind::Loopback | AddressKind::Ipv6 => Verdict::Nonsense,
    }
}

#[cfg(test)]
mod tests;
