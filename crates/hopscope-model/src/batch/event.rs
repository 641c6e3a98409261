//! [`EventRef`]: one event of a batch, to read.

use super::{Attribute, Batch, Cell, OutcomeCode, UNKNOWN};
use crate::{
    Disposition, EventId, Grade, Identity, MessageEvent, Outcome, SpanContext, SpanId, Stage, Text, Texts,
    TraceId, Value,
};

/// One event of a batch, to read.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    pub(super) batch: &'a Batch,
    pub(super) index: usize,
}

macro_rules! text_accessors {
    ($($(#[$meta:meta])* $name:ident,)*) => {$(
        $(#[$meta])*
        pub fn $name(&self) -> &'a str {
            self.batch.texts.get(self.batch.columns.$name[self.index])
        }
    )*};
}

macro_rules! plain_accessors {
    ($($(#[$meta:meta])* $name:ident: $ty:ty,)*) => {$(
        $(#[$meta])*
        pub fn $name(&self) -> $ty {
            self.batch.columns.$name[self.index]
        }
    )*};
}

macro_rules! optional_accessors {
    ($($(#[$meta:meta])* $name:ident,)*) => {$(
        $(#[$meta])*
        pub fn $name(&self) -> Option<i64> {
            known(self.batch.columns.$name[self.index])
        }
    )*};
}

fn known(value: i64) -> Option<i64> {
    (value != UNKNOWN).then_some(value)
}

impl<'a> EventRef<'a> {
    text_accessors! {
        /// The system's own word; the span's name for Work.
        operation,
        /// Reason of a failure.
        reason,
        /// `messaging.system`.
        system,
        /// Cluster.
        cluster,
        /// `host:port` of the broker.
        server,
        /// Destination.
        destination,
        /// Address.
        address,
        /// Lane.
        lane,
        /// Message id.
        message_id,
        /// Correlation id.
        correlation_id,
        /// Group.
        group,
        /// Client id.
        client,
        /// Service.
        service,
        /// Service instance.
        instance,
    }
    plain_accessors! {
        /// What happened.
        stage: Stage,
        /// Trace, or zero.
        trace: TraceId,
        /// Span, or zero.
        span: SpanId,
        /// Parent, or zero.
        parent: SpanId,
        /// Begin, ns since the epoch.
        start_ns: i64,
        /// What the broker was asked to do.
        disposition: Option<Disposition>,
        /// How sure one can be.
        grade: Grade,
    }
    optional_accessors! {
        /// Duration in ns.
        duration_ns,
        /// Broker's store time.
        broker_ns,
        /// Sender's time of making it.
        origin_ns,
        /// Position.
        position,
        /// Body size.
        body_bytes,
    }

    /// Its place in the batch.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The batch it is of.
    pub fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// The context that made the message.
    pub fn creation(&self) -> Option<SpanContext> {
        let creation = self.batch.columns.creation[self.index];
        (!creation.is_zero()).then_some(creation)
    }

    /// Delivery attempt, from 1.
    pub fn attempt(&self) -> Option<u32> {
        let attempt = self.batch.columns.attempt[self.index];
        (attempt != 0).then_some(attempt)
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        match self.batch.columns.outcome[self.index] {
            OutcomeCode::Unknown => Outcome::Unknown,
            OutcomeCode::Ok => Outcome::Ok,
            OutcomeCode::Failed => Outcome::Failed { reason: self.reason().to_owned() },
        }
    }

    /// `ok`, `failed` or `unknown`, without copying the reason.
    pub fn outcome_name(&self) -> &'static str {
        self.batch.columns.outcome[self.index].name()
    }

    /// Links of the span without the one this event came from.
    pub fn links(&self) -> &'a [SpanContext] {
        self.batch.links.get(self.index)
    }

    /// Business keys.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &'a str> {
        let texts = &self.batch.texts;
        self.batch.keys.get(self.index).iter().map(|key| texts.get(*key))
    }

    /// Business keys by name.
    pub fn key_names(&self) -> &'a [Text] {
        self.batch.keys.get(self.index)
    }

    /// Attributes by name: its own, without the resource's.
    pub fn own_attributes(&self) -> &'a [Attribute] {
        self.batch.attributes.get(self.index)
    }

    /// Attributes of its resource by name.
    pub fn resource_attributes(&self) -> &'a [Attribute] {
        self.batch.resources.get(self.batch.columns.resource[self.index] as usize)
    }

    /// Its own attributes, then its resource's, owned.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Value)> {
        let texts = &self.batch.texts;
        let both = self.own_attributes().iter().chain(self.resource_attributes());
        both.map(|(key, cell)| (texts.get(*key), value_of(texts, *cell)))
    }

    /// See [`MessageEvent::id`].
    pub fn id(&self) -> EventId {
        EventId::of(&Identity {
            trace: self.trace(),
            span: self.span(),
            stage: self.stage(),
            creation: self.batch.columns.creation[self.index],
            system: self.system(),
            cluster: self.cluster(),
            destination: self.destination(),
            lane: self.lane(),
            position: self.position(),
            message_id: self.message_id(),
        })
    }

    /// The owned form.
    pub fn to_owned(&self) -> MessageEvent {
        let unsigned = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        MessageEvent {
            stage: self.stage(),
            operation: self.operation().to_owned(),
            trace: self.trace(),
            span: self.span(),
            parent: self.parent(),
            links: self.links().to_vec(),
            creation: self.creation(),
            start_ns: self.start_ns(),
            duration_ns: unsigned(self.duration_ns()),
            received_ns: self.batch.received_ns,
            broker_ns: self.broker_ns(),
            origin_ns: self.origin_ns(),
            outcome: self.outcome(),
            disposition: self.disposition(),
            system: self.system().to_owned(),
            cluster: self.cluster().to_owned(),
            server: self.server().to_owned(),
            destination: self.destination().to_owned(),
            address: self.address().to_owned(),
            lane: self.lane().to_owned(),
            position: self.position(),
            message_id: self.message_id().to_owned(),
            correlation_id: self.correlation_id().to_owned(),
            keys: self.keys().map(str::to_owned).collect(),
            group: self.group().to_owned(),
            attempt: self.attempt(),
            client: self.client().to_owned(),
            service: self.service().to_owned(),
            instance: self.instance().to_owned(),
            body_bytes: unsigned(self.body_bytes()),
            source: self.batch.source,
            grade: self.grade(),
            attributes: self.attributes().map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }
}

fn value_of(texts: &Texts, cell: Cell) -> Value {
    let owned = |text| texts.get(text).to_owned();
    match cell {
        Cell::Text(text) => Value::Text(owned(text)),
        Cell::Int(number) => Value::Int(number),
        Cell::Double(number) => Value::Double(number),
        Cell::Bool(truth) => Value::Bool(truth),
        Cell::Bytes(text) => Value::Bytes(owned(text)),
        Cell::Json(text) => Value::Json(owned(text)),
    }
}
