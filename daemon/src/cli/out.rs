//! What a command prints: lines for people, or JSON; and how it fails.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::control::CallError;
use crate::web::protocol::UiError;

/// Why a command ends without success.
#[derive(Debug)]
pub(super) enum Failure {
    /// Wrong usage: status 2.
    Usage(String),
    /// Refused or failed: status 1.
    Refused(UiError),
    /// The reader of our output went away (`| head`): nothing to say, and nobody to say it to.
    NoReader,
}

impl Failure {
    /// Says it on standard error, in one line, and gives the status.
    pub(super) fn report(&self) -> ExitCode {
        let (line, status) = match self {
            Failure::Usage(line) => (line.clone(), 2),
            Failure::Refused(error) => (sentence(error), 1),
            Failure::NoReader => return ExitCode::SUCCESS,
        };
        // Nobody to tell if this fails too.
        let _ = writeln!(io::stderr(), "ahoy: {}", plain(&line));
        ExitCode::from(status)
    }
}

impl From<UiError> for Failure {
    fn from(error: UiError) -> Failure {
        Failure::Refused(error)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        Failure::Refused(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::NoReader;
        }
        Failure::Refused(UiError::new(
            format!("The output can't be written: {error}."),
            "What was asked for may be done.",
            "Look with `ahoy calls`.",
        ))
    }
}

/// What happened, what still works, what to do: one line.
pub(super) fn sentence(error: &UiError) -> String {
    [&error.what, &error.works, &error.mend]
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Text of others without anything that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Standard output, for people or for programs.
pub(super) struct Out {
    json: bool,
    to: Box<dyn Write>,
}

impl Out {
    /// To the terminal or pipe.
    pub(super) fn stdout(json: bool) -> Out {
        Out { json, to: Box::new(io::stdout()) }
    }

    /// Whether programs read it.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line for people.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.to, "{}", plain(text)).and_then(|()| self.to.flush()).map_err(Failure::from)
    }

    /// Prints text of our own making as it is: drawings.
    pub(super) fn raw(&mut self, text: &str) -> Result<(), Failure> {
        write!(self.to, "{text}").and_then(|()| self.to.flush()).map_err(Failure::from)
    }

    /// Prints one JSON document on a line.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::from(io::Error::other(error)))?;
        writeln!(self.to, "{text}").and_then(|()| self.to.flush()).map_err(Failure::from)
    }

    /// Prints `text` for people or `value` for programs.
    pub(super) fn either(&mut self, text: &str, value: &impl Serialize) -> Result<(), Failure> {
        if self.json { self.json(value) } else { self.line(text) }
    }
}
