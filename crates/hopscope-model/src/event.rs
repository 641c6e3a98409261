//! [`MessageEvent`]: one thing that happened to one message, in its owned form, and its vocabulary.
//!
//! The owned form is for tests and trajectories; what crosses a hop is a [`Batch`](crate::Batch) of columns.

use crate::{EventId, SpanContext, SpanId, TraceId};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Values of `messaging.system` that have rules of their own. Other systems are kept under their own name.
pub mod system {
    /// Apache Kafka.
    pub const KAFKA: &str = "kafka";
    /// RabbitMQ.
    pub const RABBITMQ: &str = "rabbitmq";
    /// NATS: core where an event has no position, JetStream where it has one.
    pub const NATS: &str = "nats";
    /// Apache RocketMQ.
    pub const ROCKETMQ: &str = "rocketmq";
}

macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            /// Every value, in order of its code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name: in queries, JSON and files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value of that stable name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }

            /// The stable one-byte code: the position in [`Self::ALL`]. New values go to the end.
            pub fn code(self) -> u8 {
                self as u8
            }

            /// The value of that code.
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.get(usize::from(code)).copied()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// What happened. The order is the order of a message's life.
    Stage {
        /// The message was given a context of its own (batch sends).
        Create = "create",
        /// The message was handed to the broker; ends at the broker's acknowledgement.
        Send = "send",
        /// The broker itself says something about it.
        Broker = "broker",
        /// A consumer was given the message.
        Receive = "receive",
        /// A handler worked on it; ends when the outcome is declared.
        Process = "process",
        /// The outcome was told to the broker; ends at its confirmation.
        Settle = "settle",
        /// An ordinary span of the same trace (HTTP, gRPC, database), so that a trajectory crosses services.
        Work = "work",
    }
}

vocabulary! {
    /// How sure one can be of a fact. Only `Observed` and `Broker` may be shown green or red.
    Grade {
        /// A client that did it said so.
        Observed = "observed",
        /// The broker's own state or answer.
        Broker = "broker",
        /// Concluded from other facts.
        Inferred = "inferred",
    }
}

vocabulary! {
    /// Which way evidence came in.
    Source {
        /// OpenTelemetry protocol.
        Otlp = "otlp",
    }
}

vocabulary! {
    /// What a consumer asked the broker to do with a message it was given.
    Disposition {
        /// Done: ack, commit, success.
        Accept = "accept",
        /// Give it again: nack with requeue, nak, reconsume later.
        Retry = "retry",
        /// Never again: reject or nack without requeue, term; the broker may dead-letter it.
        Reject = "reject",
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Outcome {
    /// As intended.
    Ok,
    /// With an error; the reason is `error.type`, else the status message, else the first
    /// exception's type, else empty.
    Failed {
        /// Low-cardinality where the sender follows the conventions.
        reason: String,
    },
    /// Nobody said: a guard dropped unsettled, a fire-and-forget send.
    #[default]
    Unknown,
}

impl Outcome {
    /// `ok`, `failed` or `unknown`: what `outcome:` in a query compares with.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed { .. } => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// A typed attribute value. Arrays and maps are kept as JSON text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// UTF-8 text.
    Text(String),
    /// 64-bit integer.
    Int(i64),
    /// 64-bit float.
    Double(f64),
    /// Truth value.
    Bool(bool),
    /// Raw bytes, kept as lower-case hexadecimal digits.
    Bytes(String),
    /// Array or map, as compact JSON.
    Json(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) | Self::Bytes(text) | Self::Json(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Double(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
        }
    }
}

/// One thing that happened to one message.
///
/// Empty strings mean "absent" in every text field: no broker, convention or client uses the empty string as
/// a name. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageEvent {
    /// What happened.
    pub stage: Stage,
    /// The system's own word for it (`publish`, `poll`, `ack`); the span's name for [`Stage::Work`].
    pub operation: String,
    /// Trace of the span that reported it; zero where there is no span.
    pub trace: TraceId,
    /// The span that reported it; zero where there is none.
    pub span: SpanId,
    /// Parent of that span; zero where it has none.
    pub parent: SpanId,
    /// Links of that span that no event came from: a batch's events do not repeat each other's.
    pub links: Vec<SpanContext>,
    /// The context that made this message, decided at decode: the own span for Create and Send, else the
    /// link this event came from, else a remote parent.
    pub creation: Option<SpanContext>,
    /// Begin, by the clock of `instance`.
    pub start_ns: i64,
    /// Duration; unknown stays unknown.
    pub duration_ns: Option<u64>,
    /// When the server received it, by the server's clock.
    pub received_ns: i64,
    /// When the broker stored the message, by the broker's clock (record timestamp with LogAppendTime,
    /// JetStream `published`, RocketMQ store time).
    pub broker_ns: Option<i64>,
    /// When the sender made the message, by the sender's clock (CreateTime, RocketMQ born time, our header).
    pub origin_ns: Option<i64>,
    /// How it ended.
    pub outcome: Outcome,
    /// For Process and Settle: what the broker was asked to do.
    pub disposition: Option<Disposition>,
    /// `messaging.system`: `kafka`, `rabbitmq`, `nats`, `rocketmq`, or another's own name.
    pub system: String,
    /// Cluster id or configured alias.
    pub cluster: String,
    /// `host:port` of the broker, for the alias of an absent cluster.
    pub server: String,
    /// Topic, stream, subject (NATS core), exchange, physical topic.
    pub destination: String,
    /// JetStream subject, RabbitMQ routing key, RocketMQ logical topic where it differs.
    pub address: String,
    /// Partition, or `broker name/queue id`.
    pub lane: String,
    /// Offset, stream sequence, queue offset.
    pub position: Option<i64>,
    /// The broker's or publisher's message id. Never a position, never a correlation id.
    pub message_id: String,
    /// Correlation or conversation id.
    pub correlation_id: String,
    /// Business keys: they find messages and never join them.
    pub keys: Vec<String>,
    /// Consumer group, JetStream consumer, queue group, queue.
    pub group: String,
    /// Delivery attempt, from 1.
    pub attempt: Option<u32>,
    /// `messaging.client.id`.
    pub client: String,
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`: names the clock of `start_ns`.
    pub instance: String,
    /// Body size.
    pub body_bytes: Option<u64>,
    /// Which way it came in.
    pub source: Source,
    /// How sure one can be of it.
    pub grade: Grade,
    /// Everything else, own attributes first, then those of the resource.
    pub attributes: Vec<(String, Value)>,
}

impl MessageEvent {
    /// An event with everything absent: the start for tests and decoders (`MessageEvent { .., ..new(stage) }`).
    pub fn new(stage: Stage) -> Self {
        Self {
            stage,
            operation: String::new(),
            trace: TraceId::ZERO,
            span: SpanId::ZERO,
            parent: SpanId::ZERO,
            links: Vec::new(),
            creation: None,
            start_ns: 0,
            duration_ns: None,
            received_ns: 0,
            broker_ns: None,
            origin_ns: None,
            outcome: Outcome::Unknown,
            disposition: None,
            system: String::new(),
            cluster: String::new(),
            server: String::new(),
            destination: String::new(),
            address: String::new(),
            lane: String::new(),
            position: None,
            message_id: String::new(),
            correlation_id: String::new(),
            keys: Vec::new(),
            group: String::new(),
            attempt: None,
            client: String::new(),
            service: String::new(),
            instance: String::new(),
            body_bytes: None,
            source: Source::Otlp,
            grade: Grade::Observed,
            attributes: Vec::new(),
        }
    }

    /// Identity within a tenant: the same thing told twice has the same id, two things never share one.
    pub fn id(&self) -> EventId {
        EventId::of(&Identity {
            trace: self.trace,
            span: self.span,
            stage: self.stage,
            creation: self.creation.unwrap_or_default(),
            system: &self.system,
            cluster: &self.cluster,
            destination: &self.destination,
            lane: &self.lane,
            position: self.position,
            message_id: &self.message_id,
        })
    }

    /// End, where the duration is known.
    pub fn end_ns(&self) -> Option<i64> {
        self.duration_ns.map(|duration| self.start_ns.saturating_add_unsigned(duration))
    }

    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The span that reported it.
    pub fn context(&self) -> Option<SpanContext> {
        SpanContext::new(self.trace, self.span)
    }
}

/// What an [`EventId`] is made of: trace, span, stage and *member*, all that names the message in the event
/// (never the ordinal of the link it came from, which a sender may reorder). The tenant is not hashed: a
/// tenant is a store of its own.
#[allow(missing_docs)]
pub struct Identity<'a> {
    pub trace: TraceId,
    pub span: SpanId,
    pub stage: Stage,
    pub creation: SpanContext,
    pub system: &'a str,
    pub cluster: &'a str,
    pub destination: &'a str,
    pub lane: &'a str,
    pub position: Option<i64>,
    pub message_id: &'a str,
}

/// Most bytes of an identity that are hashed in one piece: more are as well, a piece after the other.
const IDENTITY_BYTES: usize = 512;

impl EventId {
    /// XXH3-128 over the fields, each text with its length before it so that no two field lists run together.
    pub fn of(of: &Identity<'_>) -> Self {
        let mut fixed = [0u8; 58];
        fixed[..16].copy_from_slice(&of.trace.0);
        fixed[16..24].copy_from_slice(&of.span.0);
        fixed[24..40].copy_from_slice(&of.creation.trace.0);
        fixed[40..48].copy_from_slice(&of.creation.span.0);
        fixed[48] = of.stage.code();
        fixed[49] = u8::from(of.position.is_some());
        fixed[50..58].copy_from_slice(&of.position.unwrap_or_default().to_le_bytes());
        let texts = [of.system, of.cluster, of.destination, of.lane, of.message_id];
        let len = fixed.len() + texts.iter().map(|text| 8 + text.len()).sum::<usize>();
        let mut room = [0; IDENTITY_BYTES];
        let Some(bytes) = room.get_mut(..len) else { return Self::of_pieces(&fixed, texts) };
        // Several times as fast as piece by piece, and the same.
        let (head, mut rest) = bytes.split_at_mut(fixed.len());
        head.copy_from_slice(&fixed);
        for text in texts {
            let (len, behind) = rest.split_at_mut(8);
            len.copy_from_slice(&(text.len() as u64).to_le_bytes());
            let (own, behind) = behind.split_at_mut(text.len());
            own.copy_from_slice(text.as_bytes());
            rest = behind;
        }
        Self(xxh3_128(bytes))
    }

    fn of_pieces(fixed: &[u8], texts: [&str; 5]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(fixed);
        for text in texts {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        Self(hash.digest128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores know identities that were hashed piece by piece.
    #[test]
    fn an_identity_is_the_same_in_one_piece_and_in_several() {
        for len in [0, 1, 100, 413, 414, 415, IDENTITY_BYTES] {
            let message_id = "m".repeat(len);
            let event = MessageEvent { message_id: message_id.clone(), ..MessageEvent::new(Stage::Send) };
            let mut fixed = [0; 58];
            fixed[48] = Stage::Send.code();
            assert_eq!(event.id(), EventId::of_pieces(&fixed, ["", "", "", "", &message_id]), "{len}");
        }
    }
}
