//! The requests under `/api/v1`: what each takes, gives and who may make it. Each is described where it is served.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router, middleware};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::codes::{CodeError, CodeKind, Codes};
use super::guard::{Guard, guard};
use super::protocol::{Command, RequestId, UiError, as_text};
use super::sessions::browser_of;
use super::state::{Caller, Door, WebState};
use super::{assets, events, media, openapi, socket};
use crate::app_handle::stopping;
use crate::config::Effective;
use crate::doctor::{self, Check};
use crate::view::View;

/// What a browser may ask: behind the guard, with the page's files.
pub(crate) fn page_router(state: &Arc<WebState>) -> Router {
    let limits = state.limits;
    let guarded =
        Guard { port: state.port.unwrap_or_default(), max_body: limits.message, body_within: limits.body };
    let routes =
        shared().routes(routes!(begin_session)).routes(routes!(socket::socket)).routes(routes!(media::media));
    described(routes, openapi::page())
        .fallback(assets::file)
        .layer(middleware::from_fn_with_state(Arc::new(guarded), guard))
        .layer(Extension(Door::Page))
        .with_state(state.clone())
}

/// What this user's own programs may ask over the control socket.
pub(crate) fn owner_router(state: &Arc<WebState>) -> Router {
    let routes = shared().routes(routes!(make_code)).routes(routes!(daemon_info)).routes(routes!(stop));
    described(routes, openapi::owner())
        .layer(axum::extract::DefaultBodyLimit::max(state.limits.message))
        .layer(Extension(Door::Control))
        .with_state(state.clone())
}

type Routes = OpenApiRouter<Arc<WebState>>;

fn shared() -> Routes {
    OpenApiRouter::default()
        .routes(routes!(view))
        .routes(routes!(command))
        .routes(routes!(stats))
        .routes(routes!(diagnose))
        .routes(routes!(config))
        .routes(routes!(events::events))
        .routes(routes!(openapi::document))
}

/// Ends the description of `routes` and lets the description be served itself.
fn described(routes: Routes, frame: utoipa::openapi::OpenApi) -> Router<Arc<WebState>> {
    let (router, paths) = routes.split_for_parts();
    let mut document = frame;
    document.merge(paths);
    router.layer(Extension(openapi::Document::new(&document)))
}

/// A refused request: a status and words.
#[derive(Debug)]
pub(crate) struct Refused(StatusCode, UiError);

/// What a refused request is answered with.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RefusedBody {
    /// Always `false`.
    pub(crate) ok: bool,
    /// Why.
    pub(crate) error: UiError,
}

impl Refused {
    pub(super) fn unauthorised() -> Refused {
        Refused(
            StatusCode::UNAUTHORIZED,
            UiError::new(
                "This browser is not signed in to Ahoy.",
                "Calls are not touched.",
                "Open Ahoy from the menu of your apps, or type the code that `ahoy pair` shows.",
            ),
        )
    }

    pub(super) fn broken(error: UiError) -> Refused {
        Refused(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    pub(super) fn busy(error: UiError) -> Refused {
        Refused(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    fn conflict(error: UiError) -> Refused {
        Refused(StatusCode::CONFLICT, error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(RefusedBody { ok: false, error: self.1 })).into_response()
    }
}

/// JSON of a known shape; anything else is refused in our words.
struct Body<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Refused> {
        let rejected = |why: JsonRejection| {
            let what = format!("That request can't be understood: {}.", why.body_text());
            let mend = "See /api/v1/openapi.json for what can be asked.";
            Refused(why.status(), UiError::new(what, "Nothing was changed.", mend))
        };
        Json::<T>::from_request(request, state).await.map(|Json(body)| Body(body)).map_err(rejected)
    }
}

/// A one-time code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BeginSession {
    /// From a link of `ahoy open`, or the eight digits of `ahoy pair`.
    code: String,
}

/// A new session.
#[derive(Debug, Serialize, ToSchema)]
struct NewSession {
    /// What this browser shows from now on.
    token: String,
}

/// Exchanges a one-time code for a session.
#[utoipa::path(post, path = "/api/v1/session", tag = "sessions", request_body = BeginSession, responses(
    (status = 200, description = "A token, good for 90 days after its last use", body = NewSession),
    (status = 403, description = "The code is wrong, used or too old", body = RefusedBody),
    (status = 429, description = "Too many wrong codes: make a new one", body = RefusedBody),
))]
async fn begin_session(
    State(state): State<Arc<WebState>>,
    headers: HeaderMap,
    Body(body): Body<BeginSession>,
) -> Result<Json<NewSession>, Refused> {
    let now = (state.times.now)();
    let redeemed = state.codes().redeem(&body.code, now);
    redeemed.map_err(|error| match error {
        CodeError::Wrong => Refused(
            StatusCode::FORBIDDEN,
            UiError::new(
                "That code is wrong, used or too old.",
                "Calls are not touched.",
                "Run `ahoy open` again, or type the code that `ahoy pair` shows.",
            ),
        ),
        CodeError::TooManyTries => Refused(
            StatusCode::TOO_MANY_REQUESTS,
            UiError::new(
                "Too many wrong codes were typed.",
                "Calls are not touched.",
                "Run `ahoy pair` again and type the new code.",
            ),
        ),
    })?;
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let random = (random()?, random()?);
    let wall_ms = (state.times.wall_ms)();
    let token =
        state.sessions.begin(&state.store, browser_of(agent), wall_ms, random).map_err(Refused::broken)?;
    Ok(Json(NewSession { token }))
}

/// Everything that is shown, now.
#[utoipa::path(get, path = "/api/v1/view", tag = "state", responses(
    (status = 200, description = "The view", body = View),
    (status = 401, description = "Who is asking?", body = RefusedBody),
))]
async fn view(State(state): State<Arc<WebState>>, caller: Caller) -> Result<Json<View>, Refused> {
    let latest = state.app.view().borrow().clone();
    state.view_for(&latest, &caller).map(Json).map_err(Refused::broken)
}

/// A command with its id.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandRequest {
    /// 32 hexadecimal digits, chosen at random; the same id twice is one action.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) id: RequestId,
    /// What to do.
    pub(crate) command: Command,
}

/// A command that was carried out.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CommandDone {
    /// Always `true`.
    pub(crate) ok: bool,
    /// What came of it, e.g. the call that was dialled.
    #[schema(value_type = Object)]
    pub(crate) result: Value,
}

/// Does something.
#[utoipa::path(post, path = "/api/v1/commands", tag = "state", request_body = CommandRequest, responses(
    (status = 200, description = "Done", body = CommandDone),
    (status = 401, description = "Who is asking?", body = RefusedBody),
    (status = 409, description = "Not done, and why", body = RefusedBody),
    (status = 422, description = "Not a command", body = RefusedBody),
))]
async fn command(
    State(state): State<Arc<WebState>>,
    _: Caller,
    Body(request): Body<CommandRequest>,
) -> Result<Json<CommandDone>, Refused> {
    let done = state.carry_out(request.id.0, request.command).await;
    done.map(|result| Json(CommandDone { ok: true, result })).map_err(Refused::conflict)
}

/// Live figures of running calls (docs/PROTOCOL.md).
#[utoipa::path(get, path = "/api/v1/stats", tag = "state", responses(
    (status = 200, description = "Figures per call and peer", body = Object),
    (status = 401, description = "Who is asking?", body = RefusedBody),
))]
async fn stats(State(state): State<Arc<WebState>>, _: Caller) -> Result<Json<Value>, Refused> {
    state.app.stats().await.map(Json).map_err(Refused::busy)
}

/// What works and what does not, each with its mend.
#[utoipa::path(get, path = "/api/v1/doctor", tag = "state", responses(
    (status = 200, description = "One entry a subject", body = Vec<Check>),
    (status = 401, description = "Who is asking?", body = RefusedBody),
))]
async fn diagnose(State(state): State<Arc<WebState>>, _: Caller) -> Json<Vec<Check>> {
    let view = state.app.view().borrow().clone();
    Json(doctor::examine(&state.paths, Some(&doctor::Running { view: &view, port: state.port })))
}

/// The effective configuration, and where each value comes from.
#[utoipa::path(get, path = "/api/v1/config", tag = "state", responses(
    (status = 200, description = "One entry a key", body = Vec<Effective>),
    (status = 401, description = "Who is asking?", body = RefusedBody),
))]
async fn config(State(state): State<Arc<WebState>>, _: Caller) -> Json<Vec<Effective>> {
    Json(state.config.clone())
}

/// Which code is wanted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MakeCode {
    /// Link or pair.
    pub(crate) kind: CodeKind,
}

/// A one-time code.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct NewCode {
    /// Works once.
    pub(crate) code: String,
    /// How long it works.
    pub(crate) expires_in_ms: u64,
    /// Where it works: the page's address, of a link with the code.
    pub(crate) address: String,
}

/// Makes a one-time code.
#[utoipa::path(post, path = "/api/v1/codes", tag = "owner", request_body = MakeCode, responses(
    (status = 200, description = "The code", body = NewCode),
    (status = 409, description = "There is no page", body = RefusedBody),
))]
async fn make_code(
    State(state): State<Arc<WebState>>,
    _: Caller,
    Body(wanted): Body<MakeCode>,
) -> Result<Json<NewCode>, Refused> {
    let page = state.address().ok_or_else(|| {
        Refused::conflict(UiError::new(
            "This daemon shows no page.",
            "All commands work without it.",
            "Start it without --no-ui.",
        ))
    })?;
    let code = state.codes().make(wanted.kind, (state.times.now)(), random()?);
    let expires_in_ms = u64::try_from(Codes::lives(wanted.kind).as_millis()).unwrap_or(u64::MAX);
    let address = match wanted.kind {
        CodeKind::Link => format!("{page}#k={code}"),
        CodeKind::Pair => page,
    };
    Ok(Json(NewCode { code, expires_in_ms, address }))
}

/// A running daemon.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DaemonInfo {
    /// Its version.
    pub(crate) version: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its page, if it shows one.
    pub(crate) address: Option<String>,
}

/// Which daemon this is.
#[utoipa::path(get, path = "/api/v1/daemon", tag = "owner", responses(
    (status = 200, description = "The daemon", body = DaemonInfo),
))]
async fn daemon_info(State(state): State<Arc<WebState>>, _: Caller) -> Json<DaemonInfo> {
    Json(DaemonInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        address: state.address(),
    })
}

/// Stops the daemon: calls are hung up with word to the other side.
#[utoipa::path(post, path = "/api/v1/stop", tag = "owner", responses(
    (status = 200, description = "It stops", body = CommandDone),
    (status = 503, description = "It stops already", body = RefusedBody),
))]
async fn stop(State(state): State<Arc<WebState>>, _: Caller) -> Result<Json<CommandDone>, Refused> {
    state.app.stop().await.map_err(Refused::busy)?;
    Ok(Json(CommandDone { ok: true, result: json!({}) }))
}

fn random<const N: usize>() -> Result<[u8; N], Refused> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        // A code that can be guessed is worse than none.
        Err(error) => {
            tracing::error!(%error, "this system gives no randomness");
            Err(Refused::busy(stopping()))
        }
    }
}
