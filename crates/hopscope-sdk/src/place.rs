//! [`Place`]: where a message is, in each broker's own words, and how that is written as attributes.

use opentelemetry::KeyValue;
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

impl Place<'_> {
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
    pub fn name(&self) -> Cow<'_, str> {
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

    pub(crate) fn write(&self, out: &mut Vec<KeyValue>) {
        out.push(KeyValue::new("messaging.system", self.system()));
        text(out, "messaging.destination.name", &self.name());
        match *self {
            Self::Kafka { partition, offset, .. } => {
                if let Some(partition) = partition {
                    out.push(KeyValue::new("messaging.destination.partition.id", partition.to_string()));
                }
                int(out, "messaging.kafka.offset", offset);
            }
            Self::Nats { .. } => {}
            Self::JetStream { stream, sequence, .. } => {
                text(out, "messaging.nats.stream", stream);
                int(
                    out,
                    "messaging.nats.sequence",
                    sequence.and_then(|sequence| i64::try_from(sequence).ok()),
                );
            }
            Self::RabbitMq { exchange, routing_key, queue, stream_offset } => {
                let exchange = if exchange.is_empty() { RABBITMQ_DEFAULT_EXCHANGE } else { exchange };
                text(out, "messaging.rabbitmq.exchange", exchange);
                text(out, "messaging.rabbitmq.destination.routing_key", routing_key);
                text(out, "messaging.rabbitmq.queue", queue);
                int(out, "messaging.rabbitmq.stream.offset", stream_offset);
            }
            Self::RocketMq { logical_topic, broker, queue, offset, .. } => {
                text(out, "messaging.rocketmq.logical_topic", logical_topic);
                text(out, "messaging.rocketmq.broker.name", broker);
                int(out, "messaging.rocketmq.queue.id", queue.map(i64::from));
                int(out, "messaging.rocketmq.queue.offset", offset);
            }
        }
    }
}

/// What the conventions call RabbitMQ's exchange without a name.
const RABBITMQ_DEFAULT_EXCHANGE: &str = "amq.default";

fn rabbitmq_name<'a>(exchange: &'a str, routing_key: &'a str, queue: &'a str) -> Cow<'a, str> {
    let queue = if queue == routing_key { "" } else { queue };
    let parts = [exchange, routing_key, queue];
    let mut parts = parts.into_iter().filter(|part| !part.is_empty());
    let Some(first) = parts.next() else { return RABBITMQ_DEFAULT_EXCHANGE.into() };
    parts.fold(first.into(), |name, part| format!("{name}:{part}").into())
}

/// Writes a text attribute, where there is one.
pub(crate) fn text(out: &mut Vec<KeyValue>, key: &'static str, value: &str) {
    if !value.is_empty() {
        out.push(KeyValue::new(key, value.to_owned()));
    }
}

/// Writes an integer attribute, where there is one.
pub(crate) fn int(out: &mut Vec<KeyValue>, key: &'static str, value: Option<i64>) {
    if let Some(value) = value {
        out.push(KeyValue::new(key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        Place::Kafka { topic: "orders", partition: None, offset: None }.write(&mut out);
        assert_eq!(
            out,
            [
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.destination.name", "orders")
            ]
        );
    }
}
