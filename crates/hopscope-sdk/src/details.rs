//! [`Details`]: what else is known about a message, and how that is written as attributes.

use crate::value::{Attribute, Sink, Value};
use crate::{Body, Place};
use opentelemetry::trace::SpanContext;

/// What is known about a message besides its [`Place`]. Empty text, empty lists and `None` mean "not known".
/// Fill in what you have: `Details { group: "payment", ..Details::default() }`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// Broker that was spoken to.
    pub server: Option<Server<'a>>,
    /// Cluster, where it has a name.
    pub cluster: &'a str,
    /// Client id.
    pub client: &'a str,
    /// Consumer group, JetStream consumer, queue group. On RabbitMQ the queue of the place says it.
    pub group: &'a str,
    /// Message id: RocketMQ's UNIQ_KEY, `Nats-Msg-Id`, RabbitMQ's `message_id`. Kafka has none.
    pub message_id: &'a str,
    /// Correlation or conversation id.
    pub correlation_id: &'a str,
    /// Kafka's record key, as text.
    pub key: &'a str,
    /// Business keys.
    pub keys: &'a [&'a str],
    /// Delivery attempt, from 1.
    pub attempt: Option<u32>,
    /// Size of the body, bytes.
    pub body_bytes: Option<u64>,
    /// The body, for whoever wants its hash: see [`Capture`](crate::Capture).
    pub body: Body<'a>,
    /// When the broker stored it, by the broker's clock, nanoseconds since the Unix epoch.
    pub broker_time_ns: Option<i64>,
    /// When the sender made it, by the sender's clock, nanoseconds since the Unix epoch.
    pub origin_time_ns: Option<i64>,
    /// The message that this one is a copy of.
    pub copied_from: Option<CopiedFrom<'a>>,
    /// The destination without what varies (`orders.*.created`): names spans and metrics in place of the full name.
    pub template: &'a str,
    /// Anything else, under names of your own.
    pub attributes: &'a [Attribute<'a>],
}

/// Address of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server<'a> {
    /// Host name or IP address.
    pub address: &'a str,
    /// Port.
    pub port: u16,
}

/// Why a message is a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyKind {
    /// It was given up and put into a dead-letter queue.
    #[default]
    DeadLetter,
    /// It was put back to be tried again.
    Retry,
    /// Somebody sent it again out of a dead-letter queue.
    Redrive,
}

/// The original of a copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopiedFrom<'a> {
    /// Why.
    pub kind: CopyKind,
    /// Where the original lay: topic, stream, queue.
    pub destination: &'a str,
    /// RocketMQ: broker name.
    pub broker: &'a str,
    /// Kafka: partition; RocketMQ: queue id.
    pub partition: Option<i32>,
    /// Offset or sequence.
    pub position: Option<i64>,
    /// Message id of the original.
    pub message_id: &'a str,
    /// Group (on RabbitMQ: queue) that gave up.
    pub group: &'a str,
    /// Attempts that were made.
    pub attempts: Option<u32>,
    /// Why it was given up.
    pub reason: &'a str,
    /// Type of the error that it was given up for.
    pub error_type: &'a str,
    /// The context that made the original, for a link from the copy.
    pub context: Option<&'a SpanContext>,
}

impl CopyKind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::Retry => "retry",
            Self::Redrive => "redrive",
        }
    }
}

impl Details<'_> {
    /// Writes what names the message: it is on every step.
    pub(crate) fn write_identity(&self, place: &Place<'_>, out: &mut dyn Sink) {
        let is_kafka = matches!(place, Place::Kafka { .. });
        out.text("messaging.destination.template", self.template);
        out.text(
            if is_kafka { "messaging.kafka.cluster.id" } else { "messaging.cluster.name" },
            self.cluster,
        );
        if let Some(server) = self.server {
            out.text("server.address", server.address);
            out.put("server.port", Value::Int(server.port.into()));
        }
        out.text("messaging.client.id", self.client);
        out.text("messaging.consumer.group.name", self.group);
        out.text("messaging.message.id", self.message_id);
        out.int("hopscope.attempt", self.attempt.map(i64::from));
    }

    /// Writes what describes the message: it is left out of settle steps.
    pub(crate) fn write_facts(&self, out: &mut dyn Sink) {
        out.text("messaging.message.conversation_id", self.correlation_id);
        out.text("messaging.kafka.message.key", self.key);
        if !self.keys.is_empty() {
            out.put("hopscope.keys", Value::Texts(self.keys));
        }
        let body_bytes = self.body_bytes.and_then(|bytes| i64::try_from(bytes).ok());
        out.int("messaging.message.body.size", body_bytes);
        out.int("hopscope.broker_time", self.broker_time_ns);
        out.int("hopscope.origin_time", self.origin_time_ns);
        if let Some(original) = &self.copied_from {
            original.write(out);
        }
        for &(key, value) in self.attributes {
            out.put(key, value);
        }
    }
}

impl CopiedFrom<'_> {
    fn write(&self, out: &mut dyn Sink) {
        out.text("hopscope.copied_from.kind", self.kind.name());
        out.text("hopscope.copied_from.destination", self.destination);
        if let Some(partition) = self.partition {
            let mut digits = itoa::Buffer::new();
            let partition = digits.format(partition);
            if self.broker.is_empty() {
                out.text("hopscope.copied_from.lane", partition);
            } else {
                out.text("hopscope.copied_from.lane", &format!("{}/{partition}", self.broker));
            }
        }
        out.int("hopscope.copied_from.position", self.position);
        out.text("hopscope.copied_from.message_id", self.message_id);
        out.text("hopscope.copied_from.group", self.group);
        out.int("hopscope.copied_from.attempts", self.attempts.map(i64::from));
        out.text("hopscope.copied_from.reason", self.reason);
        out.text("hopscope.copied_from.error_type", self.error_type);
    }
}
