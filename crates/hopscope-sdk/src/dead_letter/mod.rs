//! Headers that say which message a copy was made of: dead letters, retries through the broker, redrives.
//!
//! [`read`] understands them whoever wrote them; [`mark`] writes ours, and those that others look for; [`redrive`]
//! turns a dead letter back into a message. All of it is pure: headers in, an [`Edit`] of headers out.
//!
//! | [`Family`] | written by | read by us | written by us |
//! |---|---|---|---|
//! | `Hopscope` | this crate, on every broker | yes | always |
//! | `Spring` | Spring for Apache Kafka: dead letters, retry topics | yes, binary and text numbers | on Kafka, unless chosen otherwise |
//! | `Connect` | Kafka Connect's dead-letter queue | yes | where chosen |
//! | `SmallRye` | SmallRye, Quarkus | yes | where chosen |
//! | `Krafka` | the krafka client | yes | where chosen |
//! | `SpringAmqp` | Spring AMQP's republishing recoverer | yes | where chosen |
//! | `RabbitMq` | RabbitMQ itself: `x-first-death-*`, `x-last-death-*`; the `x-death` table is for the adapter | yes | never: it is the broker's |
//! | `RocketMq` | RocketMQ itself, on `%DLQ%` and `%RETRY%` topics | yes | never: it is the broker's |
//!
//! # Our headers
//! `hopscope-dead-letter-*`, `hopscope-retry-*` and `hopscope-redrive-*`, one of the three on a copy, all of them text:
//!
//! | after the prefix | meaning |
//! |---|---|
//! | `destination` | topic, stream or exchange in which the original lay; it is always there |
//! | `address` | routing key, subject or logical topic |
//! | `broker`, `partition`, `position` | RocketMQ's broker name; partition or queue id; offset or sequence |
//! | `context` | the context that made the original, as a `traceparent` |
//! | `message-id`, `group` | of the original; the group (RabbitMQ: queue) that made the copy |
//! | `attempts` | how many it made |
//! | `reason`, `error-type` | why, for people; `error.type` of the last attempt |
//! | `first-failed-at` | when the first attempt failed, Unix nanoseconds; kept from copy to copy |
//!
//! and `hopscope-redrive-count`, which stays: how often the message was sent back out of a dead-letter queue.
//!
//! ```
//! use hopscope_sdk::dead_letter::{self, Families, Original};
//! use hopscope_sdk::{Details, Failure, Place, kit::MapHeaders};
//! // A handler gave up: the headers of the copy that goes to `orders.dead`.
//! let mut headers = MapHeaders::default();
//! let place = Place::Kafka { topic: "orders", partition: Some(3), offset: Some(4711) };
//! let details = Details { group: "payment", attempt: Some(5), ..Details::default() };
//! let original = Original::dead_letter(place, &details, &Failure::new("Declined", "no cover"));
//! dead_letter::mark(&original, &Families::usual("kafka"), &headers).apply(&mut headers);
//!
//! // A consumer of `orders.dead`, of whatever make: `Details { copied_from: Some(found.copied_from()), .. }`.
//! let found = dead_letter::read("orders.dead", &headers).expect("a dead letter");
//! assert_eq!((found.destination.as_str(), found.position, found.attempts), ("orders", Some(4711), Some(5)));
//!
//! // Somebody sends it again: to `back.destination`, with headers that are no dead letter's.
//! let place = Place::Kafka { topic: "orders.dead", partition: Some(0), offset: Some(8) };
//! let back = dead_letter::redrive(place, &Details::default(), &headers);
//! back.edit.apply(&mut headers);
//! assert_eq!(back.to.expect("known").destination, "orders");
//! assert_eq!(dead_letter::read("orders", &headers).expect("a redrive").destination, "orders.dead");
//! ```

mod families;
mod read;
mod write;

pub use read::read;
pub use write::{Edit, Redrive, mark, redrive};

use crate::{CopiedFrom, CopyKind, Details, Failure, Place, Processing, Value};
use opentelemetry::trace::SpanContext;

/// Longest text that is written and read, bytes; what is longer is cut.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Whose headers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Ours.
    Hopscope,
    /// Spring for Apache Kafka.
    Spring,
    /// Kafka Connect.
    Connect,
    /// SmallRye Reactive Messaging.
    SmallRye,
    /// The krafka client.
    Krafka,
    /// Spring AMQP.
    SpringAmqp,
    /// RabbitMQ's own.
    RabbitMq,
    /// RocketMQ's own.
    RocketMq,
}

/// Which families are written on a dead letter; ours always is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Families(Vec<Family>);

impl Families {
    /// Ours, and nothing else.
    pub fn ours() -> Self {
        Self(Vec::new())
    }

    /// Ours and what tools of that broker (`messaging.system`) usually look for: Spring's on Kafka; elsewhere there is
    /// none that is not the broker's own.
    pub fn usual(system: &str) -> Self {
        if system == hopscope_model::system::KAFKA { Self::ours().with(Family::Spring) } else { Self::ours() }
    }

    /// That one too. What only a broker writes is never written.
    #[must_use]
    pub fn with(mut self, family: Family) -> Self {
        if !self.0.contains(&family) {
            self.0.push(family);
        }
        self
    }
}

/// The message that a copy was made of. Empty text and `None` mean "not known".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Why there is a copy.
    pub kind: CopyKind,
    /// Whose headers said so.
    pub family: Family,
    /// Where the original lay: topic, stream, exchange.
    pub destination: String,
    /// Routing key, subject, logical topic.
    pub address: String,
    /// RocketMQ: broker name.
    pub broker: String,
    /// Kafka: partition; RocketMQ: queue id.
    pub partition: Option<i32>,
    /// Offset or sequence.
    pub position: Option<i64>,
    /// Message id of the original.
    pub message_id: String,
    /// Group (on RabbitMQ: queue) that made the copy.
    pub group: String,
    /// Attempts that were made.
    pub attempts: Option<u32>,
    /// Why it was given up, for people.
    pub reason: String,
    /// `error.type` or class of the last attempt's error.
    pub error_type: String,
    /// When the first attempt failed, nanoseconds since the Unix epoch.
    pub first_failed_ns: Option<i64>,
    /// The context that made the original, for a link from the copy.
    pub context: Option<SpanContext>,
    /// How often the message was sent back out of a dead-letter queue, by us.
    pub redrives: u32,
}

impl Original {
    /// Nothing known but the kind.
    pub fn new(kind: CopyKind) -> Self {
        Self {
            kind,
            family: Family::Hopscope,
            destination: String::new(),
            address: String::new(),
            broker: String::new(),
            partition: None,
            position: None,
            message_id: String::new(),
            group: String::new(),
            attempts: None,
            reason: String::new(),
            error_type: String::new(),
            first_failed_ns: None,
            context: None,
            redrives: 0,
        }
    }

    /// A message that is given up: it lies at `place`, group, message id and attempt are those of `details`, and its last
    /// attempt ended so. Set `first_failed_ns` where it is known, and `context` from the delivery's origin.
    pub fn dead_letter(place: Place<'_>, details: &Details<'_>, failure: &Failure) -> Self {
        Self::failed(CopyKind::DeadLetter, place, details, failure)
    }

    /// A message that goes to a retry topic or queue; else as [`dead_letter`](Self::dead_letter).
    pub fn retry(place: Place<'_>, details: &Details<'_>, failure: &Failure) -> Self {
        Self::failed(CopyKind::Retry, place, details, failure)
    }

    fn failed(kind: CopyKind, place: Place<'_>, details: &Details<'_>, failure: &Failure) -> Self {
        let (reason, error_type) = (failure.message().to_owned(), failure.kind().to_owned());
        Self { reason, error_type, ..Self::at(kind, place, details) }
    }

    fn at(kind: CopyKind, place: Place<'_>, details: &Details<'_>) -> Self {
        let mut original = Self {
            message_id: details.message_id.to_owned(),
            group: details.group.to_owned(),
            attempts: details.attempt,
            ..Self::new(kind)
        };
        original.lie_at(place);
        original
    }

    /// As the server knows coordinates: see `docs/attributes.md`.
    fn lie_at(&mut self, place: Place<'_>) {
        let (destination, address) = match place {
            Place::Kafka { topic, partition, offset } => {
                self.partition = partition;
                self.position = offset;
                (topic, "")
            }
            Place::Nats { subject } => (subject, ""),
            Place::JetStream { subject, stream, sequence } => {
                self.position = sequence.and_then(|sequence| i64::try_from(sequence).ok());
                (stream, subject)
            }
            Place::RabbitMq { exchange, routing_key, queue, stream_offset } => {
                self.position = stream_offset;
                self.group = queue.to_owned();
                (
                    if exchange.is_empty() { families::RABBITMQ_DEFAULT_EXCHANGE } else { exchange },
                    routing_key,
                )
            }
            Place::RocketMq { topic, logical_topic, broker, queue, offset } => {
                self.broker = broker.to_owned();
                self.partition = queue;
                self.position = offset;
                (topic, logical_topic)
            }
        };
        self.destination = destination.to_owned();
        self.address = address.to_owned();
    }

    /// Notes on the work that made the copy where it went: an event `hopscope.copied` with `hopscope.copied_to.kind`,
    /// `hopscope.copied_to.destination` and `error.type`. Call it once the broker has the copy.
    pub fn note(&self, processing: &Processing, destination: &str) {
        let kind = ("hopscope.copied_to.kind", Value::Text(self.kind.name()));
        let to = ("hopscope.copied_to.destination", Value::Text(destination));
        let error = ("error.type", Value::Text(&self.error_type));
        let attributes = [kind, to, error];
        let known = if self.error_type.is_empty() { &attributes[..2] } else { &attributes[..] };
        processing.add_event("hopscope.copied", known);
    }

    /// For [`Details::copied_from`].
    pub fn copied_from(&self) -> CopiedFrom<'_> {
        CopiedFrom {
            kind: self.kind,
            destination: &self.destination,
            broker: &self.broker,
            partition: self.partition,
            position: self.position,
            message_id: &self.message_id,
            group: &self.group,
            attempts: self.attempts,
            reason: &self.reason,
            error_type: &self.error_type,
            context: self.context.as_ref(),
        }
    }
}

/// What a delivery says of itself ([`Delivery::as_original`](crate::Delivery::as_original)); without an address, which
/// only its place tells.
impl From<CopiedFrom<'_>> for Original {
    fn from(of: CopiedFrom<'_>) -> Self {
        Self {
            destination: of.destination.to_owned(),
            broker: of.broker.to_owned(),
            partition: of.partition,
            position: of.position,
            message_id: of.message_id.to_owned(),
            group: of.group.to_owned(),
            attempts: of.attempts,
            reason: of.reason.to_owned(),
            error_type: of.error_type.to_owned(),
            context: of.context.cloned(),
            ..Self::new(of.kind)
        }
    }
}
