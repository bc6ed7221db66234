//! Says in plain words what to do where libvpx is missing or is another one than its bindings were made for.

use std::path::Path;

fn main() {
    for name in ["VPX_LIB_DIR", "VPX_VERSION"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let folder = std::env::var("VPX_LIB_DIR").unwrap_or_default();
    let wanted = std::env::var("VPX_VERSION").unwrap_or_default();
    if folder.is_empty() || wanted.is_empty() {
        // Built from outside the checkout: env-libvpx-sys asks pkg-config then, and checks by itself.
        return;
    }
    let archive = Path::new(&folder).join("libvpx.a");
    println!("cargo:rerun-if-changed={}", archive.display());
    if !archive.exists() && std::env::var_os("VPX_STATIC").is_some() {
        stop(&format!(
            "libvpx is not in {folder}. `cargo xtask run` installs it and finds it; or install libvpx-dev (Debian, Ubuntu) and set \
             VPX_LIB_DIR to the folder of libvpx.a."
        ));
    }
    let described = Path::new(&folder).join("pkgconfig/vpx.pc");
    println!("cargo:rerun-if-changed={}", described.display());
    let text = std::fs::read_to_string(&described).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix("Version:")).map_or("", str::trim);
    let same = found.is_empty() || found == wanted;
    if !same && std::env::var_os("CARGO_FEATURE_GENERATE_VPX").is_none() {
        stop(&format!(
            "libvpx {found} is installed; the bindings at hand are for {wanted}. `cargo xtask run` makes bindings by itself; or \
             install libclang-dev and build with `--features ahoy/generate-vpx`."
        ));
    }
}

fn stop(text: &str) -> ! {
    println!("cargo:warning={text}");
    eprintln!("{text}");
    std::process::exit(1)
}
