//! [`Details`]: what else is known about a message, and how that is written as attributes.

use crate::Place;
use crate::place::{int, text};
use opentelemetry::{Array, KeyValue, StringValue, Value};

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
    /// Body, bytes.
    pub body_bytes: Option<u64>,
    /// When the broker stored it, by the broker's clock, nanoseconds since the Unix epoch.
    pub broker_time_ns: Option<i64>,
    /// When the sender made it, by the sender's clock, nanoseconds since the Unix epoch.
    pub origin_time_ns: Option<i64>,
    /// The message that this one is a copy of.
    pub copied_from: Option<CopiedFrom<'a>>,
    /// Anything else, under names of your own.
    pub attributes: &'a [KeyValue],
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyKind {
    /// It was given up and put into a dead-letter queue.
    DeadLetter,
    /// It was put back to be tried again.
    Retry,
    /// Somebody sent it again out of a dead-letter queue.
    Redrive,
}

/// The original of a copy.
#[derive(Clone, Copy, Debug)]
pub struct CopiedFrom<'a> {
    /// Why.
    pub kind: CopyKind,
    /// Where the original lay: topic, stream, queue.
    pub destination: &'a str,
    /// Partition, or `broker/queue id`.
    pub lane: &'a str,
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
}

/// Attributes of one delivery: `identity` names the message and is on every step, `facts` describe it and are
/// left out of settle steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub identity: Vec<KeyValue>,
    pub facts: Vec<KeyValue>,
}

impl Attributes {
    pub fn of(place: &Place<'_>, details: &Details<'_>) -> Self {
        let mut identity = Vec::with_capacity(16);
        place.write(&mut identity);
        write_identity(place, details, &mut identity);
        let mut facts = Vec::new();
        write_facts(details, &mut facts);
        Self { identity, facts }
    }

    pub fn all(&self) -> impl Iterator<Item = &KeyValue> {
        self.identity.iter().chain(&self.facts)
    }
}

fn write_identity(place: &Place<'_>, of: &Details<'_>, out: &mut Vec<KeyValue>) {
    let cluster = if matches!(place, Place::Kafka { .. }) {
        "messaging.kafka.cluster.id"
    } else {
        "messaging.cluster.name"
    };
    text(out, cluster, of.cluster);
    if let Some(server) = of.server {
        text(out, "server.address", server.address);
        out.push(KeyValue::new("server.port", i64::from(server.port)));
    }
    text(out, "messaging.client.id", of.client);
    text(out, "messaging.consumer.group.name", of.group);
    text(out, "messaging.message.id", of.message_id);
    int(out, "hopscope.attempt", of.attempt.map(i64::from));
}

fn write_facts(of: &Details<'_>, out: &mut Vec<KeyValue>) {
    text(out, "messaging.message.conversation_id", of.correlation_id);
    text(out, "messaging.kafka.message.key", of.key);
    if !of.keys.is_empty() {
        let keys = of.keys.iter().map(|key| StringValue::from((*key).to_owned())).collect();
        out.push(KeyValue::new("hopscope.keys", Value::Array(Array::String(keys))));
    }
    int(out, "messaging.message.body.size", of.body_bytes.and_then(|bytes| i64::try_from(bytes).ok()));
    int(out, "hopscope.broker_time", of.broker_time_ns);
    int(out, "hopscope.origin_time", of.origin_time_ns);
    if let Some(original) = &of.copied_from {
        write_copied_from(original, out);
    }
    out.extend_from_slice(of.attributes);
}

fn write_copied_from(of: &CopiedFrom<'_>, out: &mut Vec<KeyValue>) {
    let kind = match of.kind {
        CopyKind::DeadLetter => "dead_letter",
        CopyKind::Retry => "retry",
        CopyKind::Redrive => "redrive",
    };
    out.push(KeyValue::new("hopscope.copied_from.kind", kind));
    text(out, "hopscope.copied_from.destination", of.destination);
    text(out, "hopscope.copied_from.lane", of.lane);
    int(out, "hopscope.copied_from.position", of.position);
    text(out, "hopscope.copied_from.message_id", of.message_id);
    text(out, "hopscope.copied_from.group", of.group);
    int(out, "hopscope.copied_from.attempts", of.attempts.map(i64::from));
    text(out, "hopscope.copied_from.reason", of.reason);
}
