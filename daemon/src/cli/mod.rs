//! The command line: reads the words, asks the daemon over the control socket, prints what came of it.
//!
//! Exit status: 0 done; 1 refused or failed, with one line on standard error; 2 wrong usage.

mod act;
mod args;
mod call;
mod doctor;
mod out;
mod people;
mod show;
mod start;

use std::process::ExitCode;

use clap::Parser as _;

use self::args::{Cmd, Line};
use self::out::{Failure, Out};
use crate::config::{self, Config};
use crate::control::Client;
use crate::paths::Paths;
use crate::web::protocol::UiError;

/// Does what the command line says. `run` is the daemon: it is called for `ahoy run`, and returns when it has stopped.
pub(crate) fn main(run: impl FnOnce(Config) -> Result<(), UiError>) -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(usage) => {
            // Nobody to tell if the terminal is gone. Help and version are no failure.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { 2 } else { 0 });
        }
    };
    let done =
        if let Some(Cmd::Run(_)) = &line.command { daemon(&line, run) } else { ask(line, Out::stdout) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn daemon(line: &Line, run: impl FnOnce(Config) -> Result<(), UiError>) -> Result<(), Failure> {
    let mut given = line.common.given();
    if let Some(Cmd::Run(flags)) = &line.command {
        flags.add_to(&mut given);
        if flags.detached {
            start::leave_terminal();
        }
    }
    let config = Config::from_system(&given)?;
    config.paths.create()?;
    run(config).map_err(Failure::from)
}

/// Everything that only talks to the daemon.
fn ask(line: Line, out: impl FnOnce(bool) -> Out) -> Result<(), Failure> {
    let paths = config::paths_from_system(&line.common.given())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        UiError::new(format!("This program can't start ({error})."), "A running Ahoy goes on.", "Try again.")
    })?;
    let mut out = out(line.common.json);
    runtime.block_on(dispatch(line, &paths, &mut out))
}

async fn dispatch(line: Line, paths: &Paths, out: &mut Out) -> Result<(), Failure> {
    let client = Client::new(paths);
    let Some(command) = line.command else {
        return start::bare(&client, paths, &line.common.again(), out).await;
    };
    match command {
        // Taken care of before.
        Cmd::Run(_) => Ok(()),
        Cmd::Open => start::open(&client, paths, out).await,
        Cmd::Pair => start::pair(&client, out).await,
        Cmd::Stop => start::stop(&client, out).await,
        Cmd::Me { qr } => people::me(&client, qr, out).await,
        Cmd::Contacts { what } => people::contacts(&client, what, out).await,
        Cmd::Call { who, video, screen } => call::call(&client, call::Wish { who, video, screen }, out).await,
        Cmd::Answer(which) => act::act(&client, act::Act::Answer, which, out).await,
        Cmd::Decline { which, message } => act::act(&client, act::Act::Decline(message), which, out).await,
        Cmd::Hangup(which) => act::act(&client, act::Act::HangUp, which, out).await,
        Cmd::Hold(which) => act::act(&client, act::Act::Hold, which, out).await,
        Cmd::Resume(which) => act::act(&client, act::Act::Resume, which, out).await,
        Cmd::Mute(which) => act::act(&client, act::Act::Mute, which, out).await,
        Cmd::Unmute(which) => act::act(&client, act::Act::Unmute, which, out).await,
        Cmd::Share { content } => act::share(&client, content, out).await,
        Cmd::Record { what, which } => act::record(&client, what, which, out).await,
        Cmd::Calls => show::calls(&client, out).await,
        Cmd::Devices => show::devices(&client, out).await,
        Cmd::Stats => show::stats(&client, out).await,
        Cmd::Doctor { no_call } => doctor::doctor(&client, paths, no_call, out).await,
        Cmd::Config(flags) => {
            let mut given = line.common.given();
            flags.add_to(&mut given);
            show::config(&given, out)
        }
        Cmd::Send { .. } => Err(later("send", "Call them: `ahoy call WHO`.")),
        Cmd::Chats { .. } => Err(later("chats", "See `ahoy calls` for the log of calls.")),
    }
}

fn later(what: &str, mend: &str) -> Failure {
    Failure::Usage(format!("This version of Ahoy has no {what} yet. Voice calls work. {mend}"))
}
