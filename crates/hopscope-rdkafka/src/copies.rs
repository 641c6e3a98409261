//! Copies of records that failed: [`RetryTopic`], [`DeadLetter`], [`TracedProducer::redrive`].

use crate::{KafkaHeaders, TracedProducer};
use hopscope_sdk::dead_letter::{self, Edit, Families, Original};
use hopscope_sdk::{CarrierMut, CopiedFrom, CopyKind, Delivery, Failure, Headers, Retry, Traced};
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::producer::future_producer::Delivery as Stored;
use rdkafka::util::AsyncRuntime;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Gives up a message by sending a copy of it to a topic: key, value and headers as they are, and headers that say
/// which message it was and why it is there ([`hopscope_sdk::dead_letter`]).
#[derive(Clone, Debug)]
pub struct DeadLetter {
    producer: TracedProducer,
    topic: String,
    families: Families,
    timeout: Duration,
}

/// Tries a message again later, by sending a copy of it to a topic that the same group reads too.
///
/// The copy says how often the message was tried and not before when it is to be tried again. [`TracedConsumer::run`]
/// heeds that: it holds the first message of a partition that is not due yet and pauses the partition. So a message
/// waits for those before it: with delays that grow, let each copy go to a topic of its own delay, or take it that the
/// longer delay rules.
///
/// [`TracedConsumer::run`]: crate::TracedConsumer::run
#[derive(Clone, Debug)]
pub struct RetryTopic {
    producer: TracedProducer,
    topic: String,
    retry: Retry,
    timeout: Duration,
}

/// How long a copy may take to be stored, unless said otherwise.
const COPY_TIMEOUT: Duration = Duration::from_secs(30);

/// When the copy is to be tried again: milliseconds since the Unix epoch in 8 big-endian bytes, and the number of the
/// attempt to come in 4. Both as Spring for Apache Kafka names and writes them on its retry topics, so that its
/// readers and ours understand each other.
const DUE: &str = "retry_topic-backoff-timestamp";
const ATTEMPT_TO_COME: &str = "retry_topic-attempts";

impl DeadLetter {
    /// Copies go to that topic. It must exist, or be made by the broker on its own.
    pub fn to(producer: TracedProducer, topic: impl Into<String>) -> Self {
        let families = Families::usual("kafka");
        Self { producer, topic: topic.into(), families, timeout: COPY_TIMEOUT }
    }

    /// A usual name for it: `orders.dlt.payment`.
    pub fn name(topic: &str, group: &str) -> String {
        format!("{topic}.dlt.{group}")
    }

    /// Whose headers are written; ours, and Spring's unless chosen otherwise.
    #[must_use]
    pub fn with_families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Sends the copy, as a child of the current span, and waits until it is stored. `attempts`: how many were made.
    /// Then declare the message as failed, and settle it: it is taken care of.
    ///
    /// # Errors
    /// The client's: there is no copy, and the message must not be settled.
    pub async fn send<M>(
        &self,
        message: &Traced<M>,
        attempts: u32,
        failure: &Failure,
    ) -> Result<(Stored, Original), KafkaError>
    where
        M: Message<Headers = OwnedHeaders>,
    {
        let original = original(message.delivery(), CopyKind::DeadLetter, attempts, failure);
        let mut headers = message.message().headers().cloned().unwrap_or_default();
        let mut edit = dead_letter::mark(&original, &self.families, &KafkaHeaders(&mut headers));
        edit.remove.extend([DUE, ATTEMPT_TO_COME]);
        apply(&edit, &mut headers);
        let record = copy(&self.topic, message.message(), headers);
        let stored = self.producer.send_copy(record, original.copied_from(), self.timeout).await?;
        Ok((stored, original))
    }
}

impl RetryTopic {
    /// Copies go to that topic, for as many attempts and after such delays as `retry` says. It must exist, or be made
    /// by the broker on its own; the consumer must subscribe to it too.
    pub fn to(producer: TracedProducer, topic: impl Into<String>, retry: Retry) -> Self {
        Self { producer, topic: topic.into(), retry, timeout: COPY_TIMEOUT }
    }

    /// A usual name for it: `orders.retry.payment`.
    pub fn name(topic: &str, group: &str) -> String {
        format!("{topic}.retry.{group}")
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether, and when, it is tried again.
    pub fn policy(&self) -> &Retry {
        &self.retry
    }

    /// Sends the copy, as a child of the current span, and waits until it is stored. `attempts`: how many were made;
    /// the copy is due after `delay`. Then declare the message as failed, and settle it: it is taken care of.
    ///
    /// # Errors
    /// The client's: there is no copy, and the message must not be settled.
    pub async fn send<M>(
        &self,
        message: &Traced<M>,
        attempts: u32,
        delay: Duration,
        failure: &Failure,
    ) -> Result<(Stored, Original), KafkaError>
    where
        M: Message<Headers = OwnedHeaders>,
    {
        let original = original(message.delivery(), CopyKind::Retry, attempts, failure);
        let mut headers = message.message().headers().cloned().unwrap_or_default();
        let mut edit = dead_letter::mark(&original, &Families::ours(), &KafkaHeaders(&mut headers));
        edit.remove.extend([DUE, ATTEMPT_TO_COME]);
        let to_come = i32::try_from(attempts).unwrap_or(i32::MAX).saturating_add(1);
        edit.set.push((DUE, (now_ms().saturating_add(ms(delay))).to_be_bytes().to_vec()));
        edit.set.push((ATTEMPT_TO_COME, to_come.to_be_bytes().to_vec()));
        apply(&edit, &mut headers);
        let record = copy(&self.topic, message.message(), headers);
        let stored = self.producer.send_copy(record, original.copied_from(), self.timeout).await?;
        Ok((stored, original))
    }

    /// How long that copy is to wait yet; nothing where it is due or no copy.
    pub fn due_in(message: &impl Message<Headers = OwnedHeaders>) -> Duration {
        let Some(headers) = message.headers() else { return Duration::ZERO };
        let mut due_ms = None;
        crate::ReadHeaders(Some(headers.as_borrowed())).get_all(DUE, &mut |value| {
            // Java writes as many bytes as the number needs.
            if let Some(bytes) = value.filter(|bytes| (1..=8).contains(&bytes.len())) {
                due_ms = Some(bytes.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte)));
            }
        });
        let wait_ms = due_ms.map_or(0, |due_ms| due_ms.saturating_sub(now_ms()));
        Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default())
    }
}

impl<C: ClientContext + 'static, R: AsyncRuntime> TracedProducer<C, R> {
    /// Sends a dead letter back to where its message lay, whoever wrote it: without the headers that make it a dead
    /// letter, with those that say out of which one it came and how often. `to` where its headers do not say, or
    /// somewhere else is wanted.
    ///
    /// # Errors
    /// The client's; [`KafkaError::Canceled`] where nobody says where to.
    pub async fn redrive<M>(
        &self,
        message: &Traced<M>,
        to: Option<&str>,
        timeout: Duration,
    ) -> Result<Stored, KafkaError>
    where
        M: Message<Headers = OwnedHeaders>,
    {
        let delivery = message.delivery();
        let mut headers = message.message().headers().cloned().unwrap_or_default();
        let back = delivery.with_details(|details| {
            dead_letter::redrive(delivery.place(), details, &KafkaHeaders(&mut headers))
        });
        let known = back.to.as_ref().map(|original| original.destination.as_str());
        let topic = to.or(known).filter(|topic| !topic.is_empty()).ok_or(KafkaError::Canceled)?;
        apply(&back.edit, &mut headers);
        let record = copy(topic, message.message(), headers);
        self.send_copy(record, delivery.as_original(CopyKind::Redrive), timeout).await
    }
}

fn original(delivery: &Delivery, kind: CopyKind, attempts: u32, failure: &Failure) -> Original {
    let of = delivery.as_original(kind);
    let (reason, error_type) = (failure.message(), failure.kind());
    let mut original = Original::from(CopiedFrom { attempts: Some(attempts), reason, error_type, ..of });
    original.first_failed_ns = now_ms().checked_mul(1_000_000);
    original
}

/// As the edit says; Kafka's values are bytes.
fn apply(edit: &Edit, headers: &mut OwnedHeaders) {
    let mut headers = KafkaHeaders(headers);
    headers.remove(&|key| edit.remove.iter().any(|name| key.eq_ignore_ascii_case(name.as_bytes())));
    edit.set.iter().for_each(|(name, value)| headers.set_bytes(name, value));
}

fn copy<'a, M: Message>(
    topic: &'a str,
    message: &'a M,
    headers: OwnedHeaders,
) -> FutureRecord<'a, [u8], [u8]> {
    FutureRecord {
        topic,
        partition: None,
        payload: message.payload(),
        key: message.key(),
        timestamp: None,
        headers: Some(headers),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a copy is due is told in wall-clock time, across processes"
)]
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(ms).unwrap_or_default()
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
