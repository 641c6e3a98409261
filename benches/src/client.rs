//! [`Client`]: a producer and a consumer of one broker on a lane of their own, raw or traced.

use crate::{kafka, nats, rabbitmq, rocketmq};
use anyhow::Result;
use async_trait::async_trait;
use clap::ValueEnum;
use futures::stream::{FuturesUnordered, StreamExt as _};
use hopscope_sdk::Telemetry;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of every message.
pub const BODY: [u8; 512] = [b'x'; 512];

/// The business key of every message.
pub const KEY: &str = "order-4711";

/// A broker and its client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Broker {
    /// rdkafka
    Kafka,
    /// lapin
    Rabbitmq,
    /// async-nats, JetStream
    Nats,
    /// rocketmq-client-rust
    Rocketmq,
}

/// The header that is written by hand.
pub const TRACEPARENT: (&str, &str) =
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");

/// What a client does beside its work.
#[derive(Clone, Copy)]
pub enum Tracing<'a> {
    /// Nothing.
    None,
    /// Writes a constant header into each message, and looks for it in each: what any propagation costs in the client
    /// library itself.
    Header,
    /// Everything.
    Full(&'a Telemetry),
}

impl Tracing<'_> {
    pub fn has_header(self) -> bool {
        matches!(self, Self::Header)
    }
}

/// The same program around a raw client and around a traced one.
#[async_trait(?Send)]
pub trait Client {
    /// Sends one message and waits for the broker's confirmation.
    async fn send(&self) -> Result<()>;

    /// Receives so many, looks at each, and settles it. The time from the first to the last.
    async fn consume(&mut self, messages: usize) -> Result<Duration>;

    /// Ends what the client would go on with.
    async fn close(self: Box<Self>) {}
}

impl Broker {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Rabbitmq, Self::Nats, Self::Rocketmq];

    /// The broker as figures name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Rabbitmq => "rabbitmq",
            Self::Nats => "nats",
            Self::Rocketmq => "rocketmq",
        }
    }

    /// What stands beside the figures.
    pub fn settings(self) -> &'static str {
        match self {
            Self::Kafka => "acks=all, linger 5 ms, 1000 on their way; store_offset each, commit every second",
            Self::Rabbitmq => {
                "classic queue, transient messages, confirms, 256 on their way; prefetch 500, ack each"
            }
            Self::Nats => "JetStream in memory, publish acks, 256 on their way; pull consumer, ack each",
            Self::Rocketmq => {
                "synchronous send, asynchronous flush, 32 on their way; push consumer, one by one"
            }
        }
    }

    /// Messages that are sent and not confirmed at any time.
    pub fn window(self) -> usize {
        match self {
            Self::Kafka => 1000,
            Self::Rabbitmq | Self::Nats => 256,
            Self::Rocketmq => 32,
        }
    }

    /// Messages of one round: enough to take a few hundred milliseconds.
    pub fn messages(self) -> usize {
        match self {
            Self::Kafka => 50_000,
            Self::Rabbitmq | Self::Nats => 15_000,
            Self::Rocketmq => 4_000,
        }
    }

    /// A client on a lane of its own.
    pub async fn open(self, tracing: Tracing<'_>) -> Result<Box<dyn Client>> {
        Ok(match self {
            Self::Kafka => Box::new(kafka::Kafka::open(tracing).await?),
            Self::Rabbitmq => Box::new(rabbitmq::RabbitMq::open(tracing).await?),
            Self::Nats => Box::new(nats::Nats::open(tracing).await?),
            Self::Rocketmq => Box::new(rocketmq::RocketMq::open(tracing).await?),
        })
    }
}

/// Sends so many, never more than the window at a time.
pub async fn send_all(client: &dyn Client, messages: usize, window: usize) -> Result<()> {
    let mut on_their_way = FuturesUnordered::new();
    for _ in 0..messages {
        if on_their_way.len() >= window {
            on_their_way.next().await.transpose()?;
        }
        on_their_way.push(client.send());
    }
    while let Some(sent) = on_their_way.next().await {
        sent?;
    }
    Ok(())
}

/// The address of a test broker.
pub fn address(variable: &str) -> Result<String> {
    std::env::var(variable).map_err(|_| {
        anyhow::anyhow!("no {variable} in the environment\nhint: eval \"$(cargo xtask brokers up)\"")
    })
}

/// A name that no other run has.
pub fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    format!("{name}-{now}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
