//! `ahoy run`: puts the parts together, says when it is ready, and takes them apart again.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ahoy_call::{Calls, CallsConfig};
use ahoy_net::{Multiaddr, Net, NetConfig, NetEvent, Protocol, ReachConfig, Source};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::app::{App, Parts, auto_answer};
use crate::app_handle;
use crate::audio::{self, AudioConfig};
use crate::clock;
use crate::config::Config;
use crate::doors;
use crate::echo;
use crate::identity::{FolderLock, Identity};
use crate::node::{Devices, Node};
use crate::notify;
use crate::ports;
use crate::random;
use crate::recording::Recordings;
use crate::store::Store;
use crate::trace::Trace;
use crate::video::{self, VideoConfig};
use crate::view::{Notice, ReadyState, View};
use crate::view_builder;
use crate::web::protocol::UiError;

/// Where the invitation of our card is kept.
const INVITE_KEY: &str = "invite";
/// How long the start waits for addresses.
const LISTENING_WITHIN: Duration = Duration::from_secs(2);
/// News of the sound that wait for the app.
const MAX_AUDIO_EVENTS: usize = 256;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// In words, when it can't start.
pub(crate) fn run(config: Config) -> Result<(), UiError> {
    log_to_stderr(&config.log)?;
    let _lock = FolderLock::take(&config.paths.lock())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Sound has threads of its own; two are enough for sockets and pages.
        .worker_threads(2)
        .build()
        .map_err(|error| cannot("The daemon can't start its threads", &error))?;
    let done = runtime.block_on(serve(config));
    // Nothing that still runs may hold up the end.
    runtime.shutdown_background();
    done
}

async fn serve(config: Config) -> Result<(), UiError> {
    let trace = match &config.trace {
        Some(path) => Trace::open(path).map_err(|error| cannot("The trace file can't be made", &error))?,
        None => Trace::off(),
    };
    let stop = stop_signal()?;
    let identity = Identity::load_or_create(&config.paths.identity())?;
    let store = Store::open(&config.paths.database())?;
    let mut settings = store.settings()?;
    if let Some(answer) = config.auto_answer {
        settings.auto_answer = answer;
    }
    let mut notices: Vec<Notice> = Vec::new();

    let (net, net_events) = start_net(&config, &identity, &store, settings.visible_on_lan).await?;
    let (audio_events_in, audio_events) = mpsc::channel(MAX_AUDIO_EVENTS);
    let chosen = |flag: &Option<String>, key| -> Result<String, UiError> {
        let kept = || store.value(key);
        flag.clone()
            .map_or_else(kept, |name| Ok(Some(name)))
            .map(|name| name.unwrap_or_else(|| "default".into()))
    };
    let audio_config = AudioConfig {
        microphone: chosen(&config.mic, "microphone")?,
        speaker: chosen(&config.speaker, "speaker")?,
        trace: trace.clone(),
        ring: true,
        ring_volume: settings.ring_volume,
        voice: settings.voice(),
    };
    let audio = audio::start(audio_config, audio_events_in);
    let (video_events_in, video_events) = mpsc::channel(MAX_AUDIO_EVENTS);
    let video_config = VideoConfig {
        camera: chosen(&config.camera, "camera")?,
        screen: chosen(&config.screen, "screen")?,
        video_out: config.video_out.clone().unwrap_or_default(),
        trace: trace.clone(),
        me: identity.peer,
    };
    let video = video::start(video_config, video_events_in);
    let (recording_events_in, recording_events) = mpsc::channel(MAX_AUDIO_EVENTS);
    let folder =
        config.paths.recordings(&|key| std::env::var(key).ok(), &|path| std::fs::read_to_string(path).ok());
    let calls_config = CallsConfig {
        me: identity.peer,
        seed: random::bytes(),
        auto_answer: auto_answer(settings.auto_answer),
        strangers_may_ring: settings.strangers_nearby_may_ring,
    };
    let calls = Calls::new(clock::now(), clock::wall_ms(), calls_config, store.restore()?);

    let echo_identity = Identity::load_or_create(&config.paths.echo_identity())?;
    match echo::start(&echo_identity, identity.peer).await {
        Ok(addresses) => net.add_addresses(echo_identity.peer, addresses, Source::Told),
        Err(error) => {
            tracing::warn!(%error, "the Echo contact can't be reached");
            notices.push(Notice {
                id: "echo".to_owned(),
                text: format!("Echo can't be called: {error}."),
                works: "Everybody else can.".to_owned(),
                mend: "Restart Ahoy.".to_owned(),
            });
        }
    }
    net.connect(echo_identity.peer);

    let node = Node::new(
        identity.local(),
        net,
        net_events,
        Devices { audio: audio.clone(), video: video.clone() },
        calls,
    );
    let first_view = view_builder::empty(identity.peer);
    let (handle, end) = app_handle::connect(first_view, Arc::new(move || audio.levels()));
    let parts = Parts {
        name: store.value("name")?.unwrap_or_default(),
        store: store.clone(),
        trace: trace.clone(),
        node,
        end,
        settings,
        echo: echo_identity.peer,
        invite: invite(&store)?,
        mdns: config.mdns,
        keeps_ports: config.listen.is_empty(),
        relay: config.relay,
        recordings: Recordings::new(folder, recording_events_in),
        notices,
        identity,
    };
    let app = App::new(parts)?;
    let view = handle.view();
    let doors = doors::open(&config, handle, video.hub().clone(), store).await?;
    if let Some(trouble) = &doors.trouble {
        tracing::warn!("{trouble}");
    }
    if let Some(address) = &doors.address {
        tracing::info!("Ahoy is ready; its page is {address} (sign in with `ahoy open`)");
    }
    let app = app.run(audio_events, video_events, recording_events, stop);
    tokio::pin!(app);
    let ready = async {
        listening(view).await;
        trace.event(clock::now(), "daemon_ready", json!({ "address": doors.address }));
        notify::tell("READY=1");
    };
    let alive = keep_alive();
    tokio::select! {
        () = &mut app => {}
        () = ready => app.await,
    }
    notify::tell("STOPPING=1");
    alive.abort();
    doors.close().await;
    trace.close();
    Ok(())
}

/// The network, on the wanted addresses. An address that can't be had is said by the network itself.
async fn start_net(
    config: &Config,
    identity: &Identity,
    store: &Store,
    visible: bool,
) -> Result<(Net, mpsc::Receiver<NetEvent>), UiError> {
    let listen = if config.listen.is_empty() {
        ports::remembered(store)?
    } else {
        config.listen.iter().map(|text| address(text)).collect::<Result<_, _>>()?
    };
    let bootstrap = config.bootstrap.iter().map(|text| address(text)).collect::<Result<_, _>>()?;
    let net_config = NetConfig {
        secret: *identity.signing_key,
        media_listen: media_listen(&listen),
        listen,
        mdns: config.mdns && visible,
        bootstrap,
        reach: ReachConfig {
            relay: config.relay,
            proxy: config.proxy.clone(),
            invite: Some(invite(store)?),
            map_ports: config.port_mapping,
            wall_ms: clock::wall_ms,
        },
        clock: clock::now,
    };
    ahoy_net::start(net_config).await.map_err(|error| cannot("The network can't be used", &error))
}

/// Resolves once the daemon listens, or it is clear that it takes long: a machine without network is ready too.
async fn listening(mut view: watch::Receiver<Arc<View>>) {
    let listens = view.wait_for(|view| view.ready.state == ReadyState::Ready);
    // Both outcomes count.
    let _ = tokio::time::timeout(LISTENING_WITHIN, listens).await;
}

/// The invitation in our card; the same until the person asks for a new one.
fn invite(store: &Store) -> Result<[u8; 16], UiError> {
    let kept = store.value(INVITE_KEY)?.and_then(|text| data_encoding::HEXLOWER.decode(text.as_bytes()).ok());
    if let Some(invite) = kept.and_then(|bytes| bytes.try_into().ok()) {
        return Ok(invite);
    }
    let invite = random::bytes();
    store.set_value(INVITE_KEY, &data_encoding::HEXLOWER.encode(&invite))?;
    Ok(invite)
}

/// Media listens where signalling does, on ports of its own.
#[expect(clippy::wildcard_enum_match_arm, reason = "of a multiaddress's parts two are IP")]
fn media_listen(listen: &[Multiaddr]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = listen
        .iter()
        .filter_map(|address| {
            address.iter().find_map(|part| match part {
                Protocol::Ip4(ip) => Some(SocketAddr::from((ip, 0))),
                Protocol::Ip6(ip) => Some(SocketAddr::from((ip, 0))),
                _ => None,
            })
        })
        .collect();
    if addresses.is_empty() {
        addresses = vec![(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn address(text: &str) -> Result<Multiaddr, UiError> {
    text.parse().map_err(|_| {
        UiError::new(
            format!("“{text}” is no multiaddress."),
            "Nothing was started.",
            "Write it like /ip4/0.0.0.0/udp/0/quic-v1.",
        )
    })
}

/// Resolves when the system or the terminal asks this process to end.
fn stop_signal() -> Result<impl Future<Output = ()>, UiError> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error| cannot("The daemon can't listen for signals", &error);
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// Tells the watchdog that this runtime still turns.
fn keep_alive() -> JoinHandle<()> {
    tokio::spawn(async {
        let Some(every) = notify::watchdog_every() else { return };
        let mut every = tokio::time::interval(every);
        loop {
            every.tick().await;
            notify::tell("WATCHDOG=1");
        }
    })
}

fn log_to_stderr(directives: &str) -> Result<(), UiError> {
    let bad = |_| {
        UiError::new(
            format!("“{directives}” is no level of logging."),
            "Nothing was started.",
            "Give error, warn, info, debug or trace.",
        )
    };
    let filter = tracing_subscriber::EnvFilter::builder().parse(quiet(directives)).map_err(bad)?;
    let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // Fails only if a log is there already, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(color)
        .with_writer(std::io::stderr)
        .try_init();
    Ok(())
}

/// A plain level is meant for us; the libraries below speak one level less at most.
fn quiet(directives: &str) -> String {
    let ours = ["ahoy", "ahoy_net", "ahoy_net_core", "ahoy_call", "ahoy_codec"];
    match directives {
        "info" | "warn" | "debug" => {
            let of_us: String = ours.iter().map(|name| format!(",{name}={directives}")).collect();
            format!("{}{of_us}", if directives == "debug" { "info" } else { "error" })
        }
        other => other.to_owned(),
    }
}

fn cannot(what: &str, error: &impl std::fmt::Display) -> UiError {
    UiError::new(format!("{what} ({error})."), "Nothing was changed.", "See `ahoy doctor`, then try again.")
}
