//! The table of settings. A new setting is a field of [`Config`] and a row here; everything else follows.

use super::Config;
use super::sources;
use super::value::{self, Given};
use super::wal::{self, WalMode};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// One setting.
pub struct Setting {
    /// Name in the file; in capitals after `HOPSCOPE_` the environment variable.
    pub name: &'static str,
    /// What kind of value: `text`, `address`, `switch`, `count`, `bytes`, `ms`, `list`, `patterns`, `pairs`,
    /// `mode`, `sources`, `rules`.
    pub kind: &'static str,
    /// True where it has a flag of its own; the others go through `--set name=value`.
    pub flag: bool,
    /// One sentence.
    pub doc: &'static str,
    pub(super) set: fn(&mut Config, &Given) -> Result<(), &'static str>,
    pub(super) show: fn(&Config) -> String,
}

impl Setting {
    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("HOPSCOPE_{}", self.name.to_ascii_uppercase())
    }

    /// How to give it on the command line.
    pub fn on_command_line(&self) -> String {
        match (self.flag, self.kind) {
            (true, "switch") => format!("--{}", self.name.replace('_', "-")),
            (true, _) => format!("--{} {}", self.name.replace('_', "-"), self.kind.to_ascii_uppercase()),
            (false, _) => format!("--set {}={}", self.name, self.kind.to_ascii_uppercase()),
        }
    }

    /// Its default, as it could be written in the file.
    pub fn default(&self) -> String {
        (self.show)(&Config::default())
    }
}

macro_rules! settings {
    ($($name:ident: $kind:ident $(($flag:ident))? = $default:expr, $doc:literal;)*) => {
        /// Every setting, in the order in which `hopscope config` and the documentation show them.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            kind: stringify!($kind),
            flag: settings!(@flag $($flag)?),
            doc: $doc,
            set: |config, given| {
                config.$name = settings!(@read $kind)(given)?;
                Ok(())
            },
            show: |config| settings!(@show $kind, config.$name),
        },)*];

        impl Default for Config {
            fn default() -> Self { Self { $($name: $default,)* } }
        }
    };
    (@flag) => { false };
    (@flag flag) => { true };
    (@read text) => { value::text };
    (@read address) => { value::address };
    (@read switch) => { value::switch };
    (@read count) => { value::count };
    (@read ms) => { value::millis };
    (@read bytes) => { value::bytes };
    (@read list) => { value::list };
    (@read patterns) => { value::patterns };
    (@read pairs) => { value::pairs };
    (@read mode) => { wal::read };
    (@read sources) => { sources::read };
    (@read rules) => { sources::read };
    (@show text, $value:expr) => { value::show_text(&$value) };
    (@show address, $value:expr) => { value::show_text(&$value.to_string()) };
    (@show switch, $value:expr) => { $value.to_string() };
    (@show count, $value:expr) => { $value.to_string() };
    (@show ms, $value:expr) => { $value.to_string() };
    (@show bytes, $value:expr) => { value::show_bytes($value) };
    (@show list, $value:expr) => { value::show_list(&$value) };
    (@show patterns, $value:expr) => { value::show_list(&$value) };
    (@show pairs, $value:expr) => { value::show_pairs(&$value) };
    (@show mode, $value:expr) => { wal::show($value) };
    (@show sources, $value:expr) => { sources::show(&$value) };
    (@show rules, $value:expr) => { sources::show(&$value) };
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

settings! {
    data: text (flag) = "hopscope-data".to_owned(),
        "Folder of the store, made if absent; `memory` keeps everything in memory and nothing on disk.";
    listen: address (flag) = loopback(7400),
        "Address of the API and the web interface; port 0 takes a free one.";
    otlp_grpc: address (flag) = loopback(4317),
        "Address of OTLP over gRPC.";
    otlp_http: address (flag) = loopback(4318),
        "Address of OTLP over HTTP.";
    insecure: switch (flag) = false,
        "Allow addresses beyond loopback although there is no authentication yet.";
    hosts: list = Vec::new(),
        "Names beside those of loopback and the address itself under which browsers may ask the API (`Host` header).";
    log: text = "info".to_owned(),
        "What is logged: error, warn, info, debug or trace, or a filter as `hopscope_server=debug,info`.";
    body_bytes_max: bytes = 16 << 20,
        "Largest request body as it arrives, compressed or not.";
    inflated_bytes_max: bytes = 64 << 20,
        "Largest request body after decompression.";
    queue_bytes_max: bytes = 256 << 20,
        "Memory for requests under way, all receivers together; past it senders are told to come back later.";
    queue_requests_max: count = 1_024,
        "Requests under way, all receivers together; past it senders are told to come back later.";
    connections_max: count = 1_024,
        "Open connections of each of the three addresses; further ones wait to be accepted.";
    header_read_ms_max: ms = 10_000,
        "How long a client may take to send the headers of a request, or to keep a connection idle.";
    body_read_ms_max: ms = 30_000,
        "How long a client may take to send the body of a request.";
    stop_ms_max: ms = 10_000,
        "How long requests under way may take to finish when the server is stopped.";
    find_messages_max: count = 200,
        "Most messages on one page of search results.";
    message_events_max: count = 2_000,
        "Most events looked at to tell the story of one message.";
    message_rounds_max: count = 32,
        "Most rounds of questions to the store to tell the story of one message.";
    message_bytes_max: bytes = 16 << 20,
        "Most bytes of events looked at to tell the story of one message.";
    tree_messages_max: count = 50,
        "Most messages in one causal tree.";
    api_requests_max: count = 32,
        "Questions answered at the same time; past it the answer is `busy`.";
    api_ms_max: ms = 30_000,
        "How long one answer may take.";
    live_streams_max: count = 64,
        "Open live streams.";
    redact_keys: list = Vec::new(),
        "Attributes that are dropped before anything is stored, by name; `*` at the end makes it a prefix.";
    redact_values: patterns = Vec::new(),
        "Regular expressions: an attribute, key, id or error text that matches is dropped before anything is stored.";
    cluster_aliases: pairs = BTreeMap::new(),
        "Cluster names for brokers that do not tell theirs: `\"kafka@broker-1:9092\" = \"production\"`; `kafka` alone is every other Kafka broker.";
    receive_kafka: sources = Vec::new(),
        "Kafka topics with trace data, one table each: `brokers`, `topics`, `group`, `start`, `name`, and settings of librdkafka; see [topics](topics.md).";
    receive_amqp: sources = Vec::new(),
        "RabbitMQ queues with trace data, one table each: `url`, `queue`, `name`; see [topics](topics.md).";
    receive_nats: sources = Vec::new(),
        "NATS streams or subjects with trace data, one table each: `servers`, `stream`, `subject`, `group`, `start`, `name`, `credentials`, `tls_ca`, `tls_cert`, `tls_key`; see [topics](topics.md).";
    retention: rules = Vec::new(),
        "How long what is received is kept, one table a rule: `age` (`30d` or `forever`) of a `destination` (`*` at the end makes it a prefix; all where it is left out; the first that fits decides), `bytes` of all, `tenant`; see [store](store.md#retention). Without it everything is kept.";
    legal_holds: rules = Vec::new(),
        "What is never dropped, one table each: `since` and `until` (days of receipt) of a `destination`, `tenant`; see [store](store.md#retention).";
    seal_rows: count = 262_144,
        "Events in memory after which they are sealed into a segment.";
    seal_bytes: bytes = 64 << 20,
        "Bytes of log after which memory is sealed into a segment; a start replays at most four times as many.";
    table_bytes_max: bytes = 128 << 20,
        "Bytes of memory after which what is in it is sealed into a segment; while sealing is behind, a tenant may have four times as many.";
    compact_rows: count = 4_194_304,
        "Events after which the sealed segments of a day are merged into one, and most events of a merged segment.";
    compact_segments_max: count = 24,
        "Sealed segments of a day after which they are merged, however few events they have.";
    metadata_bytes_max: bytes = 64 << 20,
        "Memory for what finds the way in segments (footers, fences of key indexes, counts), of all tenants.";
    block_bytes_max: bytes = 64 << 20,
        "Memory for verified blocks of segments, of all tenants; the page cache of the system holds more.";
    files_open_max: count = 256,
        "Files of segments that stay open between reads, of all tenants; merging and sockets have others.";
    read_bytes_max: bytes = 128 << 20,
        "Memory that one question may take beside its answer; one that needs more is refused.";
    read_threads_max: count = 2,
        "Threads that one question uses at a time; `api_requests_max` says how many questions there are.";
    wal_mode: mode = WalMode::Sync,
        "When a batch is acknowledged: `sync` when it is synced to the disk, so that nothing acknowledged is lost; `interval` when it is written, and a loss of power loses up to `wal_interval_ms`; `none` when it is written, and a loss of power loses all that is not in a segment yet. The end of the process loses nothing in any of them.";
    wal_interval_ms: ms = 1_000,
        "How often the log is synced with `wal_mode` `interval`.";
    disk_reserve_bytes: bytes = 256 << 20,
        "Bytes of the disk that are left free: with fewer, senders are told to come back later until there are more; reads go on.";
}
