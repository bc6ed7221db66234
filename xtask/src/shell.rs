//! Runs programs, says which, and stops at the first that fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The checkout.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// One program to run in the checkout.
pub(crate) struct Step {
    command: Command,
    shown: String,
}

impl Step {
    pub(crate) fn new(program: &str) -> Step {
        // A path of ours is meant from the checkout's root, wherever the step runs.
        let path = if program.contains('/') { root().join(program) } else { PathBuf::from(program) };
        let mut command = Command::new(path);
        command.current_dir(root());
        Step { command, shown: program.to_owned() }
    }

    pub(crate) fn cargo(args: &[&str]) -> Step {
        let mut step = Step::new("cargo");
        // The same cargo that runs us.
        step.command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        step.command.current_dir(root()).envs(crate::vpx::variables());
        step.args(args.iter().copied())
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Step {
        for arg in args {
            self.command.arg(arg);
            self.shown.push(' ');
            self.shown.push_str(arg);
        }
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Step {
        self.command.env(key, value);
        self
    }

    pub(crate) fn within(mut self, folder: &str) -> Step {
        self.command.current_dir(root().join(folder));
        self
    }

    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("+ {}", self.shown);
        let status = self.command.status().with_context(|| format!("{} can't be started", self.shown))?;
        if !status.success() {
            bail!("{} failed ({status})", self.shown);
        }
        Ok(())
    }
}

/// Names of the files in `folder` that end with `ending`, in order.
pub(crate) fn files(folder: &str, ending: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(root().join(folder))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    Ok(names)
}
