//! The names of each family's headers. Sources: `KafkaHeaders` and `RetryTopicHeaders` of Spring for Apache Kafka,
//! `DeadLetterQueueReporter` of Kafka Connect, `KafkaDeadLetterQueue` of SmallRye, `krafka::dlq`,
//! `RepublishMessageRecoverer` of Spring AMQP, RabbitMQ's and RocketMQ's documentation.

use super::Family;
use crate::CopyKind;

/// How a family writes whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    Text,
    /// Big-endian: a partition or count in 4 bytes, an offset in 8.
    Binary,
}

/// The headers of one family and kind; an empty name: it has no such header.
#[derive(Debug)]
pub(super) struct Names {
    pub family: Family,
    pub kind: CopyKind,
    pub numbers: Numbers,
    pub destination: &'static str,
    pub address: &'static str,
    pub broker: &'static str,
    pub partition: &'static str,
    pub position: &'static str,
    pub message_id: &'static str,
    pub group: &'static str,
    pub attempts: &'static str,
    pub reason: &'static str,
    pub error_type: &'static str,
    pub first_failed_at: &'static str,
    pub context: &'static str,
    /// What else it writes: not read, gone with the rest.
    pub more: &'static [&'static str],
}

impl Names {
    const fn new(family: Family, kind: CopyKind, numbers: Numbers) -> Self {
        Self {
            family,
            kind,
            numbers,
            destination: "",
            address: "",
            broker: "",
            partition: "",
            position: "",
            message_id: "",
            group: "",
            attempts: "",
            reason: "",
            error_type: "",
            first_failed_at: "",
            context: "",
            more: &[],
        }
    }

    /// Every name of it.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        let known = [
            self.destination,
            self.address,
            self.broker,
            self.partition,
            self.position,
            self.message_id,
            self.group,
            self.attempts,
            self.reason,
            self.error_type,
            self.first_failed_at,
            self.context,
        ];
        known.into_iter().filter(|name| !name.is_empty()).chain(self.more.iter().copied())
    }
}

macro_rules! ours {
    ($kind:ident, $prefix:literal) => {
        Names {
            destination: concat!($prefix, "destination"),
            address: concat!($prefix, "address"),
            broker: concat!($prefix, "broker"),
            partition: concat!($prefix, "partition"),
            position: concat!($prefix, "position"),
            message_id: concat!($prefix, "message-id"),
            group: concat!($prefix, "group"),
            attempts: concat!($prefix, "attempts"),
            reason: concat!($prefix, "reason"),
            error_type: concat!($prefix, "error-type"),
            first_failed_at: concat!($prefix, "first-failed-at"),
            context: concat!($prefix, "context"),
            ..Names::new(Family::Hopscope, CopyKind::$kind, Numbers::Text)
        }
    };
}

/// Ours, by kind.
pub(super) const OURS: [Names; 3] = [
    ours!(DeadLetter, "hopscope-dead-letter-"),
    ours!(Retry, "hopscope-retry-"),
    ours!(Redrive, "hopscope-redrive-"),
];

/// How often the message was sent back; it outlives the others.
pub(super) const REDRIVE_COUNT: &str = "hopscope-redrive-count";

/// Those of others that are plain headers, in the order in which they are looked for: where there are several, the
/// one that says more comes first.
pub(super) const FOREIGN: [Names; 6] = [
    Names {
        destination: "kafka_dlt-original-topic",
        partition: "kafka_dlt-original-partition",
        position: "kafka_dlt-original-offset",
        group: "kafka_dlt-original-consumer-group",
        attempts: "kafka_deliveryAttempt",
        reason: "kafka_dlt-exception-message",
        error_type: "kafka_dlt-exception-fqcn",
        more: &[
            "kafka_dlt-original-timestamp",
            "kafka_dlt-original-timestamp-type",
            "kafka_dlt-exception-cause-fqcn",
            "kafka_dlt-exception-stacktrace",
            "kafka_dlt-key-exception-fqcn",
            "kafka_dlt-key-exception-message",
            "kafka_dlt-key-exception-stacktrace",
        ],
        ..Names::new(Family::Spring, CopyKind::DeadLetter, Numbers::Binary)
    },
    // Retry topics, and the dead-letter topic at their end.
    Names {
        destination: "kafka_original-topic",
        partition: "kafka_original-partition",
        position: "kafka_original-offset",
        // Spring's own constant for both.
        group: "kafka_dlt-original-consumer-group",
        reason: "kafka_exception-message",
        error_type: "kafka_exception-fqcn",
        more: &[
            SPRING_RETRY_ATTEMPTS,
            "kafka_original-timestamp",
            "kafka_original-timestamp-type",
            "kafka_exception-cause-fqcn",
            "kafka_exception-stacktrace",
            "retry_topic-backoff-timestamp",
            "retry_topic-original-timestamp",
        ],
        ..Names::new(Family::Spring, CopyKind::Retry, Numbers::Binary)
    },
    Names {
        destination: "__connect.errors.topic",
        partition: "__connect.errors.partition",
        position: "__connect.errors.offset",
        group: CONNECTOR_NAME,
        reason: "__connect.errors.exception.message",
        error_type: "__connect.errors.exception.class.name",
        more: &[
            "__connect.errors.task.id",
            "__connect.errors.stage",
            "__connect.errors.class.name",
            "__connect.errors.exception.stacktrace",
        ],
        ..Names::new(Family::Connect, CopyKind::DeadLetter, Numbers::Text)
    },
    Names {
        destination: "dead-letter-topic",
        partition: "dead-letter-partition",
        position: "dead-letter-offset",
        reason: "dead-letter-reason",
        error_type: "dead-letter-exception-class-name",
        more: &["dead-letter-cause", "dead-letter-cause-class-name"],
        ..Names::new(Family::SmallRye, CopyKind::DeadLetter, Numbers::Text)
    },
    Names {
        destination: "__krafka.dlq.original.topic",
        partition: "__krafka.dlq.original.partition",
        position: "__krafka.dlq.original.offset",
        reason: "__krafka.dlq.exception.message",
        ..Names::new(Family::Krafka, CopyKind::DeadLetter, Numbers::Text)
    },
    Names {
        destination: "x-original-exchange",
        address: "x-original-routingKey",
        reason: "x-exception-message",
        more: &["x-exception-stacktrace"],
        ..Names::new(Family::SpringAmqp, CopyKind::DeadLetter, Numbers::Text)
    },
];

/// The number of the attempt that is to come.
pub(super) const SPRING_RETRY_ATTEMPTS: &str = "retry_topic-attempts";
/// A sink connector reads as the group `connect-` and this.
pub(super) const CONNECTOR_NAME: &str = "__connect.errors.connector.name";

/// Exchange, queue, reason; the newest first (RabbitMQ 3.13 and later write the last, all write the first).
pub(super) const RABBITMQ: [[&str; 3]; 2] = [
    ["x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"],
    ["x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"],
];
/// What RabbitMQ counts besides.
pub(super) const RABBITMQ_MORE: [&str; 2] = ["x-death", "x-delivery-count"];
/// What the conventions call the exchange without a name.
pub(super) const RABBITMQ_DEFAULT_EXCHANGE: &str = "amq.default";

/// Begin of the name of a group's retry topic.
pub(super) const ROCKETMQ_RETRY_PREFIX: &str = "%RETRY%";
/// Begin of the name of a group's dead-letter topic.
pub(super) const ROCKETMQ_DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// The topic that the message was sent to.
pub(super) const ROCKETMQ_TOPIC: &str = "RETRY_TOPIC";
/// The producer's message id: the broker keeps it on copies. ORIGIN_MESSAGE_ID is no message id: an address on a disk.
pub(super) const ROCKETMQ_MESSAGE_ID: &str = "UNIQ_KEY";
/// How often it was reconsumed, where a property says so.
pub(super) const ROCKETMQ_RECONSUMED: &str = "RECONSUME_TIME";
/// What a broker writes on its copies; a message that is sent anew must not carry it.
pub(super) const ROCKETMQ_COPY: [&str; 7] = [
    ROCKETMQ_TOPIC,
    "ORIGIN_MESSAGE_ID",
    ROCKETMQ_RECONSUMED,
    "MAX_RECONSUME_TIMES",
    "DELAY",
    "REAL_TOPIC",
    "REAL_QID",
];
