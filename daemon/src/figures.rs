//! Live figures of running calls: rates and shares since the last look, for the view, the trace and `ahoy stats`.

use std::collections::BTreeMap;
use std::time::Duration;

use ahoy_base::{Bitrate, ByteCount, CallId, Moment, PeerId};
use ahoy_net_core::session::{PathInfo, SessionStats, VoicePlan};
use serde_json::{Value, json};

use crate::audio::PeerFigures;
use crate::call_task::Figures;
use crate::node::Node;
use crate::picture_figures::{self, Pictures};
use crate::trace::Trace;
use crate::usage::Usage;
use crate::view::{CallPhase, Quality, from_word, word};
use crate::view_builder;

/// What sound takes before the network and after the jitter buffer: a frame of 10 ms is collected, Opus looks 6.5 ms
/// ahead, and the speaker's block waits 10 ms.
const FIXED_DELAY: Duration = Duration::from_micros(26_500);

/// Remembers the last look, so that the next can say what happened since.
#[derive(Default)]
pub(crate) struct Meters {
    calls: BTreeMap<CallId, Meter>,
    qualities: BTreeMap<CallId, Quality>,
    pictures: BTreeMap<CallId, Pictures>,
    usage: Option<Usage>,
    cpu_share: f64,
}

#[derive(Clone)]
struct Meter {
    peer: PeerId,
    at: Moment,
    session: SessionStats,
    sound: PeerFigures,
    /// The least round trip so far: what is above it is queues.
    least_rtt: Option<Duration>,
    since: Since,
    pictures: Pictures,
}

/// What happened between two looks.
#[derive(Clone, Copy, Default)]
struct Since {
    sent: Bitrate,
    received: Bitrate,
    lost_percent: f64,
    concealed_percent: f64,
    stretched_percent: f64,
}

impl Meters {
    /// Looks at all running calls, traces their rates, and says whether what people see changed.
    pub(crate) fn read(&mut self, now: Moment, node: &Node, trace: &Trace) -> bool {
        self.read_usage(now);
        let mut calls = BTreeMap::new();
        let mut qualities = BTreeMap::new();
        for call in node.calls().calls().filter(|call| call.end().is_none()) {
            let Some(figures) = node.figures(call.id()) else { continue };
            let sound = node.audio().figures(call.id(), call.peer()).unwrap_or_default();
            let meter = Meter::new(now, call.peer(), self.calls.get(&call.id()), &figures, sound);
            trace.event(now, "rate", meter.rate(call.id()));
            // Before the first sound there is nothing to judge.
            if sound.playout.played > 0 {
                qualities.insert(call.id(), meter.quality());
            }
            calls.insert(call.id(), meter);
        }
        let pictures = calls.iter().map(|(id, meter)| (*id, meter.pictures.clone())).collect();
        self.calls = calls;
        let changed = self.qualities != qualities || self.pictures != pictures;
        self.qualities = qualities;
        self.pictures = pictures;
        changed
    }

    /// How good each call is.
    pub(crate) fn qualities(&self) -> &BTreeMap<CallId, Quality> {
        &self.qualities
    }

    /// Share of a call's sound that never came since it began, the worse way of both.
    pub(crate) fn lost(&self, call: CallId) -> f64 {
        let Some(meter) = self.calls.get(&call) else { return 0.0 };
        let playout = &meter.sound.playout;
        let theirs = share(playout.lost, playout.lost + playout.played);
        let ours = meter
            .session
            .links
            .iter()
            .find(|link| link.chosen)
            .map_or(0.0, |link| f64::from(link.loss.share));
        theirs.max(ours)
    }

    /// How the pictures of each call do.
    pub(crate) fn pictures(&self) -> &BTreeMap<CallId, Pictures> {
        &self.pictures
    }

    /// The document of `ahoy stats --json` (docs/PROTOCOL.md, "Figures").
    pub(crate) fn stats(
        &mut self,
        now: Moment,
        node: &Node,
        paths: &BTreeMap<CallId, PathInfo>,
        name: impl Fn(PeerId) -> String,
    ) -> Value {
        self.read_usage(now);
        let calls: Vec<Value> = node
            .calls()
            .calls()
            .filter(|call| call.end().is_none())
            .map(|call| {
                let meter = self.calls.get(&call.id());
                let peers: Vec<Value> = meter
                    .map(|meter| meter.stats(&name(meter.peer), paths.get(&call.id())))
                    .into_iter()
                    .collect();
                let state: Option<CallPhase> = from_word(call.phase().code());
                json!({ "call": call.id().to_string(), "state": state.as_ref().map(word), "peers": peers })
            })
            .collect();
        let resident = self.usage.map(|usage| usage.resident_bytes);
        json!({
            "t_us": now.as_micros(),
            "daemon": { "cpu_share": round(self.cpu_share), "resident_bytes": resident },
            "calls": calls,
        })
    }

    /// Keeps at least a second between two readings: processor time is counted in steps of 10 ms.
    fn read_usage(&mut self, now: Moment) {
        if self.usage.is_some_and(|last| now.since(last.at) < Duration::from_secs(1)) {
            return;
        }
        let Some(usage) = Usage::read(now) else { return };
        self.cpu_share = self.usage.map_or(0.0, |last| usage.cpu_share_since(&last));
        self.usage = Some(usage);
    }
}

impl Meter {
    fn new(now: Moment, peer: PeerId, last: Option<&Meter>, figures: &Figures, sound: PeerFigures) -> Meter {
        let session = figures.stats.clone();
        let rtt = session.links.iter().find(|link| link.chosen).and_then(|link| link.rtt);
        let least_rtt = last.and_then(|meter| meter.least_rtt).into_iter().chain(rtt).min();
        let since = last.map_or_else(Since::default, |last| {
            let time = now.since(last.at);
            let rate = |now: u64, then: u64| Bitrate::of(ByteCount::new(now.saturating_sub(then)), time);
            let (played, before) = (sound.playout, last.sound.playout);
            let lost = played.lost.saturating_sub(before.lost);
            let concealed = made_up(&sound).saturating_sub(made_up(&last.sound));
            let frames = played.played.saturating_sub(before.played);
            let stretched = (sound.added_samples + sound.removed_samples)
                .saturating_sub(last.sound.added_samples + last.sound.removed_samples);
            Since {
                sent: rate(session.sent_bytes, last.session.sent_bytes),
                received: rate(session.received_bytes, last.session.received_bytes),
                lost_percent: percent(lost, lost + frames),
                concealed_percent: percent(concealed, concealed + frames),
                stretched_percent: percent(
                    stretched,
                    sound.played_samples.saturating_sub(last.sound.played_samples),
                ),
            }
        });
        let before = last.map(|last| (&last.session.pictures, now.since(last.at)));
        let pictures = before.map_or_else(Pictures::new, |(before, time)| {
            picture_figures::since(&session.pictures, before, time)
        });
        Meter { peer, at: now, session, sound, least_rtt, since, pictures }
    }

    fn rtt(&self) -> Option<Duration> {
        self.session.links.iter().find(|link| link.chosen).and_then(|link| link.rtt)
    }

    /// What the encoder aims at.
    fn target(&self) -> Bitrate {
        self.session.plan.unwrap_or(VoicePlan::FIRST).bitrate
    }

    /// Share of what is sent for repair, by the plan.
    fn repair(&self) -> f64 {
        let plan = self.session.plan.unwrap_or(VoicePlan::FIRST);
        let bare = VoicePlan { older: 0, again: 0, ..plan };
        round(1.0 - bare.cost().as_bps() as f64 / plan.cost().as_bps() as f64)
    }

    fn quality(&self) -> Quality {
        let playout = self.sound.playout.delay;
        let delay = self.rtt().unwrap_or_default() / 2 + playout + FIXED_DELAY;
        view_builder::quality(
            ms(playout),
            ms(delay),
            round(self.since.lost_percent),
            round(self.since.concealed_percent),
        )
    }

    fn rate(&self, call: CallId) -> Value {
        json!({
            "call": call.to_string(),
            "target_bps": self.target().as_bps(),
            "sent_bps": self.since.sent.as_bps(),
            "received_bps": self.since.received.as_bps(),
        })
    }

    fn stats(&self, name: &str, path: Option<&PathInfo>) -> Value {
        let rtt = self.rtt();
        let queue = rtt.zip(self.least_rtt).map(|(now, least)| millis((now.saturating_sub(least)) / 2));
        let (sound, playout) = (&self.sound, &self.sound.playout);
        let chosen = self.session.links.iter().find(|link| link.chosen);
        let lost_on_links: u64 =
            self.session.links.iter().filter(|link| link.chosen).map(|link| link.lost).sum();
        let got_on_links: u64 =
            self.session.links.iter().filter(|link| link.chosen).map(|link| link.received).sum();
        let frames = playout.played + playout.lost;
        let dropped: BTreeMap<&str, u64> =
            self.session.dropped.iter().map(|(why, n)| (why.word(), *n)).collect();
        let sent = json!({
            "track": "voice", "kind": "audio", "direction": "send",
            "target_bps": self.target().as_bps(), "sent_bps": self.since.sent.as_bps(),
            "packets": self.session.audio_sent,
            "again": self.session.audio_again,
            "share": self.share(),
            "plan": self.session.plan.map(|plan| json!({
                "frame_ms": ms(plan.frame), "bitrate_bps": plan.bitrate.as_bps(), "copies": plan.older,
                "again": plan.again,
            })),
            "loss": chosen.map(|link| json!({
                "share": round(f64::from(link.loss.share)), "burst": round(f64::from(link.loss.burst)),
            })),
            "rate": chosen.map(|link| json!({
                "target_bps": link.rate.target.as_bps(), "throughput_bps": link.rate.throughput.as_bps(),
                "queue_ms": millis(link.rate.queue), "decreases": link.rate.decreases,
            })),
        });
        let received = json!({
            "track": "voice", "kind": "audio", "direction": "receive",
            "received_bps": self.since.received.as_bps(),
            "packets": self.session.audio_received,
            "double": self.session.audio_double,
            "level_dbfs": sound.level.as_f32(),
            "playout_target_ms": millis(playout.target),
            "for_pictures_ms": millis(playout.for_pictures),
            "playout_delay_ms": millis(playout.delay),
            "frames": {
                "played": playout.played, "lost": playout.lost, "copied": playout.copied, "late": playout.late,
                "duplicate": playout.duplicates, "reordered": playout.reordered, "skipped": playout.skipped,
                "quiet": playout.quiet, "broken": sound.broken,
            },
            "concealed_share": {
                "loss": share(playout.concealed_lost, frames),
                "late": share(playout.concealed_late, frames),
            },
            "stretched_share": {
                "faster": share(sound.removed_samples, sound.played_samples),
                "slower": share(sound.added_samples, sound.played_samples),
                "last_second": round(self.since.stretched_percent / 100.0),
            },
        });
        let mut tracks = vec![sent, received];
        tracks.extend(self.picture_stats());
        json!({
            "peer_id": self.peer.to_string(),
            "name": name,
            "path": path.map(view_builder::path),
            "rtt_ms": rtt.map(millis),
            "queue_delay_ms": queue,
            "loss": {
                "before_repair": share(lost_on_links, lost_on_links + got_on_links),
                "after_repair": share(playout.lost, frames),
            },
            "dropped": dropped,
            "handshakes": self.session.handshakes,
            "key_changes": self.session.key_changes,
            "tracks": tracks,
        })
    }

    /// Pictures that are on, or were.
    fn picture_stats(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (track, figures) in &self.session.pictures {
            let lively = |own| self.pictures.get(&(*track, own)).copied().unwrap_or_default();
            if figures.ours_on || figures.sent.frames > 0 {
                all.push(picture_figures::sent(*track, figures, lively(true), self.since.sent));
            }
            if figures.theirs_on || figures.received.frames > 0 {
                all.push(picture_figures::received(*track, figures, lively(false)));
            }
        }
        all
    }

    /// How all that is sent to the peer divides.
    fn share(&self) -> Value {
        let own = self.pictures.iter().filter(|((_, own), _)| *own).map(|(_, lively)| *lively);
        let (video, repair) = own.fold((0, 0), |(video, repair), lively| {
            (video + lively.bitrate.as_bps(), repair + lively.repair.as_bps())
        });
        let all = self.since.sent.as_bps().max(video + repair);
        let part = |bits: u64| if all == 0 { 0.0 } else { bits as f64 / all as f64 };
        let voice = 1.0 - part(video) - part(repair);
        let repair = part(repair) + voice * self.repair();
        json!({ "audio": round(voice * (1.0 - self.repair())), "video": round(part(video)), "repair": round(repair) })
    }
}

fn made_up(sound: &PeerFigures) -> u64 {
    sound.playout.concealed_lost + sound.playout.concealed_late
}

fn percent(part: u64, of: u64) -> f64 {
    share(part, of) * 100.0
}

/// A share of nothing is nothing.
fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { round(part as f64 / of as f64) }
}

fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

fn millis(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1_000.0)
}

fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_tells_what_happened_since_the_last() {
        let peer = PeerId::from_public_key([1; 32]);
        let mut figures = Figures::default();
        let mut sound = PeerFigures::default();
        let first = Meter::new(Moment::from_millis(1_000), peer, None, &figures, sound);
        figures.stats.sent_bytes = 5_000;
        sound.playout.played = 48;
        sound.playout.lost = 2;
        sound.playout.concealed_lost = 2;
        sound.playout.delay = Duration::from_millis(20);
        let second = Meter::new(Moment::from_millis(2_000), peer, Some(&first), &figures, sound);
        assert_eq!(second.since.sent, Bitrate::kbps(40));
        assert!(
            (second.since.lost_percent - 4.0).abs() < 1e-9
                && (second.since.concealed_percent - 4.0).abs() < 1e-9
        );
        let quality = second.quality();
        assert_eq!((quality.playout_delay_ms, quality.delay_ms), (20, 46));
        let stats = second.stats("Ann", None);
        assert_eq!(stats["tracks"][1]["frames"]["played"], 48);
        assert_eq!(stats["loss"]["after_repair"], 0.04);
    }
}
