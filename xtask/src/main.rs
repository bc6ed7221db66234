//! The one door for developers: `cargo xtask run | test | lint | e2e | matrix | bench | release`.

mod install;
mod shell;
mod vpx;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use install::Need;
use shell::{Step, root};

const USAGE: &str = "\
cargo xtask run [-- OPTIONS]   install what is missing, build, start the daemon, open the page
cargo xtask test               install what the tests need, run every test
cargo xtask lint               format, clippy, documentation, licences
cargo xtask e2e [FILE]         only the tests with real browsers
cargo xtask matrix [CELL…]     calls between all kinds of networks, in network namespaces; which path each took, and how soon
cargo xtask bench              figures of a voice call between two daemons, on standard output
cargo xtask search [PLANS]     calls by chance over made-up networks against a reference model; prints the plans that fail
cargo xtask release            the binary that is given to people, in target/dist";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rest = words.get(1..).unwrap_or_default();
    let done = match words.first().map(String::as_str) {
        Some("run") => run(rest),
        Some("test") => test(),
        Some("lint") => lint(),
        Some("e2e") => e2e(rest),
        Some("matrix") => matrix(rest),
        Some("bench") => bench(),
        Some("search") => search(rest.first().map_or("1000", String::as_str)),
        Some("release") => release(),
        Some(_) | None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `ahoy` itself: starts the daemon if none runs and opens the page.
fn run(rest: &[String]) -> Result<()> {
    install::ensure(&[Need::Build])?;
    Step::cargo(&["build", "--package", "ahoy"]).args(vpx::features().iter().copied()).run()?;
    let words = rest.iter().filter(|word| *word != "--").map(String::as_str);
    Step::new("target/debug/ahoy").args(words).run()
}

fn test() -> Result<()> {
    install::ensure(&[
        Need::Build,
        Need::Node,
        Need::Browsers,
        Need::Sound,
        Need::Screen,
        Need::Network,
        Need::Python,
    ])?;
    Step::cargo(&["test", "--workspace", "--locked"]).args(vpx::features().iter().copied()).run()?;
    for fuzz in ["net/core/fuzz/Cargo.toml", "codec/fuzz/Cargo.toml"] {
        Step::cargo(&["check", "--manifest-path", fuzz, "--locked"]).run()?;
    }
    webui()?;
    Step::new("tests/interop/run").run()?;
    e2e(&[])
}

/// The page's own checks: what is vendored, types, pure modules, axe.
fn webui() -> Result<()> {
    npm("webui")?;
    for script in
        [["run", "vendor", "--", "--check"].as_slice(), &["run", "types"], &["test"], &["run", "browser"]]
    {
        Step::new("npm").args(["--silent"]).args(script.iter().copied()).within("webui").run()?;
    }
    Ok(())
}

fn e2e(files: &[String]) -> Result<()> {
    install::ensure(&[
        Need::Build,
        Need::Node,
        Need::Browsers,
        Need::Sound,
        Need::Network,
        Need::Python,
        Need::Screen,
    ])?;
    Step::cargo(&["build", "--package", "ahoy"]).args(vpx::features().iter().copied()).run()?;
    npm("tests/e2e")?;
    let all = shell::files("tests/e2e", ".test.mjs")?;
    let files = if files.is_empty() { &all } else { files };
    // One file after the other, each with an end: a browser that hangs must not take the others' results with it.
    let failed: Vec<&str> = files
        .iter()
        .map(String::as_str)
        .filter(|file| {
            let step = Step::new("timeout").args(["--kill-after=10", "600", "node", "--test", file]);
            step.within("tests/e2e").run().is_err()
        })
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(" "));
    }
    Ok(())
}

/// All cells of the matrix, or those that are named. The fixed part of it is one of the tests.
fn matrix(cells: &[String]) -> Result<()> {
    install::ensure(&[Need::Build, Need::Node, Need::Network, Need::Python])?;
    Step::cargo(&["build", "--package", "ahoy"]).run()?;
    Step::new("node").args(["matrix.mjs"]).args(cells.iter().map(String::as_str)).within("tests/e2e").run()
}

fn lint() -> Result<()> {
    install::ensure(&[Need::Build, Need::Deny])?;
    Step::cargo(&["fmt", "--all", "--check"]).run()?;
    Step::cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]).run()?;
    Step::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links")
        .run()?;
    // Advisories need a database from the network; they are looked at by hand before a release.
    Step::cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]).run()
}

/// Set-up time, mouth to ear, processor and memory of a voice call between two daemons on loopback; then the engine alone.
fn bench() -> Result<()> {
    install::ensure(&[Need::Build, Need::Node])?;
    Step::cargo(&["build", "--release", "--package", "ahoy"]).args(vpx::features().iter().copied()).run()?;
    npm("tests/e2e")?;
    Step::new("node")
        .args(["bench.mjs"])
        .env("AHOY", root().join("target/release/ahoy"))
        .within("tests/e2e")
        .run()?;
    Step::cargo(&["run", "--release", "--package", "ahoy-net-core", "--example", "engine_bench"]).run()
}

/// Thousands of calls an hour; each search has other seeds. Shorter ones run in `cargo xtask test`.
fn search(plans: &str) -> Result<()> {
    install::ensure(&[Need::Build])?;
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).context("the clock is wrong")?;
    Step::cargo(&["test", "--release", "--package", "ahoy-net-core", "--test", "search", "--locked"])
        .args(["--", "--exact", "plans_by_chance_are_never_far_from_the_best"])
        .env("SEARCH_PLANS", plans)
        .env("SEARCH_FROM", since.as_secs().to_string())
        .run()
}

fn release() -> Result<()> {
    install::ensure(&[Need::Build])?;
    Step::cargo(&["build", "--profile", "dist", "--package", "ahoy", "--locked"])
        .args(vpx::features().iter().copied())
        .run()?;
    let size = std::fs::metadata(root().join("target/dist/ahoy"))
        .context("the binary is not where it should be")?
        .len();
    println!("target/dist/ahoy, {:.1} MB: copy it anywhere and run it", size as f64 / 1e6);
    Ok(())
}

fn npm(folder: &str) -> Result<()> {
    let (lock, stamp) = (
        root().join(folder).join("package-lock.json"),
        root().join(folder).join("node_modules/.package-lock.json"),
    );
    let time = |path: &std::path::Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    if time(&stamp).is_some_and(|done| Some(done) >= time(&lock)) {
        return Ok(());
    }
    Step::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).within(folder).run()
}
