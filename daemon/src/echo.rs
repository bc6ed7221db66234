//! The Echo contact: a second, complete endpoint in the same process, reached through the whole stack.
//!
//! It has keys, a swarm, a media socket, sessions, a jitter buffer and an Opus encoder of its own, and it answers
//! only the person it belongs to. What it hears it says again a second later, so one's own voice can be told from
//! its echo. It listens on loopback alone.

use std::net::{Ipv4Addr, SocketAddr};

use ahoy_base::{CallId, Moment, PeerId, VideoTrack};
use ahoy_call::{AutoAnswer, CallEvent, Calls, CallsConfig, CommandError, Restored, Standing, Transaction};
use ahoy_net::{Multiaddr, NetConfig, ReachConfig};
use ahoy_net_core::session::PathInfo;
use tokio::sync::{mpsc, oneshot};

use crate::audio::{self, AudioConfig, VoiceSettings};
use crate::clock;
use crate::identity::Identity;
use crate::node::{Devices, Host, NetNews, Node};
use crate::random;
use crate::trace::Trace;
use crate::video::{self, VideoConfig};

/// The name people see.
pub(crate) const NAME: &str = "Echo";
/// The device pair that gives back what it is given.
const LOOP: &str = "loop:echo";

/// Starts the endpoint for `owner` and gives the addresses it listens on, once it does.
///
/// # Errors
/// When not even loopback can be listened on.
pub(crate) async fn start(identity: &Identity, owner: PeerId) -> Result<Vec<Multiaddr>, ahoy_net::Error> {
    let config = NetConfig {
        secret: *identity.signing_key,
        listen: NetConfig::loopback(),
        media_listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        mdns: false,
        bootstrap: Vec::new(),
        reach: ReachConfig::default(),
        clock: clock::now,
    };
    let (net, net_events) = ahoy_net::start(config).await?;
    let (audio_events, audio_news) = mpsc::channel(16);
    let audio_config = AudioConfig {
        microphone: LOOP.to_owned(),
        speaker: LOOP.to_owned(),
        trace: Trace::off(),
        ring: false,
        ring_volume: 0,
        voice: VoiceSettings::NONE,
    };
    let audio = audio::start(audio_config, audio_events);
    let calls = Calls::new(
        clock::now(),
        clock::wall_ms(),
        CallsConfig {
            me: identity.peer,
            seed: random::bytes(),
            auto_answer: AutoAnswer::Contacts,
            strangers_may_ring: false,
        },
        Restored::default(),
    );
    // It has no camera, and nobody looks.
    let (video_events, _) = mpsc::channel(1);
    let video_config = VideoConfig {
        camera: "null".to_owned(),
        screen: "null".to_owned(),
        video_out: String::new(),
        trace: Trace::off(),
        me: identity.peer,
    };
    let video = video::start(video_config, video_events);
    let node = Node::new(identity.local(), net, net_events, Devices { audio, video }, calls);
    let (listening, addresses) = oneshot::channel();
    tokio::spawn(run(node, audio_news, EchoHost { owner, listening: Some(listening) }));
    Ok(addresses.await.unwrap_or_default())
}

async fn run(mut node: Node, mut audio_news: mpsc::Receiver<audio::AudioEvent>, mut host: EchoHost) {
    node.start(&mut host);
    loop {
        tokio::select! {
            input = node.next() => node.handle(input, &mut host),
            // Its device has nothing to tell anybody.
            Some(_) = audio_news.recv() => {}
        }
    }
}

struct EchoHost {
    owner: PeerId,
    listening: Option<oneshot::Sender<Vec<Multiaddr>>>,
}

impl Host for EchoHost {
    fn standing(&self, peer: PeerId) -> Standing {
        if peer == self.owner { Standing::Contact } else { Standing::Stranger }
    }

    fn my_name(&self) -> String {
        NAME.to_owned()
    }

    fn invite_of(&self, _: PeerId) -> Option<[u8; 16]> {
        None
    }

    /// It lives on loopback, and its owner knows where.
    fn addresses_for(&self, _: PeerId) -> Vec<Multiaddr> {
        Vec::new()
    }

    fn hides_from(&self, _: PeerId) -> bool {
        false
    }

    fn may_relay(&self, _: PeerId, _: bool) -> bool {
        false
    }

    /// Nothing is kept: an echo has no past.
    fn commit(&mut self, _: Transaction) {}

    fn on_call(&mut self, _: Moment, _: CallId, _: CallEvent) {}

    fn on_path(&mut self, _: Moment, _: CallId, _: PathInfo) {}

    fn on_first_video(&mut self, _: Moment, _: CallId, _: PeerId, _: VideoTrack) {}

    /// It never records.
    fn on_record(&mut self, _: CallId, _: PeerId, _: bool, _: &Devices) {}

    fn on_reply(&mut self, _: [u8; 16], _: Result<CallId, CommandError>) {}

    fn on_net(&mut self, _: Moment, news: NetNews) {
        if let NetNews::Addresses(addresses) = news
            && !addresses.is_empty()
            && let Some(listening) = self.listening.take()
        {
            // The starter waits for exactly this.
            let _ = listening.send(addresses);
        }
    }
}
