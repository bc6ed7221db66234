//! The rules of docs/STYLE.md and docs/ARCHITECTURE.md that a machine can hold.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files below `folder` whose name ends so, without what is built or fetched.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        let skipped =
            matches!(name.as_str(), "target" | "node_modules" | ".git" | "vendor" | "corpus" | "artifacts");
        if path.is_dir() && !skipped {
            files(&path, ending, found);
        } else if name.ends_with(ending) && path.is_file() {
            found.push(path);
        }
    }
}

fn all(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root(), ending, &mut found);
    let shown = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (shown(path), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_file_says_its_one_job_first() {
    let silent: Vec<String> = all(".rs")
        .into_iter()
        .filter(|(path, text)| !text.starts_with("//!") && !path.ends_with("bindings.rs"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
    let silent: Vec<String> = all(".js")
        .into_iter()
        .filter(|(path, text)| path.starts_with("webui/static/app") && !text.starts_with("// "))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn no_line_ends_with_spaces_and_no_test_is_left_out_or_repeated() {
    for (path, text) in all(".rs") {
        if path.ends_with("tidy.rs") {
            continue;
        }
        let bad = text.lines().position(|line| {
            line.ends_with(' ') || line.contains("#[ignore") || line.contains("should_panic")
        });
        assert_eq!(bad.map(|n| n + 1), None, "{path}");
    }
}

/// The import law of docs/ARCHITECTURE.md.
#[test]
fn rooms_import_only_whom_they_may() {
    let law: [(&str, &[&str]); 8] = [
        ("base", &[]),
        ("codec", &["ahoy-base"]),
        ("net/core", &["ahoy-base"]),
        ("net", &["ahoy-base", "ahoy-net-core"]),
        ("daemon/core", &["ahoy-base", "ahoy-net-core"]),
        ("webui", &[]),
        ("daemon", &["ahoy-base", "ahoy-codec", "ahoy-net-core", "ahoy-net", "ahoy-call", "ahoy-webui"]),
        ("tests", &[]),
    ];
    for (room, allowed) in law {
        let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
        let names = manifest
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|n| n.starts_with("ahoy-"));
        for name in names {
            assert!(allowed.contains(&name), "{room} must not import {name}");
        }
    }
}

#[test]
fn cores_have_no_clock_runtime_device_or_disk() {
    for core in ["net/core", "daemon/core"] {
        let manifest = fs::read_to_string(root().join(core).join("Cargo.toml")).unwrap();
        for banned in ["tokio", "quinn", "libp2p", "cpal", "axum", "rusqlite", "serde_json", "getrandom"] {
            let found = manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(banned));
            assert!(!found, "{core} must not depend on {banned}");
        }
    }
    for (path, text) in all(".rs") {
        let core = ["net/core/src", "daemon/core/src", "base/src", "codec/src"]
            .iter()
            .any(|room| path.starts_with(room));
        for banned in ["Instant::now", "SystemTime::now", "thread::spawn", "std::fs::", "async fn"] {
            assert!(!core || !text.contains(banned), "{path} uses {banned}");
        }
    }
}

#[test]
fn only_one_file_reads_the_clock() {
    for (path, text) in all(".rs") {
        let ours = path.starts_with("daemon/src") || path.starts_with("net/src");
        let reads = text.contains("SystemTime::now") || text.contains("clock_gettime");
        assert!(!ours || !reads || path == "daemon/src/clock.rs", "{path} reads the clock");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (path, text) in all(".md") {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let local = !file.is_empty() && !target.contains("://");
            assert!(!local || folder.join(file).exists(), "{path} leads to {target}, which is not there");
        }
    }
}

#[test]
fn decisions_that_code_names_exist() {
    let names: Vec<String> = fs::read_dir(root().join("docs/decisions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for (path, text) in all(".rs").into_iter().chain(all(".toml")) {
        for rest in text.split("docs/decisions/").skip(1) {
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let known = number.is_empty() || names.iter().any(|name| name.starts_with(&number));
            assert!(known, "{path} names decision {number}, which is not there");
        }
    }
}
