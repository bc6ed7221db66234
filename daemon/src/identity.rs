//! Who this device is: its Ed25519 key, its Noise static key, made at the first run; and the lock on its folder.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use ahoy_base::PeerId;
use ahoy_net_core::session::LocalIdentity;
use zeroize::Zeroizing;

use crate::paths::{narrow_file, private_file, write_atomically};
use crate::web::protocol::UiError;

/// First line of the file; a later form gets another number.
const FORMAT: &str = "ahoy identity 1";

/// The keys of this device. `Debug` shows the public half alone.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The public half: who this device is to others.
    pub(crate) peer: PeerId,
    /// Ed25519 seed: signs cards, is the libp2p key.
    pub(crate) signing_key: Zeroizing<[u8; 32]>,
    /// X25519 secret of the Noise handshake; random, not made from the other (docs/decisions/0004).
    pub(crate) noise_static: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the keys at `path`, or makes them if there is no such file. A damaged file is never overwritten.
    ///
    /// # Errors
    /// When the file can't be read, written or understood.
    pub(crate) fn load_or_create(path: &Path) -> Result<Identity, UiError> {
        match fs::read_to_string(path).map(Zeroizing::new) {
            Ok(text) => {
                match narrow_file(path) {
                    Ok(true) => {
                        tracing::warn!("the identity file was readable by others; it is private again")
                    }
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "the identity file's rights can't be narrowed"),
                }
                parse(&text).ok_or_else(|| damaged(path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Identity::random()?;
                write_atomically(path, identity.to_text().as_bytes()).map_err(|e| unusable(path, &e))?;
                Ok(identity)
            }
            Err(error) => Err(unusable(path, &error)),
        }
    }

    /// Fresh keys that are stored nowhere (the Echo contact, tests).
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn random() -> Result<Identity, UiError> {
        let mut keys = Zeroizing::new([[0u8; 32]; 2]);
        for key in keys.iter_mut() {
            getrandom::fill(key).map_err(|error| {
                UiError::new(
                    format!("This system gives no randomness ({error})."),
                    "Nothing was changed.",
                    "Restart the computer and try again.",
                )
            })?;
        }
        let [signing, noise] = *keys;
        Ok(Identity::from_keys(signing, noise))
    }

    /// The keys as sessions take them.
    pub(crate) fn local(&self) -> LocalIdentity {
        LocalIdentity { peer: self.peer, signing_key: *self.signing_key, noise_static: *self.noise_static }
    }

    fn from_keys(signing_key: [u8; 32], noise_static: [u8; 32]) -> Identity {
        let public = ed25519_dalek::SigningKey::from_bytes(&signing_key).verifying_key().to_bytes();
        Identity {
            peer: PeerId::from_public_key(public),
            signing_key: Zeroizing::new(signing_key),
            noise_static: Zeroizing::new(noise_static),
        }
    }

    fn to_text(&self) -> Zeroizing<String> {
        let hex = |key: &[u8; 32]| Zeroizing::new(data_encoding::HEXLOWER.encode(key));
        let (signing, noise) = (hex(&self.signing_key), hex(&self.noise_static));
        Zeroizing::new(format!("{FORMAT}\ned25519 {}\nx25519 {}\n", *signing, *noise))
    }
}

fn parse(text: &str) -> Option<Identity> {
    let mut lines = text.lines();
    if lines.next()? != FORMAT {
        return None;
    }
    let mut key = |label: &str| -> Option<[u8; 32]> {
        let hex = lines.next()?.strip_prefix(label)?.strip_prefix(' ')?;
        data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
    };
    Some(Identity::from_keys(key("ed25519")?, key("x25519")?))
}

/// Says that a daemon uses this data folder, for as long as it lives; the system lets go when the process dies.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock at `path`, or says who has it.
    ///
    /// # Errors
    /// When another daemon holds it, or the file can't be made.
    pub(crate) fn take(path: &Path) -> Result<FolderLock, UiError> {
        let mut file = private_file()
            .read(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| unusable(path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Best effort: who holds it is good to know, that somebody does is enough.
                let _ = file.read_to_string(&mut pid);
                return Err(already_running(pid.trim()));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(path, &error)),
        }
        // Best effort, as above.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        Ok(FolderLock { _file: file })
    }
}

fn already_running(pid: &str) -> UiError {
    let who = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
    UiError::new(
        format!("Ahoy is already running with this data folder{who}."),
        "The running one goes on.",
        "Open it with `ahoy open`, or start a second one with --profile NAME.",
    )
}

fn damaged(path: &Path) -> UiError {
    UiError::new(
        format!("The file {} is damaged, or of a newer version of Ahoy.", path.display()),
        "Nothing was changed.",
        "Put a backup of it in its place. Without one, move it away: you then start as somebody new.",
    )
}

fn unusable(path: &Path, error: &io::Error) -> UiError {
    UiError::new(
        format!("The file {} can't be used: {error}.", path.display()),
        "Nothing was changed.",
        "Check who owns it and whether the disk is full.",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn keys_are_made_once_and_stay() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity.key");
        let first = Identity::load_or_create(&path).unwrap();
        let again = Identity::load_or_create(&path).unwrap();
        assert_eq!(
            (first.peer, &first.signing_key, &first.noise_static),
            (again.peer, &again.signing_key, &again.noise_static)
        );
        assert_ne!(*first.signing_key, *first.noise_static);
        assert_ne!(Identity::random().unwrap().peer, first.peer);
        assert!(!format!("{first:?}").contains(&data_encoding::HEXLOWER.encode(&*first.signing_key)));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_and_made_private_again() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity.key");
        let _identity = Identity::load_or_create(&path).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let _identity = Identity::load_or_create(&path).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_damaged_file_is_named_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity.key");
        let good = Identity::random().unwrap().to_text();
        let newer = good.replace("identity 1", "identity 2");
        for bad in ["", "ahoy identity 1\n", &good[..60], newer.as_str()] {
            fs::write(&path, bad).unwrap();
            let error = Identity::load_or_create(&path).unwrap_err();
            assert!(error.what.contains("identity.key"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
    }

    #[test]
    fn a_second_daemon_is_refused_until_the_first_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("daemon.lock");
        let first = FolderLock::take(&path).unwrap();
        let error = FolderLock::take(&path).unwrap_err();
        assert!(error.what.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        let _second = FolderLock::take(&path).unwrap();
    }
}
