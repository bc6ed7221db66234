//! The control pipe on Windows. Its default rights let this user, administrators and the system write; others may not
//! open it for writing, and nobody can from another machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};

/// Both directions of a connection, at the daemon's end.
pub(crate) type Stream = NamedPipeServer;

/// All instances of the pipe are taken (winerror.h, ERROR_PIPE_BUSY).
const PIPE_BUSY: i32 = 231;
/// Tries while all instances are taken; the daemon makes a new one with each caller.
const TRIES: u32 = 20;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A pipe that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    next: NamedPipeServer,
    name: PathBuf,
}

impl Listener {
    pub(super) fn bind(name: &Path) -> io::Result<Listener> {
        // The first instance: somebody else who sits on the name is an error, not a partner.
        let next = ServerOptions::new().first_pipe_instance(true).reject_remote_clients(true).create(name)?;
        Ok(Listener { next, name: name.to_owned() })
    }

    /// The next caller.
    pub(super) async fn accept(&mut self) -> io::Result<Stream> {
        self.next.connect().await?;
        let next = ServerOptions::new().reject_remote_clients(true).create(&self.name)?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// Opens a connection to the daemon behind `name`.
///
/// # Errors
/// `NotFound` when none runs.
pub(super) async fn connect(name: &Path) -> io::Result<NamedPipeClient> {
    for _ in 0..TRIES {
        match ClientOptions::new().open(name) {
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    ClientOptions::new().open(name)
}
