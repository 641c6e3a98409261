//! The command line, as clap reads it. One table of what exists; what it does is in the other files.

use crate::store::{CheckArgs, StoreCommand};
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::path::PathBuf;

/// What happened to this message?
///
/// Message tracing for Kafka, RabbitMQ, NATS and RocketMQ: who sent it, where it lay, which groups got it, how
/// long it waited and was worked on, how it ended, what it caused, and who has not consumed it yet.
#[derive(Debug, Parser)]
#[command(name = "hopscope", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done · 1 failed · 2 wrong usage · 3 not found · 5 partial answer · \
6 damage or faults found · 7 server not reachable, try again";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take traces in, keep them, and show them: receivers, API and web interface.
    Serve(ServeArgs),
    /// Play an order through four brokers into a fresh store, and show it. Needs no broker.
    Demo(DemoArgs),
    /// Find messages by anything: an id, a key, coordinates, a pasted log line, a query.
    Find(FindArgs),
    /// One message.
    Msg {
        #[command(subcommand)]
        command: MsgCommand,
    },
    /// How much goes through each destination and group, and whether that is exact.
    Rates(RatesArgs),
    /// Why do I see no traces, why are spans missing: look at the data, and try the endpoint from here.
    Doctor(DoctorArgs),
    /// The store as a whole: check, repair, stats, backup, restore, export, import, sql.
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Look for damage in a store: the same as `hopscope store check`.
    Check(CheckArgs),
    /// Print the effective configuration and where each value came from.
    Config(ConfigArgs),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum MsgCommand {
    /// Draw what happened to one message.
    Show(ShowArgs),
}

/// Where a value is not given here, it comes from the environment, then from the file, then from a default:
/// `hopscope config` shows which.
#[derive(Debug, Args, Default)]
pub struct ServeArgs {
    /// Folder of the store; made if absent.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<PathBuf>,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Address of API and web interface; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Address of OTLP over gRPC.
    #[arg(long, value_name = "ADDR")]
    pub otlp_grpc: Option<String>,
    /// Address of OTLP over HTTP.
    #[arg(long, value_name = "ADDR")]
    pub otlp_http: Option<String>,
    /// Allow addresses beyond loopback although there is no authentication yet.
    #[arg(long)]
    pub insecure: bool,
    /// Any other setting, as `name=value`; `hopscope config` lists them.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder of the store; a fresh temporary one where absent.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<PathBuf>,
    /// Address of API and web interface; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7400")]
    pub listen: String,
    /// How many orders to play.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub orders: u32,
    /// Play, print one trajectory, and exit.
    #[arg(long)]
    pub once: bool,
    /// With --once: print JSON.
    #[arg(long, requires = "once")]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Address of the server's API.
    #[arg(long, value_name = "URL", env = "HOPSCOPE_SERVER", default_value = "http://127.0.0.1:7400")]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct FindArgs {
    /// What to look for. Words are recognised (trace id, message id, topic/partition/offset, a log line);
    /// fields narrow: `service:checkout dest:orders state:dead_lettered duration>250ms since:1h`, and so does any
    /// attribute: `attr.http.route:/orders`. A term that begins with `-` (not) comes after `--`.
    #[arg(required = true)]
    pub query: Vec<String>,
    /// Most messages to print.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct RatesArgs {
    /// Only what matches: `dest:orders`, `group:payment`, `service:checkout`, `system:kafka`.
    pub query: Vec<String>,
    /// Begin of the range: `15m`, `24h`, an instant.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub since: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only what concerns this service.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub service: String,
    /// Only what concerns this destination (topic, stream, subject, exchange).
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub destination: String,
    /// Begin of the range: `15m`, `24h`, an instant.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub since: String,
    /// OTLP endpoint to try from here. Absent: that of OTEL_EXPORTER_OTLP_ENDPOINT, else those of the server.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// How to ask it: `grpc` or `http/protobuf`. Absent: OTEL_EXPORTER_OTLP_PROTOCOL, else gRPC on port 4317 and
    /// HTTP on any other.
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<String>,
    /// A header to send with it, beside those of OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Vec<String>,
    /// Certificates to trust there instead of the system's, in PEM form.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub certificate: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A reference as `find` prints it (`kafka:orders/0/15`), or anything that names one message.
    pub message: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Draw again whenever something new is known of it, until interrupted.
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// How many steps of causes and effects to follow.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub depth: u32,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
