//! Installs what is missing, through Debian's packages, cargo and Python's. Says what it does; does nothing twice.

use std::path::Path;

use anyhow::{Result, bail};

use crate::shell::Step;

/// Something a step can't do without.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    /// A compiler and cmake, for the C inside libopus, SQLite and aws-lc; libvpx.
    Build,
    /// Node.js, for checks of the page and for driving browsers.
    Node,
    /// Chromium and Firefox.
    Browsers,
    /// A sound server without a sound card.
    Sound,
    /// Tools to make networks and look into them.
    Network,
    /// A screen without a monitor, words on it, and a reader of words in pictures.
    Screen,
    /// Python with virtual environments, for the second reader of the wire format.
    Python,
    /// cargo-deny.
    Deny,
}

/// Package and the program it brings.
type Package = (&'static str, &'static str);

fn packages(need: Need) -> &'static [Package] {
    match need {
        Need::Build => &[("build-essential", "g++"), ("cmake", "cmake"), ("libvpx-dev", "")],
        Need::Node => &[("nodejs", "node"), ("npm", "npm")],
        Need::Browsers => &[("chromium", "chromium"), ("firefox-esr", "firefox-esr")],
        Need::Sound => &[
            ("pulseaudio", "pulseaudio"),
            ("pulseaudio-utils", "pactl"),
            ("espeak-ng", "espeak-ng"),
            ("ffmpeg", "ffmpeg"),
        ],
        Need::Screen => &[
            ("xvfb", "Xvfb"),
            ("x11-utils", "xmessage"),
            ("tesseract-ocr", "tesseract"),
            ("fonts-dejavu-core", ""),
            ("xfonts-base", ""),
            ("ffmpeg", "ffplay"),
        ],
        Need::Network => &[("iproute2", "ip"), ("nftables", "nft"), ("tcpdump", "tcpdump")],
        Need::Python => &[("python3-venv", "")],
        Need::Deny => &[],
    }
}

/// Installs what is missing of `needs`.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .flat_map(|need| packages(*need))
        .filter(
            |(package, program)| if program.is_empty() { !is_installed(package) } else { !on_path(program) },
        )
        .map(|(package, _)| *package)
        .collect();
    if !missing.is_empty() {
        apt(&missing)?;
    }
    // Known only once libvpx is there.
    if crate::vpx::needs_bindings() && !is_installed("libclang-dev") {
        apt(&["libclang-dev"])?;
    }
    if needs.iter().any(|need| matches!(need, Need::Deny)) && !on_path("cargo-deny") {
        Step::cargo(&["install", "--quiet", "--locked", "--version", "0.20.2", "cargo-deny"]).run()?;
    }
    Ok(())
}

fn apt(packages: &[&str]) -> Result<()> {
    if !on_path("apt-get") {
        bail!("install these with your system's package manager, then try again: {}", packages.join(" "));
    }
    let root = is_root();
    if !root && !on_path("sudo") {
        bail!("run this as root, then try again: apt-get install {}", packages.join(" "));
    }
    let apt = |words: &[&str]| {
        let step = if root { Step::new("apt-get") } else { Step::new("sudo").args(["apt-get"]) };
        step.args(words.iter().copied()).env("DEBIAN_FRONTEND", "noninteractive")
    };
    apt(&["update", "-qq"]).run()?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat()).run()
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn is_installed(package: &str) -> bool {
    // It also knows packages by name alone, which others suggest.
    let status =
        || std::process::Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]).output();
    !on_path("dpkg-query") || status().is_ok_and(|output| output.stdout == b"installed")
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map(|home| Path::new(&home).join("bin"));
    std::env::split_paths(&path).chain(cargo).any(|folder| folder.join(program).is_file())
}
