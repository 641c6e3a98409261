//! Trace data on Kafka topics.
//!
//! Records are taken side by side and settled in their order: an offset is stored for the next commit only after the
//! store has the record and all before it. When the store cannot keep up, partitions are paused and the group
//! membership is kept alive. TLS and SCRAM need librdkafka with OpenSSL, which this build leaves out.

use super::Receiver;
use super::otlp::Limits;
use super::topic::{self, GOODBYE_MAX, IN_FLIGHT_MAX, Reader, Said, Verdict};
use crate::config::{Config, KafkaSource, Start};
use crate::ingest::Sink;
use crate::{Error, ErrorKind};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Statistics};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the oldest record may take before partitions are paused. Pausing throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_secs(1);

/// Settings that the user may change. librdkafka's own 64 MiB fetched ahead a partition would be beside our limits.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "hopscope"),
    ("queued.max.messages.kbytes", "16384"),
    ("partition.assignment.strategy", "cooperative-sticky"),
];
/// Settings that the promise rests on.
const OURS: &[(&str, &str)] = &[
    ("enable.auto.commit", "true"),
    ("auto.commit.interval.ms", "1000"),
    // What is committed is what was stored by hand, after the store had the record.
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    ("statistics.interval.ms", "2000"),
];

/// The receiver.
pub struct Kafka {
    name: String,
    metrics: Sink,
    client: ClientConfig,
    topics: Vec<String>,
    limits: Limits,
}

impl Kafka {
    /// One for each source of the configuration; `metrics` makes the entrance of its metrics. No broker is asked yet.
    pub fn all(config: &Config, metrics: &mut dyn FnMut(&str) -> Sink) -> Result<Vec<Self>, Error> {
        let sources = topic::named("kafka", &config.receive_kafka, |source| source.name.as_deref());
        sources.map(|(name, source)| Self::new(metrics(&name), name, source, Limits::new(config))).collect()
    }

    fn new(metrics: Sink, name: String, source: &KafkaSource, limits: Limits) -> Result<Self, Error> {
        let mut client = ClientConfig::new();
        let theirs = source.client.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in DEFAULTS.iter().copied().chain(theirs).chain(OURS.iter().copied()) {
            client.set(name, value);
        }
        client.set("bootstrap.servers", &source.brokers).set("group.id", &source.group);
        client.set(
            "auto.offset.reset",
            match source.start {
                Start::Earliest => "earliest",
                Start::Latest => "latest",
            },
        );
        client.create_native_config().map_err(|source| refused(&source))?;
        Ok(Self { name, metrics, client, topics: source.topics.clone(), limits })
    }
}

/// The value is left out: it may be a password.
fn refused(error: &KafkaError) -> Error {
    let (name, why) = match error {
        KafkaError::ClientConfig(_, why, name, _) => (name.as_str(), why.as_str()),
        _ => ("", "librdkafka refuses the settings"),
    };
    Error::new(ErrorKind::Usage, format!("wrong value setting=receive_kafka name={name}"))
        .with_hint(format!("librdkafka says: {why}"))
}

impl Receiver for Kafka {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self, sink: Sink, stop: CancellationToken) {
        let reader = Arc::new(Reader::new(sink, self.metrics, self.limits, stop));
        let consumer: Result<StreamConsumer<State>, _> =
            self.client.create_with_context(State(Arc::clone(&reader)));
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let consumer = consumer.and_then(|consumer| consumer.subscribe(&topics).map(|()| consumer));
        match consumer {
            Ok(consumer) => {
                read(&consumer, &reader).await;
                close(consumer, &reader).await;
            }
            Err(error) => reader.disconnected(&error.to_string()),
        }
    }
}

/// Closing commits what was stored and leaves the group: it waits for the broker, who may be gone. In a thread of its
/// own, because the runtime would wait for its blocking tasks for ever.
async fn close(consumer: StreamConsumer<State>, reader: &Reader) {
    let (done, closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        drop(consumer);
        let _ = done.send(());
    });
    if tokio::time::timeout(GOODBYE_MAX, closed).await.is_err() {
        let receiver = reader.name();
        tracing::warn!(receiver, "the last offsets may not be committed: their records will be read again");
    }
}

async fn read(consumer: &StreamConsumer<State>, reader: &Reader) {
    let mut under_way = FuturesOrdered::new();
    let mut paused = false;
    loop {
        if under_way.len() >= IN_FLIGHT_MAX && !paused {
            match tokio::time::timeout(PATIENCE, under_way.next()).await {
                Ok(Some((record, Verdict::Taken | Verdict::Skipped))) => {
                    leave_behind(consumer, &record);
                    continue;
                }
                Ok(_) => return,
                Err(_) => paused = pause(consumer),
            }
        }
        if paused && under_way.len() <= IN_FLIGHT_MAX / 2 {
            paused = !resume(consumer);
        }
        tokio::select! {
            biased;
            () = reader.stopped() => break,
            Some((record, verdict)) = under_way.next(), if !under_way.is_empty() => match verdict {
                Verdict::Taken | Verdict::Skipped => leave_behind(consumer, &record),
                Verdict::Kept => return,
            },
            record = consumer.recv() => match record {
                Ok(record) => {
                    // A partition that was assigned meanwhile is not paused.
                    paused = false;
                    under_way.push_back(take(reader, record));
                }
                Err(error) => reader.disconnected(&error.to_string()),
            },
        }
    }
    // In order to the end: behind the first record that the store does not have no offset may be stored.
    while let Some((record, Verdict::Taken | Verdict::Skipped)) = under_way.next().await {
        leave_behind(consumer, &record);
    }
}

async fn take<'a>(reader: &Reader, record: BorrowedMessage<'a>) -> (BorrowedMessage<'a>, Verdict) {
    let place = format!("{}/{}/{}", record.topic(), record.partition(), record.offset());
    let mut said = Said::default();
    for header in record.headers().into_iter().flat_map(Headers::iter) {
        said.header(header.key, header.value.unwrap_or_default());
    }
    let verdict = reader.take(said, record.payload().unwrap_or_default(), &place).await;
    (record, verdict)
}

fn leave_behind(consumer: &StreamConsumer<State>, record: &BorrowedMessage<'_>) {
    // A partition that was taken away has a new owner, who reads the record again: the store knows it then.
    if let Err(error) = consumer.store_offset_from_message(record) {
        tracing::debug!(%error, partition = record.partition(), "an offset is not ours to store any more");
    }
}

fn pause(consumer: &StreamConsumer<State>) -> bool {
    consumer.assignment().and_then(|all| consumer.pause(&all)).is_ok()
}

fn resume(consumer: &StreamConsumer<State>) -> bool {
    consumer.assignment().and_then(|all| consumer.resume(&all)).is_ok()
}

/// What librdkafka tells about itself.
struct State(Arc<Reader>);

impl ClientContext for State {
    fn error(&self, _: KafkaError, reason: &str) {
        self.0.disconnected(reason);
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = || statistics.topics.values().flat_map(|topic| topic.partitions.values());
        if partitions().any(|partition| partition.fetch_state == "active") {
            self.0.connected();
            let lag = partitions().filter_map(|partition| u64::try_from(partition.consumer_lag_stored).ok());
            self.0.lag(lag.sum());
        } else if self.0.is_connected() {
            self.0.disconnected("no partition is assigned to this member of the group");
        }
    }
}

impl ConsumerContext for State {}
