//! What is sent, and what is remembered of it to be looked up.

use hopscope_wire::otlp::{AnyValue, SpanData, encode_request};
use hopscope_wire::workload::{BEGIN_NS, Part, Workload};
use serde::{Deserialize, Serialize};

const SEED: u64 = 1;
/// Spans of a part: of a debug build, as continuous integration runs it, so many as take it a minute.
pub const PART_SPANS: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
/// What exporters send: batches of 512.
const REQUEST_SPANS: u64 = 512;
const DAY_NS: u64 = 86_400_000_000_000;
/// Received days that everything is spread over.
pub const DAYS: u64 = 12;
/// Of each part so many spans are remembered, as many as that at most over all parts.
const REMEMBERED: u64 = 1_000;

/// Keys of spans, as text: what a person would have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Trace and span of the creation context.
    pub creation: Vec<(String, String)>,
    /// Topic, partition, offset.
    pub position: Vec<(String, String, i64)>,
    pub message_id: Vec<String>,
    pub key: Vec<String>,
}

/// One part, request by request.
pub struct Requests {
    workload: Workload,
    left: u64,
    /// Every so many requests one is remembered.
    remember_every: u64,
    sent: u64,
    pub known: Known,
}

impl Requests {
    /// Of that part of so many.
    pub fn of(number: u64, parts: u64) -> Self {
        let messages = PART_SPANS / 2;
        let interval_ns = DAYS * DAY_NS / (parts * messages);
        let part = Part { number, messages, begin_ns: BEGIN_NS, interval_ns };
        let requests = PART_SPANS.div_ceil(REQUEST_SPANS);
        Self {
            workload: Workload::part(SEED, part),
            left: PART_SPANS,
            remember_every: (requests * parts / REMEMBERED).clamp(1, requests),
            sent: 0,
            known: Known::default(),
        }
    }

    /// Received time of the next request: its messages' own.
    pub fn now_ns(&self) -> i64 {
        self.workload.next_ns() as i64
    }

    /// The next request.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        let spans = self.left.min(REQUEST_SPANS);
        if spans == 0 {
            return None;
        }
        self.left -= spans;
        let resources = self.workload.spans(spans as usize);
        if self.sent.is_multiple_of(self.remember_every) {
            resources
                .iter()
                .take(1)
                .flat_map(|sent| sent.spans.first())
                .for_each(|span| self.known.add(span));
        }
        self.sent += 1;
        Some(encode_request(&resources))
    }
}

impl Known {
    fn add(&mut self, span: &SpanData) {
        let text = |name: &str| {
            span.attributes.iter().find(|(key, _)| key == name).and_then(|(_, value)| match value {
                AnyValue::Text(text) => Some(text.clone()),
                _ => None,
            })
        };
        let offset = span.attributes.iter().find_map(|(key, value)| match value {
            AnyValue::Int(offset) if key == "messaging.kafka.offset" => Some(*offset),
            _ => None,
        });
        self.creation.push((span.trace.to_string(), span.span.to_string()));
        let lane = text("messaging.destination.name").zip(text("messaging.destination.partition.id"));
        self.position.extend(lane.zip(offset).map(|((topic, partition), offset)| (topic, partition, offset)));
        self.message_id.extend(text("messaging.message.id"));
        self.key.extend(text("messaging.kafka.message.key"));
    }

    /// Takes over those of a part.
    pub fn extend(&mut self, more: Self) {
        self.creation.extend(more.creation);
        self.position.extend(more.position);
        self.message_id.extend(more.message_id);
        self.key.extend(more.key);
    }
}
