//! What the store promises: all or nothing, durable, private, and never the loss of a file.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use ahoy_base::{CallId, MessageId, PeerId};
use ahoy_call::{Alert, Direction, EndReason, Failure, StoredCall, StoredMessage, StoredPhase, Transaction};
use ahoy_net_core::wire::signal::MediaKind;

use super::*;
use crate::clock;
use crate::view::{RecentOutcome, Theme, Verified};

fn call(n: u8, end: Option<EndReason>) -> StoredCall {
    let now = clock::wall_ms();
    StoredCall {
        id: CallId::from_bytes([n; 16]),
        peer: PeerId::from_public_key([n; 32]),
        direction: if n.is_multiple_of(2) { Direction::Outgoing } else { Direction::Incoming },
        media: MediaKind::Voice,
        phase: if end.is_some() { StoredPhase::Ended } else { StoredPhase::Active },
        alert: Alert::Waiting,
        hold_local: true,
        hold_remote: false,
        offered_at_ms: now - 10_000 + u64::from(n),
        expires_at_ms: now + 35_000,
        active_since_ms: Some(now - 5_000),
        alive_at_ms: now,
        ended_at_ms: end.as_ref().map(|_| now),
        end,
        seq_out: 3,
        seq_in: 4,
    }
}

fn message(n: u8) -> StoredMessage {
    StoredMessage {
        id: MessageId::from_bytes([n; 16]),
        to: PeerId::from_public_key([n; 32]),
        expires_at_ms: 5,
        bytes: vec![n; 100],
    }
}

fn step(n: u8) -> Transaction {
    Transaction {
        calls: vec![call(n, None)],
        outbox_add: vec![message(n)],
        outbox_remove: vec![MessageId::from_bytes([n - 1; 16])],
        seen_add: vec![MessageId::from_bytes([100 + n; 16])],
    }
}

#[test]
fn what_is_committed_is_there_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("ahoy.db");
    let ended: Vec<_> = [
        EndReason::HangupLocal,
        EndReason::Declined(Some("later".into())),
        EndReason::Failed(Failure::Identity),
        EndReason::Replaced { by: CallId::from_bytes([9; 16]) },
    ]
    .into_iter()
    .zip(10..)
    .map(|(end, n)| call(n, Some(end)))
    .collect();
    let store = Store::open(&path).unwrap();
    store.commit(&step(1)).unwrap();
    store.commit(&step(2)).unwrap();
    store.commit(&Transaction { calls: ended.clone(), ..Transaction::default() }).unwrap();
    drop(store);

    let restored = Store::open(&path).unwrap().restore().unwrap();
    assert_eq!(restored.calls.len(), 2 + ended.len());
    assert!(ended.iter().all(|call| restored.calls.contains(call)), "{restored:?}");
    assert_eq!(restored.outbox, [message(2)]);
    assert_eq!(restored.seen, [MessageId::from_bytes([101; 16]), MessageId::from_bytes([102; 16])]);
}

#[test]
fn a_crash_at_any_byte_leaves_whole_transactions() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("ahoy.db");
    let store = Store::open(&path).unwrap();
    for n in 1..=4 {
        store.commit(&step(n)).unwrap();
    }
    let wal = |path: &Path| path.with_file_name("ahoy.db-wal");
    // The files as a power cut leaves them: the write-ahead log may end at any byte.
    let (database, log) = (fs::read(&path).unwrap(), fs::read(wal(&path)).unwrap());
    assert!(log.len() > 10_000, "the log holds the transactions: {}", log.len());
    let mut counts = std::collections::BTreeSet::new();
    for end in (0..=log.len()).step_by(509).chain([log.len()]) {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("ahoy.db");
        fs::write(&copy, &database).unwrap();
        fs::write(wal(&copy), log.get(..end).unwrap()).unwrap();
        let restored = Store::open(&copy).unwrap().restore().unwrap();
        let n = restored.calls.len();
        counts.insert(n);
        assert_eq!(restored.seen.len(), n, "cut at {end}");
        let last = u8::try_from(n).unwrap();
        let waiting = if n == 0 { vec![] } else { vec![message(last)] };
        assert_eq!(restored.outbox, waiting, "cut at {end}");
    }
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4], "every state between was seen");
}

#[test]
fn a_transaction_that_fails_in_its_middle_changes_nothing() {
    let store = Store::in_memory().unwrap();
    store.commit(&step(1)).unwrap();
    let before = format!("{:?}", store.restore().unwrap());
    let trap = "CREATE TRIGGER trap BEFORE INSERT ON applied BEGIN SELECT RAISE (ABORT, 'no'); END";
    store.lock().execute_batch(trap).unwrap();
    let error = store.commit(&step(2)).unwrap_err();
    assert!(!error.what.is_empty() && !error.works.is_empty() && !error.mend.is_empty());
    assert_eq!(format!("{:?}", store.restore().unwrap()), before);
}

#[test]
fn a_damaged_file_is_named_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("ahoy.db");
    drop(Store::open(&path).unwrap());
    let good = fs::read(&path).unwrap();
    let mut torn = good.clone();
    torn[4_096..8_192].fill(0x5a);
    for bad in [b"not a database at all, but long enough".repeat(100), torn] {
        fs::write(&path, &bad).unwrap();
        let error = Store::open(&path).err().unwrap();
        assert!(error.what.contains("damaged"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bad, "not one byte was changed");
    }
}

#[test]
fn a_newer_file_is_named_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("ahoy.db");
    let store = Store::open(&path).unwrap();
    store.set_value("name", "Ann").unwrap();
    store.lock().pragma_update(None, "user_version", schema::FORM + 1).unwrap();
    drop(store);
    let before = fs::read(&path).unwrap();
    let error = Store::open(&path).err().unwrap();
    assert!(error.what.contains("newer"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn every_file_of_the_store_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("ahoy.db");
    let store = Store::open(&path).unwrap();
    store.commit(&step(1)).unwrap();
    for entry in fs::read_dir(root.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn contacts_settings_and_values_stay() {
    let store = Store::in_memory().unwrap();
    let mut row = ContactRow {
        hide_address: true,
        peer: PeerId::from_public_key([1; 32]),
        name: "Bob".into(),
        verified: Verified::Unverified,
        added_at_ms: 7,
        addresses: vec!["/ip4/1.2.3.4/tcp/5".into(), "/ip6/::1/tcp/6".into()],
        invite: Some([9; 16]),
    };
    store.put_contact(&row).unwrap();
    assert!(store.contacts().unwrap()[0].hide_address);
    row.verified = Verified::Changed;
    row.hide_address = false;
    row.addresses.clear();
    store.put_contact(&row).unwrap();
    assert_eq!(store.contacts().unwrap(), [row.clone()]);
    store.remove_contact(row.peer).unwrap();
    store.remove_contact(row.peer).unwrap();
    assert_eq!(store.contacts().unwrap(), []);

    assert_eq!(store.settings().unwrap(), Settings::default());
    let changed = Settings { theme: Theme::Dark, ring_volume: 3, ..Settings::default() };
    store.set_settings(&changed).unwrap();
    assert_eq!(store.settings().unwrap(), changed);
    store.set_value("settings", "{\"theme\":\"dark\",\"of_a_later_version\":1}").unwrap();
    assert_eq!(store.settings().unwrap(), Settings { theme: Theme::Dark, ..Settings::default() });
    assert_eq!(store.value("name").unwrap(), None);
    store.set_value("name", "Ann").unwrap();
    assert_eq!(store.value("name").unwrap().as_deref(), Some("Ann"));
}

#[test]
fn the_log_is_newest_first_and_can_be_emptied_without_forgetting_calls() {
    let store = Store::in_memory().unwrap();
    let mut missed = call(1, Some(EndReason::Cancelled));
    missed.active_since_ms = None;
    let talked = call(2, Some(EndReason::HangupRemote));
    let calls = vec![missed.clone(), talked.clone(), call(3, None)];
    store.commit(&Transaction { calls, ..Transaction::default() }).unwrap();
    let log = store.recent(10).unwrap();
    assert_eq!(log.iter().map(|row| row.call.clone()).collect::<Vec<_>>(), [talked, missed.clone()]);
    let lines: Vec<_> = log.iter().filter_map(|row| row.to_recent("Bob".into())).collect();
    assert_eq!(
        (lines[0].outcome, lines[0].duration_ms, lines[0].seen),
        (RecentOutcome::Answered, 5_000, true)
    );
    assert_eq!(
        (lines[1].outcome, lines[1].text.as_str(), lines[1].seen),
        (RecentOutcome::Missed, "Missed voice call", false)
    );
    store.mark_recent_seen().unwrap();
    assert!(store.recent(10).unwrap().iter().all(|row| row.seen));
    // A late write of the same call brings neither the line nor its mark back.
    store.commit(&Transaction { calls: vec![missed], ..Transaction::default() }).unwrap();
    assert!(store.recent(10).unwrap().iter().all(|row| row.seen));
    store.clear_recent().unwrap();
    assert_eq!(store.recent(10).unwrap(), []);
    assert_eq!(store.restore().unwrap().calls.len(), 3);
}

#[test]
fn old_marks_of_applied_messages_and_hidden_calls_are_forgotten() {
    let store = Store::in_memory().unwrap();
    let mut old = call(2, Some(EndReason::HangupLocal));
    let days = 8 * 24 * 3_600_000;
    (old.offered_at_ms, old.ended_at_ms) = (old.offered_at_ms - days, old.ended_at_ms.map(|at| at - days));
    store.commit(&Transaction { calls: vec![old], ..step(1) }).unwrap();
    store.lock().execute("UPDATE applied SET at_ms = at_ms - ?1", [days]).unwrap();
    let restored = store.restore().unwrap();
    assert!(restored.calls.is_empty() && restored.seen.is_empty(), "{restored:?}");
    assert_eq!(store.recent(10).unwrap().len(), 1, "the log goes back further");
    store.clear_recent().unwrap();
    store.restore().unwrap();
    let left: u32 = store.lock().query_row("SELECT count(*) FROM call", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
