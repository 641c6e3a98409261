//! Where trace data is read from beside the two sockets: topics, queues and subjects of brokers.
//!
//! One table of texts a source. Passwords are read and never shown: neither by `hopscope config`, nor in an error,
//! nor by `Debug`.

use super::value::Given;
use std::collections::BTreeMap;
use std::fmt;

/// Topic, queue or subject that is read where none is named.
pub const DEFAULT_TOPIC: &str = "hopscope.trace";
/// Consumer group, durable consumer or queue group where none is named.
pub const DEFAULT_GROUP: &str = "hopscope";
/// Sources of one kind: each has connections and buffers of its own.
pub const SOURCES_MAX: usize = 16;

/// Where a consumer begins that has no position yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record there is.
    #[default]
    Earliest,
    /// With what comes from now on.
    Latest,
}

/// Topics of a Kafka cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSource {
    /// Name in metrics and in the API; `kafka`, `kafka-2` and so on where it is not given.
    pub name: Option<String>,
    /// Bootstrap servers, separated by commas.
    pub brokers: String,
    /// Topics.
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Where the group begins on a partition that it has not committed yet.
    pub start: Start,
    /// Settings of librdkafka, as they are: all names with a dot.
    pub client: BTreeMap<String, String>,
}

/// A queue of RabbitMQ.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpSource {
    /// As of Kafka.
    pub name: Option<String>,
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: String,
    /// Queue; made, durable, where there is none.
    pub queue: String,
}

/// A stream or subject of NATS.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsSource {
    /// As of Kafka.
    pub name: Option<String>,
    /// Addresses, separated by commas: `nats://user:password@host:port`, or `tls://`.
    pub servers: String,
    /// Subject; with a stream it chooses some of its messages.
    pub subject: String,
    /// JetStream stream. Without it the subject is core NATS, which keeps nothing: at most once.
    pub stream: Option<String>,
    /// Durable consumer of the stream, or queue group of the subject.
    pub group: String,
    /// Where a new durable consumer begins.
    pub start: Start,
    /// File with credentials (`.creds`).
    pub credentials: Option<String>,
    /// File with certificates to trust beside those of the system.
    pub tls_ca: Option<String>,
    /// Files of the client's certificate and its key.
    pub tls_cert: Option<String>,
    /// As `tls_cert`.
    pub tls_key: Option<String>,
}

/// A source as one table of texts.
pub(super) trait Source: Sized {
    /// What the setting wants.
    const WANTED: &'static str;
    /// Most of them.
    const MAX: usize = SOURCES_MAX;
    /// Reads it; `None` where a key is missing, unknown or wrong.
    fn read(table: Table) -> Option<Self>;
    /// Every key with its value, passwords hidden.
    fn shown(&self) -> Vec<(&str, String)>;
}

/// The keys of a source that have not been read yet.
pub(super) struct Table(pub(super) BTreeMap<String, String>);

impl Table {
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).filter(|value| !value.is_empty())
    }

    fn start(&mut self) -> Option<Start> {
        match self.take("start").as_deref() {
            None | Some("earliest") => Some(Start::Earliest),
            Some("latest") => Some(Start::Latest),
            Some(_) => None,
        }
    }

    fn or(&mut self, key: &str, default: &str) -> String {
        self.take(key).unwrap_or_else(|| default.to_owned())
    }
}

impl Source for KafkaSource {
    const WANTED: &'static str = "tables with `brokers`, and where they differ from the defaults `topics`, `group`, \
                                  `start` (earliest or latest), `name`, and settings of librdkafka (names with a dot); \
                                  group.id, bootstrap.servers and all about offsets and commits is ours";

    fn read(mut table: Table) -> Option<Self> {
        let source = Self {
            name: table.take("name"),
            brokers: table.take("brokers")?,
            topics: table
                .or("topics", DEFAULT_TOPIC)
                .split(',')
                .map(|topic| topic.trim().to_owned())
                .collect(),
            group: table.or("group", DEFAULT_GROUP),
            start: table.start()?,
            client: table.0,
        };
        let ours = |name: &str| {
            !name.contains('.')
                || ["group.id", "bootstrap.servers", "metadata.broker.list", "statistics.interval.ms"]
                    .contains(&name)
                || ["offset", "auto.commit", "enable.partition.eof"].iter().any(|part| name.contains(part))
        };
        (!source.topics.iter().any(String::is_empty) && !source.client.keys().any(|name| ours(name)))
            .then_some(source)
    }

    fn shown(&self) -> Vec<(&str, String)> {
        let mut shown = named(self.name.as_deref());
        shown.push(("brokers", self.brokers.clone()));
        shown.push(("topics", self.topics.join(",")));
        shown.push(("group", self.group.clone()));
        shown.push(("start", self.start.to_string()));
        shown.extend(self.client.iter().map(|(name, value)| {
            (name.as_str(), if is_secret(name) { HIDDEN.to_owned() } else { value.clone() })
        }));
        shown
    }
}

impl Source for AmqpSource {
    const WANTED: &'static str = "tables with `url` (amqp:// or amqps://), and where they differ from the defaults \
                                  `queue` and `name`";

    fn read(mut table: Table) -> Option<Self> {
        let source = Self {
            name: table.take("name"),
            url: table.take("url")?,
            queue: table.or("queue", DEFAULT_TOPIC),
        };
        let right = source.url.starts_with("amqp://") || source.url.starts_with("amqps://");
        (right && table.0.is_empty()).then_some(source)
    }

    fn shown(&self) -> Vec<(&str, String)> {
        let mut shown = named(self.name.as_deref());
        shown.push(("url", without_password(&self.url)));
        shown.push(("queue", self.queue.clone()));
        shown
    }
}

impl Source for NatsSource {
    const WANTED: &'static str = "tables with `servers`, `stream` for JetStream, and where they differ from the \
                                  defaults `subject`, `group`, `start` (earliest or latest), `name`, `credentials`, \
                                  `tls_ca`, `tls_cert` with `tls_key`";

    fn read(mut table: Table) -> Option<Self> {
        let source = Self {
            name: table.take("name"),
            servers: table.take("servers")?,
            subject: table.or("subject", DEFAULT_TOPIC),
            stream: table.take("stream"),
            group: table.or("group", DEFAULT_GROUP),
            start: table.start()?,
            credentials: table.take("credentials"),
            tls_ca: table.take("tls_ca"),
            tls_cert: table.take("tls_cert"),
            tls_key: table.take("tls_key"),
        };
        (source.tls_cert.is_some() == source.tls_key.is_some() && table.0.is_empty()).then_some(source)
    }

    fn shown(&self) -> Vec<(&str, String)> {
        let servers = self.servers.split(',').map(|server| without_password(server.trim()));
        let mut shown = named(self.name.as_deref());
        shown.push(("servers", servers.collect::<Vec<_>>().join(",")));
        shown.push(("subject", self.subject.clone()));
        shown.push(("group", self.group.clone()));
        shown.push(("start", self.start.to_string()));
        let files = [
            ("stream", &self.stream),
            ("credentials", &self.credentials),
            ("tls_ca", &self.tls_ca),
            ("tls_cert", &self.tls_cert),
            ("tls_key", &self.tls_key),
        ];
        shown.extend(files.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
        shown
    }
}

/// Sources as they are given: tables of the file, or text, `key=value key=value; key=value`.
pub(super) fn read<S: Source>(given: &Given) -> Result<Vec<S>, &'static str> {
    let tables: Option<Vec<Vec<(String, String)>>> = match given {
        Given::Tables(tables) => Some(tables.clone()),
        Given::Pairs(pairs) => Some(vec![pairs.clone()]),
        Given::List(items) if items.is_empty() => Some(Vec::new()),
        Given::List(_) => None,
        Given::Text(text) => {
            text.split(';').map(str::trim).filter(|one| !one.is_empty()).map(pairs).collect()
        }
    };
    let sources = tables.and_then(|tables| tables.into_iter().map(table).collect::<Option<Vec<S>>>());
    sources.filter(|sources| sources.len() <= S::MAX).ok_or(S::WANTED)
}

fn table<S: Source>(pairs: Vec<(String, String)>) -> Option<S> {
    S::read(Table(pairs.into_iter().collect()))
}

fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |word: &str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.split_whitespace().map(pair).collect()
}

/// As it could be written in the file, but for what is hidden.
pub(super) fn show<S: Source>(sources: &[S]) -> String {
    let tables = sources.iter().map(|source| {
        let texts = source.shown().into_iter();
        toml::Value::Table(texts.map(|(key, value)| (key.to_owned(), toml::Value::String(value))).collect())
    });
    toml::Value::Array(tables.collect()).to_string()
}

pub(super) const HIDDEN: &str = "***";

fn named(name: Option<&str>) -> Vec<(&'static str, String)> {
    name.map(|name| ("name", name.to_owned())).into_iter().collect()
}

/// Settings of librdkafka whose value nobody may see.
fn is_secret(name: &str) -> bool {
    let secret = ["password", "secret", "pem", "oauthbearer", "token"];
    secret.iter().any(|word| name.contains(word)) && !name.ends_with(".location")
}

/// A URL without its password, or without a token that stands in place of both.
pub(crate) fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    // A password may contain a slash that should have been escaped: what is before the last @ is never shown.
    match rest.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{scheme}{user}:{HIDDEN}@{host}"),
            None => format!("{scheme}{HIDDEN}@{host}"),
        },
        None => url.to_owned(),
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
        })
    }
}

fn debug<S: Source>(name: &str, source: &S, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut shown = f.debug_struct(name);
    for (key, value) in source.shown() {
        shown.field(key, &value);
    }
    shown.finish()
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("KafkaSource", self, f)
    }
}

impl fmt::Debug for AmqpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("AmqpSource", self, f)
    }
}

impl fmt::Debug for NatsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("NatsSource", self, f)
    }
}
