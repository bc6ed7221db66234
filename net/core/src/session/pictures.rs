//! The pictures of a session: which are on, what may be made of them, what goes out when, and what is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use ahoy_base::{Bitrate, EncodedVideo, LinkId, Moment, VideoPlan, VideoSize, VideoTrack};

use super::messages::{Control, PictureState};
use super::{DropReason, OUTSIDE, Output, Role, Session, SessionEvent, other, slot};
use crate::receive::Transit;
use crate::seal::control::OpenError;
use crate::seal::media::SenderKey;
use crate::transport::{Loss, Weather};
use crate::video::parity::{Weight, parities};
use crate::video::{
    Class, Incoming, IncomingFigures, Item, Ladder, Limits, Outgoing, OutgoingFigures, Pacer, Share, ToSend,
    Way,
};
use crate::wire::datagram::Datagram;
use crate::wire::picture::{Ask, Piece};

/// What a receiver is taken to show before it says so.
const FIRST_WANT: VideoSize = VideoSize { width: 1_280, height: 720 };
/// The same of a screen.
const FIRST_SCREEN: VideoSize = VideoSize { width: 1_920, height: 1_080 };
/// What the voice has beside pictures however little there is: its best plan without repair.
const VOICE_BESIDE: Bitrate = Bitrate::kbps(112);
/// And of what there is, this part with its repair.
const VOICE_SHARE: u64 = 3;
/// What is asked of a camera where little data shall be used: 160 kbit/s at most.
const LITTLE: VideoSize = VideoSize { width: 320, height: 180 };
/// The word about tracks is said again until it is acked.
const SAY_AGAIN: Duration = Duration::from_millis(150);
/// Bits a second that reports and acks of the other direction take.
const REPORTS: Bitrate = Bitrate::kbps(20);
/// How much faster than the mean pictures leave: a frame is there in half its time.
const PACE: f64 = 2.0;
/// The same where a faster burst would delay the voice behind it.
const PACE_NARROW: f64 = 1.4;
const NARROW: Bitrate = Bitrate::kbps(700);
/// The first frame measures the link: it leaves at this.
const FIRST_PROBE: Bitrate = Bitrate::kbps(2_500);
/// Bytes of it at least.
const FIRST_PROBE_BYTES: usize = 4_800;
/// What an encoder begins with before anything is known.
const FIRST_PLAN: Bitrate = Bitrate::kbps(300);
/// What a probe leaves to pictures at the least, whatever is wanted of them.
const LEAST_PROBE: Bitrate = Bitrate::kbps(100);
/// The encoder rests while more than this waits to be sent.
const ROOM: Duration = Duration::from_millis(50);
/// What waits longer than this is dropped, and the encoder goes on from what the receiver has.
const TOO_LONG: Duration = Duration::from_millis(250);
/// While the path is full one datagram goes this often, so that a lost report does not stop all; on a narrow link less often,
/// or it would keep the queue standing that is to drain.
const TRICKLE: Duration = Duration::from_millis(60);
/// What trickles takes no more than this share of what may be sent.
const TRICKLE_SHARE: f64 = 0.1;
/// Bits of such a datagram.
const TRICKLE_BITS: f64 = 1_200.0 * 8.0;
/// Without a frame for this long a probe does not wait for one.
const RESTS: Duration = Duration::from_millis(250);
/// Bytes of a datagram that only fills up a probe.
const PADDING: usize = 1_000;
/// Of the bits left by voice, what the screen gets when both are on.
const SCREEN_SHARE: f64 = 0.65;

struct Ours {
    on: bool,
    outgoing: Outgoing,
    ladder: Ladder,
    want: Option<VideoSize>,
    /// Lines of the last frame, if they are fewer than the plan allowed.
    source: Option<u16>,
    plan: Option<VideoPlan>,
}

struct Theirs {
    /// As they said; `None` before they said anything.
    on: Option<bool>,
    incoming: Incoming,
    want: Option<VideoSize>,
}

/// A burst that measures the path.
struct Probe {
    from: u64,
    left: usize,
    rate: Bitrate,
}

/// Counters of one track.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PictureFigures {
    /// Our picture is on.
    pub ours_on: bool,
    /// What its encoder may make.
    pub plan: Option<VideoPlan>,
    /// What was sent of it.
    pub sent: OutgoingFigures,
    /// Their picture is on.
    pub theirs_on: bool,
    /// What came of it.
    pub received: IncomingFigures,
}

/// See the module's first line.
pub(super) struct Pictures {
    slot: u8,
    key: Option<SenderKey>,
    ours: BTreeMap<VideoTrack, Ours>,
    theirs: BTreeMap<VideoTrack, Theirs>,
    pacer: Pacer<(Item, Class)>,
    probe: Option<Probe>,
    /// The link that was measured by a first frame.
    probed: Option<LinkId>,
    /// Somebody takes the frames that are shown.
    watching: bool,
    low_data: bool,
    voice: Transit,
    /// What we said of tracks, and whether it was heard.
    said: u32,
    heard: u32,
    say_at: Moment,
    /// The newest that they said.
    their_serial: u32,
    trickled: Moment,
    /// When the last frame of ours came.
    framed: Moment,
    dropped_at: Option<Moment>,
    padding: u64,
}

impl Pictures {
    pub(super) fn new(now: Moment, role: Role) -> Pictures {
        let slot = slot(role);
        let ours = |track| {
            let (outgoing, ladder) = (Outgoing::new(slot, track), Ladder::new(now, track));
            (
                track,
                Ours { on: false, outgoing, ladder, want: Some(first_want(track)), source: None, plan: None },
            )
        };
        let theirs = |track| {
            (track, Theirs { on: None, incoming: Incoming::new(track), want: Some(first_want(track)) })
        };
        Pictures {
            slot,
            key: None,
            ours: VideoTrack::ALL.into_iter().map(ours).collect(),
            theirs: VideoTrack::ALL.into_iter().map(theirs).collect(),
            pacer: Pacer::new(now),
            probe: None,
            probed: None,
            watching: false,
            low_data: false,
            voice: Transit::default(),
            said: 0,
            heard: 0,
            say_at: Moment::NEVER,
            their_serial: 0,
            trickled: now,
            framed: now,
            dropped_at: None,
            padding: 0,
        }
    }

    pub(super) fn use_key(&mut self, key: &SenderKey) {
        self.ours.values_mut().for_each(|ours| ours.outgoing.use_key(key));
        self.key = Some(key.clone());
    }

    pub(super) fn add_their_key(&mut self, key: &SenderKey) {
        let slot = 1 - self.slot;
        self.theirs.values_mut().for_each(|theirs| theirs.incoming.add_key(slot, key));
    }

    /// Sound of the peer came.
    pub(super) fn heard_voice(&mut self, now: Moment, media_time: Duration) {
        self.voice.take(now, media_time);
    }

    /// How long the peer's sound waits to be played.
    pub(super) fn voice_waits(&mut self, waits: Duration) {
        let voice = &self.voice;
        self.theirs.values_mut().for_each(|theirs| theirs.incoming.hear(voice, waits));
    }

    pub(super) fn watch(&mut self, watching: bool) {
        self.watching = watching;
        self.theirs.values_mut().for_each(|theirs| theirs.incoming.pause());
    }

    /// Both ways: little is sent, and little of their camera is asked for. A screen stays readable.
    pub(super) fn low_data(&mut self, now: Moment, on: bool) {
        if self.low_data != on {
            self.low_data = on;
            self.change(now);
        }
    }

    pub(super) fn need_key(&mut self, track: VideoTrack) {
        if let Some(theirs) = self.theirs.get_mut(&track) {
            theirs.incoming.need_key();
        }
    }

    /// Bytes went out beside the queue: voice.
    pub(super) fn spent(&mut self, bytes: usize) {
        self.pacer.spent(bytes);
    }

    pub(super) fn figures(&self) -> BTreeMap<VideoTrack, PictureFigures> {
        let of = |track: &VideoTrack| {
            let (ours, theirs) = (self.ours.get(track), self.theirs.get(track));
            PictureFigures {
                ours_on: ours.is_some_and(|o| o.on),
                plan: ours.filter(|o| o.on).and_then(|o| o.plan),
                sent: ours.map(|o| o.outgoing.figures()).unwrap_or_default(),
                theirs_on: theirs.is_some_and(|t| t.on == Some(true)),
                received: theirs.map(|t| t.incoming.figures()).unwrap_or_default(),
            }
        };
        VideoTrack::ALL.iter().map(|track| (*track, of(track))).collect()
    }

    fn any_on(&self) -> bool {
        self.ours.values().any(|ours| ours.on)
    }

    fn state(&self) -> PictureState {
        let on = |track| self.ours.get(&track).is_some_and(|ours| ours.on);
        let want = |track| {
            let want = self.theirs.get(&track).and_then(|theirs| theirs.want)?;
            let little = self.low_data && track == VideoTrack::Camera;
            Some(if little { smaller(want, LITTLE) } else { want })
        };
        PictureState { serial: self.said, on: VideoTrack::ALL.map(on), want: VideoTrack::ALL.map(want) }
    }

    fn change(&mut self, now: Moment) {
        self.said += 1;
        self.say_at = now;
    }

    fn limits(&self, ours: &Ours) -> Limits {
        Limits { want: ours.want, source: ours.source, low_data: self.low_data }
    }

    /// The most that all our pictures can use, with their pieces' headers and parity.
    fn wanted(&self, loss: Loss, rtt: Duration) -> Bitrate {
        let most = |ours: &Ours| with_repair(ours.ladder.most(self.limits(ours)), loss, rtt).as_bps();
        Bitrate::bps(self.ours.values().filter(|ours| ours.on).map(most).sum())
    }
}

impl Session {
    /// Our picture goes on or off.
    pub(super) fn on_track(&mut self, now: Moment, track: VideoTrack, on: bool) {
        let Some(ours) = self.pictures.ours.get_mut(&track).filter(|ours| ours.on != on) else { return };
        ours.on = on;
        ours.plan = None;
        ours.source = None;
        ours.ladder = Ladder::new(now, track);
        if !on {
            self.pictures.pacer.drop_if(|_, (item, _)| item.track == track);
        }
        self.pictures.change(now);
    }

    /// What of their picture can be shown here; `None`: nothing.
    pub(super) fn on_want(&mut self, now: Moment, track: VideoTrack, want: Option<VideoSize>) {
        let Some(theirs) = self.pictures.theirs.get_mut(&track).filter(|theirs| theirs.want != want) else {
            return;
        };
        if theirs.want.is_none() {
            theirs.incoming.pause();
        }
        theirs.want = want;
        self.pictures.change(now);
    }

    /// Bytes that pictures hold: sent ones that may be asked for, incomplete ones, those that wait.
    pub fn picture_bytes(&self) -> usize {
        let ours: usize = self.pictures.ours.values().map(|ours| ours.outgoing.bytes()).sum();
        let theirs: usize = self.pictures.theirs.values().map(|theirs| theirs.incoming.bytes()).sum();
        ours + theirs
    }

    /// Whether a frame of our pictures would go out soon. While not, the encoder rests.
    pub fn takes_video(&self) -> bool {
        self.pictures.pacer.backlog(self.links.target()) < ROOM
    }

    /// A frame of our encoder.
    pub(super) fn on_video(&mut self, now: Moment, track: VideoTrack, frame: &EncodedVideo) {
        let Some(chosen) = self.links.chosen() else { return self.drop_one(DropReason::NoLink) };
        let (rtt, target) = (self.links.rtt(), self.links.target());
        let loss = self.links.weather().map(|weather| weather.loss).unwrap_or_default();
        let Some(ours) = self.pictures.ours.get_mut(&track).filter(|ours| ours.on) else { return };
        if let Some(plan) = ours.plan {
            let lines = frame.size.height;
            ours.source = (lines < plan.size.height && frame.size.width < plan.size.width).then_some(lines);
        }
        self.pictures.framed = now;
        let way = Way { max_datagram: chosen.max_datagram, loss, rtt };
        let out = ours.outgoing.push(now, frame, way);
        if out.is_empty() {
            return self.drop_one(DropReason::TooLarge);
        }
        if self.pictures.probe.is_none() {
            self.begin_probe(now, chosen.id, loss, rtt, &out);
        }
        self.queue(now, out);
        if self.pictures.pacer.backlog(target) > TOO_LONG && !frame.is_key() {
            self.drop_backlog(now);
        }
    }

    /// What the receiver of our picture asks for.
    pub(super) fn on_ask(&mut self, now: Moment, ask: &Ask) {
        let rtt = self.links.rtt();
        let track = ask.track;
        let Some(ours) = self.pictures.ours.get_mut(&track).filter(|ours| ours.on) else { return };
        let (again, requests) = ours.outgoing.asked(now, rtt, ask);
        self.outputs.extend(requests.into_iter().map(|request| Output::VideoRequest { track, request }));
        self.queue(now, again);
    }

    /// A piece of their picture.
    pub(super) fn on_piece(&mut self, now: Moment, piece: &Piece<'_>) -> Result<(), DropReason> {
        if piece.header.slot != slot(other(self.role)) {
            return Err(DropReason::Unknown);
        }
        match self.pictures.theirs.get_mut(&piece.header.track) {
            // What is under way of a picture that was switched off.
            Some(theirs) if theirs.on == Some(false) => Ok(()),
            Some(theirs) => match theirs.incoming.take(now, piece) {
                Ok(()) | Err(OpenError::Replayed) => Ok(()),
                Err(error) => Err(error.into()),
            },
            None => Err(DropReason::Unknown),
        }
    }

    /// What they say of tracks.
    pub(super) fn on_picture_state(&mut self, now: Moment, state: &PictureState) {
        if state.serial > self.pictures.their_serial {
            self.pictures.their_serial = state.serial;
            for ((track, on), want) in VideoTrack::ALL.into_iter().zip(state.on).zip(state.want) {
                if let Some(ours) = self.pictures.ours.get_mut(&track) {
                    ours.want = want;
                }
                if let Some(theirs) = self.pictures.theirs.get_mut(&track)
                    && theirs.on.unwrap_or(false) != on
                {
                    if !on {
                        theirs.incoming.pause();
                    }
                    self.outputs.push_back(Output::Event(SessionEvent::Track { track, on }));
                }
                if let Some(theirs) = self.pictures.theirs.get_mut(&track) {
                    theirs.on = Some(on);
                }
            }
        }
        let ack = Control { pictures_ack: Some(state.serial), ..Control::default() };
        let link = self.links.chosen().map(|l| l.id);
        self.send_control(now, link, &ack);
    }

    /// They heard what we said of tracks.
    pub(super) fn on_picture_ack(&mut self, serial: u32) {
        self.pictures.heard = self.pictures.heard.max(serial.min(self.pictures.said));
        if self.pictures.heard == self.pictures.said {
            self.pictures.say_at = Moment::NEVER;
        }
    }

    /// Shows, asks, plans and sends what is due.
    pub(super) fn pictures_on_time(&mut self, now: Moment) {
        self.say_tracks(now);
        self.show_and_ask(now);
        self.follow_plan(now);
        self.look_for_more(now);
        self.send_pictures(now);
    }

    /// When that is due again.
    pub(super) fn pictures_due(&self) -> Moment {
        let p = &self.pictures;
        let say = if self.keys.is_secured() { p.say_at } else { Moment::NEVER };
        let theirs = p.theirs.values().filter_map(|theirs| theirs.incoming.due());
        let theirs = if p.watching { theirs.min() } else { None };
        let send = match (self.links.chosen(), &p.probe) {
            (None, _) => None,
            (Some(_), Some(probe)) => Some(p.pacer.free_at(probe.rate)),
            (Some(chosen), None) if self.links.may_send(chosen.id) => p.pacer.due(self.pace()),
            (Some(_), None) => p.pacer.due(self.pace()).map(|at| at.max(p.trickled + self.trickle())),
        };
        [Some(say), theirs, send].into_iter().flatten().min().unwrap_or(Moment::NEVER)
    }

    fn say_tracks(&mut self, now: Moment) {
        if now < self.pictures.say_at || !self.keys.is_secured() {
            return;
        }
        self.pictures.say_at = now + SAY_AGAIN.max(self.links.rtt() * 2);
        let state = self.pictures.state();
        let link = self.links.chosen().map(|l| l.id);
        self.send_control(now, link, &Control { pictures: Some(state), ..Control::default() });
    }

    fn show_and_ask(&mut self, now: Moment) {
        if !self.pictures.watching {
            return;
        }
        let rtt = self.links.rtt();
        let mut asks = Vec::new();
        for (track, theirs) in &mut self.pictures.theirs {
            while let Some(shown) = theirs.incoming.show(now) {
                self.outputs.push_back(Output::Video {
                    track: *track,
                    frame: shown.frame,
                    arrival: shown.arrival,
                });
            }
            asks.extend(theirs.incoming.ask(now, rtt));
        }
        if let Some(chosen) = self.links.chosen() {
            for ask in asks {
                self.transmit(now, chosen.id, |link_seq| Datagram::Ask { link_seq, ask }.encode());
            }
        }
    }

    /// What the voice may use. Beside pictures the target is what the link carries, and losses may be of their making: a
    /// voice that met them with more sendings would take all that is left of a narrow link.
    pub(super) fn voice_weather(&self) -> Option<Weather> {
        let weather = self.links.weather()?;
        if !self.pictures.any_on() {
            return Some(weather);
        }
        let target = self.links.target();
        let share = Bitrate::bps(target.as_bps() / VOICE_SHARE).max(VOICE_BESIDE).min(target);
        Some(Weather { budget: share, ..weather })
    }

    /// Tells encoders what they may make.
    fn follow_plan(&mut self, now: Moment) {
        let (Some(weather), true) = (self.links.weather(), self.pictures.any_on()) else { return };
        let loss = weather.loss;
        // Not what a voice alone may try beyond it: pictures show what the link carries.
        let budget = self.links.target();
        let rtt = self.links.rtt();
        let voice = self.voice.plan().cost().as_bps() + REPORTS.as_bps();
        let left = budget.as_bps().saturating_sub(voice);
        // Before the first frame told what the link carries.
        let left = if self.pictures.probed.is_none() { left.max(FIRST_PLAN.as_bps()) } else { left };
        let both = self.pictures.ours.values().all(|ours| ours.on);
        let mut rest = left;
        for track in [VideoTrack::Screen, VideoTrack::Camera] {
            let low_data = self.pictures.low_data;
            let Some(ours) = self.pictures.ours.get_mut(&track).filter(|ours| ours.on) else { continue };
            let limits = Limits { want: ours.want, source: ours.source, low_data };
            let share =
                if both && track == VideoTrack::Screen { (left as f64 * SCREEN_SHARE) as u64 } else { rest };
            let bits = without_repair(Bitrate::bps(share), loss, rtt).min(ours.ladder.most(limits));
            rest = rest.saturating_sub(with_repair(bits, loss, rtt).as_bps());
            if let Some(plan) = ours.ladder.follow(now, bits, limits) {
                ours.plan = Some(plan);
                self.outputs.push_back(Output::VideoPlan { track, plan });
            }
        }
        if self.pictures.pacer.backlog(budget) > TOO_LONG * 2 {
            self.drop_backlog(now);
        }
    }

    /// An encoder that rests because little may be sent sends no frames to find more with.
    fn look_for_more(&mut self, now: Moment) {
        let Some(chosen) = self.links.chosen() else { return };
        let rests = now.since(self.pictures.framed) > RESTS;
        if rests
            && self.pictures.any_on()
            && self.pictures.probe.is_none()
            && self.pictures.probed == Some(chosen.id)
        {
            let (loss, rtt) = (self.links.weather().map(|w| w.loss).unwrap_or_default(), self.links.rtt());
            self.begin_probe(now, chosen.id, loss, rtt, &[]);
        }
    }

    fn begin_probe(&mut self, now: Moment, link: LinkId, loss: Loss, rtt: Duration, frame: &[ToSend]) {
        // The voice takes its part at once: without more than that a frame that nobody looks at would wait for ever, and the
        // probe with it.
        let pictures = self.pictures.wanted(loss, rtt).max(LEAST_PROBE);
        let wanted = pictures.as_bps() + self.voice.plan().cost().as_bps();
        let wanted = Bitrate::bps(wanted);
        let due = if self.pictures.probed == Some(link) {
            self.links.probe_due(now, link, wanted)
        } else {
            let bytes: usize = frame.iter().map(|one| one.bytes + OUTSIDE).sum();
            Some((bytes.max(FIRST_PROBE_BYTES), FIRST_PROBE.min(wanted)))
        };
        if let Some((left, rate)) = due
            && let Some(from) = self.links.count(link)
        {
            self.pictures.probed = Some(link);
            self.pictures.probe = Some(Probe { from, left, rate });
        }
    }

    fn queue(&mut self, now: Moment, out: Vec<ToSend>) {
        for ToSend { class, item, bytes } in out {
            // A full queue is dropped as a whole when it takes too long.
            let _ = self.pictures.pacer.push(now, class, (item, class), bytes + OUTSIDE);
        }
    }

    /// What waits is late whatever happens: the encoder goes on from what the receiver has.
    fn drop_backlog(&mut self, now: Moment) {
        if self.pictures.dropped_at.is_some_and(|at| now.since(at) < TOO_LONG) {
            return;
        }
        self.pictures.dropped_at = Some(now);
        self.pictures.pacer.drop_if(|_, _| true);
        for (track, ours) in self.pictures.ours.iter_mut().filter(|(_, ours)| ours.on) {
            let request = ours.outgoing.go_on(now);
            self.outputs.push_back(Output::VideoRequest { track: *track, request });
        }
    }

    /// The rate at which pictures leave.
    fn pace(&self) -> Bitrate {
        let target = self.links.target();
        let by = if target < NARROW { PACE_NARROW } else { PACE };
        Bitrate::bps((target.as_bps() as f64 * by) as u64)
    }

    fn trickle(&self) -> Duration {
        let share = self.links.target().as_bps() as f64 * TRICKLE_SHARE;
        TRICKLE.max(Duration::from_secs_f64(TRICKLE_BITS / share.max(1_000.0)))
    }

    fn send_pictures(&mut self, now: Moment) {
        let Some(chosen) = self.links.chosen() else { return };
        loop {
            let free = self.pictures.probe.is_some() || self.links.may_send(chosen.id);
            if !free && now < self.pictures.trickled + self.trickle() {
                return;
            }
            let rate = self.pictures.probe.as_ref().map_or_else(|| self.pace(), |probe| probe.rate);
            let sent = match self.pictures.pacer.take(now, rate) {
                Some((item, class)) => self.send_item(now, chosen.id, item, class),
                None if self.pictures.probe.is_some() && now >= self.pictures.pacer.free_at(rate) => {
                    self.send_padding(now, chosen.id)
                }
                None => return,
            };
            if sent > 0 {
                self.pictures.trickled = now;
            }
            if let Some(probe) = &mut self.pictures.probe {
                probe.left = probe.left.saturating_sub(sent);
                if probe.left == 0 {
                    let (from, rate) = (probe.from, probe.rate);
                    self.pictures.probe = None;
                    self.links.probing(now, chosen.id, from, rate);
                }
            }
        }
    }

    fn send_item(&mut self, now: Moment, link: LinkId, item: Item, class: Class) -> usize {
        let Some(link_seq) = self.links.next_seq(link) else { return 0 };
        let ours = self.pictures.ours.get_mut(&item.track);
        let piece = ours.and_then(|ours| ours.outgoing.piece(item, class == Class::Again));
        let Some(piece) = piece else { return 0 };
        debug_assert!(piece.parity.is_some() == matches!(item.share, Share::Parity(_)));
        let datagram = Datagram::Piece { link_seq, piece }.encode();
        let bytes = datagram.len() + OUTSIDE;
        self.transmit(now, link, |_| datagram);
        bytes
    }

    fn send_padding(&mut self, now: Moment, link: LinkId) -> usize {
        self.pictures.padding += 1;
        self.pictures.pacer.spent(PADDING + OUTSIDE);
        self.transmit(now, link, |link_seq| Datagram::Padding { link_seq, length: PADDING - 3 }.encode());
        PADDING + OUTSIDE
    }
}

const fn first_want(track: VideoTrack) -> VideoSize {
    match track {
        VideoTrack::Camera => FIRST_WANT,
        VideoTrack::Screen => FIRST_SCREEN,
    }
}

fn smaller(one: VideoSize, other: VideoSize) -> VideoSize {
    VideoSize { width: one.width.min(other.width), height: one.height.min(other.height) }
}

/// How much more than the encoder's bits goes out: headers, seals, parity, second sendings.
fn repair(bits: Bitrate, loss: Loss, rtt: Duration) -> f64 {
    let frame = (bits.as_bps() as f64 / 8.0 / 30.0).max(50.0);
    let pieces = (frame / 1_100.0).ceil();
    let parity = parities(pieces as usize, Weight::Chain, loss, rtt) as f64 / pieces;
    let headers = (pieces * 71.0 + 27.0 + 7.0) / frame;
    (1.0 + parity) * (1.0 + headers) + f64::from(loss.share).min(0.3)
}

fn with_repair(bits: Bitrate, loss: Loss, rtt: Duration) -> Bitrate {
    Bitrate::bps((bits.as_bps() as f64 * repair(bits, loss, rtt)) as u64)
}

fn without_repair(all: Bitrate, loss: Loss, rtt: Duration) -> Bitrate {
    let mut bits = all.as_bps() as f64;
    // What repair costs depends on the size of frames: three steps come near enough.
    for _ in 0..3 {
        bits = all.as_bps() as f64 / repair(Bitrate::bps(bits as u64), loss, rtt);
    }
    Bitrate::bps(bits as u64)
}
