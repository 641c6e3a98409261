//! [`Place`]: where a message is, in each broker's own words, and how that is written as attributes.

use crate::value::{Sink, Value};
use std::borrow::Cow;

/// Where a message is or is to go. Empty text and `None` mean "not known", or not known yet: before the
/// acknowledgement a sender rarely knows partition and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place<'a> {
    /// Kafka: a record of a partition.
    Kafka {
        /// Topic.
        topic: &'a str,
        /// Partition.
        partition: Option<i32>,
        /// Offset.
        offset: Option<i64>,
    },
    /// NATS core: a subject, no positions.
    Nats {
        /// Subject.
        subject: &'a str,
    },
    /// NATS JetStream: a message of a stream.
    JetStream {
        /// Subject that it was published on.
        subject: &'a str,
        /// Stream that holds it.
        stream: &'a str,
        /// Stream sequence.
        sequence: Option<u64>,
    },
    /// RabbitMQ: a message that went through an exchange, to a queue where one is known.
    RabbitMq {
        /// Exchange; empty is the default exchange.
        exchange: &'a str,
        /// Routing key.
        routing_key: &'a str,
        /// Queue that it is consumed from; empty on the sending side.
        queue: &'a str,
        /// Offset, on stream queues.
        stream_offset: Option<i64>,
    },
    /// RocketMQ: a message of a queue of a broker.
    RocketMq {
        /// Physical topic: `%RETRY%group` on a retry, whatever the client shows.
        topic: &'a str,
        /// Logical topic, where it differs; else empty.
        logical_topic: &'a str,
        /// Broker name (`broker-a`).
        broker: &'a str,
        /// Queue id.
        queue: Option<i32>,
        /// Queue offset.
        offset: Option<i64>,
    },
}

impl<'a> Place<'a> {
    /// `messaging.system`.
    pub fn system(&self) -> &'static str {
        use hopscope_model::system;
        match self {
            Self::Kafka { .. } => system::KAFKA,
            Self::Nats { .. } | Self::JetStream { .. } => system::NATS,
            Self::RabbitMq { .. } => system::RABBITMQ,
            Self::RocketMq { .. } => system::ROCKETMQ,
        }
    }

    /// `messaging.destination.name`. RabbitMQ joins exchange, routing key and queue (conventions 1.30); a JetStream
    /// message is known by its subject, as on core NATS.
    pub fn name(&self) -> Cow<'a, str> {
        match *self {
            Self::Kafka { topic, .. } | Self::RocketMq { topic, .. } => topic.into(),
            Self::Nats { subject } => subject.into(),
            Self::JetStream { subject, stream, .. } => {
                if subject.is_empty() { stream } else { subject }.into()
            }
            Self::RabbitMq { exchange, routing_key, queue, .. } => {
                rabbitmq_name(exchange, routing_key, queue)
            }
        }
    }

    /// Writes the attributes that say where it is.
    pub(crate) fn write(&self, out: &mut dyn Sink) {
        out.put("messaging.system", Value::Text(self.system()));
        out.text("messaging.destination.name", &self.name());
        match *self {
            Self::Kafka { partition, offset, .. } => {
                if let Some(partition) = partition {
                    let mut digits = itoa::Buffer::new();
                    out.text("messaging.destination.partition.id", digits.format(partition));
                }
                out.int("messaging.kafka.offset", offset);
            }
            Self::Nats { .. } => {}
            Self::JetStream { stream, sequence, .. } => {
                out.text("messaging.nats.stream", stream);
                out.int(
                    "messaging.nats.sequence",
                    sequence.and_then(|sequence| i64::try_from(sequence).ok()),
                );
            }
            Self::RabbitMq { exchange, routing_key, queue, stream_offset } => {
                let exchange = if exchange.is_empty() { RABBITMQ_DEFAULT_EXCHANGE } else { exchange };
                out.text("messaging.rabbitmq.exchange", exchange);
                out.text("messaging.rabbitmq.destination.routing_key", routing_key);
                out.text("messaging.rabbitmq.queue", queue);
                out.int("messaging.rabbitmq.stream.offset", stream_offset);
            }
            Self::RocketMq { logical_topic, broker, queue, offset, .. } => {
                out.text("messaging.rocketmq.logical_topic", logical_topic);
                out.text("messaging.rocketmq.broker.name", broker);
                out.int("messaging.rocketmq.queue.id", queue.map(i64::from));
                out.int("messaging.rocketmq.queue.offset", offset);
            }
        }
    }
}

/// What the conventions call RabbitMQ's exchange without a name.
pub(crate) const RABBITMQ_DEFAULT_EXCHANGE: &str = "amq.default";

fn rabbitmq_name<'a>(exchange: &'a str, routing_key: &'a str, queue: &'a str) -> Cow<'a, str> {
    let queue = if queue == routing_key { "" } else { queue };
    let parts = [exchange, routing_key, queue];
    let mut parts = parts.into_iter().filter(|part| !part.is_empty());
    let Some(first) = parts.next() else { return RABBITMQ_DEFAULT_EXCHANGE.into() };
    parts.fold(first.into(), |name, part| format!("{name}:{part}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::KeyValue;

    #[test]
    fn rabbitmq_names_follow_the_conventions() {
        for (exchange, routing_key, queue, name) in [
            ("ex", "a.b", "work", "ex:a.b:work"),
            ("ex", "work", "work", "ex:work"),
            ("ex", "", "work", "ex:work"),
            ("", "work", "work", "work"),
            ("", "", "work", "work"),
            ("ex", "a.b", "", "ex:a.b"),
            ("", "", "", "amq.default"),
        ] {
            let place = Place::RabbitMq { exchange, routing_key, queue, stream_offset: None };
            assert_eq!(place.name(), name);
        }
    }

    #[test]
    fn unknown_coordinates_are_not_written() {
        let mut out = Vec::new();
        Place::Kafka { topic: "orders", partition: None, offset: None }
            .write(&mut |key: &'static str, value: Value<'_>| out.push(value.to_key_value(key)));
        assert_eq!(
            out,
            [
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.destination.name", "orders")
            ]
        );
    }
}
