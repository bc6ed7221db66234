//! What is only looked at: `calls`, `devices`, `stats`, `config`.

use serde_json::{Value, json};

use super::out::{Failure, Out};
use crate::config::{Config, Given};
use crate::control::Client;
use crate::view::{DeviceState, Direction, VideoDeviceState, View, word};

/// `ahoy calls`.
pub(super) async fn calls(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let view: View = client.get("/api/v1/view").await?;
    if out.is_json() {
        return out.json(&json!({ "calls": view.calls, "recent": view.recent }));
    }
    for call in &view.calls {
        let state = word(&call.state).replace('_', " ");
        let hold = if call.hold.local || call.hold.remote { ", on hold" } else { "" };
        out.line(&format!("{:?}  {state}{hold}  {}", call.id, call.peer.name))?;
    }
    for line in &view.recent {
        let arrow = if line.direction == Direction::Outgoing { "to  " } else { "from" };
        let ago = ago(view.now_ms.saturating_sub(line.at_ms));
        let lasted =
            if line.duration_ms > 0 { format!(", {}", lasted(line.duration_ms)) } else { String::new() };
        out.line(&format!("{ago:>8}  {arrow} {}: {}{lasted}", line.name, line.text))?;
    }
    if view.calls.is_empty() && view.recent.is_empty() {
        out.line("No calls yet. Try `ahoy call Echo`.")?;
    }
    Ok(())
}

/// `ahoy devices`.
pub(super) async fn devices(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let devices = client.get::<View>("/api/v1/view").await?.devices;
    if out.is_json() {
        return out.json(&devices);
    }
    for (title, list, chosen) in [
        ("Microphones (--mic)", &devices.microphones, &devices.microphone),
        ("Speakers (--speaker)", &devices.speakers, &devices.speaker),
    ] {
        let lines = list.iter().map(|device| (device.id.as_str(), device.name.as_str()));
        let trouble = (chosen.state != DeviceState::Ok).then_some(chosen.message.as_deref());
        group(title, lines, &chosen.id, trouble, out)?;
    }
    for (title, list, chosen) in [
        ("Cameras (--camera)", &devices.cameras, &devices.camera),
        ("Screens and windows (--screen)", &devices.screens, &devices.screen),
    ] {
        let lines = list.iter().map(|device| (device.id.as_str(), device.name.as_str()));
        let trouble = (chosen.state != VideoDeviceState::Ok).then_some(chosen.message.as_deref());
        group(title, lines, &chosen.id, trouble, out)?;
    }
    Ok(())
}

/// One kind of device: a line each, the chosen one marked; then what is wrong with it, if something is.
fn group<'a>(
    title: &str,
    lines: impl Iterator<Item = (&'a str, &'a str)>,
    chosen: &str,
    trouble: Option<Option<&str>>,
    out: &mut Out,
) -> Result<(), Failure> {
    out.line(title)?;
    for (id, name) in lines {
        let mark = if id == chosen { '*' } else { ' ' };
        out.line(&format!("  {mark} {id}  {name}"))?;
    }
    match trouble {
        Some(Some(words)) => out.line(&format!("  ! {words}")),
        Some(None) => out.line(&format!("  ! “{chosen}” can't be used.")),
        None => Ok(()),
    }
}

/// `ahoy stats`.
pub(super) async fn stats(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let stats: Value = client.get("/api/v1/stats").await?;
    if out.is_json() {
        return out.json(&stats);
    }
    let mut lines = Vec::new();
    flatten("", &stats, &mut lines);
    lines.iter().try_for_each(|line| out.line(line))
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(&join(key), value, lines)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(n, value)| flatten(&join(&n.to_string()), value, lines));
        }
        Value::String(text) => lines.push(format!("{path}  {text}")),
        Value::Null | Value::Bool(_) | Value::Number(_) => lines.push(format!("{path}  {value}")),
    }
}

/// `ahoy config`: what `ahoy run` with the same words would do.
pub(super) fn config(given: &Given, out: &mut Out) -> Result<(), Failure> {
    let config = Config::from_system(given)?;
    if out.is_json() {
        return out.json(&json!({
            "config_file": config.paths.config_file, "data": config.paths.data, "values": config.effective
        }));
    }
    out.line(&format!("config.toml  {}", config.paths.config_file.display()))?;
    for line in &config.effective {
        let value = if line.value.is_empty() { "-" } else { &line.value };
        out.line(&format!("{:<12} {value}  ({})", line.key, word(&line.origin)))?;
    }
    Ok(())
}

fn ago(ms: u64) -> String {
    match ms / 60_000 {
        0 => "now".to_owned(),
        minutes @ 1..=59 => format!("{minutes} min"),
        minutes @ 60..=1_439 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1_440),
    }
}

fn lasted(ms: u64) -> String {
    let seconds = ms / 1_000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
