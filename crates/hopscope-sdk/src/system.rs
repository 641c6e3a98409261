//! [`System`]: a [`Place`] taken apart: which it is, its names, its coordinates.

use crate::Place;

/// Which [`Place`] it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum System {
    #[default]
    Kafka,
    Nats,
    JetStream,
    RabbitMq,
    RocketMq,
}

impl System {
    pub fn of(place: &Place<'_>) -> Self {
        match place {
            Place::Kafka { .. } => Self::Kafka,
            Place::Nats { .. } => Self::Nats,
            Place::JetStream { .. } => Self::JetStream,
            Place::RabbitMq { .. } => Self::RabbitMq,
            Place::RocketMq { .. } => Self::RocketMq,
        }
    }

    /// The place of these names and coordinates: what [`names`] and [`coordinates`] took apart.
    pub fn place<'a>(
        self,
        [first, second, third]: [&'a str; 3],
        partition: Option<i32>,
        position: Option<i64>,
    ) -> Place<'a> {
        match self {
            Self::Kafka => Place::Kafka { topic: first, partition, offset: position },
            Self::Nats => Place::Nats { subject: first },
            Self::JetStream => {
                let sequence = position.and_then(|sequence| u64::try_from(sequence).ok());
                Place::JetStream { subject: first, stream: second, sequence }
            }
            Self::RabbitMq => Place::RabbitMq {
                exchange: first,
                routing_key: second,
                queue: third,
                stream_offset: position,
            },
            Self::RocketMq => Place::RocketMq {
                topic: first,
                logical_topic: second,
                broker: third,
                queue: partition,
                offset: position,
            },
        }
    }
}

/// The names of a place, by number: first, second, third.
pub(crate) fn names<'a>(place: &Place<'a>) -> [&'a str; 3] {
    match *place {
        Place::Kafka { topic, .. } => [topic, "", ""],
        Place::Nats { subject } => [subject, "", ""],
        Place::JetStream { subject, stream, .. } => [subject, stream, ""],
        Place::RabbitMq { exchange, routing_key, queue, .. } => [exchange, routing_key, queue],
        Place::RocketMq { topic, logical_topic, broker, .. } => [topic, logical_topic, broker],
    }
}

/// Partition and position of a place.
pub(crate) fn coordinates(place: &Place<'_>) -> (Option<i32>, Option<i64>) {
    match *place {
        Place::Kafka { partition, offset, .. } => (partition, offset),
        Place::Nats { .. } => (None, None),
        Place::JetStream { sequence, .. } => {
            (None, sequence.and_then(|sequence| i64::try_from(sequence).ok()))
        }
        Place::RabbitMq { stream_offset, .. } => (None, stream_offset),
        Place::RocketMq { queue, offset, .. } => (queue, offset),
    }
}
