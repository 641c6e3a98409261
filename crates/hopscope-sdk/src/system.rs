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
