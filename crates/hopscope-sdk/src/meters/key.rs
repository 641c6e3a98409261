//! [`LaneKey`]: the names that a series is known by.

use crate::system::{System, coordinates, names};
use crate::value::Value;
use crate::{Place, Server};
use opentelemetry::KeyValue;
use std::hash::{Hash, Hasher};

/// The names that make a lane: where messages lie, who consumes them, through which broker. Positions in the place
/// are of no account.
#[derive(Clone, Copy, Debug)]
pub struct LaneKey<'a> {
    /// System, destination and partition.
    pub place: Place<'a>,
    /// A name of few values (`orders.{id}`), for a destination that has many. It stands in the metrics instead of
    /// the destination's own name, routing key and queue. Empty: there is none.
    pub template: &'a str,
    /// Consumer group, JetStream consumer, queue group; empty on the sending side, and on RabbitMQ, whose queue is in
    /// the place.
    pub group: &'a str,
    /// Broker that was spoken to.
    pub server: Option<Server<'a>>,
}

impl<'a> LaneKey<'a> {
    /// Of a place, and nothing else known.
    pub fn of(place: Place<'a>) -> Self {
        Self { place, template: "", group: "", server: None }
    }
}

/// A key without what does not count, in a shape that hashes and compares quickly.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts<'a> {
    numbers: Numbers,
    texts: [&'a str; TEXTS],
}

/// Three names of the place, then these.
const TEMPLATE: usize = 3;
const GROUP: usize = 4;
const ADDRESS: usize = 5;
const TEXTS: usize = 6;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    kind: System,
    partition: Option<i32>,
    port: Option<u16>,
}

impl<'a> Parts<'a> {
    /// Each text is cut at `bytes_max`.
    pub fn of(key: &LaneKey<'a>, bytes_max: usize) -> Self {
        let cut = |text: &'a str| match text.len() > bytes_max {
            true => &text[..text.floor_char_boundary(bytes_max)],
            false => text,
        };
        let kind = System::of(&key.place);
        let (names, (partition, _)) = (names(&key.place), coordinates(&key.place));
        let [first, second, third] = of_few_values(kind, names, key.template);
        let address = key.server.map_or("", |server| server.address);
        Self {
            numbers: Numbers { kind, partition, port: key.server.map(|server| server.port) },
            texts: [first, second, third, key.template, key.group, address].map(cut),
        }
    }

    /// The attributes that all series of the lane have.
    pub fn attributes(&self) -> Vec<KeyValue> {
        let mut out = Vec::with_capacity(8);
        let mut put = |key: &'static str, value: Value<'_>| {
            // With a template, what is left of the names is no name of a destination.
            if self.texts[TEMPLATE].is_empty() || key != "messaging.destination.name" {
                out.push(value.to_key_value(key));
            }
        };
        self.place().write(&mut put);
        let mut text = |key: &'static str, text: &str| {
            if !text.is_empty() {
                out.push(KeyValue::new(key, text.to_owned()));
            }
        };
        text("messaging.destination.template", self.texts[TEMPLATE]);
        text("messaging.consumer.group.name", self.texts[GROUP]);
        text("server.address", self.texts[ADDRESS]);
        if let Some(port) = self.numbers.port {
            out.push(KeyValue::new("server.port", i64::from(port)));
        }
        out
    }

    fn place(&self) -> Place<'a> {
        let [first, second, third, ..] = self.texts;
        self.numbers.kind.place([first, second, third], self.numbers.partition, None)
    }
}

/// Under a template only those names stay that have few values anyway: stream, exchange and broker.
fn of_few_values<'a>(kind: System, names: [&'a str; 3], template: &str) -> [&'a str; 3] {
    if template.is_empty() {
        return names;
    }
    let [first, second, third] = names;
    match kind {
        System::Kafka | System::Nats => [""; 3],
        System::JetStream => ["", second, ""],
        System::RabbitMq => [first, "", ""],
        System::RocketMq => ["", "", third],
    }
}

/// Not of the address: the same lane through another broker is rare, and a comparison tells them apart.
impl Hash for Parts<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Numbers { kind, partition, .. } = self.numbers;
        state.write_u64((kind as u64) << 32 | u64::from(partition.unwrap_or(-1) as u32));
        for text in self.texts[..ADDRESS].iter().filter(|text| !text.is_empty()) {
            state.write(text.as_bytes());
        }
    }
}

/// [`Parts`], owned: the texts one after another, so that a comparison touches little memory.
#[derive(Debug)]
pub(super) struct Owned {
    numbers: Numbers,
    bytes: [u32; TEXTS],
    texts: Box<[u8]>,
}

impl Owned {
    pub fn equals(&self, parts: &Parts<'_>) -> bool {
        let mut rest = &*self.texts;
        self.numbers == parts.numbers
            && self.bytes == parts.texts.map(|text| text.len() as u32)
            && parts.texts.iter().filter(|text| !text.is_empty()).all(|text| {
                let (own, after) = rest.split_at(text.len());
                rest = after;
                own == text.as_bytes()
            })
    }
}

impl From<Parts<'_>> for Owned {
    fn from(parts: Parts<'_>) -> Self {
        Self {
            numbers: parts.numbers,
            bytes: parts.texts.map(|text| text.len() as u32),
            texts: parts.texts.concat().into_bytes().into(),
        }
    }
}
