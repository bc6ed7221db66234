//! The distributed table and relays with a thousand nodes, in made-up time, from a number: what a look-up costs, what churn
//! does to records, and what one node carries. `docs/SCALE.md` quotes what `figures` prints:
//! `cargo test -p ahoy-net-core --test table -- --nocapture`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

/// As the table of this version is set up (net/src/table).
const K: usize = 20;
const ALPHA: usize = 3;
const LIFE_S: f64 = 2.0 * 3_600.0;
const PUT_EVERY_S: f64 = 3_600.0;
/// Every node hands records on to the nearest this often.
const REPLICATE_S: f64 = 1_200.0;
/// A request to a node that is gone is given up after this.
const DEAD_S: f64 = 1.5;
/// Ways into the table that an asked device tells.
const ENTRIES: usize = 8;

type Id = u128;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64, Steele and others 2014.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn id(&mut self) -> Id {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A round trip on the internet: 20 to 220 ms, mostly short.
    fn round_trip_s(&mut self) -> f64 {
        0.02 + 0.2 * self.share().powi(2)
    }
}

#[derive(Default)]
struct Node {
    buckets: BTreeMap<u32, Vec<Id>>,
    /// Until when which record is kept.
    records: BTreeMap<Id, f64>,
}

impl Node {
    fn learn(&mut self, own: Id, other: Id) {
        let distance = own ^ other;
        if distance == 0 {
            return;
        }
        let bucket = self.buckets.entry(distance.leading_zeros()).or_default();
        if !bucket.contains(&other) && bucket.len() < K {
            bucket.push(other);
        }
    }

    fn forget(&mut self, own: Id, other: Id) {
        if let Some(bucket) = self.buckets.get_mut(&(own ^ other).leading_zeros()) {
            bucket.retain(|id| *id != other);
        }
    }

    /// Keeps a record: the shorter, the more nodes are nearer to it than [`K`], as libp2p does.
    fn keep(&mut self, own: Id, record: Id, now: f64, until: f64) {
        let nearer = self.buckets.values().flatten().filter(|id| (**id ^ record) < (own ^ record)).count();
        let beyond = i32::try_from(nearer.saturating_sub(K)).unwrap();
        let until = until.min(now + LIFE_S / 2f64.powi(beyond.min(30)));
        let old = self.records.entry(record).or_insert(until);
        *old = old.max(until);
    }

    fn nearest(&self, key: Id) -> Vec<Id> {
        let mut all: Vec<Id> = self.buckets.values().flatten().copied().collect();
        all.sort_unstable_by_key(|id| id ^ key);
        all.truncate(K);
        all
    }
}

struct Found {
    nearest: Vec<Id>,
    record: bool,
    hops: usize,
    seconds: f64,
    requests: usize,
}

struct World {
    random: Random,
    nodes: BTreeMap<Id, Node>,
    now: f64,
    /// Answered by all nodes together.
    requests: u64,
}

impl World {
    fn new(seed: u64, count: usize) -> World {
        let mut world = World { random: Random(seed), nodes: BTreeMap::new(), now: 0.0, requests: 0 };
        (0..count).for_each(|_| world.join());
        world
    }

    fn some_node(&mut self) -> Id {
        let n = self.random.below(self.nodes.len());
        *self.nodes.keys().nth(n).unwrap()
    }

    /// A node comes: it is told some ways in, looks for itself and for a few others, and is known from then on.
    fn join(&mut self) {
        let own = self.random.id();
        let mut entries = Vec::new();
        if !self.nodes.is_empty() {
            entries = (0..ENTRIES).map(|_| self.some_node()).collect();
        }
        let mut node = Node::default();
        entries.iter().for_each(|entry| node.learn(own, *entry));
        self.nodes.insert(own, node);
        if entries.is_empty() {
            return;
        }
        for target in [own, self.random.id(), self.random.id(), self.random.id()] {
            self.look_up(own, &[], target, None);
        }
    }

    fn leave(&mut self) {
        let gone = self.some_node();
        self.nodes.remove(&gone);
    }

    /// Kademlia's iterative look-up with [`ALPHA`] requests under way. `from` learns who answers; a client (an id that is no
    /// node) starts from `entries`.
    fn look_up(&mut self, from: Id, entries: &[Id], key: Id, record: Option<Id>) -> Found {
        let mut known: BTreeMap<Id, (Id, usize)> = BTreeMap::new();
        let start = self.nodes.get(&from).map_or_else(|| entries.to_vec(), |node| node.nearest(key));
        known.extend(start.into_iter().map(|id| (id ^ key, (id, 1))));
        let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
        // Requests under way: when they end, whom, and how many hops away.
        let mut under_way: Vec<(f64, Id, usize)> = Vec::new();
        let (mut seconds, mut hops, mut requests) = (0.0, 0, 0);
        loop {
            while under_way.len() < ALPHA {
                let next = known.values().take(K).find(|(id, _)| !asked.contains(id)).copied();
                let Some((id, hop)) = next else { break };
                asked.insert(id);
                requests += 1;
                let takes = if self.nodes.contains_key(&id) { self.random.round_trip_s() } else { DEAD_S };
                under_way.push((seconds + takes, id, hop));
            }
            let Some(first) = (0..under_way.len()).min_by(|a, b| under_way[*a].0.total_cmp(&under_way[*b].0))
            else {
                break;
            };
            let (at, id, hop) = under_way.swap_remove(first);
            seconds = at;
            let now = self.now;
            let Some(node) = self.nodes.get_mut(&id) else {
                known.remove(&(id ^ key));
                if let Some(own) = self.nodes.get_mut(&from) {
                    own.forget(from, id);
                }
                continue;
            };
            self.requests += 1;
            hops = hops.max(hop);
            answered.insert(id);
            let nearer = node.nearest(key);
            let has =
                record.is_some_and(|record| node.records.get(&record).is_some_and(|until| *until > now));
            if self.nodes.contains_key(&from) {
                self.nodes.get_mut(&id).unwrap().learn(id, from);
                self.nodes.get_mut(&from).unwrap().learn(from, id);
            }
            if has {
                return Found { nearest: Vec::new(), record: true, hops: hop, seconds, requests };
            }
            for other in nearer.into_iter().filter(|other| *other != from) {
                known.entry(other ^ key).or_insert((other, hop + 1));
            }
        }
        let nearest = known.values().map(|(id, _)| *id).filter(|id| answered.contains(id)).take(K).collect();
        Found { nearest, record: false, hops, seconds, requests }
    }

    fn entries(&mut self) -> Vec<Id> {
        (0..ENTRIES).map(|_| self.some_node()).collect()
    }

    /// A device that is no node puts a record.
    fn put(&mut self, record: Id) {
        let entries = self.entries();
        let client = self.random.id();
        let found = self.look_up(client, &entries, record, None);
        for id in found.nearest {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.keep(id, record, self.now, self.now + LIFE_S);
                self.requests += 1;
            }
        }
    }

    fn get(&mut self, record: Id) -> Found {
        let entries = self.entries();
        let client = self.random.id();
        self.look_up(client, &entries, record, Some(record))
    }

    /// A minute: `share_an_hour` of all nodes are replaced an hour, records are handed on by those whose turn it is.
    fn minute(&mut self, share_an_hour: f64) {
        let leaving = share_an_hour * self.nodes.len() as f64 / 60.0;
        let leaving = leaving as usize + usize::from(self.random.share() < leaving.fract());
        for _ in 0..leaving {
            self.leave();
            self.join();
        }
        self.now += 60.0;
        let turns = (REPLICATE_S / 60.0) as u64;
        let minute = (self.now / 60.0) as u64;
        let whose: Vec<Id> =
            self.nodes.keys().filter(|id| (**id as u64) % turns == minute % turns).copied().collect();
        for id in whose {
            let now = self.now;
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            node.records.retain(|_, until| *until > now);
            let records: Vec<(Id, f64)> = node.records.iter().map(|(r, u)| (*r, *u)).collect();
            for (record, until) in records {
                let nearest = self.nodes[&id].nearest(record);
                for other in nearest {
                    if let Some(node) = self.nodes.get_mut(&other) {
                        node.keep(other, record, now, until);
                    }
                }
            }
        }
    }
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

#[test]
fn a_thousand_nodes_find_every_record_in_a_few_hops_and_churn_loses_none() {
    let mut world = World::new(1, 1_000);
    let records: Vec<Id> = (0..500).map(|_| world.random.id()).collect();
    records.iter().for_each(|record| world.put(*record));
    let (mut hops, mut seconds, mut requests, mut missed) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for record in &records {
        let found = world.get(*record);
        missed += usize::from(!found.record);
        hops.push(found.hops as f64);
        seconds.push(found.seconds);
        requests.push(found.requests as f64);
    }
    println!(
        "calm, 1000 nodes: {missed} of 500 missed; hops p50 {} p95 {}; time p50 {:.2} s p95 {:.2} s; requests p50 {} p95 {}",
        percentile(&mut hops, 0.5),
        percentile(&mut hops, 0.95),
        percentile(&mut seconds, 0.5),
        percentile(&mut seconds, 0.95),
        percentile(&mut requests, 0.5),
        percentile(&mut requests, 0.95),
    );
    assert_eq!(missed, 0);
    assert!(percentile(&mut hops, 0.95) <= 5.0);
    assert!(percentile(&mut seconds, 0.95) <= 2.0);

    // Two hours in which 30 % of all nodes are replaced an hour; each record is put anew every hour, on its own minute.
    let (mut seconds, mut missed, mut asked) = (Vec::new(), 0, 0);
    let before = world.requests;
    for minute in 1..=120usize {
        world.minute(0.3);
        for (n, record) in records.iter().enumerate() {
            if (n + minute) % (PUT_EVERY_S / 60.0) as usize == 0 {
                world.put(*record);
            }
        }
        for _ in 0..20 {
            let record = records[world.random.below(records.len())];
            let found = world.get(record);
            asked += 1;
            missed += usize::from(!found.record);
            seconds.push(found.seconds);
        }
    }
    let now = world.now;
    let kept: Vec<usize> =
        world.nodes.values().map(|n| n.records.values().filter(|until| **until > now).count()).collect();
    println!(
        "churn 30 %/h, 2 h: {missed} of {asked} look-ups missed; time p50 {:.2} s p95 {:.2} s; records a node mean {:.1} max {}; \
         requests a node and minute {:.2}",
        percentile(&mut seconds, 0.5),
        percentile(&mut seconds, 0.95),
        kept.iter().sum::<usize>() as f64 / kept.len() as f64,
        kept.iter().max().unwrap(),
        (world.requests - before) as f64 / 1_000.0 / 120.0,
    );
    assert!(missed * 1_000 <= asked, "{missed} of {asked}");
    assert!(percentile(&mut seconds, 0.95) <= 8.0);
    // Ten each would do; those who were near before others came still keep theirs.
    assert!(*kept.iter().max().unwrap() <= 200, "no node carries far more than the others");
}

#[test]
fn records_outlive_half_of_their_life_without_their_maker() {
    let mut world = World::new(2, 1_000);
    let records: Vec<Id> = (0..300).map(|_| world.random.id()).collect();
    records.iter().for_each(|record| world.put(*record));
    let mut line = String::new();
    for hour_half in 1..=4 {
        (0..30).for_each(|_| world.minute(0.3));
        let found = records.iter().filter(|record| world.get(**record).record).count();
        line.push_str(&format!(" {} min {found}/300;", hour_half * 30));
        if hour_half < 4 {
            assert_eq!(found, 300, "after {} minutes", hour_half * 30);
        } else {
            assert_eq!(found, 0, "a record has an end");
        }
    }
    println!("survival without being put anew, churn 30 %/h:{line}");
}

#[test]
fn half_the_nodes_may_go_at_once() {
    let mut world = World::new(3, 1_000);
    let records: Vec<Id> = (0..300).map(|_| world.random.id()).collect();
    records.iter().for_each(|record| world.put(*record));
    (0..500).for_each(|_| world.leave());
    let found: Vec<Found> = records.iter().map(|record| world.get(*record)).collect();
    let kept = found.iter().filter(|f| f.record).count();
    let mut seconds: Vec<f64> = found.iter().map(|f| f.seconds).collect();
    println!("half gone at once: {kept}/300 found; time p95 {:.2} s", percentile(&mut seconds, 0.95));
    assert!(kept >= 297, "{kept}");
}

/// What look-ups cost as the table grows: the page on growth extrapolates from these.
#[test]
fn hops_grow_with_the_logarithm_of_the_table() {
    let mut means = Vec::new();
    for count in [125, 500, 2_000] {
        let mut world = World::new(4, count);
        let records: Vec<Id> = (0..150).map(|_| world.random.id()).collect();
        records.iter().for_each(|record| world.put(*record));
        let hops: usize = records.iter().map(|record| world.get(*record).hops).sum();
        means.push(hops as f64 / 150.0);
    }
    println!("mean hops with 125, 500, 2000 nodes: {means:.2?}");
    assert!(means[2] - means[1] <= 1.0 && means[2] <= 4.0, "{means:?}");
}

/// A thousand devices of which one in ten is reached straight; each is reached through two relays among its contacts, and
/// 30 % of all relays are replaced an hour. How long is nobody reachable, and how many does a relay carry?
#[test]
fn relays_among_contacts_carry_a_handful_each_and_nobody_is_cut_off_for_long() {
    const DEVICES: usize = 1_000;
    const CONTACTS: usize = 20;
    /// Noticing that a relay is gone (two pings), and asking the next one.
    const GAP_S: usize = 12;
    let mut random = Random(5);
    let public: Vec<bool> = (0..DEVICES).map(|_| random.share() < 0.1).collect();
    let contacts: Vec<Vec<usize>> =
        (0..DEVICES).map(|_| (0..CONTACTS).map(|_| random.below(DEVICES)).collect()).collect();
    let mut up = vec![true; DEVICES];
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); DEVICES];
    let mut load = vec![0usize; DEVICES];
    let (mut without_s, mut with_relays, mut none_known, mut peak) = (0usize, 0usize, 0usize, 0usize);
    for minute in 0..120usize {
        for relay in (0..DEVICES).filter(|d| public[*d]) {
            // A relay that goes is back in the next minutes: another one of the same person's.
            up[relay] = if up[relay] { random.share() > 0.3 / 60.0 } else { random.share() < 0.2 };
        }
        for device in (0..DEVICES).filter(|d| !public[*d]) {
            let known: Vec<usize> = contacts[device].iter().filter(|c| public[**c]).copied().collect();
            if known.is_empty() {
                none_known += usize::from(minute == 0);
                continue;
            }
            with_relays += 1;
            let before = held[device].len();
            held[device].retain(|relay| up[*relay]);
            if held[device].is_empty() && minute > 0 {
                without_s += if before > 0 { GAP_S } else { 60 };
            }
            for relay in known {
                if held[device].len() < 2 && up[relay] && !held[device].contains(&relay) && load[relay] < 256
                {
                    held[device].push(relay);
                }
            }
        }
        load = vec![0; DEVICES];
        held.iter().flatten().for_each(|relay| load[*relay] += 1);
        peak = peak.max(*load.iter().max().unwrap());
    }
    let share = without_s as f64 / (with_relays * 60) as f64;
    let relays = public.iter().filter(|p| **p).count();
    let mean = load.iter().sum::<usize>() as f64 / relays as f64;
    println!(
        "relays, 10 % public, 20 contacts: {none_known} of {} know none; cut off {:.3} % of the time; reservations a relay mean \
         {mean:.1} peak {peak}",
        DEVICES - relays,
        share * 100.0,
    );
    assert!(share < 0.01, "{share}");
    assert!(peak < 256);
    // One in ten and 20 contacts: 0.9^20 know none.
    assert!((none_known as f64 / (DEVICES - relays) as f64 - 0.9f64.powi(20)).abs() < 0.04);
}
