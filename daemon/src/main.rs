//! The program: the command line, and the daemon behind `ahoy run`.

mod app;
mod app_handle;
mod audio;
mod call_task;
mod cli;
mod clock;
mod config;
mod control;
mod doctor;
mod doors;
mod echo;
mod echo_test;
mod figures;
mod identity;
mod node;
mod notify;
mod paths;
mod picture_figures;
mod ports;
mod qr;
mod random;
mod recording;
mod run;
mod safety;
mod store;
mod trace;
mod usage;
mod video;
mod view;
mod view_builder;
mod web;
mod who;

use std::process::ExitCode;

fn main() -> ExitCode {
    forget_key_log();
    cli::main(run::run)
}

/// TLS libraries write their keys where this variable says; calls must not be readable because somebody set it.
fn forget_key_log() {
    #[expect(unsafe_code, reason = "there is no safe way, and no other thread runs yet")]
    // SAFETY: this is the first statement of the program; no thread reads the environment beside it.
    unsafe {
        std::env::remove_var("SSLKEYLOGFILE");
    }
}
