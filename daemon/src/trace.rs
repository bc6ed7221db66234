//! Writes what happened, one JSON object a line, for people and benches that lay two daemons side by side.
//!
//! The format is a contract with the outside (docs/PROTOCOL.md, "Trace").

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use ahoy_base::Moment;
use serde_json::{Value, json};

use crate::clock;

/// How many lines may wait for the disk: minutes of a call. A full queue drops lines rather than hold up a call.
const MAX_WAITING: usize = 4_096;

/// A place to report events to. Cheap to clone; does nothing when off.
#[derive(Clone)]
pub(crate) struct Trace(Option<SyncSender<Line>>);

enum Line {
    Event(String),
    /// The last one; answered once all before it is on its way to the disk.
    Close(SyncSender<()>),
}

impl Trace {
    /// A trace that goes nowhere.
    pub(crate) fn off() -> Trace {
        Trace(None)
    }

    /// Writes to `path` from its start, by a thread of its own.
    ///
    /// # Errors
    /// When the file can't be made.
    pub(crate) fn open(path: &Path) -> io::Result<Trace> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
        let (sender, lines) = sync_channel(MAX_WAITING);
        std::thread::Builder::new().name("trace".into()).spawn(move || write_lines(file, &lines))?;
        let trace = Trace(Some(sender));
        trace.event(clock::now(), "clock", json!({ "wall_us": clock::wall_us() }));
        Ok(trace)
    }

    /// Waits a moment for all lines to be written; none is written after it.
    pub(crate) fn close(&self) {
        let Some(sender) = &self.0 else { return };
        let (done, written) = sync_channel(1);
        // A dead disk has ended the thread; there is nothing to wait for then.
        if sender.try_send(Line::Close(done)).is_ok() {
            let _ = written.recv_timeout(Duration::from_millis(200));
        }
    }

    /// Reports `name` at `at`, with `fields` (a JSON object) beside it. Never blocks.
    pub(crate) fn event(&self, at: Moment, name: &str, fields: Value) {
        let Some(sender) = &self.0 else { return };
        let mut line = serde_json::Map::new();
        line.insert("t_us".into(), at.as_micros().into());
        line.insert("event".into(), name.into());
        if let Value::Object(more) = fields {
            line.extend(more);
        }
        // A full queue or a dead disk costs trace lines, never the call.
        let _ = sender.try_send(Line::Event(Value::Object(line).to_string()));
    }
}

fn write_lines(file: std::fs::File, lines: &Receiver<Line>) {
    let mut out = BufWriter::new(file);
    while let Ok(first) = lines.recv() {
        let mut result = Ok(());
        let mut close = None;
        // All that waits goes out in one write, and nothing stays in memory while the queue is empty.
        for line in std::iter::once(first).chain(lines.try_iter()) {
            match line {
                Line::Event(line) => result = result.and_then(|()| writeln!(out, "{line}")),
                Line::Close(done) => close = Some(done),
            }
        }
        let result = result.and_then(|()| out.flush());
        if let Some(done) = close {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
            return;
        }
        if let Err(error) = result {
            tracing::warn!(%error, "trace file can't be written; tracing stops, calls go on");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_line_is_an_object_and_the_first_ties_both_clocks() {
        let path = std::env::temp_dir().join(format!("ahoy-trace-{}", std::process::id()));
        let trace = Trace::open(&path).unwrap();
        trace.event(Moment::from_micros(17), "dial", json!({ "call": "c" }));
        let Trace(Some(sender)) = trace else { panic!("open") };
        drop(sender);
        let lines = loop {
            let text = std::fs::read_to_string(&path).unwrap();
            if text.lines().count() == 2 {
                break text;
            }
            std::thread::yield_now();
        };
        let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0]["event"], "clock");
        assert!(lines[0]["wall_us"].as_u64().unwrap() > 0 && lines[0]["t_us"].as_u64().unwrap() > 0);
        assert_eq!((lines[1]["event"].as_str().unwrap(), lines[1]["t_us"].as_u64().unwrap()), ("dial", 17));
        std::fs::remove_file(path).unwrap();
    }
}
