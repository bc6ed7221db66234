//! Opens the doors of the daemon: the page's port for browsers, the control socket for this user's programs.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::app_handle::AppHandle;
use crate::config::Config;
use crate::control;
use crate::store::Store;
use crate::video::hub::VideoHub;
use crate::web::protocol::UiError;
use crate::web::{self, WebState, owner_router, page_router};

/// Where the port of last time is kept.
const PORT_KEY: &str = "ui_port";
/// How long pages may take to hear that the daemon stops.
const GOODBYE: Duration = Duration::from_millis(300);

/// The open doors. Dropping them closes them; [`Doors::close`] does so with word to the pages.
pub(crate) struct Doors {
    /// The page's address, if there is a page.
    pub(crate) address: Option<String>,
    /// Why there is no page although one was wanted.
    pub(crate) trouble: Option<UiError>,
    state: Arc<WebState>,
    tasks: JoinSet<()>,
}

/// Opens both. The page is optional: without a port for it everything else goes on. The control socket is not.
///
/// # Errors
/// When the control socket can't be made.
pub(crate) async fn open(
    config: &Config,
    app: AppHandle,
    video: VideoHub,
    store: Store,
) -> Result<Doors, UiError> {
    let control = control::listen(&config.paths)?;
    let (bound, trouble) = match config.ui {
        None => (None, None),
        Some(wanted) => match web::bind(wanted, last_port(&store)).await {
            Ok(bound) => (Some(bound), None),
            Err(trouble) => (None, Some(trouble)),
        },
    };
    if let Some(bound) = &bound
        && let Err(error) = store.set_value(PORT_KEY, &bound.port.to_string())
    {
        tracing::warn!(%error, "the page's port was not kept; next time it may be another");
    }
    let port = bound.as_ref().map(|bound| bound.port);
    let state =
        Arc::new(WebState::new(app, video, store, config.paths.clone(), config.effective.clone(), port));
    let limits = state.limits();
    let mut tasks = JoinSet::new();
    tasks.spawn(control::serve(control, owner_router(&state), limits));
    if let Some(bound) = bound {
        tasks.spawn(web::serve(bound, page_router(&state), limits));
    }
    Ok(Doors { address: state.address(), trouble, state, tasks })
}

impl Doors {
    /// Closes the doors after the app's end was dropped: pages are told, then nothing listens.
    pub(crate) async fn close(mut self) {
        self.tasks.abort_all();
        // A page that does not read is left behind.
        let _ = tokio::time::timeout(GOODBYE, self.state.pages_gone()).await;
        while self.tasks.join_next().await.is_some() {}
    }
}

fn last_port(store: &Store) -> Option<u16> {
    store.value(PORT_KEY).ok().flatten().and_then(|text| text.parse().ok()).filter(|port| *port >= 1024)
}
