//! Where things lie on this machine: data, configuration, the control socket. Folders 0700, files 0600.
//!
//! XDG base directories on Linux (specification 0.8), `%LOCALAPPDATA%\Ahoy` on Windows, `ahoy-data/` beside the binary
//! with `--portable`, one folder for everything with `--data`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::web::protocol::UiError;

/// The longest path a Unix socket can be bound to: `sun_path` of 108 bytes with its closing zero.
const MAX_SOCKET_PATH: usize = 107;

/// Which folders are wanted: what `--data`, `--profile` and `--portable` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathChoice {
    /// One folder for everything.
    pub(crate) data: Option<PathBuf>,
    /// A second person, or a second life, on the same machine.
    pub(crate) profile: Option<String>,
    /// `ahoy-data/` beside the binary.
    pub(crate) portable: bool,
}

/// Where things lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    /// Identity, database, log.
    pub(crate) data: PathBuf,
    /// `config.toml`.
    pub(crate) config_file: PathBuf,
    /// What lives as long as the login session: the control socket, redirect files.
    pub(crate) runtime: PathBuf,
    /// The socket (a path), or the pipe's name on Windows.
    pub(crate) control: PathBuf,
}

impl Paths {
    /// Finds the folders. `env` reads a variable; relative XDG paths are ignored, as their specification demands.
    ///
    /// # Errors
    /// When the profile's name is none, or there is no home at all.
    pub(crate) fn find(
        choice: &PathChoice,
        env: &dyn Fn(&str) -> Option<String>,
        binary: Option<&Path>,
    ) -> Result<Paths, UiError> {
        let profile = match &choice.profile {
            Some(name) if !is_profile_name(name) => return Err(bad_profile(name)),
            Some(name) => Some(Path::new("profiles").join(name)),
            None => None,
        };
        let inside = |base: PathBuf| profile.as_ref().map_or_else(|| base.clone(), |p| base.join(p));
        let absolute = |key: &str| env(key).map(PathBuf::from).filter(|p| p.is_absolute());

        let one_folder = if choice.portable && choice.data.is_none() {
            let folder = binary.and_then(Path::parent).ok_or_else(no_home)?;
            Some(folder.join("ahoy-data"))
        } else {
            choice.data.clone()
        };
        if let Some(folder) = one_folder {
            let data = std::path::absolute(inside(folder)).map_err(|e| unusable(Path::new("."), &e))?;
            let runtime = data.clone();
            let control = control_at(&runtime, &data, absolute("XDG_RUNTIME_DIR").as_deref());
            return Ok(Paths { config_file: data.join("config.toml"), control, runtime, data });
        }
        if cfg!(windows) {
            let data = inside(absolute("LOCALAPPDATA").ok_or_else(no_home)?.join("Ahoy"));
            let control = control_at(&data, &data, None);
            return Ok(Paths { config_file: data.join("config.toml"), control, runtime: data.clone(), data });
        }
        let home = absolute("HOME");
        let under_home = |key: &str, folder: &str| {
            absolute(key).or_else(|| home.as_ref().map(|h| h.join(folder))).ok_or_else(no_home)
        };
        let data = inside(under_home("XDG_DATA_HOME", ".local/share")?.join("ahoy"));
        let config = inside(under_home("XDG_CONFIG_HOME", ".config")?.join("ahoy"));
        let session = absolute("XDG_RUNTIME_DIR");
        let runtime = session.as_ref().map_or_else(|| data.clone(), |r| inside(r.join("ahoy")));
        let control = control_at(&runtime, &data, session.as_deref());
        Ok(Paths { config_file: config.join("config.toml"), control, runtime, data })
    }

    /// Where the device's keys lie.
    pub(crate) fn identity(&self) -> PathBuf {
        self.data.join("identity.key")
    }

    /// Where the keys of the Echo contact lie: it stays the same across restarts.
    pub(crate) fn echo_identity(&self) -> PathBuf {
        self.data.join("echo.key")
    }

    /// Where contacts, calls and settings lie.
    pub(crate) fn database(&self) -> PathBuf {
        self.data.join("ahoy.db")
    }

    /// The file whose lock says that a daemon uses this folder.
    pub(crate) fn lock(&self) -> PathBuf {
        self.data.join("daemon.lock")
    }

    /// What a daemon without a terminal says.
    pub(crate) fn log(&self) -> PathBuf {
        self.data.join("daemon.log")
    }

    /// Where recordings of calls go: with everything else where one folder has everything (`--data`, `--portable`), else
    /// into `Ahoy` in the folder of this user's videos, as the desktop names it.
    pub(crate) fn recordings(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> PathBuf {
        let absolute = |key: &str| env(key).map(PathBuf::from).filter(|p| p.is_absolute());
        let system = if cfg!(windows) {
            absolute("LOCALAPPDATA").is_some_and(|base| self.data.starts_with(base))
        } else {
            self.config_file.parent() != Some(&self.data)
        };
        let home = absolute(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        let (true, Some(home)) = (system, home) else { return self.data.join("recordings") };
        let config = absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let told = read(&config.join("user-dirs.dirs")).and_then(|text| videos(&text, &home));
        told.unwrap_or_else(|| home.join("Videos")).join("Ahoy")
    }

    /// Makes the folders, private to this user.
    ///
    /// # Errors
    /// When one can't be made, or belongs to somebody else.
    pub(crate) fn create(&self) -> Result<(), UiError> {
        let socket_folder = if cfg!(unix) { self.control.parent() } else { None };
        for folder in [self.data.as_path(), self.runtime.as_path()].into_iter().chain(socket_folder) {
            private_folder(folder).map_err(|e| unusable(folder, &e))?;
        }
        Ok(())
    }
}

/// The folder of videos that `user-dirs.dirs` names (xdg-user-dirs: `XDG_VIDEOS_DIR="$HOME/Videos"`).
fn videos(text: &str, home: &Path) -> Option<PathBuf> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("XDG_VIDEOS_DIR="))?;
    let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
    let path = match value.strip_prefix("$HOME") {
        Some(under) => home.join(under.trim_start_matches('/')),
        None => PathBuf::from(value),
    };
    // The home itself means that there is none.
    Some(path).filter(|path| path.is_absolute() && path != home)
}

/// Where the control socket goes: in `runtime`, or, when that path is too long for a socket, under a short name in the
/// session's folder, or in the folder of temporary files.
fn control_at(runtime: &Path, data: &Path, session: Option<&Path>) -> PathBuf {
    if cfg!(windows) {
        return PathBuf::from(format!(r"\\.\pipe\ahoy-{}", short_name(data)));
    }
    let plain = runtime.join("control.sock");
    if plain.as_os_str().len() <= MAX_SOCKET_PATH {
        return plain;
    }
    let short = short_name(data);
    match session {
        Some(session) if session.as_os_str().len() < 64 => session.join("ahoy").join(format!("{short}.sock")),
        Some(_) | None => PathBuf::from(format!("/tmp/ahoy-{short}/control.sock")),
    }
}

/// Sixteen hexadecimal digits that stand for a path.
fn short_name(path: &Path) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(path.as_os_str().as_encoded_bytes());
    data_encoding::HEXLOWER.encode(hash.get(..8).unwrap_or_default())
}

fn is_profile_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Makes a folder that only this user can enter; one that exists is narrowed to that.
///
/// # Errors
/// When it can't be made or narrowed (it belongs to another user).
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let found = fs::metadata(path)?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
        }
        if found.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
    }
    // On Windows the folder inherits the rights of %LOCALAPPDATA%, which is the user's alone.
    #[cfg(not(unix))]
    fs::create_dir_all(path)?;
    Ok(())
}

/// Options for a file that only this user can read or write.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Narrows an existing file to this user alone. Says whether it was wider.
///
/// # Errors
/// When its rights can't be read or changed.
pub(crate) fn narrow_file(path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            return Ok(true);
        }
    }
    #[cfg(not(unix))]
    fs::metadata(path)?;
    Ok(false)
}

/// Writes a private file so that a crash leaves the old one or the new one, never a half.
///
/// # Errors
/// When the folder or the disk refuses.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mut file: File = private_file().create(true).truncate(true).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        // The rename itself is durable once the folder is; Windows has no such call and needs none.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    })();
    if written.is_err() {
        // Best effort: the draft is of no use to anybody.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn no_home() -> UiError {
    UiError::new(
        "Ahoy can't find a home folder to keep its data in.",
        "Nothing was changed.",
        "Say where with --data DIR.",
    )
}

fn bad_profile(name: &str) -> UiError {
    UiError::new(
        format!("“{}” is no profile name.", name.chars().take(40).collect::<String>()),
        "Nothing was changed.",
        "Use up to 32 letters, digits, - and _.",
    )
}

fn unusable(folder: &Path, error: &io::Error) -> UiError {
    UiError::new(
        format!("The folder {} can't be used: {error}.", folder.display()),
        "Nothing was changed.",
        "Give yourself the right to write there, or choose another folder with --data DIR.",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn find(choice: &PathChoice, vars: &[(&str, &str)]) -> Result<Paths, UiError> {
        let env = |key: &str| vars.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned());
        Paths::find(choice, &env, Some(Path::new("/opt/ahoy/bin/ahoy")))
    }

    #[cfg(unix)]
    #[test]
    fn each_choice_of_folder_leads_to_its_place() {
        let home = [("HOME", "/home/ann"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        let plain = find(&PathChoice::default(), &home).unwrap();
        assert_eq!(plain.data, Path::new("/home/ann/.local/share/ahoy"));
        assert_eq!(plain.config_file, Path::new("/home/ann/.config/ahoy/config.toml"));
        assert_eq!(plain.control, Path::new("/run/user/7/ahoy/control.sock"));

        let xdg = [("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_CONFIG_HOME", "relative")];
        let found = find(&PathChoice::default(), &xdg).unwrap();
        assert_eq!(found.data, Path::new("/d/ahoy"));
        assert_eq!(
            found.config_file,
            Path::new("/h/.config/ahoy/config.toml"),
            "relative XDG paths are ignored"
        );
        assert_eq!(found.control, Path::new("/d/ahoy/control.sock"));

        let work = PathChoice { profile: Some("work".into()), ..PathChoice::default() };
        let found = find(&work, &home).unwrap();
        assert_eq!(found.data, Path::new("/home/ann/.local/share/ahoy/profiles/work"));
        assert_eq!(found.control, Path::new("/run/user/7/ahoy/profiles/work/control.sock"));

        let portable = PathChoice { portable: true, ..PathChoice::default() };
        let found = find(&portable, &[]).unwrap();
        assert_eq!(found.data, Path::new("/opt/ahoy/bin/ahoy-data"));
        assert_eq!(found.config_file, Path::new("/opt/ahoy/bin/ahoy-data/config.toml"));

        let data = PathChoice { data: Some("/x".into()), portable: true, profile: Some("b".into()) };
        assert_eq!(find(&data, &[]).unwrap().data, Path::new("/x/profiles/b"), "--data beats --portable");
    }

    #[cfg(unix)]
    #[test]
    fn recordings_lie_where_the_desktop_keeps_videos_or_with_all_the_rest() {
        let vars = [("HOME", "/home/ann")];
        let env =
            |key: &str| vars.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        let paths = |choice: PathChoice| find(&choice, &vars).unwrap();
        let of = |text: Option<&str>| {
            let read = |path: &Path| {
                assert_eq!(path, Path::new("/home/ann/.config/user-dirs.dirs"));
                text.map(str::to_owned)
            };
            paths(PathChoice::default()).recordings(&env, &read)
        };
        assert_eq!(of(None), Path::new("/home/ann/Videos/Ahoy"));
        let german = "# told\nXDG_MUSIC_DIR=\"$HOME/Musik\"\nXDG_VIDEOS_DIR=\"$HOME/Filme\"\n";
        assert_eq!(of(Some(german)), Path::new("/home/ann/Filme/Ahoy"));
        assert_eq!(of(Some("XDG_VIDEOS_DIR=\"/mnt/films\"")), Path::new("/mnt/films/Ahoy"));
        assert_eq!(
            of(Some("XDG_VIDEOS_DIR=\"$HOME/\"")),
            Path::new("/home/ann/Videos/Ahoy"),
            "there is none"
        );
        let own = paths(PathChoice { data: Some("/tmp/own".into()), ..PathChoice::default() });
        assert_eq!(own.recordings(&env, &|_| None), Path::new("/tmp/own/recordings"));
    }

    #[test]
    fn a_long_folder_still_has_a_socket_that_can_be_bound() {
        let deep = PathBuf::from(format!("/{}", "deep/".repeat(40)));
        let choice = PathChoice { data: Some(deep), ..PathChoice::default() };
        for vars in [&[("XDG_RUNTIME_DIR", "/run/user/7")][..], &[]] {
            let found = find(&choice, vars).unwrap();
            assert!(found.control.as_os_str().len() <= MAX_SOCKET_PATH, "{:?}", found.control);
        }
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", "..", "a/b", "a b", "ä", &"x".repeat(33)] {
            let choice = PathChoice { profile: Some(name.to_owned()), ..PathChoice::default() };
            assert!(find(&choice, &[("HOME", "/h")]).is_err(), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_is_private_and_whole() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        private_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let file = folder.join("f");
        write_atomically(&file, b"one").unwrap();
        write_atomically(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no draft is left");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(narrow_file(&file).unwrap() && !narrow_file(&file).unwrap());
    }
}
