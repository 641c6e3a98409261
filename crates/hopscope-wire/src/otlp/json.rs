//! `ExportTraceServiceRequest` in OTLP/JSON: ids in hexadecimal digits, 64-bit numbers as text or digits,
//! enumerations as number or name, bytes in base64, unknown fields ignored, `null` as absent.

use super::{DecodeLimits, Decoded};
use crate::Error;
use crate::json_text;
use crate::mapper::{Mapper, Scope};
use crate::span::{Attributes, Kind, Raw, SpanView, Status};
use hopscope_model::{Source, SpanContext, SpanId, Tenant, TraceId};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Unexpected, Visitor};
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
    // Everything that takes memory is an object, and `{}` is short: this bounds what the structures below take.
    let objects = bytes.iter().filter(|byte| **byte == b'{').count();
    if objects > limits.json_objects_max {
        let message = "too many objects in one JSON request, send fewer spans at a time";
        let max = limits.json_objects_max;
        return Err(Error::invalid(format!("{message}: objects={objects} objects_max={max}")));
    }
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

/// `null` is the default, as the JSON mapping of protobuf wants it.
#[derive(Default)]
struct Absent<T>(T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Absent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| Self(value.unwrap_or_default()))
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

impl<T> std::ops::Deref for Absent<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Text, borrowed from the input where it has no escapes.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);
/// `uint64`, `fixed64`, `uint32`.
#[derive(Default)]
struct Uint(u64);
/// `int64`.
struct Int(i64);
/// `double`.
struct Double(f64);
/// `bytes` outside of ids.
struct Base64(Vec<u8>);
/// `SpanKind`.
#[derive(Default)]
struct SpanKind(Kind);
/// `StatusCode`.
#[derive(Default)]
struct StatusCode(Status);

/// What a scalar of the JSON mapping may be written as.
enum Scalar<'a> {
    Null,
    Text(Cow<'a, str>),
    Signed(i64),
    Unsigned(u64),
    Double(f64),
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a number")
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Null)
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Signed(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Unsigned(number))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Double(number))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

macro_rules! scalar {
    ($ty:ty, $expected:literal, |$scalar:ident| $value:expr) => {
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let $scalar = Scalar::deserialize(deserializer)?;
                let value = $value;
                value.ok_or_else(|| D::Error::invalid_value(Unexpected::Other("another value"), &$expected))
            }
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => Ok(Self(text)),
            Scalar::Null => Ok(Self::default()),
            _ => Err(D::Error::invalid_type(Unexpected::Other("a number"), &"text")),
        }
    }
}

scalar!(Uint, "an unsigned 64-bit integer, as digits or as text", |scalar| match scalar {
    Scalar::Null => Some(Self(0)),
    Scalar::Text(text) => text.parse().ok().map(Self),
    Scalar::Unsigned(number) => Some(Self(number)),
    Scalar::Signed(number) => u64::try_from(number).ok().map(Self),
    // `1e18` is an integer; a float of 2^53 or more lost its last digits at the sender.
    Scalar::Double(number) =>
        (number.fract() == 0.0 && (0.0..1.8e19).contains(&number)).then_some(Self(number as u64)),
});

scalar!(Int, "a 64-bit integer, as digits or as text", |scalar| match scalar {
    Scalar::Null => Some(Self(0)),
    Scalar::Text(text) => text.parse().ok().map(Self),
    Scalar::Unsigned(number) => i64::try_from(number).ok().map(Self),
    Scalar::Signed(number) => Some(Self(number)),
    Scalar::Double(number) => (number.fract() == 0.0 && number.abs() < 9.2e18).then_some(Self(number as i64)),
});

scalar!(Double, "a number, or its name as text", |scalar| match scalar {
    Scalar::Null => Some(Self(0.0)),
    Scalar::Text(text) => match text.as_ref() {
        "NaN" => Some(Self(f64::NAN)),
        "Infinity" => Some(Self(f64::INFINITY)),
        "-Infinity" => Some(Self(f64::NEG_INFINITY)),
        text => text.parse().ok().map(Self),
    },
    Scalar::Unsigned(number) => Some(Self(number as f64)),
    Scalar::Signed(number) => Some(Self(number as f64)),
    Scalar::Double(number) => Some(Self(number)),
});

scalar!(Base64, "base64", |scalar| match scalar {
    Scalar::Null => Some(Self(Vec::new())),
    Scalar::Text(text) => base64(&text).map(Self),
    _ => None,
});

scalar!(SpanKind, "a span kind", |scalar| match scalar {
    Scalar::Null => Some(Self::default()),
    Scalar::Text(name) => Some(Self(Kind::from_number(match name.as_ref() {
        "SPAN_KIND_INTERNAL" => 1,
        "SPAN_KIND_SERVER" => 2,
        "SPAN_KIND_CLIENT" => 3,
        "SPAN_KIND_PRODUCER" => 4,
        "SPAN_KIND_CONSUMER" => 5,
        digits => digits.parse().unwrap_or_default(),
    }))),
    Scalar::Unsigned(number) => Some(Self(Kind::from_number(number.min(99) as i64))),
    Scalar::Signed(number) => Some(Self(Kind::from_number(number))),
    Scalar::Double(_) => None,
});

scalar!(StatusCode, "a status code", |scalar| {
    let status = |number: u64| {
        Some(Self(match number {
            1 => Status::Ok,
            2 => Status::Error,
            _ => Status::Unset,
        }))
    };
    match scalar {
        Scalar::Null | Scalar::Signed(_) => status(0),
        Scalar::Text(name) => match name.as_ref() {
            "STATUS_CODE_OK" => status(1),
            "STATUS_CODE_ERROR" => status(2),
            digits => status(digits.parse().unwrap_or_default()),
        },
        Scalar::Unsigned(number) => status(number),
        Scalar::Double(_) => None,
    }
});

/// Both alphabets, padded or not, as the JSON mapping of protobuf wants it.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut bits = 0u32;
        for &digit in chunk {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - chunk.len() as u32);
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(bytes.get(1..chunk.len()).filter(|_| chunk.len() > 1)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_both_alphabets() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("aGk=", Some(b"hi")),
            ("aGk", Some(b"hi")),
            ("+/-_", Some(&[0xfb, 0xff, 0xbf])),
            ("AAAA", Some(&[0, 0, 0])),
            ("a", None),
            ("a b=", None),
        ] {
            assert_eq!(base64(text).as_deref(), bytes, "{text}");
        }
    }
}
