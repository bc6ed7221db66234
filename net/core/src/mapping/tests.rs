//! A mapper and gateways of every kind, in made-up time.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;

const MEDIA: Port = Port { transport: Transport::Udp, number: 4_000 };
const DOOR: Port = Port { transport: Transport::Tcp, number: 4_001 };
const HOME: Gateway = Gateway { ip: Ipv4Addr::new(192, 168, 1, 1), own: Ipv4Addr::new(192, 168, 1, 2) };
const CAFE: Gateway = Gateway { ip: Ipv4Addr::new(10, 0, 0, 1), own: Ipv4Addr::new(10, 0, 0, 7) };

fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1_000)
}

fn grant(external: &str, secs: u64) -> Grant {
    Grant { external: external.parse().unwrap(), lifetime: Duration::from_secs(secs), epoch: None }
}

fn good(port: Port) -> Grant {
    grant(&format!("9.9.9.9:{}", port.number + 1_000), 7_200)
}

/// A mapper and the gateway it talks with, which answers at once.
struct World {
    mapper: Mapper,
    now: u64,
    asked: Vec<(u64, Question)>,
    released: Vec<Question>,
    mapped: Vec<(Port, SocketAddr)>,
}

impl World {
    fn new(gateway: Option<Gateway>, ports: &[Port]) -> World {
        let mut world = World {
            mapper: Mapper::default(),
            now: 0,
            asked: Vec::new(),
            released: Vec::new(),
            mapped: Vec::new(),
        };
        world.mapper.handle(at(0), Input::Ports(ports.to_vec()));
        world.mapper.handle(at(0), Input::Route(gateway));
        world
    }

    /// Lets time pass until `end`; `answer` is the gateway.
    fn run(&mut self, end: u64, mut answer: impl FnMut(u64, Question) -> Option<Grant>) {
        for _ in 0..100_000 {
            match self.mapper.poll() {
                Output::Ask(question) => {
                    self.asked.push((self.now, question));
                    let grant = answer(self.now, question);
                    self.mapper.handle(at(self.now), Input::Answer(question, grant));
                }
                Output::Release(question) => self.released.push(question),
                Output::Mapped(mapped) => self.mapped = mapped,
                Output::Wake(wake) => {
                    let due = wake.as_micros().div_ceil(1_000_000);
                    if due > end {
                        self.now = end;
                        return;
                    }
                    self.now = self.now.max(due);
                    self.mapper.handle(at(self.now), Input::Wake);
                }
            }
        }
        panic!("the mapper never rests");
    }

    fn protocols(&self) -> Vec<Protocol> {
        self.asked.iter().map(|(_, q)| q.protocol).collect()
    }
}

#[test]
fn protocols_are_tried_in_order_and_what_granted_one_port_is_asked_for_the_next() {
    for (n, works) in Protocol::ALL.into_iter().enumerate() {
        let mut world = World::new(Some(HOME), &[MEDIA, DOOR]);
        world.run(1, |_, q| (q.protocol == works).then(|| good(q.port)));
        let mut expected = Protocol::ALL[..=n].to_vec();
        expected.push(works);
        assert_eq!(world.protocols(), expected);
        assert_eq!(world.mapper.standing(), Standing::Maps(works));
        let at_home = |port: Port| (port, good(port).external);
        assert_eq!(world.mapped, [at_home(MEDIA), at_home(DOOR)]);
    }
}

#[test]
fn a_mapping_is_renewed_at_half_its_life_for_as_long_as_it_is_granted() {
    let mut world = World::new(Some(HOME), &[MEDIA]);
    world.run(36_000, |_, q| Some(good(q.port)));
    let times: Vec<u64> = world.asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, (0..=10).map(|n| n * 3_600).collect::<Vec<_>>());
    assert_eq!(world.mapped.len(), 1);
    assert!(world.released.is_empty());
}

#[test]
fn a_renewal_that_is_refused_is_tried_again_until_the_mapping_ends_and_then_all_begins_anew() {
    let mut world = World::new(Some(HOME), &[MEDIA]);
    world.run(1, |_, q| (q.protocol == Protocol::NatPmp).then(|| good(q.port)));
    world.run(7_199, |_, _| None);
    let renewals: Vec<_> = world.asked.iter().filter(|(at, _)| *at > 1).collect();
    assert!(renewals.iter().all(|(_, q)| q.protocol == Protocol::NatPmp));
    assert!((5..20).contains(&renewals.len()), "{renewals:?}");
    assert_eq!(world.mapped.len(), 1, "it still stands");
    world.asked.clear();
    world.run(7_210, |_, _| None);
    assert_eq!(world.mapped, []);
    assert_eq!(world.protocols(), Protocol::ALL);
    assert_eq!(world.mapper.standing(), Standing::Refuses);
}

#[test]
fn a_gateway_that_refuses_is_asked_ever_less() {
    let mut world = World::new(Some(HOME), &[MEDIA, DOOR]);
    world.run(24 * 3_600, |_, _| None);
    let starts: Vec<u64> =
        world.asked.iter().filter(|(_, q)| q.protocol == Protocol::Pcp).map(|(at, _)| *at).collect();
    assert_eq!(starts[..5], [0, 60, 180, 420, 900]);
    assert!(starts.len() < 35, "{} rounds a day", starts.len());
    assert_eq!(world.mapper.standing(), Standing::Refuses);
}

#[test]
fn one_port_that_is_refused_leaves_the_others_alone() {
    let mut world = World::new(Some(HOME), &[MEDIA, DOOR]);
    world.run(10, |_, q| (q.port == MEDIA).then(|| good(q.port)));
    assert_eq!(world.mapped, [(MEDIA, good(MEDIA).external)]);
    assert_eq!(world.mapper.standing(), Standing::Maps(Protocol::Pcp));
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn what_a_gateway_grants_is_judged() {
    use Standing::{BehindAnother, Maps, Refuses};
    for (external, secs, standing) in [
        ("9.9.9.9:5000", 7_200, Maps(Protocol::Pcp)),
        ("9.9.9.9:5000", 60, Maps(Protocol::Pcp)),
        ("9.9.9.9:5000", 59, Refuses),
        ("9.9.9.9:5000", 0, Refuses),
        ("9.9.9.9:0", 7_200, Refuses),
        ("0.0.0.0:5000", 7_200, Refuses),
        ("127.0.0.1:5000", 7_200, Refuses),
        ("224.0.0.1:5000", 7_200, Refuses),
        ("255.255.255.255:5000", 7_200, Refuses),
        ("[2001:db8::1]:5000", 7_200, Refuses),
        ("192.168.0.7:5000", 7_200, BehindAnother),
        ("100.64.3.4:5000", 7_200, BehindAnother),
        ("169.254.3.4:5000", 7_200, BehindAnother),
    ] {
        let mut world = World::new(Some(HOME), &[MEDIA]);
        world.run(1, |_, _| Some(grant(external, secs)));
        assert_eq!(world.mapper.standing(), standing, "{external} for {secs} s");
        assert_eq!(!world.mapped.is_empty(), matches!(standing, Maps(_)), "{external} for {secs} s");
        // What is of no use is given back, once, and nobody goes on asking.
        assert_eq!(world.released.len(), usize::from(standing == BehindAnother));
        assert!(world.asked.len() <= 3);
    }
}

#[test]
fn a_lifetime_beyond_reason_is_not_believed() {
    let mut world = World::new(Some(HOME), &[MEDIA]);
    world.run(48 * 3_600, |_, q| {
        Some(Grant { lifetime: Duration::from_secs(u64::from(u32::MAX)), ..good(q.port) })
    });
    assert_eq!(world.asked.len(), 5, "every twelve hours");
}

#[test]
fn a_gateway_that_restarted_is_asked_for_all_again_and_one_that_always_says_so_is_not_asked_without_end() {
    // It restarts after 1000 s: the clock that it tells with the next renewal began there.
    let mut world = World::new(Some(HOME), &[MEDIA]);
    world.run(100, |now, q| Some(Grant { epoch: Some(5_000 + u32::try_from(now).unwrap()), ..good(q.port) }));
    world.mapper.handle(at(100), Input::Ports(vec![MEDIA, DOOR]));
    world.now = 100;
    world.run(200, |_, q| Some(Grant { epoch: Some(7), ..good(q.port) }));
    let asked: Vec<_> = world.asked.iter().map(|(at, q)| (*at, q.port)).collect();
    assert_eq!(asked, [(0, MEDIA), (100, DOOR), (100, MEDIA)]);

    // A clock that goes back each time.
    let mut epoch = u32::MAX;
    let mut world = World::new(Some(HOME), &[MEDIA, DOOR]);
    world.run(3_600, |_, q| {
        epoch -= 1_000;
        Some(Grant { epoch: Some(epoch), ..good(q.port) })
    });
    assert!(world.asked.len() <= 2 * 3_600 / 30 + 2, "{} questions an hour", world.asked.len());
}

#[test]
fn another_network_is_asked_at_once_and_the_old_mapping_is_forgotten() {
    let mut world = World::new(Some(HOME), &[MEDIA]);
    world.run(50, |_, q| Some(good(q.port)));
    for (gateway, standing) in [
        (Some(CAFE), Standing::Maps(Protocol::Pcp)),
        (None, Standing::NoGateway),
        (Some(HOME), Standing::Maps(Protocol::Pcp)),
    ] {
        world.asked.clear();
        world.mapper.handle(at(50), Input::Route(gateway));
        world.run(51, |_, q| Some(good(q.port)));
        let asked: Vec<_> = world.asked.iter().map(|(_, q)| q.gateway).collect();
        assert_eq!(asked, gateway.into_iter().collect::<Vec<_>>());
        assert_eq!(world.mapped.len(), asked.len());
        assert_eq!(world.mapper.standing(), standing);
    }
}

#[test]
fn who_has_an_address_of_the_internet_asks_nobody() {
    let server = Gateway { ip: Ipv4Addr::new(9, 9, 9, 1), own: Ipv4Addr::new(9, 9, 9, 2) };
    let mut world = World::new(Some(server), &[MEDIA]);
    world.run(3_600, |_, q| Some(good(q.port)));
    assert_eq!((world.asked.len(), world.mapper.standing()), (0, Standing::NoGateway));
}

#[test]
fn an_answer_of_a_network_that_was_left_counts_for_nothing() {
    let mut mapper = Mapper::default();
    mapper.handle(at(0), Input::Ports(vec![MEDIA]));
    mapper.handle(at(0), Input::Route(Some(HOME)));
    let Output::Ask(late) = mapper.poll() else { panic!("a question") };
    mapper.handle(at(1), Input::Route(Some(CAFE)));
    mapper.handle(at(2), Input::Answer(late, Some(good(MEDIA))));
    let Output::Ask(question) = mapper.poll() else { panic!("a question") };
    assert_eq!(question.gateway, CAFE);
    assert!(matches!(mapper.poll(), Output::Wake(_)));
    assert_eq!(mapper.held(), []);
}

#[test]
fn ports_that_are_no_longer_wanted_are_released_and_the_rest_is_known_for_the_end() {
    let mut world = World::new(Some(HOME), &[MEDIA, DOOR]);
    world.run(1, |_, q| Some(good(q.port)));
    world.mapper.handle(at(1), Input::Ports(vec![MEDIA]));
    world.run(2, |_, q| Some(good(q.port)));
    let question = |port| Question { gateway: HOME, port, protocol: Protocol::Pcp };
    assert_eq!(world.released, [question(DOOR)]);
    assert_eq!(world.mapper.held(), [question(MEDIA)]);
    assert_eq!(world.mapped, [(MEDIA, good(MEDIA).external)]);
    world.mapper.handle(at(2), Input::Ports(Vec::new()));
    assert_eq!(world.mapper.standing(), Standing::Off);
}
