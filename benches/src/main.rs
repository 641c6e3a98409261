//! What tracing costs: the adapters against the raw clients, same broker, same settings, same run.
//!
//! `cargo xtask bench sdk|latency|black-hole` starts the brokers and runs it. Figures go to standard output, one JSON
//! object a line.

mod black_hole;
mod client;
mod cost;
mod cpu;
mod figure;
mod kafka;
mod latency;
mod nats;
mod rabbitmq;
mod rocketmq;
mod sink;
mod variation;

use anyhow::Result;
use clap::{Parser, Subcommand};
use client::Broker;
use std::time::Duration;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// CPU added to each message, and throughput left
    Sdk {
        /// Only these brokers
        #[arg(long)]
        broker: Vec<Broker>,
        /// Only these variations beside the raw client: header, 1%, 10%, 100%
        #[arg(long)]
        how: Vec<String>,
        /// Interleaved rounds
        #[arg(long, default_value_t = 15)]
        rounds: usize,
    },
    /// Latency of a send at a given rate
    Latency {
        /// Only these brokers
        #[arg(long)]
        broker: Vec<Broker>,
        /// Interleaved rounds
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// Seconds of each turn
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Messages a second
        #[arg(long, default_value_t = 10_000)]
        rate: u32,
    },
    /// The endpoint never answers
    BlackHole {
        /// The broker whose clients send
        #[arg(long, value_enum, default_value = "kafka")]
        broker: Broker,
        /// How long
        #[arg(long, default_value_t = 600)]
        seconds: u64,
        /// Messages a second
        #[arg(long, default_value_t = 10_000)]
        rate: u32,
    },
    /// Takes what the others export
    #[command(hide = true)]
    Sink {
        /// Accept connections and never answer
        #[arg(long)]
        black_hole: bool,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Options::parse().command {
        Command::Sdk { broker, how, rounds } => cost::run(&chosen(broker), &how, rounds).await,
        Command::Latency { broker, rounds, seconds, rate } => {
            latency::run(&chosen(broker), rounds, seconds, rate).await
        }
        Command::BlackHole { broker, seconds, rate } => {
            black_hole::run(broker, Duration::from_secs(seconds), rate).await
        }
        Command::Sink { black_hole } => sink::serve(black_hole).await,
    }
}

fn chosen(brokers: Vec<Broker>) -> Vec<Broker> {
    if brokers.is_empty() { Broker::ALL.to_vec() } else { brokers }
}
