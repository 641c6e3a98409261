//! [`KafkaSink`]: trace data as records on a topic.

use hopscope_sdk::setup::{MESSAGE_BYTES_MAX, SinkFuture, TRACE_TOPIC, TopicError, TopicSink};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::Duration;

/// Trace data as records on a topic, `hopscope.trace` unless [`to`](Self::to) says otherwise; the topic must exist. The
/// server reads it with `receive_kafka`.
///
/// ```no_run
/// use hopscope_rdkafka::KafkaSink;
/// use hopscope_sdk::setup::{Export, Setup};
/// # fn example(config: &rdkafka::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
/// let export = Export::topic(KafkaSink::from_config(config)?);
/// let telemetry = Setup { service: "payment".into(), export, ..Setup::default() }.init()?;
/// # Ok(()) }
/// ```
///
/// A message is delivered when the delivery report says so. What Kafka finds too long is sent in shorter ones; anything else
/// is sent again.
pub struct KafkaSink {
    producer: FutureProducer,
    topic: String,
    message_bytes_max: usize,
}

impl KafkaSink {
    /// With a producer of its own, to the brokers of that configuration. Every replica in sync has to have a record
    /// (`acks=all`), transactions are left out, and a record is not kept in the client for long: the export keeps it.
    ///
    /// # Errors
    /// librdkafka's, where the configuration makes no sense.
    pub fn from_config(config: &ClientConfig) -> KafkaResult<Self> {
        let mut config = config.clone();
        for (name, alias, value) in OWN_SETTINGS {
            config.remove(alias);
            config.set(*name, *value);
        }
        config.remove("transactional.id");
        let longest = config.get("message.max.bytes").and_then(|bytes| bytes.parse::<usize>().ok());
        let fits = longest.map_or(usize::MAX, |bytes| bytes.saturating_sub(AROUND_BYTES));
        let sink = Self::new(config.create()?);
        Ok(Self { message_bytes_max: sink.message_bytes_max.min(fits), ..sink })
    }

    /// With a producer that is there already, settings as they are. What it takes to be delivered is the application's
    /// choice then (`acks`), and so is how long a record that the export sends again stays in it (`message.timeout.ms`).
    pub fn new(producer: FutureProducer) -> Self {
        Self { producer, topic: TRACE_TOPIC.to_owned(), message_bytes_max: MESSAGE_BYTES_MAX }
    }

    /// The same, to that topic.
    #[must_use]
    pub fn to(self, topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..self }
    }
}

/// Name, other name, and value. The time is below the export's default time limit for a message, so that the client has
/// given a record up before the export sends it again; no linger, because the export waits for each.
const OWN_SETTINGS: &[(&str, &str, &str)] = &[
    ("acks", "request.required.acks", "all"),
    ("message.timeout.ms", "delivery.timeout.ms", "5000"),
    ("linger.ms", "queue.buffering.max.ms", "0"),
];

/// What a record has around its body, about.
const AROUND_BYTES: usize = 4096;

impl TopicSink for KafkaSink {
    fn send<'a>(&'a self, body: Vec<u8>, headers: &'a [(&'a str, &'a str)]) -> SinkFuture<'a> {
        Box::pin(async move {
            let add = |all: OwnedHeaders, (key, value): &(&str, &str)| {
                all.insert(Header { key, value: Some(*value) })
            };
            let headers = headers.iter().fold(OwnedHeaders::new(), add);
            let record = FutureRecord::<(), _>::to(&self.topic).payload(&body).headers(headers);
            match self.producer.send(record, Duration::ZERO).await {
                Ok(_) => Ok(()),
                Err((error, _)) => Err(refused(error)),
            }
        })
    }

    fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }
}

/// Only what is wrong with the record itself is wrong for ever.
fn refused(error: KafkaError) -> TopicError {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidMessageSize,
        ) => TopicError::TooLarge(error.into()),
        Some(RDKafkaErrorCode::InvalidRecord) => TopicError::Never(error.into()),
        _ => TopicError::Later(error.into()),
    }
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink").field("topic", &self.topic).finish_non_exhaustive()
    }
}
