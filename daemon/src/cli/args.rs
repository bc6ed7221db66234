//! The words of the command line. What each does is in the other files of this folder.

use clap::{Args, Parser, Subcommand};

use crate::config::Given;

/// Ring each other by voice and video from any browser, with nobody in between.
///
/// Without a command: starts Ahoy if it does not run, opens its page in the browser and prints the address.
#[derive(Debug, Parser)]
#[command(name = "ahoy", version, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Line {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Option<Cmd>,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(super) struct Common {
    /// Print JSON: one document, or one object a line where it streams
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Keep everything in this folder
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Be somebody else: own identity, contacts and page
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Keep everything in ahoy-data/ beside this program
    #[arg(long, global = true)]
    portable: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Cmd {
    /// Run the daemon in this terminal
    Run(Run),
    /// Open the page in the browser, signed in
    Open,
    /// Print a code to type into a page that is open already
    Pair,
    /// Stop the daemon; calls are hung up
    Stop,
    /// Show your name, PeerId and contact card
    Me {
        /// Draw the card as a QR code
        #[arg(long)]
        qr: bool,
    },
    /// Show or change the address book
    Contacts {
        #[command(subcommand)]
        what: Option<Contacts>,
    },
    /// Call somebody; prints one event a line until the call ends, Ctrl-C hangs up
    Call {
        /// A name, PeerId, contact card or address with /p2p/…
        who: String,
        /// Show your camera, and ask to see theirs
        #[arg(long)]
        video: bool,
        /// Show your screen
        #[arg(long)]
        screen: bool,
    },
    /// Answer the ringing call
    Answer(Which),
    /// Decline the ringing call
    Decline {
        #[command(flatten)]
        which: Which,
        /// Words for the caller
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Hang up
    Hangup(Which),
    /// Put the call on hold
    Hold(Which),
    /// Take the call back from hold
    Resume(Which),
    /// Turn the microphone off
    Mute(Which),
    /// Turn the microphone on
    Unmute(Which),
    /// Say what your shared screen is sent for, also while it is shared: sharp text or smooth motion
    Share {
        /// What counts
        content: Shared,
    },
    /// Record the call into a file; the other side is told first, and sees it
    Record {
        /// Begin or end
        what: RecordWhat,
        #[command(flatten)]
        which: Which,
    },
    /// Show open calls and the log of calls
    Calls,
    /// Show devices: microphones, speakers, cameras, screens
    Devices,
    /// Show live figures of running calls
    Stats,
    /// Show what works and what does not on this machine and network, and what to do about it
    Doctor {
        /// Leave out the call to Echo, which listens to the microphone for some seconds
        #[arg(long)]
        no_call: bool,
    },
    /// Show the configuration in force and where each value comes from
    Config(Run),
    /// (later)
    #[command(hide = true)]
    Send {
        /// Anything
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// (later)
    #[command(hide = true)]
    Chats {
        /// Anything
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

/// What counts in a shared screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shared {
    /// As it looks: motion while a film plays, text otherwise
    Auto,
    /// Sharp: on slow networks frames become fewer
    Text,
    /// Smooth: on slow networks pixels become fewer
    Motion,
}

/// What is done to a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RecordWhat {
    /// Tell the other side, then record
    Start,
    /// Finish the file
    Stop,
}

#[derive(Debug, Subcommand)]
pub(super) enum Contacts {
    /// Add the person of a contact card
    Add {
        /// ahoy:c/…
        card: String,
    },
    /// Remove somebody
    Remove {
        /// A name or PeerId
        who: String,
    },
    /// Hide this computer's address from somebody: calls with them go through relays alone
    Hide {
        /// A name or PeerId
        who: String,
        /// No longer: calls take the shortest way
        #[arg(long)]
        off: bool,
    },
    /// Compare safety numbers, and say that they are the same
    Verify {
        /// A name or PeerId
        who: String,
        /// The numbers were compared and are the same
        #[arg(long)]
        yes: bool,
    },
}

/// Which call.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The beginning of its id, or the other's name; not needed if only one fits
    pub(super) call: Option<String>,
}

/// Options of the daemon. Each is also a variable (AHOY_MIC) and a key of config.toml (mic), in this order of precedence.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Run {
    /// Port of the page; the next free one if it is taken, any with 0 [default: 7447]
    #[arg(long, value_name = "PORT")]
    ui: Option<String>,
    /// Show no page
    #[arg(long)]
    no_ui: bool,
    /// Microphone: an id of `ahoy devices`, null, tone:HZ, file:PATH.wav
    #[arg(long, value_name = "DEV")]
    mic: Option<String>,
    /// Speaker: an id of `ahoy devices`, null, record:PATH.wav
    #[arg(long, value_name = "DEV")]
    speaker: Option<String>,
    #[arg(long, hide = true)]
    camera: Option<String>,
    #[arg(long, hide = true)]
    screen: Option<String>,
    #[arg(long, hide = true)]
    video_out: Option<String>,
    /// Multiaddresses to listen on [default: all interfaces, any port]
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    listen: Vec<String>,
    /// Look for people nearby, on or off [default: on]
    #[arg(long, value_name = "ON|OFF")]
    mdns: Option<String>,
    /// Ask the router to pass calls on (PCP, NAT-PMP, UPnP), on or off [default: on]
    #[arg(long, value_name = "ON|OFF")]
    port_mapping: Option<String>,
    /// Multiaddresses with /p2p/… to join the network at
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    bootstrap: Vec<String>,
    #[arg(long, hide = true)]
    relay: Option<String>,
    #[arg(long, hide = true)]
    proxy: Option<String>,
    /// Answer without a click: off, contacts or all [default: as set on the page]
    #[arg(long, value_name = "WHO")]
    auto_answer: Option<String>,
    #[arg(long, hide = true)]
    policy: Option<String>,
    /// Write what happens to a file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    trace: Option<String>,
    /// What is logged: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Leave the terminal (how `ahoy` starts the daemon).
    #[arg(long, hide = true)]
    pub(super) detached: bool,
}

impl Common {
    /// What was said, by the names of `config.rs`.
    pub(super) fn given(&self) -> Given {
        let mut given = Given::new();
        put(&mut given, "data", self.data.as_ref());
        put(&mut given, "profile", self.profile.as_ref());
        if self.portable {
            given.insert("portable".into(), vec!["on".into()]);
        }
        given
    }

    /// The same as words for another command line.
    pub(super) fn again(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (flag, value) in [("--data", &self.data), ("--profile", &self.profile)] {
            words.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        if self.portable {
            words.push("--portable".to_owned());
        }
        words
    }
}

impl Run {
    /// Adds what was said.
    pub(super) fn add_to(&self, given: &mut Given) {
        for (key, value) in [
            ("ui", &self.ui),
            ("mic", &self.mic),
            ("speaker", &self.speaker),
            ("camera", &self.camera),
            ("screen", &self.screen),
            ("video-out", &self.video_out),
            ("mdns", &self.mdns),
            ("port-mapping", &self.port_mapping),
            ("relay", &self.relay),
            ("proxy", &self.proxy),
            ("auto-answer", &self.auto_answer),
            ("policy", &self.policy),
            ("trace", &self.trace),
            ("log", &self.log),
        ] {
            put(given, key, value.as_ref());
        }
        for (key, values) in [("listen", &self.listen), ("bootstrap", &self.bootstrap)] {
            if !values.is_empty() {
                given.insert(key.into(), values.clone());
            }
        }
        if self.no_ui {
            given.insert("no-ui".into(), vec!["on".into()]);
        }
    }
}

fn put(given: &mut Given, key: &str, value: Option<&String>) {
    if let Some(value) = value {
        given.insert(key.to_owned(), vec![value.clone()]);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::KEYS;

    #[test]
    fn the_grammar_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_key_of_the_configuration_is_a_flag_that_reaches_it() {
        for key in KEYS {
            let flag = format!("--{}", key.name);
            let alone = matches!(key.name, "portable" | "no-ui");
            let words = if alone { vec!["ahoy", "run", &flag] } else { vec!["ahoy", "run", &flag, "x"] };
            let line = Line::try_parse_from(words).unwrap();
            let mut given = line.common.given();
            let Some(Cmd::Run(run)) = line.command else { panic!("not run") };
            run.add_to(&mut given);
            let wanted = if alone { "on" } else { "x" };
            assert_eq!(given.get(key.name), Some(&vec![wanted.to_owned()]), "{}", key.name);
        }
    }

    #[test]
    fn lists_can_be_given_in_both_ways() {
        for words in [&["--listen", "a", "b"][..], &["--listen", "a", "--listen", "b"]] {
            let line = Line::try_parse_from([&["ahoy", "run"], words].concat()).unwrap();
            let Some(Cmd::Run(run)) = line.command else { panic!("not run") };
            assert_eq!(run.listen, ["a", "b"]);
        }
    }
}
