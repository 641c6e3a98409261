//! The oracle: the same bytes through the generated types of `opentelemetry-proto`, then field by field into
//! the view that our own decoder fills. Slow and plain. Reading the bytes is wholly independent of ours; what
//! the attributes mean is [`Mapper`]'s on both ways.

use hopscope_model::{Source, SpanContext, SpanId, Tenant, TraceId};
use hopscope_wire::{Attributes, DecodeLimits, Decoded, Kind, Mapper, Raw, Scope, SpanView, Status};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message;
use std::borrow::Cow;

/// Bytes to generated structures.
pub fn structures(bytes: &[u8]) -> Result<ExportTraceServiceRequest, prost::DecodeError> {
    ExportTraceServiceRequest::decode(bytes)
}

/// Bytes to a batch, through generated structures.
pub fn decode(
    bytes: &[u8],
    tenant: &Tenant,
    received_ns: i64,
    limits: &DecodeLimits,
) -> Result<Decoded, prost::DecodeError> {
    Ok(map(&structures(bytes)?, tenant, received_ns, limits))
}

/// Generated structures to a batch.
pub fn map(
    request: &ExportTraceServiceRequest,
    tenant: &Tenant,
    received_ns: i64,
    limits: &DecodeLimits,
) -> Decoded {
    let mut mapper = Mapper::new(tenant, Source::Otlp, received_ns, limits);
    let mut view = SpanView::new(limits);
    for resource_spans in &request.resource_spans {
        let mut attributes = Attributes::new(limits);
        if let Some(resource) = &resource_spans.resource {
            attributes.count_dropped(u64::from(resource.dropped_attributes_count));
            for attribute in &resource.attributes {
                attributes.push(attribute.key.as_bytes(), value(attribute, limits));
            }
        }
        for scope_spans in &resource_spans.scope_spans {
            let scope = scope_spans.scope.as_ref().map_or_else(Scope::default, |scope| Scope {
                name: scope.name.as_bytes(),
                version: scope.version.as_bytes(),
            });
            mapper.resource(&attributes, scope);
            for span in &scope_spans.spans {
                fill(&mut view, span, limits);
                mapper.span(&view);
            }
        }
    }
    mapper.finish()
}

fn fill<'a>(view: &mut SpanView<'a>, span: &'a Span, limits: &DecodeLimits) {
    view.clear();
    view.trace = TraceId::from_bytes(&span.trace_id).unwrap_or_default();
    view.span = SpanId::from_bytes(&span.span_id).unwrap_or_default();
    view.parent = SpanId::from_bytes(&span.parent_span_id).unwrap_or_default();
    view.flags = span.flags;
    view.trace_state = span.trace_state.as_bytes();
    view.name = span.name.as_bytes();
    view.kind = Kind::from_number(i64::from(span.kind));
    view.start_ns = span.start_time_unix_nano;
    view.end_ns = span.end_time_unix_nano;
    if let Some(status) = &span.status {
        view.status_message = status.message.as_bytes();
        view.status = match status.code() {
            StatusCode::Unset => Status::Unset,
            StatusCode::Ok => Status::Ok,
            StatusCode::Error => Status::Error,
        };
    }
    view.attributes.count_dropped(u64::from(span.dropped_attributes_count));
    for attribute in &span.attributes {
        view.attributes.push(attribute.key.as_bytes(), value(attribute, limits));
    }
    view.count_dropped_links(u64::from(span.dropped_links_count));
    for link in &span.links {
        let context = SpanContext {
            trace: TraceId::from_bytes(&link.trace_id).unwrap_or_default(),
            span: SpanId::from_bytes(&link.span_id).unwrap_or_default(),
        };
        if view.begin_link(context, link.flags, !link.attributes.is_empty()) {
            for attribute in &link.attributes {
                view.link_attribute(attribute.key.as_bytes(), value(attribute, limits));
            }
        }
    }
    for event in span.events.iter().filter(|event| event.name == "exception") {
        if view.exception_type.is_none() && view.exception_message.is_none() {
            for attribute in &event.attributes {
                match attribute.key.as_str() {
                    "exception.type" => view.exception_type = Some(value(attribute, limits)),
                    "exception.message" => view.exception_message = Some(value(attribute, limits)),
                    _ => {}
                }
            }
        }
    }
}

fn value<'a>(attribute: &'a KeyValue, limits: &DecodeLimits) -> Raw<'a> {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => Raw::Null,
        Some(Value::StringValue(text)) => Raw::Text(text.as_bytes()),
        Some(Value::BoolValue(truth)) => Raw::Bool(*truth),
        Some(Value::IntValue(number)) => Raw::Int(*number),
        Some(Value::DoubleValue(number)) => Raw::Double(*number),
        Some(Value::BytesValue(bytes)) => Raw::Bytes(Cow::Borrowed(bytes)),
        Some(Value::ArrayValue(array)) => {
            let text = |item: &'a AnyValue| match &item.value {
                Some(Value::StringValue(text)) => Some(text.as_bytes()),
                _ => None,
            };
            match array.values.iter().map(text).collect::<Option<Vec<_>>>() {
                Some(texts) if !texts.is_empty() => Raw::Texts(texts),
                _ => Raw::Json(json(attribute.value.as_ref(), limits.nesting_max)),
            }
        }
        Some(Value::KvlistValue(_)) => Raw::Json(json(attribute.value.as_ref(), limits.nesting_max)),
    }
}

/// Texts and numbers by way of `serde_json`, whose writer is not ours; pairs one by one, for its objects sort
/// their keys and hold each once.
fn json(value: Option<&AnyValue>, nesting_left: usize) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let Some(value) = value.and_then(|value| value.value.as_ref()) else { return "null".to_owned() };
    match value {
        Value::StringValue(string) => text(string),
        Value::BoolValue(truth) => truth.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) if number.is_nan() => text("NaN"),
        Value::DoubleValue(number) if *number == f64::INFINITY => text("Infinity"),
        Value::DoubleValue(number) if *number == f64::NEG_INFINITY => text("-Infinity"),
        Value::DoubleValue(number) => format!("{number:?}"),
        Value::BytesValue(bytes) => text(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        Value::StringValueStrindex(_) => "null".to_owned(),
        Value::ArrayValue(_) | Value::KvlistValue(_) if nesting_left == 0 => "null".to_owned(),
        Value::ArrayValue(array) => {
            let items: Vec<String> =
                array.values.iter().map(|item| json(Some(item), nesting_left - 1)).collect();
            format!("[{}]", items.join(","))
        }
        Value::KvlistValue(map) => {
            let pair = |item: &KeyValue| {
                format!("{}:{}", text(&item.key), json(item.value.as_ref(), nesting_left - 1))
            };
            format!("{{{}}}", map.values.iter().map(pair).collect::<Vec<_>>().join(","))
        }
    }
}
