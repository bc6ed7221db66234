//! The control socket on Unix: 0600, and each caller's uid is checked all the same.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Both directions of a connection.
pub(crate) type Stream = UnixStream;

/// A socket that listens; gone from the folder when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    pub(super) fn bind(path: &Path) -> io::Result<Listener> {
        match fs::symlink_metadata(path) {
            // Left over from a daemon that was killed.
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has that name"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // The folder is 0700, so nobody gets in between these two lines.
        let socket = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Listener { socket, path: path.to_owned() })
    }

    /// The next caller of this user (or root, who can do anything anyway). Others are closed unheard.
    pub(super) async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if uid == rustix::process::geteuid().as_raw() || uid == 0 {
                return Ok(stream);
            }
            tracing::warn!(
                "another user of this computer tried to use the control socket, and was turned away"
            );
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Best effort: the next daemon clears it away otherwise.
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens a connection to the daemon at `path`.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` when none runs.
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    UnixStream::connect(path).await
}
