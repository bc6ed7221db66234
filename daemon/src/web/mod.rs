//! The door for browsers: the page, its socket and its requests, on this machine alone, behind a guard.
//!
//! What a browser may do, and why there are no cookies: docs/decisions/0013-browser-door.md. The same requests, without
//! the guard and with a few more, are answered on the control socket (`control/`).

mod assets;
mod codes;
mod events;
mod guard;
mod headers;
mod media;
pub(crate) mod media_protocol;
mod neighbour;
mod openapi;
pub(crate) mod protocol;
mod routes;
mod server;
mod sessions;
mod socket;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use codes::CodeKind;
pub(crate) use routes::{DaemonInfo, NewCode, owner_router, page_router};
pub(crate) use server::{bind, serve, serve_connection};
pub(crate) use state::{Limits, WebState};
