//! Spans as OTLP bytes: `opentelemetry.proto.trace.v1.Span`, written once and never looked at again until they are sent.

use super::protobuf::{bytes_field, fixed32_field, fixed64_field, message_field, varint_field};
use crate::Value;
use opentelemetry::trace::{Event, SpanKind, Status};
use opentelemetry::{Array, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends one span to a buffer. Each method at most once, unless it says "many".
#[derive(Debug)]
pub(crate) struct SpanWriter<'a>(&'a mut Vec<u8>);

/// Appends the attributes of an event or a link.
#[derive(Debug)]
pub(crate) struct AttributeWriter<'a> {
    out: &'a mut Vec<u8>,
    field: u32,
}

impl<'a> SpanWriter<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// `flags`: W3C's in the low eight bits, then "it is known whether the parent is remote" and whether it is.
    pub fn ids(
        &mut self,
        trace: [u8; 16],
        span: [u8; 8],
        parent: Option<[u8; 8]>,
        flags: u32,
        tracestate: &str,
    ) {
        bytes_field(self.0, 1, &trace);
        bytes_field(self.0, 2, &span);
        text(self.0, 3, tracestate);
        if let Some(parent) = parent {
            bytes_field(self.0, 4, &parent);
        }
        fixed32_field(self.0, 16, flags);
    }

    /// `operation destination`, or the operation alone.
    pub fn name(&mut self, operation: &str, destination: &str) {
        message_field(self.0, 5, |out| {
            out.extend_from_slice(operation.as_bytes());
            if !destination.is_empty() {
                out.push(b' ');
                out.extend_from_slice(destination.as_bytes());
            }
        });
    }

    pub fn kind(&mut self, kind: &SpanKind) {
        let number = match kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        };
        varint_field(self.0, 6, number);
    }

    pub fn times(&mut self, start_ns: u64, end_ns: u64) {
        fixed64_field(self.0, 7, start_ns);
        fixed64_field(self.0, 8, end_ns);
    }

    /// Many.
    pub fn attribute(&mut self, key: &str, value: Value<'_>) {
        attribute(self.0, 9, key, value);
    }

    /// Many: an attribute of OpenTelemetry's own type.
    pub fn key_value(&mut self, set: &KeyValue) {
        key_value(self.0, 9, set);
    }

    /// Attributes, events and links that were left out.
    pub fn dropped(&mut self, attributes: u32, events: u32, links: u32) {
        for (field, dropped) in [(10, attributes), (12, events), (14, links)] {
            if dropped > 0 {
                varint_field(self.0, field, dropped.into());
            }
        }
    }

    /// Many.
    pub fn event(&mut self, event: &Event) {
        message_field(self.0, 11, |out| {
            fixed64_field(out, 1, unix_ns(event.timestamp));
            text(out, 2, &event.name);
            event.attributes.iter().for_each(|set| key_value(out, 3, set));
            if event.dropped_attributes_count > 0 {
                varint_field(out, 4, event.dropped_attributes_count.into());
            }
        });
    }

    /// Many.
    pub fn link(
        &mut self,
        trace: [u8; 16],
        span: [u8; 8],
        flags: u32,
        tracestate: &str,
        attributes: &mut dyn FnMut(&mut AttributeWriter<'_>),
    ) {
        message_field(self.0, 13, |out| {
            bytes_field(out, 1, &trace);
            bytes_field(out, 2, &span);
            text(out, 3, tracestate);
            attributes(&mut AttributeWriter { out, field: 4 });
            fixed32_field(out, 6, flags);
        });
    }

    /// The status ERROR.
    pub fn failed(&mut self, message: &str) {
        message_field(self.0, 15, |out| {
            text(out, 2, message);
            varint_field(out, 3, 2);
        });
    }
}

impl AttributeWriter<'_> {
    /// Many.
    pub fn attribute(&mut self, key: &str, value: Value<'_>) {
        attribute(self.out, self.field, key, value);
    }

    fn key_value(&mut self, set: &KeyValue) {
        key_value(self.out, self.field, set);
    }
}

/// A span of the application's own tracers.
pub(crate) fn write_span_data(out: &mut Vec<u8>, data: &SpanData) {
    let mut span = SpanWriter::new(out);
    let context = &data.span_context;
    let parent =
        (data.parent_span_id != opentelemetry::SpanId::INVALID).then(|| data.parent_span_id.to_bytes());
    let flags = span_flags(context.is_sampled(), data.parent_span_is_remote);
    let state = context.trace_state().header();
    span.ids(context.trace_id().to_bytes(), context.span_id().to_bytes(), parent, flags, &state);
    span.name(&data.name, "");
    span.kind(&data.span_kind);
    span.times(unix_ns(data.start_time), unix_ns(data.end_time));
    data.attributes.iter().for_each(|set| span.key_value(set));
    data.events.iter().for_each(|event| span.event(event));
    for link in data.links.iter() {
        let to = &link.span_context;
        let flags = span_flags(to.is_sampled(), to.is_remote());
        let state = to.trace_state().header();
        span.link(to.trace_id().to_bytes(), to.span_id().to_bytes(), flags, &state, &mut |out| {
            link.attributes.iter().for_each(|set| out.key_value(set));
        });
    }
    span.dropped(data.dropped_attributes_count, data.events.dropped_count, data.links.dropped_count);
    match &data.status {
        Status::Unset => {}
        Status::Ok => message_field(out, 15, |out| varint_field(out, 3, 1)),
        Status::Error { description } => span.failed(description),
    }
}

/// `Span.flags` and `Link.flags`: W3C's, "it is known whether it is remote", and whether it is.
pub(crate) fn span_flags(is_sampled: bool, is_remote: bool) -> u32 {
    u32::from(is_sampled) | 0x100 | if is_remote { 0x200 } else { 0 }
}

fn unix_ns(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    if !value.is_empty() {
        bytes_field(out, field, value.as_bytes());
    }
}

/// `KeyValue` of OTLP in a field.
pub(crate) fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: Value<'_>) {
    message_field(out, field, |out| {
        text(out, 1, key);
        message_field(out, 2, |out| any_value(out, value));
    });
}

/// As [`attribute`], of OpenTelemetry's own type.
pub(crate) fn key_value(out: &mut Vec<u8>, field: u32, set: &KeyValue) {
    message_field(out, field, |out| {
        text(out, 1, set.key.as_str());
        message_field(out, 2, |out| match &set.value {
            opentelemetry::Value::Bool(value) => any_value(out, Value::Bool(*value)),
            opentelemetry::Value::I64(value) => any_value(out, Value::Int(*value)),
            opentelemetry::Value::F64(value) => any_value(out, Value::Double(*value)),
            opentelemetry::Value::String(value) => any_value(out, Value::Text(value.as_str())),
            opentelemetry::Value::Array(array) => array_value(out, array),
            other => any_value(out, Value::Text(&other.as_str())),
        });
    });
}

fn any_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        // An empty text is written too: without it the value would be "none".
        Value::Text(value) => bytes_field(out, 1, value.as_bytes()),
        Value::Bool(value) => varint_field(out, 2, value.into()),
        Value::Int(value) => varint_field(out, 3, value as u64),
        Value::Double(value) => fixed64_field(out, 4, value.to_bits()),
        Value::Texts(values) => list(out, values.iter().map(|value| Value::Text(value))),
    }
}

fn array_value(out: &mut Vec<u8>, array: &Array) {
    match array {
        Array::Bool(values) => list(out, values.iter().map(|value| Value::Bool(*value))),
        Array::I64(values) => list(out, values.iter().map(|value| Value::Int(*value))),
        Array::F64(values) => list(out, values.iter().map(|value| Value::Double(*value))),
        Array::String(values) => list(out, values.iter().map(|value| Value::Text(value.as_str()))),
        // A kind of array that this version does not know has no values that it could write.
        _ => list(out, std::iter::empty()),
    }
}

fn list<'v>(out: &mut Vec<u8>, values: impl Iterator<Item = Value<'v>>) {
    message_field(out, 5, |out| {
        for value in values {
            message_field(out, 1, |out| any_value(out, value));
        }
    });
}

/// Appends the content of a `Resource`.
pub(crate) fn write_resource(out: &mut Vec<u8>, resource: &[KeyValue]) {
    resource.iter().for_each(|set| key_value(out, 1, set));
}

/// Appends the field of a `ResourceSpans` that is the spans of one scope.
pub(crate) fn write_scope_spans<'s>(
    out: &mut Vec<u8>,
    scope: &InstrumentationScope,
    spans: impl Iterator<Item = &'s [u8]>,
) {
    message_field(out, 2, |out| {
        message_field(out, 1, |out| {
            text(out, 1, scope.name());
            text(out, 2, scope.version().unwrap_or_default());
            scope.attributes().for_each(|set| key_value(out, 3, set));
        });
        spans.for_each(|span| bytes_field(out, 2, span));
        text(out, 3, scope.schema_url().unwrap_or_default());
    });
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;
