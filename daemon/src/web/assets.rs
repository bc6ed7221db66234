//! The page's files, with a tag each so that a browser asks again and is told "unchanged".

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::state::WebState;

/// Where files come from, by path without the leading slash.
pub(crate) type Assets = fn(&str) -> Option<ahoy_webui::Asset>;

/// The files inside the binary (in debug builds, of the source tree).
pub(super) fn embedded(path: &str) -> Option<ahoy_webui::Asset> {
    ahoy_webui::get(path)
}

/// Answers with a file of the page. They are public: none shows anything without a token.
pub(super) async fn file(
    State(state): State<Arc<WebState>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = uri.path().trim_start_matches('/');
    let Some(asset) = (state.assets)(path) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{}\"", asset.hash);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    // "no-cache" means: ask each time. A new version of the program shows at the next load, whole.
    let mut response = if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.content_type)], asset.bytes.into_owned()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
