//! Requests in OTLP/JSON, traces here: ids in hexadecimal digits, 64-bit numbers as text or digits,
//! enumerations as number or name, bytes in base64, unknown fields ignored, `null` as absent.

mod metrics;
mod scalars;

pub use metrics::decode_metrics_json;

use super::{DecodeLimits, Decoded};
use crate::Error;
use crate::json_text;
use crate::mapper::{Mapper, Scope};
use crate::span::{Attributes, RETRY, Raw, SpanView};
use hopscope_model::{Source, SpanContext, SpanId, Tenant, TraceId};
use scalars::{Absent, Base64, Double, Int, SpanKind, StatusCode, Text, Uint};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Decodes a request. Text that is not JSON of the right shape is an error as a whole; spans that cannot be
/// stored are counted in [`Decoded::rejected`].
pub fn decode_json(
    bytes: &[u8],
    tenant: &Tenant,
    received_ns: i64,
    limits: &DecodeLimits,
) -> Result<Decoded, Error> {
    check_objects(bytes, limits)?;
    let request: Request<'_> = serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid(format!("malformed OTLP JSON: {error}")))?;
    let mut mapper = Mapper::new(tenant, Source::Otlp, received_ns, limits);
    let mut view = SpanView::new(limits);
    for resource_spans in &request.resource_spans.0 {
        let resource = attributes(&resource_spans.resource.attributes, limits);
        for scope_spans in &resource_spans.scope_spans.0 {
            let scope = Scope {
                name: scope_spans.scope.name.0.as_bytes(),
                version: scope_spans.scope.version.0.as_bytes(),
            };
            mapper.resource(&resource, scope);
            for span in &scope_spans.spans.0 {
                fill(&mut view, span, limits);
                mapper.span(&view);
            }
        }
    }
    Ok(mapper.finish())
}

/// Everything that takes memory is an object, and `{}` is short: this bounds what the structures below take.
fn check_objects(bytes: &[u8], limits: &DecodeLimits) -> Result<(), Error> {
    let objects = bytes.iter().filter(|byte| **byte == b'{').count();
    if objects <= limits.json_objects_max {
        return Ok(());
    }
    let message = "too many objects in one JSON request, send fewer spans at a time";
    let max = limits.json_objects_max;
    Err(Error::invalid(format!("{message}: objects={objects} objects_max={max}")))
}

fn fill<'a>(view: &mut SpanView<'a>, span: &'a Span<'a>, limits: &DecodeLimits) {
    view.clear();
    view.trace = trace_id(&span.trace_id);
    view.span = span_id(&span.span_id);
    view.parent = span_id(&span.parent_span_id);
    view.flags = span.flags.0 as u32;
    view.trace_state = span.trace_state.0.as_bytes();
    view.name = span.name.0.as_bytes();
    view.kind = span.kind.0;
    view.start_ns = span.start_time_unix_nano.0;
    view.end_ns = span.end_time_unix_nano.0;
    view.status = span.status.code.0;
    view.status_message = span.status.message.0.as_bytes();
    view.attributes.count_dropped(span.dropped_attributes_count.0);
    for attribute in &span.attributes.0 {
        view.attributes.push(attribute.key.0.as_bytes(), raw(&attribute.value, limits.nesting_max));
    }
    view.count_dropped_links(span.dropped_links_count.0);
    for link in &span.links.0 {
        let context = SpanContext { trace: trace_id(&link.trace_id), span: span_id(&link.span_id) };
        if view.begin_link(context, link.flags.0 as u32, !link.attributes.0.is_empty()) {
            for attribute in &link.attributes.0 {
                view.link_attribute(attribute.key.0.as_bytes(), raw(&attribute.value, limits.nesting_max));
            }
        }
    }
    for event in span.events.0.iter().filter(|event| event.name.0 == RETRY) {
        if !view.begin_retry() {
            break;
        }
        for attribute in &event.attributes.0 {
            view.retry_attribute(attribute.key.0.as_bytes(), &raw(&attribute.value, limits.nesting_max));
        }
    }
    let exceptions = span.events.0.iter().filter(|event| event.name.0 == "exception");
    for event in exceptions {
        if view.exception_type.is_some() || view.exception_message.is_some() {
            break;
        }
        for attribute in &event.attributes.0 {
            let value = || Some(raw(&attribute.value, limits.nesting_max));
            match attribute.key.0.as_ref() {
                "exception.type" => view.exception_type = value(),
                "exception.message" => view.exception_message = value(),
                _ => {}
            }
        }
    }
}

fn attributes<'a>(list: &'a Absent<Vec<KeyValue<'a>>>, limits: &DecodeLimits) -> Attributes<'a> {
    let mut attributes = Attributes::new(limits);
    for attribute in &list.0 {
        attributes.push(attribute.key.0.as_bytes(), raw(&attribute.value, limits.nesting_max));
    }
    attributes
}

/// All 32 digits are needed: a shorter id is no id.
fn trace_id(text: &Text<'_>) -> TraceId {
    Some(&text.0).filter(|text| text.len() == 32).and_then(|text| TraceId::from_hex(text)).unwrap_or_default()
}

fn span_id(text: &Text<'_>) -> SpanId {
    Some(&text.0).filter(|text| text.len() == 16).and_then(|text| SpanId::from_hex(text)).unwrap_or_default()
}

fn raw<'a>(value: &'a Absent<AnyValue<'a>>, nesting_max: usize) -> Raw<'a> {
    let value = &value.0;
    if let Some(text) = &value.string_value {
        Raw::Text(text.0.as_bytes())
    } else if let Some(truth) = value.bool_value {
        Raw::Bool(truth)
    } else if let Some(number) = &value.int_value {
        Raw::Int(number.0)
    } else if let Some(number) = &value.double_value {
        Raw::Double(number.0)
    } else if let Some(bytes) = &value.bytes_value {
        Raw::Bytes(Cow::Borrowed(&bytes.0))
    } else if let Some(array) = &value.array_value {
        let texts =
            array.values.0.iter().map(|item| item.string_value.as_ref().map(|text| text.0.as_bytes()));
        match texts.collect::<Option<Vec<_>>>() {
            Some(texts) if !texts.is_empty() => Raw::Texts(texts),
            _ => json(value, nesting_max),
        }
    } else if value.kvlist_value.is_some() {
        json(value, nesting_max)
    } else {
        Raw::Null
    }
}

fn json<'a>(value: &AnyValue<'_>, nesting_max: usize) -> Raw<'a> {
    let mut out = String::new();
    put_value(&mut out, value, nesting_max);
    Raw::Json(out)
}

/// Writes a value as plain JSON. Recursion ends with `nesting_left`.
fn put_value(out: &mut String, value: &AnyValue<'_>, nesting_left: usize) {
    if let Some(text) = &value.string_value {
        json_text::put_text(out, text.0.as_bytes());
    } else if let Some(truth) = value.bool_value {
        out.push_str(if truth { "true" } else { "false" });
    } else if let Some(number) = &value.int_value {
        json_text::put_int(out, number.0);
    } else if let Some(number) = &value.double_value {
        json_text::put_double(out, number.0);
    } else if let Some(bytes) = &value.bytes_value {
        json_text::put_text(out, json_text::hex(&bytes.0).as_bytes());
    } else if nesting_left == 0 {
        out.push_str("null");
    } else if let Some(array) = &value.array_value {
        out.push('[');
        for (index, item) in array.values.0.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            put_value(out, item, nesting_left - 1);
        }
        out.push(']');
    } else if let Some(map) = &value.kvlist_value {
        out.push('{');
        for (index, item) in map.values.0.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json_text::put_text(out, item.key.0.as_bytes());
            out.push(':');
            put_value(out, &item.value.0, nesting_left - 1);
        }
        out.push('}');
    } else {
        out.push_str("null");
    }
}

/// Structures of the JSON mapping. Only objects are taken: what serde derives would also read arrays, by position.
macro_rules! messages {
    ($($name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default, remote = "Self", bound(deserialize = "'de: 'a"))]
        struct $name<'a> {
            $($field: $ty,)*
            #[serde(skip)]
            lifetime: PhantomData<&'a ()>,
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object<'a>(PhantomData<&'a ()>);
                impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
                    type Value = $name<'a>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name<'a>, A::Error> {
                        // The inherent function of `remote`, not this trait's.
                        $name::deserialize(MapAccessDeserializer::new(map))
                    }
                }
                deserializer.deserialize_map(Object(PhantomData))
            }
        }
    )*};
}
use messages;

messages! {
    Request { resource_spans: Absent<Vec<ResourceSpans<'a>>>, }
    ResourceSpans { resource: Absent<Resource<'a>>, scope_spans: Absent<Vec<ScopeSpans<'a>>>, }
    Resource { attributes: Absent<Vec<KeyValue<'a>>>, }
    ScopeSpans { scope: Absent<ScopeName<'a>>, spans: Absent<Vec<Span<'a>>>, }
    ScopeName { name: Text<'a>, version: Text<'a>, }
    Span {
        trace_id: Text<'a>,
        span_id: Text<'a>,
        trace_state: Text<'a>,
        parent_span_id: Text<'a>,
        flags: Uint,
        name: Text<'a>,
        kind: SpanKind,
        start_time_unix_nano: Uint,
        end_time_unix_nano: Uint,
        attributes: Absent<Vec<KeyValue<'a>>>,
        dropped_attributes_count: Uint,
        events: Absent<Vec<Event<'a>>>,
        links: Absent<Vec<Link<'a>>>,
        dropped_links_count: Uint,
        status: Absent<SpanStatus<'a>>,
    }
    Event { name: Text<'a>, attributes: Absent<Vec<KeyValue<'a>>>, }
    Link { trace_id: Text<'a>, span_id: Text<'a>, flags: Uint, attributes: Absent<Vec<KeyValue<'a>>>, }
    SpanStatus { message: Text<'a>, code: StatusCode, }
    KeyValue { key: Text<'a>, value: Absent<AnyValue<'a>>, }
    AnyValue {
        string_value: Option<Text<'a>>,
        bool_value: Option<bool>,
        int_value: Option<Int>,
        double_value: Option<Double>,
        array_value: Option<ArrayValue<'a>>,
        kvlist_value: Option<KeyValueList<'a>>,
        bytes_value: Option<Base64>,
    }
    ArrayValue { values: Absent<Vec<AnyValue<'a>>>, }
    KeyValueList { values: Absent<Vec<KeyValue<'a>>>, }
}
