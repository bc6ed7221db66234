//! Where libvpx is on this machine, and what the build must be told of it (docs/decisions/0030-libvpx.md).

use std::path::{Path, PathBuf};

/// Versions whose bindings `env-libvpx-sys` 5.1 brings along, of those that distributions still have.
const KNOWN: [&str; 2] = ["1.12.0", "1.13.0"];

/// Variables for cargo; none where libvpx.a is not found: the build says so then.
pub(crate) fn variables() -> Vec<(&'static str, String)> {
    let Some((folder, version)) = find() else { return Vec::new() };
    vec![("VPX_LIB_DIR", folder.display().to_string()), ("VPX_VERSION", version)]
}

/// Words for cargo where bindings must be made.
pub(crate) fn features() -> &'static [&'static str] {
    if needs_bindings() { &["--features", "ahoy/generate-vpx"] } else { &[] }
}

/// Whether libvpx is a version without bindings at hand.
pub(crate) fn needs_bindings() -> bool {
    find().is_some_and(|(_, version)| !KNOWN.contains(&version.as_str()))
}

fn find() -> Option<(PathBuf, String)> {
    let triple = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = [triple.as_str(), "/usr/lib64", "/usr/lib", "/usr/local/lib"].map(Path::new);
    let folder = folders.into_iter().find(|folder| folder.join("libvpx.a").is_file())?;
    let described = std::fs::read_to_string(folder.join("pkgconfig/vpx.pc")).ok()?;
    let version = described.lines().find_map(|line| line.strip_prefix("Version:"))?;
    Some((folder.to_owned(), version.trim().to_owned()))
}
