//! The description of the local interface, made from the handlers themselves, and served by the daemon.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::media_protocol::{MediaFromPage, MediaToPage};
use super::protocol::{FromPage, ToPage};

/// The frame that the routes' own descriptions are merged into.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ahoy's local interface",
        description = "Spoken on http://localhost:PORT by browsers, and on the control socket by this user's programs. \
            Requests to the port carry `Authorization: Bearer TOKEN`; those that change something also carry `Origin` \
            (the page's own) and `Content-Type: application/json`. Errors carry three sentences: what happened, what \
            still works, what to do. Of the WebSockets one speaks `FromPage` and `ToPage`, one JSON message a frame, the \
            other carries pictures: `MediaFromPage`, `MediaToPage` and binary frames.",
    ),
    components(schemas(FromPage, ToPage, MediaFromPage, MediaToPage))
)]
struct Frame;

/// The frame of the browsers' door.
pub(super) fn page() -> utoipa::openapi::OpenApi {
    let mut document = Frame::openapi();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", scheme);
    document
}

/// The frame of the control socket, which asks for no token.
pub(super) fn owner() -> utoipa::openapi::OpenApi {
    Frame::openapi()
}

/// The description as it is served.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(document: &utoipa::openapi::OpenApi) -> Document {
        // Plain data can't fail to become JSON; if it ever did, an empty description is what tests would catch.
        Document(document.to_json().unwrap_or_default().into())
    }
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "state", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json"),
))]
pub(super) async fn document(Extension(document): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.0).into_response()
}
