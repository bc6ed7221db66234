//! One direction of a call: the rate controller, the send log and the reports under test, and a source that fills them.

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_base::{Bitrate, Moment};
use ahoy_net_core::transport::{Arrived, RateController, SendLog};
use ahoy_net_core::wire::datagram::Report;

use super::{Link, Packet};

/// Bytes of a full datagram.
const FULL: usize = 1_200;

/// What a call sends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Source {
    /// Voice alone: 150 bytes each 10 ms.
    Voice,
    /// Voice, and pictures that fill what may be sent, up to this.
    Pictures(Bitrate),
}

pub(crate) struct Call {
    pub(crate) flow: usize,
    source: Source,
    pub(crate) rate: RateController,
    pub(crate) log: SendLog,
    arrived: Arrived,
    reports: VecDeque<(Moment, Report)>,
    credit: f64,
    ticks: u64,
    pub(crate) delivered: u64,
    pub(crate) sent: u64,
}

impl Call {
    pub(crate) fn new(now: Moment, flow: usize, source: Source) -> Call {
        Call {
            flow,
            source,
            rate: RateController::new(now, Bitrate::kbps(300)),
            log: SendLog::default(),
            arrived: Arrived::default(),
            reports: VecDeque::new(),
            credit: 0.0,
            ticks: 0,
            delivered: 0,
            sent: 0,
        }
    }

    pub(crate) fn send(&mut self, now: Moment, link: &mut Link) {
        while let Some((_, report)) = self.reports.pop_front_if(|(at, _)| *at <= now) {
            let fates = self.log.learn(now, &report);
            self.rate.learn(now, &fates, self.log.rtt());
        }
        self.rate.on_time(now, self.log.in_flight());
        self.ticks += 1;
        if self.ticks.is_multiple_of(10) {
            self.put(now, link, 150);
        }
        let Source::Pictures(most) = self.source else { return };
        if let Some((bytes, rate)) = self.rate.probe_due(now, most) {
            let from = self.log.count();
            (0..bytes.div_ceil(FULL)).for_each(|_| self.put(now, link, FULL));
            self.rate.probing(now, from, self.log.count(), rate);
        }
        // A pacer: what the target allows each millisecond, and no saving up.
        let wanted = self.rate.target().min(most).as_bps() as f64 - 120_000.0;
        self.credit = (self.credit + wanted.max(0.0) / 8_000.0).min(3.0 * FULL as f64);
        while self.credit >= FULL as f64 && self.rate.may_send(self.log.in_flight()) {
            self.credit -= FULL as f64;
            self.put(now, link, FULL);
        }
    }

    fn put(&mut self, now: Moment, link: &mut Link, bytes: usize) {
        link.send(Packet { flow: self.flow, number: self.log.count(), bytes });
        self.log.sent(now, bytes);
        self.sent += bytes as u64;
    }

    pub(crate) fn arrive(&mut self, at: Moment, packet: Packet) {
        // Wraps as the number on the wire does.
        self.arrived.note(at, packet.number as u16, true);
        self.delivered += packet.bytes as u64;
    }

    pub(crate) fn report(&mut self, now: Moment, back: Duration) {
        if let Some(report) = self.arrived.report(now) {
            self.reports.push_back((now + back, report));
        }
    }
}
