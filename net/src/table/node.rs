//! This device as a node of the table: it keeps its own records fresh, looks others up, and keeps records of others if it
//! can be reached.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ahoy_base::PeerId;
use ahoy_net_core::find::{EARLY_MS, Finder, Found, Shared as Secret};
use futures::StreamExt;
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{
    self, Caching, GetClosestPeersOk, GetRecordOk, InboundRequest, Mode, PeerInfo, QueryId, QueryResult,
    Quorum, Record, RecordKey, StoreInserts,
};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, Swarm, connection_limits, identify, identity};
use tokio::sync::mpsc;

use super::shelf::{self, Shelf};
use super::{MAX_ENTRIES, Request, Shared, TableNews, keeps};
use crate::addresses;
use crate::error::Error;
use crate::{NetConfig, RelayRole};

/// Ours alone: nobody else's traffic, and ours not among strangers.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/ahoy/kad/1");
/// A record is put anew after this; half its life.
const PUT_EVERY: Duration = Duration::from_secs(3_600);
/// After a change of addresses; a change rarely comes alone.
const SETTLE: Duration = Duration::from_secs(3);
/// Queries under way at once; a contact list of 500 is put in a minute.
const MAX_QUERIES: usize = 8;
/// How long a query may take: a caller waits for it.
const QUERY_TIME: Duration = Duration::from_secs(8);
/// Contacts for whom records are put.
const MAX_FRIENDS: usize = 1_024;
const TICK: Duration = Duration::from_millis(500);
/// How often records of others that died are cleared out.
const CLEAR_EVERY: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
}

/// What a query is for.
enum Purpose {
    /// Finding those who shall keep this record.
    Place(Record),
    /// Handing it to them.
    Put,
    /// Looking a device up under one name.
    Get { of: PeerId, secret: Secret, wall_ms: u64 },
    /// Getting to know neighbours.
    Meet,
}

pub(super) struct Node {
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    news: mpsc::Sender<TableNews>,
    finder: Finder,
    wall_ms: fn() -> u64,
    role: RelayRole,
    invite: Option<[u8; 16]>,
    friends: BTreeSet<PeerId>,
    hidden: BTreeSet<PeerId>,
    invites: BTreeMap<PeerId, [u8; 16]>,
    /// Where this device is reached from outside.
    ours: Vec<Multiaddr>,
    queries: HashMap<QueryId, Purpose>,
    /// Records that wait to be put: for whom, `None` for holders of our card.
    to_put: VecDeque<Option<PeerId>>,
    put_at: Instant,
    /// Look-ups under way: queries left and what was found.
    lookups: BTreeMap<PeerId, (usize, Option<Found>)>,
    shelf: Shelf,
    clear_at: Instant,
}

impl Node {
    pub(super) fn new(
        config: &NetConfig,
        finder: Finder,
        listen: &[SocketAddr],
        shared: Arc<Shared>,
        news: mpsc::Sender<TableNews>,
    ) -> Result<Node, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Swarm(format!("the table: {error}"));
        let mut swarm = libp2p::SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                libp2p::tcp::Config::default().nodelay(true),
                libp2p::tls::Config::new,
                libp2p::yamux::Config::default,
            )
            .map_err(|e| failed(&e))?
            .with_quic()
            .with_behaviour(behaviour)
            .map_err(|e| failed(&e))?
            .build();
        for address in listen {
            let ip = Multiaddr::from(address.ip());
            let quic = ip.clone().with(Protocol::Udp(0)).with(Protocol::QuicV1);
            for address in [quic, ip.with(Protocol::Tcp(0))] {
                if let Err(error) = swarm.listen_on(address) {
                    tracing::debug!(%error, "the table listens at one address less");
                }
            }
        }
        let role = config.reach.relay;
        swarm.behaviour_mut().kad.set_mode(Some(if keeps(role, false) {
            Mode::Server
        } else {
            Mode::Client
        }));
        let now = Instant::now();
        Ok(Node {
            swarm,
            shared,
            news,
            finder,
            wall_ms: config.reach.wall_ms,
            role,
            invite: config.reach.invite,
            friends: BTreeSet::new(),
            hidden: BTreeSet::new(),
            invites: BTreeMap::new(),
            ours: Vec::new(),
            queries: HashMap::new(),
            to_put: VecDeque::new(),
            put_at: now + SETTLE,
            lookups: BTreeMap::new(),
            shelf: Shelf::default(),
            clear_at: now + CLEAR_EVERY,
        })
    }

    /// Runs until the handle is gone.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event).await,
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request).await,
                    None => return,
                },
                _ = tick.tick() => self.on_tick(),
            }
        }
    }

    async fn on_request(&mut self, request: Request) {
        match request {
            Request::LookUp(peer) => self.look_up(peer).await,
            Request::Befriend(peer, true) => {
                if self.friends.len() < MAX_FRIENDS && self.friends.insert(peer) {
                    self.to_put.push_back(Some(peer));
                }
            }
            Request::Befriend(peer, false) => {
                self.friends.remove(&peer);
            }
            Request::Invited(peer, invite) => {
                if self.invites.len() < MAX_FRIENDS {
                    self.invites.insert(peer, invite);
                }
            }
            Request::Hide(peer, on) => {
                let changed = if on { self.hidden.insert(peer) } else { self.hidden.remove(&peer) };
                if changed && self.friends.contains(&peer) {
                    self.to_put.push_back(Some(peer));
                }
            }
            Request::Listens(addresses) => self.on_addresses(addresses),
            Request::Enter(entries) => self.enter(&entries),
        }
    }

    fn on_addresses(&mut self, addresses: Vec<Multiaddr>) {
        let public = addresses.iter().any(|a| addresses::is_global(a) && !addresses::is_relayed(a));
        let mode = if keeps(self.role, public) { Mode::Server } else { Mode::Client };
        self.swarm.behaviour_mut().kad.set_mode(Some(mode));
        // Addresses of a local network mean nothing to somebody who has to look into the table.
        let ours: Vec<Multiaddr> = addresses
            .into_iter()
            .filter(|a| addresses::is_relayed(a) || addresses::is_global(a) || self.role.is_asked_for())
            .collect();
        if ours != self.ours {
            self.ours = ours;
            self.put_at = Instant::now() + SETTLE;
        }
    }

    fn enter(&mut self, entries: &[Multiaddr]) {
        let own = *self.swarm.local_peer_id();
        let mut fresh = false;
        for entry in entries.iter().take(MAX_ENTRIES) {
            let mut address = entry.clone();
            if let Some(Protocol::P2p(node)) = address.pop()
                && node != own
            {
                self.swarm.behaviour_mut().kad.add_address(&node, address);
                fresh = true;
            }
        }
        if fresh && let Ok(id) = self.swarm.behaviour_mut().kad.bootstrap() {
            self.queries.insert(id, Purpose::Meet);
            self.put_at = self.put_at.min(Instant::now() + SETTLE);
        }
        self.count_neighbours();
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        if now >= self.put_at {
            self.put_at = now + PUT_EVERY;
            self.to_put = std::iter::once(None).chain(self.friends.iter().copied().map(Some)).collect();
        }
        if now >= self.clear_at {
            self.clear_at = now + CLEAR_EVERY;
            self.shelf.clear_out(now, self.swarm.behaviour_mut().kad.store_mut());
        }
        if self.shared.neighbours.load(Ordering::Relaxed) == 0 {
            // Nobody to keep them; a way in will make them due again.
            self.to_put.clear();
        }
        while self.queries.len() < MAX_QUERIES
            && let Some(reader) = self.to_put.pop_front()
        {
            self.put(reader);
        }
    }

    /// Puts the record for one reader under today's name, and under tomorrow's shortly before midnight.
    fn put(&mut self, reader: Option<PeerId>) {
        let me = self.finder.me();
        let secret = match reader {
            Some(peer) if !self.friends.contains(&peer) => None,
            Some(peer) => self.finder.with(peer),
            None => self.invite.map(|invite| Secret::of_card(&invite)),
        };
        let Some(secret) = secret else { return };
        let hidden = reader.is_some_and(|peer| self.hidden.contains(&peer));
        let fits = |a: &&Multiaddr| !hidden || addresses::is_relayed(a);
        let addresses: Vec<Vec<u8>> = self.ours.iter().filter(fits).map(Multiaddr::to_vec).collect();
        if addresses.is_empty() {
            return;
        }
        let now = (self.wall_ms)();
        let (today, later) = (secret.name(me, now), secret.name(me, now + EARLY_MS));
        let mut names = vec![(today, now)];
        if later != today {
            names.push((later, now + EARLY_MS));
        }
        for (name, wall_ms) in names {
            let Some(nonce) = random() else { return };
            let value = secret.seal(me, wall_ms, &addresses, nonce);
            let mut record = Record::new(RecordKey::from(name.to_vec()), value);
            record.expires = Some(Instant::now() + shelf::LIFE);
            let id = self.swarm.behaviour_mut().kad.get_closest_peers(name.to_vec());
            self.queries.insert(id, Purpose::Place(record));
        }
    }

    async fn look_up(&mut self, peer: PeerId) {
        let secrets = [self.finder.with(peer), self.invites.get(&peer).map(Secret::of_card)];
        if self.shared.neighbours.load(Ordering::Relaxed) == 0 || self.lookups.contains_key(&peer) {
            self.tell(peer, Vec::new()).await;
            return;
        }
        let now = (self.wall_ms)();
        let mut under_way = 0;
        for secret in secrets.into_iter().flatten() {
            let key = RecordKey::from(secret.name(peer, now).to_vec());
            let id = self.swarm.behaviour_mut().kad.get_record(key);
            self.queries.insert(id, Purpose::Get { of: peer, secret, wall_ms: now });
            under_way += 1;
        }
        if under_way > 0 {
            self.lookups.insert(peer, (under_way, None));
        } else {
            self.tell(peer, Vec::new()).await;
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's events few are ours")]
    async fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                // Whoever keeps records must be found; a client's addresses are of no use to anybody.
                if self.swarm.behaviour().kad.mode() == Mode::Server {
                    self.swarm.add_external_address(address);
                }
                self.tell_entries();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => {
                if info.protocols.contains(&PROTOCOL) {
                    for address in info.listen_addrs.into_iter().filter(addresses::may_lead_somewhere) {
                        self.swarm.behaviour_mut().kad.add_address(&peer_id, address);
                    }
                }
                self.count_neighbours();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => self.on_kad(event).await,
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of libp2p's events few are ours")]
    async fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::InboundRequest {
                request: InboundRequest::PutRecord { source, record: Some(record), .. },
            } => {
                let store = self.swarm.behaviour_mut().kad.store_mut();
                self.shelf.put(Instant::now(), source, record, store);
            }
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                self.on_progress(id, result, step.last).await;
            }
            kad::Event::RoutingUpdated { .. } => {
                self.count_neighbours();
                self.tell_entries();
            }
            _ => {}
        }
    }

    async fn on_progress(&mut self, id: QueryId, result: QueryResult, last: bool) {
        match (self.queries.get(&id), result) {
            (
                Some(Purpose::Get { of, secret, wall_ms }),
                QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))),
            ) => {
                if let Ok(found) = secret.open(*of, *wall_ms, &found.record.value)
                    && let Some((_, best)) = self.lookups.get_mut(of)
                    && best.as_ref().is_none_or(|best| best.at_ms < found.at_ms)
                {
                    *best = Some(found);
                }
            }
            (Some(Purpose::Place(record)), QueryResult::GetClosestPeers(closest)) => {
                let peers = match closest {
                    Ok(GetClosestPeersOk { peers, .. })
                    | Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                let record = record.clone();
                let keepers: Vec<libp2p::PeerId> =
                    peers.into_iter().map(|PeerInfo { peer_id, .. }| peer_id).collect();
                if !keepers.is_empty() {
                    let kad = &mut self.swarm.behaviour_mut().kad;
                    let put = kad.put_record_to(record, keepers.into_iter(), Quorum::One);
                    self.queries.insert(put, Purpose::Put);
                }
            }
            _ => {}
        }
        if !last {
            return;
        }
        if let Some(Purpose::Get { of, .. }) = self.queries.remove(&id)
            && let Some((left, _)) = self.lookups.get_mut(&of)
        {
            *left -= 1;
            if *left == 0
                && let Some((_, found)) = self.lookups.remove(&of)
            {
                let found = found.map(|f| f.addresses).unwrap_or_default();
                let addresses = found.into_iter().filter_map(|a| Multiaddr::try_from(a).ok()).collect();
                self.tell(of, addresses).await;
            }
        }
    }

    fn count_neighbours(&mut self) {
        let known: usize = self.swarm.behaviour_mut().kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
        self.shared.neighbours.store(known, Ordering::Relaxed);
    }

    /// What others are told when they ask for a way in: ourselves if we keep records, and some neighbours.
    fn tell_entries(&mut self) {
        let own = *self.swarm.local_peer_id();
        let mut entries: Vec<Multiaddr> = Vec::new();
        if self.swarm.behaviour().kad.mode() == Mode::Server {
            let ours =
                self.swarm.listeners().filter(|a| addresses::may_lead_somewhere(a)).take(MAX_ENTRIES / 2);
            entries.extend(ours.map(|a| a.clone().with(Protocol::P2p(own))));
        }
        for bucket in self.swarm.behaviour_mut().kad.kbuckets() {
            for neighbour in bucket.iter() {
                let address = neighbour.node.value.first().clone();
                entries.push(address.with(Protocol::P2p(*neighbour.node.key.preimage())));
            }
        }
        entries.truncate(MAX_ENTRIES);
        *self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    async fn tell(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        // Nobody listens only while the daemon stops.
        let _ = self.news.send(TableNews::Found(peer, addresses)).await;
    }
}

fn behaviour(key: &identity::Keypair) -> Behaviour {
    let own = key.public().to_peer_id();
    let mut config = kad::Config::new(PROTOCOL);
    config
        .set_record_filtering(StoreInserts::FilterBoth)
        .set_record_ttl(Some(shelf::LIFE))
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        // Keeps a record with those nearest to its name while nodes come and go.
        .set_replication_interval(Some(Duration::from_secs(1_200)))
        .set_caching(Caching::Disabled)
        .set_max_packet_size(16 * 1024)
        .set_query_timeout(QUERY_TIME)
        // Three ways that share no node: one liar alone can't hide a record.
        .disjoint_query_paths(true);
    if let Some(three) = NonZeroUsize::new(3) {
        config.set_parallelism(three);
    }
    Behaviour {
        limits: connection_limits::Behaviour::new(
            connection_limits::ConnectionLimits::default()
                .with_max_pending_incoming(Some(32))
                .with_max_established_incoming(Some(256))
                .with_max_established(Some(512))
                .with_max_established_per_peer(Some(2)),
        ),
        identify: identify::Behaviour::new(identify::Config::new("/ahoy/1".to_owned(), key.public())),
        kad: kad::Behaviour::with_config(own, shelf::store(own), config),
    }
}

fn random() -> Option<[u8; 12]> {
    let mut out = [0u8; 12];
    rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut out).ok()?;
    Some(out)
}
