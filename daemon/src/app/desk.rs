//! What the app knows beside its node, kept and told: contacts, names, addresses, the log, the trace; and how it is the
//! [`Host`] of this person's endpoint.

use ahoy_base::{CallId, Moment, PeerId, VideoTrack};
use ahoy_call::{CallEvent, CommandError, Fault, Network, ProxyFault, Standing, Transaction};
use ahoy_net::{Multiaddr, ProxyTrouble, RelayRole, Source};
use ahoy_net_core::session::PathInfo;
use ahoy_net_core::wire::card::Card;
use serde_json::{Value, json};

use super::{
    CARD_ADDRESSES, Desk, Entry, Happened, MAX_ADDRESSES, MAX_NAMES, RECENT_LINES, cut, error_of, no_contact,
    of_call,
};
use crate::app_handle::AppEvent;
use crate::audio::AudioEvent;
use crate::clock;
use crate::node::{Devices, Host, NetNews};
use crate::ports;
use crate::recording::People;
use crate::safety;
use crate::store::ContactRow;
use crate::video::VideoEvent;
use crate::view::{Contact, Me, Notice, PeerKind, Presence, QrCode, Recent, Verified};
use crate::view_builder::{self, name_of};
use crate::web::protocol::UiError;
use crate::who;

impl Desk {
    pub(super) fn me(&self) -> Me {
        let card = self.card();
        Me {
            name: self.name.clone(),
            peer_id: self.identity.peer,
            card_qr: QrCode::of(&card),
            card,
            addresses: self.public_addresses(),
        }
    }

    /// What others can dial: no loopback unless there is nothing else.
    pub(super) fn public_addresses(&self) -> Vec<String> {
        let loopback = |a: &&Multiaddr| ahoy_net::is_loopback(a);
        let outside: Vec<&Multiaddr> = self.listening.iter().filter(|a| !loopback(a)).collect();
        let shown = if outside.is_empty() { self.listening.iter().collect() } else { outside };
        shown.into_iter().map(|a| format!("{a}/p2p/{}", self.identity.peer)).collect()
    }

    /// What is known of the network, for its diagnosis.
    pub(super) fn network(&self) -> Network {
        let reached = self.reached;
        let proxy = reached.proxy.map(|trouble| match trouble {
            ProxyTrouble::Unreachable => ProxyFault::Unreachable,
            ProxyTrouble::Authentication => ProxyFault::Authentication,
            ProxyTrouble::Refused(status) => ProxyFault::Refused(status),
            ProxyTrouble::Garbled => ProxyFault::Garbled,
        });
        Network {
            addresses: self.listening.iter().filter(|a| !ahoy_net::is_loopback(a)).count(),
            udp: reached.udp,
            straight: reached.straight,
            relays: (reached.relays, reached.known_relays),
            bootstraps: (reached.bootstraps, reached.known_bootstraps),
            table: reached.table,
            proxy,
            mapping: reached.mapping,
            nat: reached.nat,
        }
    }

    /// What a card carries: those first that somebody far away can use, without ourselves at their end.
    pub(super) fn card_addresses(&self) -> Vec<String> {
        let mut shown: Vec<&Multiaddr> =
            self.listening.iter().filter(|a| !ahoy_net::is_loopback(a)).collect();
        if shown.is_empty() {
            shown = self.listening.iter().collect();
        }
        shown.sort_by_key(|a| (!ahoy_net::is_global(a), ahoy_net::is_relayed(a)));
        shown.into_iter().take(CARD_ADDRESSES).map(ToString::to_string).collect()
    }

    pub(super) fn card(&self) -> String {
        let addresses = self.card_addresses();
        let card = Card { peer: self.identity.peer, name: self.name.clone(), addresses, invite: self.invite };
        card.sign(&self.identity.signing_key)
    }

    pub(super) fn recent(&self) -> Vec<Recent> {
        let rows = self.store.recent(RECENT_LINES).unwrap_or_else(|error| {
            tracing::warn!(%error, "the log of calls can't be read");
            Vec::new()
        });
        rows.into_iter()
            .filter_map(|row| row.to_recent(name_of(&self.contacts, &self.names, row.call.peer)))
            .collect()
    }

    pub(super) fn take_up(&mut self, row: ContactRow) {
        let contact = Contact {
            peer_id: row.peer,
            name: row.name.clone(),
            kind: PeerKind::Person,
            verified: row.verified,
            presence: Presence::Offline,
            nearby: false,
            safety_number: safety::number(self.identity.peer, row.peer),
            added_at_ms: row.added_at_ms,
            hide_address: row.hide_address,
        };
        let addresses = row.addresses.iter().filter_map(|a| a.parse().ok()).collect();
        // The newest that worked stand first.
        self.to_connect.push((row.peer, addresses, Source::Worked));
        self.contacts.insert(row.peer, contact);
        self.rows.insert(row.peer, row);
    }

    pub(super) fn add_card(&mut self, found: who::Found) -> Result<Value, UiError> {
        if found.peer == self.identity.peer {
            return Err(UiError::new(
                "That is your own card.",
                "Nothing was changed.",
                "Send it to somebody, and add the card they send you.",
            ));
        }
        let addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
        let name = found.name.map(|n| cut(&n)).filter(|n| !n.is_empty());
        self.add(Entry { peer: found.peer, name, addresses, invite: found.invite })
    }

    pub(super) fn add_nearby(&mut self, peer: PeerId) -> Result<Value, UiError> {
        if !self.nearby.contains(&peer) {
            return Err(UiError::new(
                "That device is no longer nearby.",
                "Your contacts are not touched.",
                "Wait until it shows up again, or ask for its card.",
            ));
        }
        self.add(Entry { peer, name: None, addresses: Vec::new(), invite: None })
    }

    pub(super) fn add(&mut self, entry: Entry) -> Result<Value, UiError> {
        let Entry { peer, name, addresses, invite } = entry;
        let known = self.rows.get(&peer);
        let mut all = addresses;
        all.extend(known.iter().flat_map(|row| row.addresses.clone()));
        let mut unique: Vec<String> = Vec::new();
        all.into_iter().for_each(|a| {
            if !unique.contains(&a) {
                unique.push(a)
            }
        });
        unique.truncate(MAX_ADDRESSES);
        let row = ContactRow {
            peer,
            // A name this person chose is kept when the card comes again.
            name: known
                .map(|row| row.name.clone())
                .or(name)
                .unwrap_or_else(|| name_of(&self.contacts, &self.names, peer)),
            verified: known.map_or(Verified::Unverified, |row| row.verified),
            added_at_ms: known.map_or_else(clock::wall_ms, |row| row.added_at_ms),
            addresses: unique,
            invite: invite.or_else(|| known.and_then(|row| row.invite)),
            hide_address: known.is_some_and(|row| row.hide_address),
        };
        self.store.put_contact(&row)?;
        let result = json!({ "peer_id": peer.to_string(), "name": row.name });
        self.take_up(row);
        Ok(result)
    }

    pub(super) fn change_contact(
        &mut self,
        peer: PeerId,
        change: impl FnOnce(&mut ContactRow),
    ) -> Result<Value, UiError> {
        let mut row = self.rows.get(&peer).cloned().ok_or_else(no_contact)?;
        change(&mut row);
        if row.name.is_empty() {
            return Err(UiError::new(
                "A name needs at least one letter.",
                "Nothing was changed.",
                "Type a name.",
            ));
        }
        self.store.put_contact(&row)?;
        self.take_up(row);
        Ok(json!({}))
    }

    pub(super) fn remember_name(&mut self, peer: PeerId, name: &str) {
        let name = cut(name);
        if self.names.insert(peer, name).is_none() {
            self.names_order.push_back(peer);
        }
        while self.names_order.len() > MAX_NAMES {
            if let Some(oldest) = self.names_order.pop_front() {
                self.names.remove(&oldest);
            }
        }
    }

    pub(super) fn remember_invite(&mut self, peer: PeerId, invite: [u8; 16]) {
        self.invites.insert(peer, invite);
        // A handful at most are under way; which one goes makes no difference then.
        while self.invites.len() > MAX_NAMES {
            self.invites.pop_first();
        }
    }

    /// Whoever shows our own card's invitation was given it by this person: both are in each other's address book.
    pub(super) fn on_invited(&mut self, peer: PeerId, name: &str) {
        if self.contacts.contains_key(&peer) {
            return;
        }
        let name = Some(cut(name)).filter(|name| !name.is_empty());
        if let Err(error) = self.add(Entry { peer, name, addresses: Vec::new(), invite: None }) {
            tracing::warn!(%error, "somebody with our card could not be added");
        }
    }

    /// Addresses that worked, or that the device told, are dialled first next time, the newest before the others.
    pub(super) fn remember_addresses(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        let Some(row) = self.rows.get_mut(&peer) else { return };
        let mut all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        all.extend(row.addresses.iter().filter(|a| !all.contains(a)).cloned().collect::<Vec<_>>());
        all.truncate(MAX_ADDRESSES);
        if all == row.addresses {
            return;
        }
        row.addresses = all;
        if let Err(error) = self.store.put_contact(row) {
            tracing::warn!(%error, "addresses of a contact were not kept");
        }
    }

    pub(super) fn on_audio(&mut self, event: AudioEvent) {
        self.dirty = true;
        match event {
            AudioEvent::DevicesChanged => {}
            AudioEvent::FirstAudio { call, peer, at } => {
                let peer = json!({ "peer": peer.to_string() });
                self.trace.event(
                    at,
                    "first_audio",
                    json!({ "call": call.to_string(), "peer": peer["peer"] }),
                );
                self.tell(at, "first_audio", Some(call), peer);
            }
            AudioEvent::DeviceLost { role, name, now_using } => {
                let role = role.word();
                let using = now_using.as_deref().unwrap_or("nothing");
                self.notice(
                    &format!("lost-{role}"),
                    format!("The {role} “{name}” is gone."),
                    format!("The call goes on with {using}."),
                    "Plug it in again, or choose another one in the device menu.",
                );
            }
            AudioEvent::Problem { text } => {
                self.notice("sound", text, "Everything but sound works.", "See `ahoy doctor`.");
            }
        }
    }

    pub(super) fn on_video(&mut self, event: VideoEvent) {
        self.dirty = true;
        match event {
            // The source tells the trace itself.
            VideoEvent::DevicesChanged | VideoEvent::FirstCaptured { .. } => {}
            VideoEvent::SourceLost { track, text } => {
                let id = format!("lost-{}", track.word());
                self.notice(
                    &id,
                    text,
                    "The call goes on without this picture.",
                    "Choose another one in the device menu.",
                );
            }
            VideoEvent::Problem { text } => {
                self.notice("video", text, "Everything but pictures works.", "See `ahoy doctor`.");
            }
        }
    }

    pub(super) fn notice(
        &mut self,
        id: &str,
        text: impl Into<String>,
        works: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.notices.retain(|n| n.id != id);
        self.notices.push(Notice {
            id: id.to_owned(),
            text: text.into(),
            works: works.into(),
            mend: mend.into(),
        });
        self.dirty = true;
    }

    /// A test call is over: what it found.
    pub(super) fn tell_echo_test(&mut self, at: Moment, call: CallId) {
        let Some(test) = self.echo_tests.get(&call) else { return };
        let more = serde_json::to_value(test).unwrap_or_default();
        self.happened.push(Happened { at, word: "echo_test", call, traced: of_call(call, &more), more });
    }

    pub(super) fn tell(&self, at: Moment, event: &str, call: Option<CallId>, more: Value) {
        // Nobody listening is no error.
        let _ = self.events.send(AppEvent::new(at, event, call, more));
    }
}

impl Host for Desk {
    fn standing(&self, peer: PeerId) -> Standing {
        if self.contacts.contains_key(&peer) {
            Standing::Contact
        } else if self.nearby.contains(&peer) {
            Standing::Nearby
        } else {
            Standing::Stranger
        }
    }

    fn my_name(&self) -> String {
        self.name.clone()
    }

    fn invite_of(&self, peer: PeerId) -> Option<[u8; 16]> {
        self.rows.get(&peer).and_then(|row| row.invite).or_else(|| self.invites.get(&peer).copied())
    }

    fn addresses_for(&self, peer: PeerId) -> Vec<Multiaddr> {
        let Some(row) = self.rows.get(&peer) else { return Vec::new() };
        let useful =
            |a: &&Multiaddr| !ahoy_net::is_loopback(a) && (!row.hide_address || ahoy_net::is_relayed(a));
        self.listening.iter().filter(useful).take(ahoy_net::MAX_ROW).cloned().collect()
    }

    fn hides_from(&self, peer: PeerId) -> bool {
        self.rows.get(&peer).is_some_and(|row| row.hide_address)
    }

    fn may_relay(&self, peer: PeerId, in_call: bool) -> bool {
        match self.relay {
            RelayRole::Off => false,
            RelayRole::WhenPublic | RelayRole::Contacts => in_call || self.contacts.contains_key(&peer),
            RelayRole::Public => true,
        }
    }

    fn commit(&mut self, transaction: Transaction) {
        if let Err(error) = self.store.commit(&transaction) {
            tracing::warn!(%error, "calls can't be written down");
            self.notice(
                "store",
                error.what.clone(),
                "Calls go on; their log may have gaps.",
                error.mend.clone(),
            );
        }
        self.dirty = true;
    }

    fn on_call(&mut self, at: Moment, call: CallId, event: CallEvent) {
        self.dirty = true;
        let (word, more) = match event {
            CallEvent::Dialed => ("dial", json!({})),
            CallEvent::Ringing => ("ringing", json!({})),
            CallEvent::Incoming(alert) => {
                ("incoming", json!({ "alert": format!("{alert:?}").to_lowercase() }))
            }
            CallEvent::Accepted => ("accepted", json!({})),
            CallEvent::Active => ("active", json!({})),
            CallEvent::Reconnecting => ("reconnecting", json!({})),
            CallEvent::Resumed => ("resumed", json!({})),
            CallEvent::Held { local, remote } => ("held", json!({ "local": local, "remote": remote })),
            CallEvent::Picture { own, track, on } => {
                let whose = if own { "own" } else { "theirs" };
                ("picture", json!({ "whose": whose, "track": track.word(), "on": on }))
            }
            CallEvent::Recording { own, on } => {
                let whose = if own { "own" } else { "theirs" };
                ("recording", json!({ "whose": whose, "on": on }))
            }
            CallEvent::Interrupted => ("interrupted", json!({})),
            CallEvent::Missed => ("missed", json!({})),
            CallEvent::Ended(reason) => {
                self.tell_echo_test(at, call);
                self.paths.remove(&call);
                self.muted.remove(&call);
                let fault = self.network().fault_behind(&reason).map(Fault::code);
                ("ended", json!({ "reason": reason.code(), "detail": reason.detail(), "network": fault }))
            }
        };
        self.happened.push(Happened { at, word, call, traced: of_call(call, &more), more });
    }

    fn on_path(&mut self, at: Moment, call: CallId, path: PathInfo) {
        self.dirty = true;
        let shown = view_builder::path(&path);
        let more = serde_json::to_value(&shown).unwrap_or_default();
        self.trace.event(at, "path", of_call(call, &more));
        self.tell(at, "path", Some(call), more);
        self.paths.insert(call, path);
    }

    fn on_first_video(&mut self, at: Moment, call: CallId, peer: PeerId, track: VideoTrack) {
        let more = json!({ "peer": peer.to_string(), "track": track.word() });
        let traced = json!({ "call": call.to_string(), "peer": more["peer"], "track": more["track"] });
        self.trace.event(at, "first_video", traced);
        self.tell(at, "first_video", Some(call), more);
    }

    fn on_record(&mut self, call: CallId, peer: PeerId, on: bool, devices: &Devices) {
        if on {
            let me = if self.name.is_empty() { "Me".to_owned() } else { self.name.clone() };
            let people = People {
                me: (self.identity.peer, me),
                peer: (peer, name_of(&self.contacts, &self.names, peer)),
            };
            self.recordings.start(call, people, devices);
        } else {
            self.recordings.stop(call);
        }
        self.dirty = true;
    }

    fn on_reply(&mut self, id: [u8; 16], result: Result<CallId, CommandError>) {
        let Some(reply) = self.pending.remove(&id) else { return };
        let answer = result.map(|call| json!({ "call": call.to_string() })).map_err(error_of);
        self.answers.push((reply, answer));
    }

    fn on_net(&mut self, at: Moment, news: NetNews) {
        self.dirty = true;
        match news {
            NetNews::Addresses(addresses) => {
                let kept = ports::to_keep(&addresses);
                if self.keeps_ports && !kept.is_empty() && kept != self.kept_ports {
                    // Without it the next start takes other ports, no more.
                    let _ = self.store.set_value(ports::key(), &kept);
                    self.kept_ports = kept;
                }
                self.listening = addresses;
            }
            NetNews::ReachedAt(peer, address) => self.remember_addresses(peer, &[address]),
            NetNews::Reached(reached) => self.reached = reached,
            NetNews::Nearby(peer, addresses) => {
                self.remember_addresses(peer, &addresses);
                if self.nearby.insert(peer) {
                    self.trace.event(at, "peer_found", json!({ "peer": peer.to_string() }));
                    self.tell(at, "peer_found", None, json!({ "peer_id": peer.to_string() }));
                }
                self.to_connect.push((peer, addresses, Source::Lan));
            }
            NetNews::NearbyGone(peer) => {
                self.nearby.remove(&peer);
            }
            NetNews::Up(peer) => {
                if !self.nearby.contains(&peer) {
                    self.trace.event(at, "peer_found", json!({ "peer": peer.to_string() }));
                }
                self.tell(at, "peer_up", None, json!({ "peer_id": peer.to_string() }));
            }
            NetNews::Down(peer) => self.tell(at, "peer_down", None, json!({ "peer_id": peer.to_string() })),
            NetNews::Named(peer, name, invite, addresses) => {
                self.remember_name(peer, &name);
                if invite == Some(self.invite) {
                    self.on_invited(peer, &name);
                }
                if self.contacts.contains_key(&peer) && !addresses.is_empty() {
                    // What worked stays first.
                    let mut all: Vec<Multiaddr> = self
                        .rows
                        .get(&peer)
                        .and_then(|row| row.addresses.first()?.parse().ok())
                        .into_iter()
                        .collect();
                    all.extend(addresses.iter().cloned());
                    self.remember_addresses(peer, &all);
                    self.to_connect.push((peer, addresses, Source::Told));
                }
            }
            NetNews::Warning(text) => self.last_error = Some(text),
        }
    }
}
