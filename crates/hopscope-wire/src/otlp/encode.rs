//! An encoder of trace requests, small and plain: the demo sends the order flow with it, tests and benches
//! make their inputs.

use crate::protobuf::{put_bytes, put_fixed32, put_fixed64, put_message, put_uint, put_varint};
use crate::span::{Kind, Status};
use hopscope_model::{SpanContext, SpanId, TraceId};

/// An attribute value to send.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyValue {
    /// UTF-8 text.
    Text(String),
    /// 64-bit integer.
    Int(i64),
    /// 64-bit float.
    Double(f64),
    /// Truth value.
    Bool(bool),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// Array of text.
    Texts(Vec<String>),
}

impl From<&str> for AnyValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for AnyValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// One link to send.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkData {
    /// What it links to.
    pub context: SpanContext,
    /// OTLP's flags: `0x300` where the context came over the wire, `0x100` where it did not, 0 unsaid.
    pub flags: u32,
    /// Its attributes.
    pub attributes: Vec<(String, AnyValue)>,
}

/// One event of a span to send.
#[derive(Clone, Debug, PartialEq)]
pub struct EventData {
    /// When, ns since the epoch.
    pub at_ns: u64,
    /// Name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<(String, AnyValue)>,
}

/// One span to send. [`Default`] is an empty one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanData {
    /// Trace.
    pub trace: TraceId,
    /// Span.
    pub span: SpanId,
    /// Parent, or zero.
    pub parent: SpanId,
    /// OTLP's flags, of the parent: as [`LinkData::flags`].
    pub flags: u32,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: Kind,
    /// Begin, ns since the epoch.
    pub start_ns: u64,
    /// End, ns since the epoch.
    pub end_ns: u64,
    /// Attributes.
    pub attributes: Vec<(String, AnyValue)>,
    /// Events.
    pub events: Vec<EventData>,
    /// Links.
    pub links: Vec<LinkData>,
    /// Status.
    pub status: Status,
    /// Status message.
    pub status_message: String,
}

/// A resource with its spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceData {
    /// Attributes of the resource: `service.name` and more.
    pub attributes: Vec<(String, AnyValue)>,
    /// Name of the instrumentation scope.
    pub scope: String,
    /// The spans.
    pub spans: Vec<SpanData>,
}

/// `ExportTraceServiceRequest` in protobuf.
pub fn encode_request(resources: &[ResourceData]) -> Vec<u8> {
    let mut out = Vec::new();
    for resource in resources {
        put_message(&mut out, 1, &resource_spans(resource));
    }
    out
}

fn resource_spans(resource: &ResourceData) -> Vec<u8> {
    let mut attributes = Vec::new();
    put_attributes(&mut attributes, 1, &resource.attributes);
    let mut scope_spans = Vec::new();
    if !resource.scope.is_empty() {
        let mut scope = Vec::new();
        put_bytes(&mut scope, 1, resource.scope.as_bytes());
        put_message(&mut scope_spans, 1, &scope);
    }
    for span in &resource.spans {
        put_message(&mut scope_spans, 2, &encode_span(span));
    }
    let mut out = Vec::new();
    put_message(&mut out, 1, &attributes);
    put_message(&mut out, 2, &scope_spans);
    out
}

fn encode_span(span: &SpanData) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &span.trace.0);
    put_bytes(&mut out, 2, &span.span.0);
    if !span.parent.is_zero() {
        put_bytes(&mut out, 4, &span.parent.0);
    }
    put_bytes(&mut out, 5, span.name.as_bytes());
    put_uint(&mut out, 6, span.kind as u64);
    put_fixed64(&mut out, 7, span.start_ns);
    put_fixed64(&mut out, 8, span.end_ns);
    put_attributes(&mut out, 9, &span.attributes);
    for event in &span.events {
        let mut bytes = Vec::new();
        put_fixed64(&mut bytes, 1, event.at_ns);
        put_bytes(&mut bytes, 2, event.name.as_bytes());
        put_attributes(&mut bytes, 3, &event.attributes);
        put_message(&mut out, 11, &bytes);
    }
    for link in &span.links {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, 1, &link.context.trace.0);
        put_bytes(&mut bytes, 2, &link.context.span.0);
        put_attributes(&mut bytes, 4, &link.attributes);
        put_fixed32(&mut bytes, 6, link.flags);
        put_message(&mut out, 13, &bytes);
    }
    if span.status != Status::Unset {
        let mut status = Vec::new();
        put_bytes(&mut status, 2, span.status_message.as_bytes());
        put_uint(&mut status, 3, span.status as u64);
        put_message(&mut out, 15, &status);
    }
    put_fixed32(&mut out, 16, span.flags);
    out
}

pub(super) fn put_attributes(out: &mut Vec<u8>, number: u32, attributes: &[(String, AnyValue)]) {
    for (key, value) in attributes {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, 1, key.as_bytes());
        put_message(&mut bytes, 2, &any_value(value));
        put_message(out, number, &bytes);
    }
}

/// Every member is written even where it is the default: in a oneof that is what tells which one is set.
fn any_value(value: &AnyValue) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        AnyValue::Text(text) => put_message(&mut out, 1, text.as_bytes()),
        AnyValue::Bool(truth) => out.extend_from_slice(&[2 << 3, u8::from(*truth)]),
        AnyValue::Int(number) => {
            out.push(3 << 3);
            put_varint(&mut out, *number as u64);
        }
        AnyValue::Double(number) => {
            out.push(4 << 3 | 1);
            out.extend_from_slice(&number.to_le_bytes());
        }
        AnyValue::Bytes(bytes) => put_message(&mut out, 7, bytes),
        AnyValue::Texts(texts) => {
            let mut array = Vec::new();
            for text in texts {
                put_message(&mut array, 1, &any_value(&AnyValue::Text(text.clone())));
            }
            put_message(&mut out, 5, &array);
        }
    }
    out
}
