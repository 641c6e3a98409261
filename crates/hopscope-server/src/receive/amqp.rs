//! Trace data on queues of RabbitMQ.
//!
//! A delivery is acknowledged when the store has it and rejected without requeue when it never will: a dead-letter
//! exchange of the queue then keeps it. What is neither stays with the broker, at most a prefetch of it.

use super::Receiver;
use super::otlp::Limits;
use super::topic::{self, Backoff, GOODBYE_MAX, IN_FLIGHT_MAX, LAG_EVERY, Reader, Said, Verdict};
use crate::config::{AmqpSource, Config};
use crate::ingest::Sink;
use crate::{Error, ErrorKind};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const CONNECT_MAX: Duration = Duration::from_secs(30);
/// A short string of AMQP.
const QUEUE_BYTES_MAX: usize = 255;
const REPLY_SUCCESS: u16 = 200;

/// The receiver.
pub struct Amqp {
    name: String,
    metrics: Sink,
    uri: AMQPUri,
    queue: ShortString,
    limits: Limits,
}

impl Amqp {
    /// One for each source of the configuration; `metrics` makes the entrance of its metrics. No broker is asked yet.
    pub fn all(config: &Config, metrics: &mut dyn FnMut(&str) -> Sink) -> Result<Vec<Self>, Error> {
        let sources = topic::named("amqp", &config.receive_amqp, |source| source.name.as_deref());
        sources.map(|(name, source)| Self::new(metrics(&name), name, source, Limits::new(config))).collect()
    }

    fn new(metrics: Sink, name: String, source: &AmqpSource, limits: Limits) -> Result<Self, Error> {
        // Neither the text nor what the parser says about it: both may hold the password.
        let wrong = |what: &str, hint: &str| {
            Error::new(ErrorKind::Usage, format!("wrong value setting=receive_amqp {what}")).with_hint(hint)
        };
        let url_wanted = "it looks like amqp://user:password@host:5672/%2f, with special characters as %XX";
        let uri = source.url.parse().map_err(|_| wrong("key=url", url_wanted))?;
        if source.queue.len() > QUEUE_BYTES_MAX {
            return Err(wrong("key=queue", "names of queues have at most 255 bytes"));
        }
        Ok(Self { name, metrics, uri, queue: source.queue.as_str().into(), limits })
    }

    /// A connection, and a channel on which a prefetch of the queue arrives.
    async fn open(&self) -> Result<(Connection, Channel, Consumer), Lost> {
        let options = ConnectionProperties::default().with_connection_name("hopscope".into());
        let connecting = Connection::connect_uri(self.uri.clone(), options);
        let connection = tokio::time::timeout(CONNECT_MAX, connecting)
            .await
            .map_err(|_| Lost("the broker does not answer".to_owned()))??;
        let channel = self.channel(&connection).await?;
        channel.basic_qos(IN_FLIGHT_MAX as u16, BasicQosOptions::default()).await?;
        let consuming = channel.basic_consume(
            self.queue.clone(),
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let deliveries = consuming.await?;
        Ok((connection, channel, deliveries))
    }

    /// Reads until the server stops or the connection breaks.
    async fn read(&self, reader: &Reader, channel: &Channel, mut deliveries: Consumer) -> Result<(), Lost> {
        let mut under_way = FuturesUnordered::new();
        let mut lag = tokio::time::interval(LAG_EVERY);
        loop {
            tokio::select! {
                () = reader.stopped() => break,
                Some(settled) = under_way.next(), if !under_way.is_empty() => settled?,
                delivery = deliveries.next() => match delivery {
                    Some(delivery) => under_way.push(take(reader, &self.queue, delivery?)),
                    None => return Err(Lost("the broker ended the subscription: was the queue deleted?".to_owned())),
                },
                _ = lag.tick() => {
                    let queue = channel.queue_declare(self.queue.clone(), passive(), FieldTable::default()).await?;
                    reader.lag(u64::from(queue.message_count()));
                }
            }
        }
        while let Some(settled) = under_way.next().await {
            settled?;
        }
        Ok(())
    }

    /// A channel on which the queue is known to be there. One that exists is taken as it is, whatever its kind.
    async fn channel(&self, connection: &Connection) -> Result<Channel, lapin::Error> {
        let channel = connection.create_channel().await?;
        let none = FieldTable::default;
        if channel.queue_declare(self.queue.clone(), passive(), none()).await.is_ok() {
            return Ok(channel);
        }
        // The broker closes a channel on which something was asked for that is not there.
        let channel = connection.create_channel().await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(self.queue.clone(), durable, none()).await?;
        Ok(channel)
    }
}

fn passive() -> QueueDeclareOptions {
    QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() }
}

impl Receiver for Amqp {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self, sink: Sink, stop: CancellationToken) {
        let reader = Reader::new(sink, self.metrics.clone(), self.limits, stop);
        let mut pause = Backoff::default();
        loop {
            let Some(opened) = reader.unless_stopped(self.open()).await else { return };
            let lost = match opened {
                Ok((connection, channel, deliveries)) => {
                    reader.connected();
                    pause = Backoff::default();
                    let Err(lost) = self.read(&reader, &channel, deliveries).await else {
                        // What was not settled goes back to the queue, with or without a goodbye.
                        let goodbye = connection.close(REPLY_SUCCESS, ShortString::default());
                        let _ = tokio::time::timeout(GOODBYE_MAX, goodbye).await;
                        return;
                    };
                    lost
                }
                Err(lost) => lost,
            };
            reader.disconnected(&lost.0);
            if !reader.waited(pause.longer()).await {
                return;
            }
        }
    }
}

async fn take(reader: &Reader, queue: &ShortString, delivery: Delivery) -> Result<(), lapin::Error> {
    let mut said = Said::default();
    let headers = delivery.properties.headers().iter().flat_map(|table| table.inner());
    for (name, value) in headers {
        match value {
            AMQPValue::LongString(text) => said.header(name.as_str(), text.as_bytes()),
            AMQPValue::ShortString(text) => said.header(name.as_str(), text.as_str().as_bytes()),
            AMQPValue::ByteArray(bytes) => said.header(name.as_str(), bytes.as_slice()),
            _ => {}
        }
    }
    // AMQP has properties of these names: they win over headers.
    let properties = [
        ("content-type", delivery.properties.content_type()),
        ("content-encoding", delivery.properties.content_encoding()),
    ];
    for (name, value) in properties {
        if let Some(value) = value {
            said.header(name, value.as_str().as_bytes());
        }
    }
    let place = format!("{queue}/{}", delivery.delivery_tag);
    match reader.take(said, &delivery.data, &place).await {
        Verdict::Taken => delivery.ack(BasicAckOptions::default()).await.map(drop),
        Verdict::Skipped => delivery.reject(BasicRejectOptions { requeue: false }).await.map(drop),
        Verdict::Kept => Ok(()),
    }
}

/// Why a session ended.
struct Lost(String);

impl From<lapin::Error> for Lost {
    fn from(error: lapin::Error) -> Self {
        Self(error.to_string())
    }
}
