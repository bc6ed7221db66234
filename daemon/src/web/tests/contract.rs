//! The words of the interface: the samples both sides share, and the description the daemon serves.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::super::media_protocol::{MediaFromPage, MediaToPage};
use super::super::protocol::{FromPage, ToPage};
use super::*;

/// Samples of the media socket that a page says.
const FROM_PAGE: [&str; 4] = ["media-auth", "media-watch", "media-key", "media-capturing"];

/// Numbers compare by value: JavaScript writes 0 where Rust writes 0.0.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => left == right,
    }
}

fn survives<T: Serialize + DeserializeOwned>(name: &str, sample: &Value) {
    let read: T = serde_json::from_value(sample.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    // By way of text, as it travels.
    let written = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
    assert!(same(sample, &written), "{name}:\n{sample:#}\n{written:#}");
}

fn samples() -> Vec<(String, Value)> {
    let folder = format!("{}/../webui/golden", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), golden(&name))).collect()
}

#[test]
fn every_sample_is_read_and_written_as_it_is() {
    let samples = samples();
    assert!(samples.len() > 40, "{}", samples.len());
    for (name, sample) in &samples {
        match name.split('-').next().unwrap() {
            "view" => survives::<View>(name, sample),
            "command" => survives::<FromPage>(name, sample),
            "reply" | "error" => survives::<ToPage>(name, sample),
            "media" if FROM_PAGE.contains(&name.as_str()) => survives::<MediaFromPage>(name, sample),
            "media" => survives::<MediaToPage>(name, sample),
            "message" if name == "message-levels-on" || name == "message-auth" => {
                survives::<FromPage>(name, sample)
            }
            "message" => survives::<ToPage>(name, sample),
            _ => panic!("{name} is of no known kind"),
        }
    }
}

#[test]
fn there_is_a_sample_of_every_command() {
    let tagged: BTreeSet<String> = samples()
        .iter()
        .filter_map(|(_, sample)| sample["command"]["do"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(tagged.len(), 24, "{tagged:?}");
}

async fn document(daemon: &Daemon) -> Value {
    daemon.ask("GET", "/api/v1/openapi.json", &[], "").await.json()
}

/// The paths and methods a description names.
fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| (path.clone(), method.to_uppercase()))
        })
        .collect()
}

const SHARED: [(&str, &str); 7] = [
    ("/api/v1/view", "GET"),
    ("/api/v1/commands", "POST"),
    ("/api/v1/stats", "GET"),
    ("/api/v1/doctor", "GET"),
    ("/api/v1/config", "GET"),
    ("/api/v1/events", "GET"),
    ("/api/v1/openapi.json", "GET"),
];

fn with_shared(more: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    SHARED.iter().chain(more).map(|(path, method)| ((*path).to_owned(), (*method).to_owned())).collect()
}

#[tokio::test]
async fn what_is_described_is_served_and_what_is_served_is_described() {
    let daemon = Daemon::start().await;
    let token = daemon.token().await;
    let (origin, bearer) = (daemon.origin(), format!("Bearer {token}"));
    let headers =
        [("Origin", origin.as_str()), ("Authorization", &bearer), ("Content-Type", "application/json")];
    let described = described(&document(&daemon).await);
    assert_eq!(
        described,
        with_shared(&[("/api/v1/session", "POST"), ("/api/v1/socket", "GET"), ("/api/v1/media", "GET")])
    );
    for (path, served) in &described {
        if path == "/api/v1/events" {
            continue; // streams for ever; its own test reads it
        }
        for method in ["GET", "POST"] {
            let status =
                daemon.ask(method, path, &headers, if method == "POST" { "{}" } else { "" }).await.status;
            assert_eq!(status == 405 || status == 404, method != served, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn this_users_programs_get_what_is_described_for_them() {
    use tower::ServiceExt as _;
    let daemon = Daemon::start().await;
    let router = owner_router(&daemon.state);
    let ask = |method: &str, path: &str| {
        let body = if method == "POST" { "{}" } else { "" };
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body))
            .unwrap();
        router.clone().oneshot(request)
    };
    let answer = ask("GET", "/api/v1/openapi.json").await.unwrap();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let described = described(&serde_json::from_slice(&bytes).unwrap());
    let own = [("/api/v1/codes", "POST"), ("/api/v1/daemon", "GET"), ("/api/v1/stop", "POST")];
    assert_eq!(described, with_shared(&own));
    for (path, served) in &described {
        for method in ["GET", "POST"] {
            let status = ask(method, path).await.unwrap().status().as_u16();
            assert_eq!(status == 405 || status == 404, method != served, "{method} {path}: {status}");
        }
    }
}

/// Whether `value` is what `schema` says: the part of JSON Schema that the description uses.
fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target =
            document.pointer(name.trim_start_matches('#')).ok_or_else(|| format!("{name} leads nowhere"))?;
        return fits(document, target, value);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let errors: Vec<_> = choices.iter().filter_map(|one| fits(document, one, value).err()).collect();
            return if errors.len() < choices.len() { Ok(()) } else { Err(errors.join(" | ")) };
        }
    }
    if let Some(all) = schema["allOf"].as_array() {
        all.iter().try_for_each(|one| fits(document, one, value))?;
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{value} is none of {words:?}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed =
        kinds.is_empty() || kinds.contains(&kind) || (kind == "integer" && kinds.contains(&"number"));
    if !allowed {
        return Err(format!("{value} is no {kinds:?}"));
    }
    if let Value::Object(fields) = value {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                return Err(format!("{name} is missing"));
            }
        }
        for (name, field) in fields {
            match schema["properties"].get(name) {
                Some(schema) => fits(document, schema, field).map_err(|error| format!("{name}: {error}"))?,
                None if schema["additionalProperties"] == false => return Err(format!("{name} is unknown")),
                None => {}
            }
        }
    }
    if let (Value::Array(values), Some(items)) = (value, schema.get("items")) {
        values.iter().try_for_each(|one| fits(document, items, one))?;
    }
    Ok(())
}

#[tokio::test]
async fn samples_fit_the_description() {
    let daemon = Daemon::start().await;
    let document = document(&daemon).await;
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    for (name, sample) in samples() {
        let schema = match name.split('-').next().unwrap() {
            "view" => schema("View"),
            "command" => schema("FromPage"),
            "message" if name == "message-levels-on" || name == "message-auth" => schema("FromPage"),
            "media" if FROM_PAGE.contains(&name.as_str()) => schema("MediaFromPage"),
            "media" => schema("MediaToPage"),
            _ => schema("ToPage"),
        };
        fits(&document, &schema, &sample).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    // The other side: what is none of them does not fit.
    for (name, broken) in [
        ("View", json!({})),
        ("FromPage", json!({ "type": "command", "id": "0", "command": { "do": "fly" } })),
        ("FromPage", json!({ "type": "levels" })),
        ("ToPage", json!({ "type": "bye", "reason": "no word" })),
    ] {
        assert!(fits(&document, &schema(name), &broken).is_err(), "{name}: {broken}");
    }
}

#[tokio::test]
async fn events_stream_one_object_a_line_until_the_app_is_gone() {
    let daemon = Daemon::start().await;
    let token = daemon.token().await;
    let mut stream = daemon.connect().await;
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
        daemon.host()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    while daemon.events.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    let call = "0123456789abcdef0123456789abcdef".parse().ok();
    let more = json!({ "reason": "busy" });
    daemon.events.send(AppEvent::new(Moment::from_millis(1), "ended", call, more)).unwrap();
    daemon.events.send(AppEvent::new(Moment::from_millis(2), "peer_up", None, json!({}))).unwrap();
    daemon.app.abort();
    let Daemon { view, events, .. } = daemon;
    drop((view, events));
    let answer = Answer::read(&mut stream).await;
    let lines: Vec<Value> = answer
        .body
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            json!({ "event": "ended", "call": "0123456789abcdef0123456789abcdef", "t_us": 1_000, "reason": "busy" }),
            json!({ "event": "peer_up", "t_us": 2_000 }),
        ]
    );
}
