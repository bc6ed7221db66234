//! What the daemon was told: flags before `AHOY_…` variables before `config.toml` before defaults, and which it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ahoy_net::{Proxy, ProxyError, RelayRole};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::paths::{PathChoice, Paths};
use crate::view::{AutoAnswer, from_word};
use crate::web::protocol::UiError;

/// The port of the page; the next free one if it is taken. Not registered with IANA for anything.
pub(crate) const DEFAULT_PORT: u16 = 7447;

/// What can be told, in the order `ahoy config` prints it. Flag `--key`, variable `AHOY_KEY` (`-` as `_`), `key = …`.
pub(crate) const KEYS: [Key; 20] = [
    Key { name: "data", default: "", kind: Kind::Place },
    Key { name: "profile", default: "", kind: Kind::Place },
    Key { name: "portable", default: "off", kind: Kind::Place },
    Key { name: "ui", default: "7447", kind: Kind::Value },
    Key { name: "no-ui", default: "off", kind: Kind::Value },
    Key { name: "mic", default: "", kind: Kind::Value },
    Key { name: "speaker", default: "", kind: Kind::Value },
    Key { name: "camera", default: "", kind: Kind::Value },
    Key { name: "screen", default: "", kind: Kind::Value },
    Key { name: "video-out", default: "", kind: Kind::Value },
    Key { name: "listen", default: "", kind: Kind::List },
    Key { name: "mdns", default: "on", kind: Kind::Value },
    Key { name: "port-mapping", default: "on", kind: Kind::Value },
    Key { name: "bootstrap", default: "", kind: Kind::List },
    Key { name: "relay", default: "", kind: Kind::Value },
    Key { name: "proxy", default: "", kind: Kind::Value },
    Key { name: "auto-answer", default: "", kind: Kind::Value },
    Key { name: "policy", default: "", kind: Kind::Later("") },
    Key { name: "trace", default: "", kind: Kind::Value },
    Key { name: "log", default: "info", kind: Kind::Value },
];

/// One thing that can be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name as a flag, without the dashes.
    pub(crate) name: &'static str,
    default: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Says where `config.toml` is, so it can't stand in it.
    Place,
    /// One value.
    Value,
    /// Several, in variables separated by commas or spaces.
    List,
    /// Part of the contract that this version does not have, and that nobody may believe to be in force: refused.
    Later(&'static str),
}

impl Key {
    /// The name of its variable.
    pub(crate) fn variable(&self) -> String {
        format!("AHOY_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

/// Where a value comes from, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// A variable of the environment.
    Variable,
    /// `config.toml`.
    File,
    /// Nobody said anything.
    Default,
}

/// One line of `ahoy config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Effective {
    /// Its name as a flag.
    pub(crate) key: String,
    /// The value in force; empty if there is none. Lists are joined by spaces.
    pub(crate) value: String,
    /// Who said so.
    pub(crate) origin: Origin,
}

/// What the daemon does, and why.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where things lie.
    pub(crate) paths: Paths,
    /// The port of the page, 0 for any; `None`: no page.
    pub(crate) ui: Option<u16>,
    /// The microphone; `None`: the one chosen on the page, else the system's.
    pub(crate) mic: Option<String>,
    /// The speaker; `None`: the one chosen on the page, else the system's.
    pub(crate) speaker: Option<String>,
    /// The camera; `None`: the one chosen on the page, else the system's.
    pub(crate) camera: Option<String>,
    /// The screen; `None`: the one chosen on the page, else the system's.
    pub(crate) screen: Option<String>,
    /// Where received pictures are recorded, beside being shown.
    pub(crate) video_out: Option<String>,
    /// Multiaddresses to listen on; empty: all interfaces, QUIC and TCP, any port.
    pub(crate) listen: Vec<String>,
    /// Whether people nearby are looked for.
    pub(crate) mdns: bool,
    /// Whether the router is asked to pass calls on.
    pub(crate) port_mapping: bool,
    /// Multiaddresses with `/p2p/…` to join the network at.
    pub(crate) bootstrap: Vec<String>,
    /// Whom this device carries calls of others for.
    pub(crate) relay: RelayRole,
    /// The HTTP proxy on the way out: told, or named by the environment as for other programs.
    pub(crate) proxy: Option<Proxy>,
    /// Who is answered without a click; `None`: as the page's settings say.
    pub(crate) auto_answer: Option<AutoAnswer>,
    /// Where the trace goes.
    pub(crate) trace: Option<PathBuf>,
    /// What is logged: a level, or directives like `info,ahoy=debug`.
    pub(crate) log: String,
    /// Every value with its origin, for `ahoy config`.
    pub(crate) effective: Vec<Effective>,
}

/// Values by the name of their key.
pub(crate) type Given = BTreeMap<String, Vec<String>>;

impl Config {
    /// Puts the layers together: `flags`, then variables read by `env`, then the file that `read` reads.
    ///
    /// # Errors
    /// When a value is none of its kind, a key is unknown, or the file can't be understood. Says where it stands.
    pub(crate) fn resolve(
        flags: &Given,
        env: &dyn Fn(&str) -> Option<String>,
        read: &dyn Fn(&Path) -> std::io::Result<Option<String>>,
        binary: Option<&Path>,
    ) -> Result<Config, UiError> {
        let mut values = Values::default();
        for key in &KEYS {
            if let Some(given) = flags.get(key.name) {
                values.put(key.name, given.clone(), Origin::Flag);
            } else if let Some(text) = env(&key.variable()).filter(|t| !t.trim().is_empty()) {
                values.put(key.name, split(key, &text), Origin::Variable);
            }
        }
        let paths = Paths::find(&values.place()?, env, binary)?;
        let text =
            read(&paths.config_file).map_err(|error| unreadable(&paths.config_file, &error.to_string()))?;
        if let Some(text) = text {
            for (key, given) in parse_file(&text).map_err(|error| unreadable(&paths.config_file, &error))? {
                if !values.0.contains_key(key) {
                    values.put(key, given, Origin::File);
                }
            }
        }
        values.refuse_what_comes_later()?;
        let config = Config {
            ui: if values.switch("no-ui")? { None } else { Some(values.port("ui")?) },
            mic: values.text("mic"),
            speaker: values.text("speaker"),
            camera: values.text("camera"),
            screen: values.text("screen"),
            video_out: values.text("video-out"),
            listen: values.list("listen"),
            mdns: values.switch("mdns")?,
            port_mapping: values.switch("port-mapping")?,
            bootstrap: values.list("bootstrap"),
            relay: values.relay()?,
            proxy: values.proxy(env)?,
            auto_answer: values.auto_answer()?,
            trace: values.text("trace").map(PathBuf::from),
            log: values.text("log").unwrap_or_else(|| "info".to_owned()),
            effective: values.effective(&paths),
            paths,
        };
        Ok(config)
    }

    /// [`Config::resolve`] with this process's environment and disk.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn from_system(flags: &Given) -> Result<Config, UiError> {
        let read = |path: &Path| match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let binary = std::env::current_exe().ok();
        Config::resolve(flags, &|key| std::env::var(key).ok(), &read, binary.as_deref())
    }
}

/// Finds the folders alone, for commands that only talk to the daemon: a broken `config.toml` must not stop `ahoy stop`.
///
/// # Errors
/// When there is no home, or the profile's name is none.
pub(crate) fn paths_from_system(flags: &Given) -> Result<Paths, UiError> {
    let mut values = Values::default();
    let env = |key: &str| std::env::var(key).ok();
    for key in KEYS.iter().filter(|k| k.kind == Kind::Place) {
        if let Some(given) = flags.get(key.name) {
            values.put(key.name, given.clone(), Origin::Flag);
        } else if let Some(text) = env(&key.variable()).filter(|t| !t.trim().is_empty()) {
            values.put(key.name, split(key, &text), Origin::Variable);
        }
    }
    Paths::find(&values.place()?, &env, std::env::current_exe().ok().as_deref())
}

#[derive(Default)]
struct Values(BTreeMap<String, (Vec<String>, Origin)>);

impl Values {
    fn put(&mut self, key: &str, values: Vec<String>, origin: Origin) {
        self.0.insert(key.to_owned(), (values, origin));
    }

    /// The last value given, as with repeated flags everywhere; `None` if none, or empty.
    fn text(&self, name: &str) -> Option<String> {
        let given = self.0.get(name).and_then(|(values, _)| values.last().cloned());
        given.or_else(|| default_of(name)).filter(|text| !text.is_empty())
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.0.get(name).map(|(values, _)| values.clone()).unwrap_or_default()
    }

    fn switch(&self, name: &str) -> Result<bool, UiError> {
        match self.text(name).unwrap_or_default().to_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok(true),
            "off" | "false" | "no" | "0" | "" => Ok(false),
            other => Err(self.bad(name, other, "on or off")),
        }
    }

    fn port(&self, name: &str) -> Result<u16, UiError> {
        let text = self.text(name).unwrap_or_default();
        text.parse().map_err(|_| self.bad(name, &text, "a port, 0 to 65535"))
    }

    fn auto_answer(&self) -> Result<Option<AutoAnswer>, UiError> {
        let Some(text) = self.text("auto-answer") else { return Ok(None) };
        let answer =
            from_word(&text).ok_or_else(|| self.bad("auto-answer", &text, "off, contacts or all"))?;
        Ok(Some(answer))
    }

    fn relay(&self) -> Result<RelayRole, UiError> {
        match self.text("relay").as_deref() {
            None => Ok(RelayRole::WhenPublic),
            Some("off") => Ok(RelayRole::Off),
            Some("contacts") => Ok(RelayRole::Contacts),
            Some("public") => Ok(RelayRole::Public),
            Some(other) => Err(self.bad("relay", other, "off, contacts or public")),
        }
    }

    fn proxy(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>, UiError> {
        match self.text("proxy").as_deref() {
            None => Ok(Proxy::from_environment(env)),
            Some("none") => Ok(None),
            // The password stays out of every message.
            Some(text) => text.parse().map(Some).map_err(|error: ProxyError| {
                UiError::new(
                    format!("{} names no proxy: {error}.", self.stands("proxy")),
                    "Nothing was changed.",
                    "Write http://HOST:PORT, with NAME:PASSWORD@ before the host if it wants them, or none.",
                )
            }),
        }
    }

    fn place(&self) -> Result<PathChoice, UiError> {
        Ok(PathChoice {
            data: self.text("data").map(PathBuf::from),
            profile: self.text("profile"),
            portable: self.switch("portable")?,
        })
    }

    fn refuse_what_comes_later(&self) -> Result<(), UiError> {
        for key in KEYS {
            let Kind::Later(nothing) = key.kind else { continue };
            if let Some(text) = self.text(key.name).filter(|text| text != nothing) {
                return Err(UiError::new(
                    format!(
                        "{} asks for {text}, which this version of Ahoy does not have.",
                        self.stands(key.name)
                    ),
                    "Voice calls work without it.",
                    "Leave it out.",
                ));
            }
        }
        Ok(())
    }

    fn effective(&self, paths: &Paths) -> Vec<Effective> {
        let line = |key: &Key| {
            let (value, origin) = match self.0.get(key.name) {
                Some((values, origin)) if key.name == "proxy" => {
                    // Without name and password.
                    let shown =
                        |text: &String| text.parse().map_or_else(|_| text.clone(), |p: Proxy| p.to_string());
                    (values.last().map(shown).unwrap_or_default(), *origin)
                }
                Some((values, origin)) => (values.join(" "), *origin),
                None if key.name == "data" => (paths.data.display().to_string(), Origin::Default),
                None => (key.default.to_owned(), Origin::Default),
            };
            Effective { key: key.name.to_owned(), value, origin }
        };
        KEYS.iter().map(line).collect()
    }

    /// How a value is named where it stands.
    fn stands(&self, name: &str) -> String {
        match self.0.get(name).map_or(Origin::Default, |(_, origin)| *origin) {
            Origin::Flag => format!("--{name}"),
            Origin::Variable => format!("AHOY_{}", name.to_uppercase().replace('-', "_")),
            Origin::File => format!("“{name}” in config.toml"),
            Origin::Default => format!("the default of {name}"),
        }
    }

    fn bad(&self, name: &str, value: &str, wanted: &str) -> UiError {
        UiError::new(
            format!("{} is “{value}”.", self.stands(name)),
            "Nothing was changed.",
            format!("Give {wanted}."),
        )
    }
}

fn default_of(name: &str) -> Option<String> {
    KEYS.iter().find(|key| key.name == name).map(|key| key.default.to_owned())
}

fn split(key: &Key, text: &str) -> Vec<String> {
    if key.kind == Kind::List {
        text.split([',', ' ']).filter(|t| !t.is_empty()).map(str::to_owned).collect()
    } else {
        vec![text.to_owned()]
    }
}

fn parse_file(text: &str) -> Result<Vec<(&'static str, Vec<String>)>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut out = Vec::new();
    for (name, value) in table {
        let dashed = name.replace('_', "-");
        let key = KEYS
            .iter()
            .find(|key| key.name == dashed)
            .ok_or_else(|| format!("“{name}” means nothing here"))?;
        if key.kind == Kind::Place {
            return Err(format!("“{name}” says where this file is, so it can't stand in it"));
        }
        out.push((key.name, texts(&name, value)?));
    }
    Ok(out)
}

fn texts(name: &str, value: toml::Value) -> Result<Vec<String>, String> {
    let one = |value: toml::Value| match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(on) => Ok((if on { "on" } else { "off" }).to_owned()),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
            Err(format!("“{name}” is neither a text, a number nor true or false"))
        }
    };
    if let toml::Value::Array(values) = value {
        values.into_iter().map(one).collect()
    } else {
        Ok(vec![one(value)?])
    }
}

fn unreadable(path: &Path, error: &str) -> UiError {
    UiError::new(
        format!("The file {} can't be understood: {}.", path.display(), error.trim().trim_end_matches('.')),
        "Nothing was changed.",
        "Mend that line, or move the file away to go on with defaults.",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn resolve(flags: &[(&str, &str)], env: &[(&str, &str)], file: &str) -> Result<Config, UiError> {
        let mut given = Given::new();
        for (key, value) in flags {
            given.entry((*key).to_owned()).or_default().push((*value).to_owned());
        }
        let vars: Vec<_> = env.iter().chain(&[("HOME", "/home/ann")]).collect();
        let env = |key: &str| vars.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned());
        Config::resolve(&given, &env, &|_| Ok(Some(file.to_owned())), None)
    }

    fn shown(config: &Config, key: &str) -> (String, Origin) {
        let line = config.effective.iter().find(|e| e.key == key).unwrap();
        (line.value.clone(), line.origin)
    }

    #[test]
    fn flags_beat_variables_beat_the_file_beats_defaults() {
        let (flag, env, file) = ([("ui", "1")], [("AHOY_UI", "2")], "ui = 3");
        for (flags, vars, text, port, origin) in [
            (&flag[..], &env[..], file, 1, Origin::Flag),
            (&flag[..], &[][..], file, 1, Origin::Flag),
            (&flag[..], &env[..], "", 1, Origin::Flag),
            (&[][..], &env[..], file, 2, Origin::Variable),
            (&[][..], &env[..], "", 2, Origin::Variable),
            (&[][..], &[][..], file, 3, Origin::File),
            (&[][..], &[("AHOY_UI", "")][..], file, 3, Origin::File),
            (&[][..], &[][..], "", DEFAULT_PORT, Origin::Default),
        ] {
            let config = resolve(flags, vars, text).unwrap();
            assert_eq!(config.ui, Some(port), "{flags:?} {vars:?} {text}");
            assert_eq!(shown(&config, "ui"), (port.to_string(), origin));
        }
    }

    #[test]
    fn every_key_but_the_places_can_come_from_each_layer() {
        let value = |key: &Key| match key.kind {
            Kind::Place | Kind::Later(_) => None,
            Kind::List => Some("/ip4/127.0.0.1/tcp/1"),
            Kind::Value => match key.name {
                "ui" => Some("9"),
                "no-ui" | "mdns" | "port-mapping" => Some("on"),
                "auto-answer" => Some("all"),
                "relay" => Some("public"),
                "proxy" => Some("http://x:1"),
                _ => Some("x"),
            },
        };
        for key in KEYS {
            let Some(value) = value(&key) else { continue };
            let variable = key.variable();
            let file = format!("{} = \"{value}\"", key.name.replace('-', "_"));
            for (config, origin) in [
                (resolve(&[(key.name, value)], &[], ""), Origin::Flag),
                (resolve(&[], &[(&variable, value)], ""), Origin::Variable),
                (resolve(&[], &[], &file), Origin::File),
            ] {
                assert_eq!(shown(&config.unwrap(), key.name), (value.to_owned(), origin), "{}", key.name);
            }
        }
    }

    #[test]
    fn values_of_every_kind_are_understood() {
        let config = resolve(
            &[
                ("listen", "/ip4/0.0.0.0/tcp/1"),
                ("listen", "/ip6/::/tcp/1"),
                ("no-ui", "on"),
                ("mic", "a"),
                ("mic", "b"),
            ],
            &[("AHOY_BOOTSTRAP", "/dns/x/p2p/1, /dns/y/p2p/2"), ("AHOY_AUTO_ANSWER", "contacts")],
            "mdns = false\ntrace = \"/tmp/t\"\nspeaker = \"null\"",
        )
        .unwrap();
        assert_eq!(config.listen, ["/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/1"]);
        assert_eq!(config.bootstrap, ["/dns/x/p2p/1", "/dns/y/p2p/2"]);
        assert_eq!((config.ui, config.mdns, config.auto_answer), (None, false, Some(AutoAnswer::Contacts)));
        assert_eq!((config.mic.as_deref(), config.speaker.as_deref()), (Some("b"), Some("null")));
        assert_eq!(config.trace.as_deref(), Some(Path::new("/tmp/t")));
        let plain = resolve(&[], &[], "").unwrap();
        assert_eq!((plain.mic, plain.auto_answer, plain.mdns), (None, None, true));
        assert_eq!((plain.listen.len(), plain.log.as_str()), (0, "info"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (flags, env, file, place) in [
            (&[("ui", "70000")][..], &[][..], "", "--ui"),
            (&[("relay", "friends")][..], &[][..], "", "--relay"),
            (&[][..], &[("AHOY_MDNS", "maybe")][..], "", "AHOY_MDNS"),
            (&[][..], &[][..], "auto_answer = \"some\"", "config.toml"),
            (&[][..], &[][..], "microphone = \"x\"", "config.toml"),
            (&[][..], &[][..], "data = \"/x\"", "config.toml"),
            (&[][..], &[][..], "ui = 1.5", "config.toml"),
            (&[][..], &[][..], "ui =", "config.toml"),
        ] {
            let error = resolve(flags, env, file).unwrap_err();
            assert!(error.what.contains(place), "{error}");
            assert!(!error.mend.is_empty() && !error.works.is_empty());
        }
    }

    #[test]
    fn what_this_version_lacks_is_refused_where_it_would_be_relied_on() {
        let error = resolve(&[("policy", "p.toml")], &[], "").unwrap_err();
        assert!(error.what.contains("--policy"), "{error}");
    }

    #[test]
    fn a_proxy_is_told_or_found_in_the_environment_and_its_password_is_never_shown() {
        let env = [("HTTPS_PROXY", "http://corp:3128")];
        assert_eq!(resolve(&[], &env, "").unwrap().proxy.unwrap().to_string(), "http://corp:3128");
        assert_eq!(resolve(&[("proxy", "none")], &env, "").unwrap().proxy, None);
        let told = resolve(&[("proxy", "http://ann:secret@own:1")], &env, "").unwrap();
        assert_eq!(told.proxy.as_ref().unwrap().to_string(), "http://own:1");
        assert_eq!(shown(&told, "proxy"), ("http://own:1".to_owned(), Origin::Flag));
        let error = resolve(&[("proxy", "socks5://ann:secret@x")], &[], "").unwrap_err();
        assert!(error.what.contains("--proxy") && !error.what.contains("secret"), "{error}");
    }

    #[test]
    fn whom_it_relays_for_is_one_of_three_and_by_default_up_to_the_network() {
        for (value, role) in
            [("off", RelayRole::Off), ("contacts", RelayRole::Contacts), ("public", RelayRole::Public)]
        {
            assert_eq!(resolve(&[("relay", value)], &[], "").unwrap().relay, role);
        }
        assert_eq!(resolve(&[], &[], "").unwrap().relay, RelayRole::WhenPublic);
        assert!(resolve(&[("relay", "all")], &[], "").is_err());
    }
}
