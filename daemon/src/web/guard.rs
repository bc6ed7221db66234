//! Decides which requests a browser may make at all, before anything reads them.
//!
//! The rules in order: the host is ours (else DNS rebinding), the method is known, the request comes from our own page
//! (`Sec-Fetch-Site`, `Origin`), changes are JSON. Who is asking is a question of its own: `state.rs`.
//! Evidence: Origin and Sec-Fetch-Site alone tell `localhost:8711` from `localhost:8710`; cookies do not
//! (docs/decisions/0013-browser-door.md).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::headers;

/// Where requests of programs begin; everything else is the page's files.
const API: &str = "/api/";

/// What the guard knows.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Our port.
    pub(super) port: u16,
    /// Longest body; the longest command is a card of a few hundred bytes, a decline of 500 characters.
    pub(super) max_body: usize,
    /// How long a body may take to come in.
    pub(super) body_within: Duration,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Pass,
    /// The page has one origin: go there.
    Redirect(String),
    /// No.
    Refuse(Refusal),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was meant for another host: a name that somebody pointed at this machine.
    Host,
    /// No such way of asking; preflights of other origins end here too.
    Method,
    /// Another page asks.
    Site,
    /// Another origin asks, or a change comes without saying from where.
    Origin,
    /// A change that is not JSON: a form of another page could have sent it.
    ContentType,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Refusal::Host => StatusCode::MISDIRECTED_REQUEST,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Site | Refusal::Origin => StatusCode::FORBIDDEN,
            Refusal::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

/// Applies [`decide`], bounds the body, and hardens whatever answer comes out.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match decide(&parts, guard.port) {
        Verdict::Pass => match bounded(&guard, &parts, body).await {
            Ok(body) => next.run(Request::from_parts(parts, body)).await,
            Err(status) => status.into_response(),
        },
        Verdict::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        // No body: whoever is refused learns nothing but that.
        Verdict::Refuse(why) => {
            tracing::debug!(?why, "a request of a browser was refused");
            why.status().into_response()
        }
    };
    headers::harden(response.headers_mut(), guard.port);
    response
}

/// Reads the body of a change to its end, so that no handler can be kept waiting.
async fn bounded(guard: &Guard, parts: &Parts, body: Body) -> Result<Body, StatusCode> {
    if parts.method != Method::POST {
        return Ok(body);
    }
    let whole = tokio::time::timeout(guard.body_within, axum::body::to_bytes(body, guard.max_body)).await;
    match whole {
        Ok(Ok(bytes)) => Ok(Body::from(bytes)),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// The rules. Pure.
pub(super) fn decide(request: &Parts, port: u16) -> Verdict {
    let Some(host) = our_host(request, port) else { return Verdict::Refuse(Refusal::Host) };
    let reads = request.method == Method::GET || request.method == Method::HEAD;
    if !reads && request.method != Method::POST {
        return Verdict::Refuse(Refusal::Method);
    }
    let path = request.uri.path();
    let api = path.starts_with(API);
    let site_allowed = match only(&request.headers, &SEC_FETCH_SITE) {
        Ok(None | Some("same-origin")) => true,
        // The person typed it, or opened a bookmark.
        Ok(Some("none")) => reads && !api,
        // A link elsewhere, or the redirect file of `ahoy open`: the page may be opened from anywhere, in a window of
        // its own, because opening it does nothing and shows nothing without a token.
        Ok(Some(_)) => reads && !api && opens_the_page(request, path),
        Err(()) => false,
    };
    if !site_allowed {
        return Verdict::Refuse(Refusal::Site);
    }
    let changes = !reads || request.headers.contains_key(header::UPGRADE);
    let origin_allowed = match only(&request.headers, &header::ORIGIN) {
        Ok(Some(origin)) => origin.strip_prefix("http://") == Some(host),
        Ok(None) => !changes,
        Err(()) => false,
    };
    if !origin_allowed {
        return Verdict::Refuse(Refusal::Origin);
    }
    if !reads && !is_json(&request.headers) {
        return Verdict::Refuse(Refusal::ContentType);
    }
    if reads && !api && !host.starts_with("localhost:") {
        let rest = request.uri.path_and_query().map_or("/", |rest| rest.as_str());
        return Verdict::Redirect(format!("http://localhost:{port}{rest}"));
    }
    Verdict::Pass
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

fn our_host(request: &Parts, port: u16) -> Option<&str> {
    let host = only(&request.headers, &header::HOST).ok()??;
    let (name, number) = host.rsplit_once(':')?;
    let ours = matches!(name, "localhost" | "127.0.0.1" | "[::1]") && number == port.to_string();
    // A request line may name a host too (a proxy's form); then both must agree.
    let agrees = request.uri.authority().is_none_or(|authority| authority.as_str() == host);
    (ours && agrees).then_some(host)
}

fn opens_the_page(request: &Parts, path: &str) -> bool {
    let is = |name: &HeaderName, value: &str| only(&request.headers, name) == Ok(Some(value));
    matches!(path, "/" | "/index.html") && is(&SEC_FETCH_MODE, "navigate") && is(&SEC_FETCH_DEST, "document")
}

fn is_json(headers: &HeaderMap) -> bool {
    let Ok(Some(kind)) = only(headers, &header::CONTENT_TYPE) else { return false };
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let parameters = parameters.trim();
    essence.trim().eq_ignore_ascii_case("application/json")
        && (parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8"))
}

/// The value of a header that may come once; `Err` when it comes twice or is not plain text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(());
    }
    first.map(|value| value.to_str().map_err(drop)).transpose()
}
