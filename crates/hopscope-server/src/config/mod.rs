//! Configuration: one table of settings drives the file, the environment, flags, `hopscope config` and
//! `docs/configuration.md`.
//!
//! A value comes from the first of: flag, environment (`HOPSCOPE_` and the name in capitals), file, default.
//! It is not: a dynamic configuration, included files, profiles.

mod document;
mod retention;
mod settings;
mod sources;
mod value;
mod wal;

pub use document::reference;
pub use retention::{HoldRule, RetentionRule, policy};
pub use settings::{SETTINGS, Setting};
use sources::HIDDEN;
pub(crate) use sources::without_password;
pub use sources::{AmqpSource, DEFAULT_GROUP, DEFAULT_TOPIC, KafkaSource, NatsSource, SOURCES_MAX, Start};
pub use value::Given;
pub use wal::WalMode;

use crate::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Everything a server can be told. [`Config::default`] is what the table says.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // each field is the setting of the same name: its sentence is in the table
pub struct Config {
    pub data: String,
    pub listen: SocketAddr,
    pub otlp_grpc: SocketAddr,
    pub otlp_http: SocketAddr,
    pub insecure: bool,
    pub hosts: Vec<String>,
    pub body_bytes_max: usize,
    pub inflated_bytes_max: usize,
    pub queue_bytes_max: usize,
    pub queue_requests_max: usize,
    pub connections_max: usize,
    pub header_read_ms_max: u64,
    pub body_read_ms_max: u64,
    pub stop_ms_max: u64,
    pub find_messages_max: usize,
    pub message_events_max: usize,
    pub message_rounds_max: usize,
    pub message_bytes_max: usize,
    pub tree_messages_max: usize,
    pub api_requests_max: usize,
    pub api_ms_max: u64,
    pub live_streams_max: usize,
    pub redact_keys: Vec<String>,
    pub redact_values: Vec<String>,
    pub cluster_aliases: BTreeMap<String, String>,
    pub receive_kafka: Vec<KafkaSource>,
    pub receive_amqp: Vec<AmqpSource>,
    pub receive_nats: Vec<NatsSource>,
    pub retention: Vec<RetentionRule>,
    pub legal_holds: Vec<HoldRule>,
    pub seal_rows: usize,
    pub seal_bytes: usize,
    pub table_bytes_max: usize,
    pub compact_rows: usize,
    pub compact_segments_max: usize,
    pub metadata_bytes_max: usize,
    pub block_bytes_max: usize,
    pub files_open_max: usize,
    pub read_bytes_max: usize,
    pub read_threads_max: usize,
    pub wal_mode: WalMode,
    pub wal_interval_ms: u64,
    pub disk_reserve_bytes: usize,
    pub log: String,
}

/// `data` with this value keeps everything in memory and nothing on disk.
pub const MEMORY: &str = "memory";

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The table.
    Default,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
    /// A flag.
    Flag,
}

/// One setting as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Name.
    pub name: &'static str,
    /// Value, as it could be written in the file.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// A configuration and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// One row per setting, in the order of the table.
    pub effective: Vec<Effective>,
    /// Things that look like mistakes and are not certainly ones.
    pub warnings: Vec<String>,
}

/// Reads the file (where one is given), the environment and flags (`name`, `value`; dashes or underscores).
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Loaded, Error> {
    let text = file.map(read_file).transpose()?;
    let file_name = file.map(|file| file.display().to_string()).unwrap_or_default();
    merge(text.as_deref().map(|text| (file_name.as_str(), text)), environment, flags)
}

fn read_file(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|source| {
        Error::new(ErrorKind::Usage, format!("cannot read the configuration file={}", file.display()))
            .with_hint(format!("{source}: give another with --config, or leave it out"))
            .because(source)
    })
}

/// As [`load`], with the file's name and text already in hand.
pub fn merge(
    file: Option<(&str, &str)>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Loaded, Error> {
    let mut config = Config::default();
    let mut origins: BTreeMap<&'static str, Origin> = BTreeMap::new();
    let mut warnings = Vec::new();
    if let Some((name, text)) = file {
        for (key, given) in value::of_file(name, text)? {
            let setting = find(&key).ok_or_else(|| unknown(&key, &format!("file={name}")))?;
            set(&mut config, setting, &given, &format!("file={name}"))?;
            origins.insert(setting.name, Origin::File);
        }
    }
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix("HOPSCOPE_").map(str::to_ascii_lowercase) else { continue };
        match find(&name) {
            Some(setting) => {
                set(&mut config, setting, &Given::Text(text), &format!("variable={variable}"))?;
                origins.insert(setting.name, Origin::Environment);
            }
            // Other programs and orchestrators set variables that begin alike: only a near miss is told.
            None => warnings.extend(near_miss(&name).map(|right| {
                format!(
                    "variable is not a setting, did you mean HOPSCOPE_{}? variable={variable}",
                    right.to_ascii_uppercase()
                )
            })),
        }
    }
    for (name, text) in flags {
        let setting = find(&name.replace('-', "_")).ok_or_else(|| unknown(name, "from the command line"))?;
        set(&mut config, setting, &Given::Text(text.clone()), "from the command line")?;
        origins.insert(setting.name, Origin::Flag);
    }
    check(&config)?;
    let effective = SETTINGS.iter().map(|setting| Effective {
        name: setting.name,
        value: (setting.show)(&config),
        origin: origins.get(setting.name).copied().unwrap_or(Origin::Default),
    });
    Ok(Loaded { effective: effective.collect(), config, warnings })
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn set(config: &mut Config, setting: &Setting, given: &Given, place: &str) -> Result<(), Error> {
    (setting.set)(config, given).map_err(|wanted| {
        // A source may hold a password: what was given for it is not repeated.
        let given = if setting.kind == "sources" { HIDDEN.to_owned() } else { given.to_string() };
        Error::new(ErrorKind::Usage, format!("wrong value setting={} value={given} {place}", setting.name))
            .with_hint(format!("{} wants {wanted}", setting.name))
    })
}

fn unknown(name: &str, place: &str) -> Error {
    let hint = match near_miss(name) {
        Some(right) => format!("did you mean {right}?"),
        None => "`hopscope config` lists all settings".to_owned(),
    };
    Error::new(ErrorKind::Usage, format!("no such setting name={name} {place}")).with_hint(hint)
}

/// The nearest right name, at most a third of its letters away.
fn near_miss(name: &str) -> Option<&'static str> {
    let nearest = SETTINGS.iter().map(|setting| (distance(name, setting.name), setting.name)).min()?;
    (nearest.0 * 3 <= nearest.1.len()).then_some(nearest.1)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(from != *to)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

/// What no single value can say.
fn check(config: &Config) -> Result<(), Error> {
    if config.body_bytes_max > config.queue_bytes_max || config.inflated_bytes_max > config.queue_bytes_max {
        let message = "queue_bytes_max must hold at least one body_bytes_max and one inflated_bytes_max";
        return Err(Error::new(ErrorKind::Usage, message).with_hint("raise queue_bytes_max"));
    }
    if config.data == MEMORY && !(config.retention.is_empty() && config.legal_holds.is_empty()) {
        let message = "retention is of a store on disk, and data=memory keeps nothing there";
        return Err(
            Error::new(ErrorKind::Usage, message).with_hint("give data a folder, or leave retention out")
        );
    }
    let names = [
        config.receive_kafka.iter().filter_map(|source| source.name.as_deref()).collect::<Vec<_>>(),
        config.receive_amqp.iter().filter_map(|source| source.name.as_deref()).collect(),
        config.receive_nats.iter().filter_map(|source| source.name.as_deref()).collect(),
    ]
    .concat();
    let numbered = |name: &str| ["kafka", "amqp", "nats", "otlp"].iter().any(|kind| name.starts_with(kind));
    if let Some(name) =
        names.iter().enumerate().find(|(at, name)| names[..*at].contains(name) || numbered(name))
    {
        return Err(Error::new(ErrorKind::Usage, format!("the name of a source is taken name={}", name.1))
            .with_hint("give each source another name; those that begin with kafka, amqp, nats or otlp are given by us"));
    }
    let all = [("listen", config.listen), ("otlp_grpc", config.otlp_grpc), ("otlp_http", config.otlp_http)];
    match all.iter().find(|(_, address)| !address.ip().is_loopback()) {
        Some((name, address)) if !config.insecure => Err(Error::new(
            ErrorKind::Usage,
            format!("there is no authentication yet, so only loopback is listened on setting={name} address={address}"),
        )
        .with_hint("use 127.0.0.1, or say --insecure if everybody who can reach it may read and write everything")),
        _ => Ok(()),
    }
}

impl Config {
    /// All three addresses on loopback at ports that are free, for tests and the demo.
    pub fn on_free_ports(data: impl Into<String>) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { data: data.into(), listen: free, otlp_grpc: free, otlp_http: free, ..Self::default() }
    }

    pub(crate) fn body_read_max(&self) -> Duration {
        Duration::from_millis(self.body_read_ms_max)
    }

    pub(crate) fn stop_max(&self) -> Duration {
        Duration::from_millis(self.stop_ms_max)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "env",
            Self::Flag => "flag",
        })
    }
}

#[cfg(test)]
mod tests;
