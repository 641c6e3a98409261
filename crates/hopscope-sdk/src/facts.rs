//! [`Facts`]: an owned [`Place`] and [`Details`], in one allocation.
//!
//! A step knows what it is about in borrowed form, and only at its end whether anybody will ever read it. So the texts
//! are copied into one buffer, and attributes are made of them when a step is written, not before.

use crate::meters::KnownLane;
use crate::place::RABBITMQ_DEFAULT_EXCHANGE;
use crate::spare::Spare;
use crate::system::{System, coordinates, names};
use crate::telemetry::Settings;
use crate::texts::{Slice, Texts};
use crate::value::{Attribute, Sink, Value};
use crate::{Body, Capture, CopiedFrom, CopyKind, Details, Headers, Origin, Place, Server, carrier};
use opentelemetry::trace::SpanContext;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::Arc;

/// An owned place and its details.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    system: System,
    partition: Option<i32>,
    position: Option<i64>,
    port: Option<u16>,
    attempt: Option<u32>,
    body_bytes: Option<u64>,
    broker_time_ns: Option<i64>,
    origin_time_ns: Option<i64>,
    fields: [Slice; FIELDS],
    keys: SmallVec<[Slice; 1]>,
    attributes: SmallVec<[(&'static str, Packed); 3]>,
    copied_from: Option<Box<Original>>,
    texts: Texts,
    value_bytes_max: u32,
    /// Keys are not to be recorded.
    has_no_keys: bool,
    /// What the headers said; nothing on the sending side.
    pub origin: Origin,
    /// Where the metrics of these facts are: all steps of one message are counted on one lane.
    pub lane: KnownLane,
}

thread_local! {
    static SPARE_OF_THREAD: RefCell<Vec<Arc<Facts>>> = const { RefCell::new(Vec::new()) };
}
static SPARE: Spare<Arc<Facts>> = Spare::new(&SPARE_OF_THREAD);

/// The texts that most messages have, by number: first, second and third name the place.
#[derive(Clone, Copy, Debug)]
enum Field {
    First,
    Second,
    Third,
    Cluster,
    Server,
    Client,
    Group,
    MessageId,
    CorrelationId,
    Key,
    Template,
}

impl Field {
    /// What several messages may have in common.
    const OF_SEVERAL: [Self; 8] = [
        Self::First,
        Self::Second,
        Self::Third,
        Self::Cluster,
        Self::Server,
        Self::Client,
        Self::Group,
        Self::Template,
    ];
}

const FIELDS: usize = Field::Template as usize + 1;

#[derive(Clone, Debug)]
enum Packed {
    Text(Slice),
    Int(i64),
    Bool(bool),
    Double(f64),
    Texts(SmallVec<[Slice; 2]>),
}

#[derive(Clone, Debug)]
struct Original {
    kind: CopyKind,
    destination: Slice,
    broker: Slice,
    partition: Option<i32>,
    position: Option<i64>,
    message_id: Slice,
    group: Slice,
    attempts: Option<u32>,
    reason: Slice,
    error_type: Slice,
    context: Option<SpanContext>,
}

impl Facts {
    /// Copies what is to be recorded; each text is cut at the limit.
    pub fn new(place: &Place<'_>, details: &Details<'_>, settings: &Settings) -> Arc<Self> {
        Self::made(place, details, settings, |_| {})
    }

    /// As [`new`](Self::new), with what the headers say.
    pub fn received(
        place: &Place<'_>,
        details: &Details<'_>,
        settings: &Settings,
        headers: &dyn Headers,
    ) -> Arc<Self> {
        Self::made(place, details, settings, |facts| {
            facts.origin = carrier::extract(&settings.formats, headers);
            facts.capture(&settings.capture, headers);
        })
    }

    fn made(
        place: &Place<'_>,
        details: &Details<'_>,
        settings: &Settings,
        more: impl FnOnce(&mut Self),
    ) -> Arc<Self> {
        let mut shared = SPARE.take().unwrap_or_default();
        let facts = Arc::make_mut(&mut shared);
        facts.value_bytes_max = settings.limits.value_bytes_max;
        facts.has_no_keys = !settings.capture.keys.of_named(|| place.name());
        facts.learn(place, details);
        if !details.body.0.is_empty() && *settings.capture.body_hash.of_named(|| place.name()) {
            facts.add("hopscope.body.hash", Value::Text(&details.body.hash()));
        }
        more(facts);
        shared
    }

    /// Takes over the headers that are to be recorded.
    pub fn capture(&mut self, capture: &Capture, headers: &dyn Headers) {
        capture.read(headers, &mut |attribute, values| self.add(attribute, Value::Texts(values)));
    }

    /// Gives the memory to the next facts, where nobody else holds these.
    pub fn spare(mut self: Arc<Self>) {
        if let Some(facts) = Arc::get_mut(&mut self) {
            facts.clear();
            SPARE.put(self);
        }
    }

    /// Field by field: all of it at once would be copied.
    fn clear(&mut self) {
        (self.partition, self.position, self.port, self.attempt) = (None, None, None, None);
        self.has_no_keys = false;
        (self.body_bytes, self.broker_time_ns, self.origin_time_ns) = (None, None, None);
        self.fields = [Slice::default(); FIELDS];
        self.keys.clear();
        self.attributes.clear();
        self.copied_from = None;
        self.texts.clear();
        self.origin.clear();
        self.lane = KnownLane::default();
    }

    /// What these have in common, without what names one message.
    pub fn common(all: &[Arc<Self>]) -> Self {
        let Some((first, others)) = all.split_first() else { return Self::default() };
        let mut common = Self::clone(first);
        common.position = None;
        common.body_bytes = None;
        common.broker_time_ns = None;
        common.origin_time_ns = None;
        common.keys.clear();
        common.attributes.clear();
        common.copied_from = None;
        common.origin = Origin::default();
        common.lane = KnownLane::default();
        for field in [Field::MessageId, Field::CorrelationId, Field::Key] {
            common.fields[field as usize] = Slice::default();
        }
        let differs = |differ: &dyn Fn(&Self) -> bool| others.iter().any(|other| differ(other));
        if differs(&|other| other.partition != first.partition) {
            common.partition = None;
        }
        if differs(&|other| other.attempt != first.attempt) {
            common.attempt = None;
        }
        for field in Field::OF_SEVERAL {
            if differs(&|other| other.get(field) != first.get(field)) {
                common.fields[field as usize] = Slice::default();
            }
        }
        common
    }

    /// This message as the original of a copy.
    pub fn as_original(&self, kind: CopyKind) -> CopiedFrom<'_> {
        let [first, second, third] =
            [self.get(Field::First), self.get(Field::Second), self.get(Field::Third)];
        let (destination, broker, group) = match self.system {
            // A stream is what a JetStream message lies in, a queue what a RabbitMQ message was taken from.
            System::JetStream => (second, "", self.group()),
            System::RabbitMq if first.is_empty() => (RABBITMQ_DEFAULT_EXCHANGE, "", third),
            System::RabbitMq => (first, "", third),
            System::Kafka | System::Nats => (first, "", self.group()),
            System::RocketMq => (first, third, self.group()),
        };
        CopiedFrom {
            kind,
            destination,
            broker,
            partition: self.partition,
            position: self.position,
            message_id: self.message_id(),
            group,
            attempts: self.attempt,
            context: self.origin.context.as_ref(),
            ..CopiedFrom::default()
        }
    }

    /// Takes over what is known there; what is not known there stays.
    pub fn learn(&mut self, place: &Place<'_>, details: &Details<'_>) {
        self.lane = KnownLane::default();
        self.system = System::of(place);
        let [first, second, third] = names(place);
        let (partition, position) = coordinates(place);
        self.partition = partition.or(self.partition);
        self.position = position.or(self.position);
        for (field, text) in [
            (Field::First, first),
            (Field::Second, second),
            (Field::Third, third),
            (Field::Cluster, details.cluster),
            (Field::Client, details.client),
            (Field::Group, details.group),
            (Field::MessageId, details.message_id),
            (Field::CorrelationId, details.correlation_id),
            (Field::Key, details.key),
            (Field::Template, details.template),
        ] {
            if !(self.has_no_keys && matches!(field, Field::Key)) {
                self.set(field, text);
            }
        }
        if let Some(server) = details.server {
            self.set(Field::Server, server.address);
            self.port = Some(server.port);
        }
        self.attempt = details.attempt.or(self.attempt);
        self.body_bytes = details.body_bytes.or(self.body_bytes);
        self.broker_time_ns = details.broker_time_ns.or(self.broker_time_ns);
        self.origin_time_ns = details.origin_time_ns.or(self.origin_time_ns);
        self.learn_lists(details);
    }

    fn add(&mut self, key: &'static str, value: Value<'_>) {
        let packed = self.pack(value);
        match self.attributes.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = packed,
            None => self.attributes.push((key, packed)),
        }
    }

    fn learn_lists(&mut self, details: &Details<'_>) {
        if !details.keys.is_empty() && !self.has_no_keys {
            self.keys = details.keys.iter().map(|key| self.texts.push(key, self.value_bytes_max)).collect();
        }
        for &(key, value) in details.attributes {
            if !(self.has_no_keys && key == "messaging.rocketmq.message.keys") {
                self.add(key, value);
            }
        }
        if let Some(original) = &details.copied_from {
            let max = self.value_bytes_max;
            let mut push = |text| self.texts.push(text, max);
            self.copied_from = Some(Box::new(Original {
                kind: original.kind,
                destination: push(original.destination),
                broker: push(original.broker),
                partition: original.partition,
                position: original.position,
                message_id: push(original.message_id),
                group: push(original.group),
                attempts: original.attempts,
                reason: push(original.reason),
                error_type: push(original.error_type),
                context: original.context.cloned(),
            }));
        }
    }

    /// Where the message is.
    pub fn place(&self) -> Place<'_> {
        let names = [self.get(Field::First), self.get(Field::Second), self.get(Field::Third)];
        self.system.place(names, self.partition, self.position)
    }

    /// Place and details, as they were given.
    pub fn with<R>(&self, use_them: impl FnOnce(&Place<'_>, &Details<'_>) -> R) -> R {
        let keys: SmallVec<[&str; 4]> = self.keys.iter().map(|key| self.texts.get(*key)).collect();
        let lists: SmallVec<[SmallVec<[&str; 2]>; 2]> = self
            .attributes
            .iter()
            .filter_map(|(_, packed)| match packed {
                Packed::Texts(texts) => Some(texts.iter().map(|text| self.texts.get(*text)).collect()),
                _ => None,
            })
            .collect();
        let mut lists = lists.iter();
        let attributes: SmallVec<[Attribute<'_>; 4]> = self
            .attributes
            .iter()
            .map(|(key, packed)| {
                let value = match packed {
                    Packed::Text(text) => Value::Text(self.texts.get(*text)),
                    Packed::Int(number) => Value::Int(*number),
                    Packed::Bool(truth) => Value::Bool(*truth),
                    Packed::Double(number) => Value::Double(*number),
                    Packed::Texts(_) => Value::Texts(lists.next().map_or(&[], |list| list)),
                };
                (*key, value)
            })
            .collect();
        let details = Details {
            server: self.port.map(|port| Server { address: self.get(Field::Server), port }),
            cluster: self.get(Field::Cluster),
            client: self.get(Field::Client),
            group: self.get(Field::Group),
            message_id: self.get(Field::MessageId),
            correlation_id: self.get(Field::CorrelationId),
            key: self.get(Field::Key),
            keys: &keys,
            attempt: self.attempt,
            body_bytes: self.body_bytes,
            body: Body::default(),
            broker_time_ns: self.broker_time_ns,
            origin_time_ns: self.origin_time_ns,
            copied_from: self.copied_from.as_deref().map(|original| original.view(&self.texts)),
            template: self.get(Field::Template),
            attributes: &attributes,
        };
        use_them(&self.place(), &details)
    }

    /// Writes all attributes, or (on settle steps) only those that name the message.
    pub fn write(&self, identity_only: bool, out: &mut dyn Sink) {
        self.with(|place, details| {
            place.write(out);
            details.write_identity(place, out);
            if !identity_only {
                details.write_facts(out);
            }
        });
    }

    /// Consumer group; empty where there is none.
    pub fn group(&self) -> &str {
        self.get(Field::Group)
    }

    /// Message id; empty where there is none.
    pub fn message_id(&self) -> &str {
        self.get(Field::MessageId)
    }

    /// The destination as spans and metrics are named after it, where it is not the place's own name.
    pub fn template(&self) -> &str {
        self.get(Field::Template)
    }

    /// The broker.
    pub fn server(&self) -> Option<Server<'_>> {
        self.port.map(|port| Server { address: self.get(Field::Server), port })
    }

    /// Delivery attempt.
    pub fn attempt(&self) -> Option<u32> {
        self.attempt
    }

    /// When the broker stored the message, else when its sender made it.
    pub fn stored_ns(&self) -> Option<i64> {
        self.broker_time_ns.or(self.origin_time_ns)
    }

    /// What kind of copy this message is, where it is one.
    pub fn copy(&self) -> Option<CopyKind> {
        self.copied_from.as_ref().map(|original| original.kind)
    }

    /// The context that made the message that this one is a copy of.
    pub fn original(&self) -> Option<&SpanContext> {
        self.copied_from.as_ref()?.context.as_ref()
    }

    fn get(&self, field: Field) -> &str {
        self.texts.get(self.fields[field as usize])
    }

    fn set(&mut self, field: Field, text: &str) {
        if !text.is_empty() && self.get(field) != text {
            self.fields[field as usize] = self.texts.push(text, self.value_bytes_max);
        }
    }

    fn pack(&mut self, value: Value<'_>) -> Packed {
        let max = self.value_bytes_max;
        match value {
            Value::Text(text) => Packed::Text(self.texts.push(text, max)),
            Value::Int(number) => Packed::Int(number),
            Value::Bool(truth) => Packed::Bool(truth),
            Value::Double(number) => Packed::Double(number),
            Value::Texts(texts) => {
                Packed::Texts(texts.iter().map(|text| self.texts.push(text, max)).collect())
            }
        }
    }
}

impl Original {
    fn view<'a>(&'a self, texts: &'a Texts) -> CopiedFrom<'a> {
        CopiedFrom {
            kind: self.kind,
            destination: texts.get(self.destination),
            broker: texts.get(self.broker),
            partition: self.partition,
            position: self.position,
            message_id: texts.get(self.message_id),
            group: texts.get(self.group),
            attempts: self.attempts,
            reason: texts.get(self.reason),
            error_type: texts.get(self.error_type),
            context: self.context.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let place = Place::RocketMq {
            topic: "%RETRY%g",
            logical_topic: "orders",
            broker: "broker-a",
            queue: Some(2),
            offset: Some(7),
        };
        let original = CopiedFrom { destination: "orders", position: Some(3), ..CopiedFrom::default() };
        let details = Details {
            server: Some(Server { address: "localhost", port: 10911 }),
            group: "g",
            message_id: "m",
            keys: &["k1", "k2"],
            attempt: Some(2),
            copied_from: Some(original),
            attributes: &[("n", Value::Int(1)), ("l", Value::Texts(&["a", "b"])), ("t", Value::Text("x"))],
            ..Details::default()
        };
        let facts = Facts::new(&place, &details, &Settings::default());
        assert_eq!(facts.place(), place);
        facts.with(|_, got| assert_eq!(format!("{got:?}"), format!("{details:?}")));
    }

    #[test]
    fn what_is_learned_later_is_added_and_what_is_not_known_then_stays() {
        let sent = Place::JetStream { subject: "in", stream: "", sequence: None };
        let details = Details { message_id: "m", attributes: &[("a", Value::Int(1))], ..Details::default() };
        let mut shared = Facts::new(&sent, &details, &Settings::default());
        let facts = Arc::make_mut(&mut shared);
        let stored = Place::JetStream { subject: "in", stream: "ORD", sequence: Some(7) };
        facts.learn(&stored, &Details { attributes: &[("a", Value::Int(2))], ..Details::default() });
        assert_eq!(facts.place(), stored);
        facts.with(|_, got| {
            assert_eq!((got.message_id, got.attributes), ("m", &[("a", Value::Int(2))][..]));
        });
    }
}
