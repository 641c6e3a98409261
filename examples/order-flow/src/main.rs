//! The order flow on four real brokers, traced by the adapters: one order goes from checkout to notification.
//!
//! ```text
//! HTTP → checkout → Kafka `orders` → payment → RabbitMQ `payments` → fulfilment → JetStream `SHIPMENTS` → shipping
//!                        └→ analytics (stays behind)                     └⇄ warehouse     RocketMQ → notify ←┘
//! ```
//!
//! What is given up, on any of them, is read by support.
//!
//! Each service is a process of its own: a subcommand of this binary. `order-flow play` makes the topics, starts
//! them all, places orders, waits until every order has arrived, and stops them.

mod brokers;
mod names;
mod order;
mod play;
mod report;
mod services;
mod stop;
mod topology;

use clap::{Parser, Subcommand};
use hopscope_sdk::setup::{Batching, Setup};
use std::time::Duration;

/// Traced services around one order.
#[derive(Parser)]
#[command(name = "order-flow", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every service needs to know.
#[derive(clap::Args, Clone)]
pub(crate) struct Common {
    #[command(flatten)]
    brokers: brokers::Addresses,
    /// Appended to every topic, queue, stream and group: runs with different ones do not meet
    #[arg(long, global = true, default_value = "", value_parser = names::suffix)]
    suffix: String,
    /// Where spans go: gRPC to port 4317, HTTP to any other
    #[arg(long, global = true, default_value = "http://127.0.0.1:4317")]
    otlp: String,
    /// Stop when standard input is closed
    #[arg(long, global = true, hide = true)]
    supervised: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Takes orders over HTTP, sends them to Kafka
    Checkout(services::checkout::Options),
    /// Kafka to RabbitMQ
    Payment,
    /// Reads the first orders and then stays behind
    Analytics(services::analytics::Options),
    /// RabbitMQ to JetStream
    Fulfilment,
    /// Answers fulfilment on core NATS
    Warehouse,
    /// Reads the dead letters of all four
    Support,
    /// JetStream to RocketMQ
    Shipping,
    /// Reads RocketMQ
    Notify,
    /// Starts all of them, places orders, waits until they have arrived
    Play(play::Options),
}

impl Command {
    /// Name of the service; the player is none, and is not traced.
    fn service(&self) -> Option<&'static str> {
        Some(match self {
            Self::Checkout(_) => "checkout",
            Self::Payment => "payment",
            Self::Analytics(_) => "analytics",
            Self::Fulfilment => "fulfilment",
            Self::Warehouse => "warehouse",
            Self::Support => "support",
            Self::Shipping => "shipping",
            Self::Notify => "notify",
            Self::Play(_) => return None,
        })
    }
}

/// Longest wait for the last spans at the end of a service.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// For each worker: a send of RocketMQ's client takes more than the usual 2 MiB where nothing is optimised.
const STACK_BYTES: usize = 8 << 20;

fn main() -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_stack_size(STACK_BYTES).build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let Cli { common, command } = Cli::parse();
    let Some(service) = command.service() else {
        let Command::Play(options) = command else { return Ok(()) };
        return play::play(&common, &options).await;
    };
    let setup = Setup {
        service: service.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoint: common.otlp.clone(),
        batching: Batching::INTERACTIVE,
        ..Setup::default()
    };
    let telemetry = setup.init()?;
    let stop = stop::Stop::watch(common.supervised);
    let result = match command {
        Command::Checkout(options) => services::checkout::run(&common, &options, stop).await,
        Command::Payment => services::payment::run(&common, stop).await,
        Command::Analytics(options) => services::analytics::run(&common, &options, stop).await,
        Command::Fulfilment => services::fulfilment::run(&common, stop).await,
        Command::Warehouse => services::warehouse::run(&common, stop).await,
        Command::Support => services::support::run(&common, stop).await,
        Command::Shipping => services::shipping::run(&common, stop).await,
        Command::Notify => services::notify::run(&common, stop).await,
        Command::Play(_) => Ok(()),
    };
    let counts = telemetry.shutdown(FLUSH_MAX);
    report::log(service, &format!("stopped, spans: {counts:?}"));
    result
}
