//! What is written here is what OpenTelemetry's own types read.

use super::*;
use crate::export::envelope::{Envelope, OWN_SCOPE};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, TraceFlags, TraceId, TraceState, Tracer, TracerProvider as _,
};
use opentelemetry::{StringValue, trace::SpanBuilder};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Decoded;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue as DecodedPair};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use proptest::prelude::*;
use prost::Message;

fn decoded(value: Value<'_>) -> AnyValue {
    let text = |text: &str| Decoded::StringValue(text.to_owned());
    let value = match value {
        Value::Text(value) => text(value),
        Value::Int(value) => Decoded::IntValue(value),
        Value::Bool(value) => Decoded::BoolValue(value),
        Value::Double(value) => Decoded::DoubleValue(value),
        Value::Texts(values) => {
            let values = values.iter().map(|value| AnyValue { value: Some(text(value)) }).collect();
            Decoded::ArrayValue(ArrayValue { values })
        }
    };
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: Value<'_>) -> DecodedPair {
    DecodedPair { key: key.to_owned(), value: Some(decoded(value)), ..DecodedPair::default() }
}

proptest! {
    #[test]
    fn a_span_is_read_as_it_was_written(
        trace in any::<[u8; 16]>(),
        id in any::<[u8; 8]>(),
        parent in any::<Option<[u8; 8]>>(),
        flags in any::<u32>(),
        (start, end) in any::<(u64, u64)>(),
        (operation, destination, state) in ("[a-z]{1,9}", ".{0,300}", "[a-z=1]{0,20}"),
        attributes in prop::collection::vec(("[a-z.]{1,9}", ".{0,200}", any::<i64>(), any::<f64>(), any::<bool>()), 0..9),
        message in ".{0,200}",
        links in 0_usize..9,
    ) {
        let mut bytes = vec![];
        let mut span = SpanWriter::new(&mut bytes);
        span.ids(trace, id, parent, flags, &state);
        span.name(&operation, &destination);
        span.kind(&SpanKind::Producer);
        span.times(start, end);
        let mut expected = Vec::new();
        for (key, text, int, double, truth) in &attributes {
            let double = if double.is_nan() { 0.0 } else { *double };
            let texts = [text.as_str(), ""];
            let values = [Value::Text(text), Value::Int(*int), Value::Double(double), Value::Bool(*truth), Value::Texts(&texts)];
            for value in values {
                span.attribute(key, value);
                expected.push(pair(key, value));
            }
        }
        for _ in 0..links {
            span.link(trace, id, flags, &state, &mut |link| {
                attributes.iter().for_each(|(key, text, ..)| link.attribute(key, Value::Text(text)));
            });
        }
        span.failed(&message);

        let read = Span::decode(bytes.as_slice()).expect("a span");
        prop_assert_eq!((read.trace_id, read.span_id), (trace.to_vec(), id.to_vec()));
        prop_assert_eq!(read.parent_span_id, parent.map_or_else(Vec::new, |parent| parent.to_vec()));
        prop_assert_eq!((read.flags, &read.trace_state), (flags, &state));
        let name = if destination.is_empty() { operation } else { format!("{operation} {destination}") };
        prop_assert_eq!((read.name, read.kind), (name, 4));
        prop_assert_eq!((read.start_time_unix_nano, read.end_time_unix_nano), (start, end));
        prop_assert_eq!(read.attributes, expected);
        prop_assert_eq!(read.links.len(), links);
        for link in read.links {
            prop_assert_eq!((link.trace_id, link.span_id), (trace.to_vec(), id.to_vec()));
            prop_assert_eq!((link.flags, &link.trace_state), (flags, &state));
            let of_link: Vec<_> = attributes.iter().map(|(key, text, ..)| pair(key, Value::Text(text))).collect();
            prop_assert_eq!(link.attributes, of_link);
        }
        let status = read.status.expect("a status");
        prop_assert_eq!((status.code, status.message), (StatusCode::Error as i32, message));
    }
}

#[test]
fn a_span_of_the_applications_is_read_as_it_was_made() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let texts = vec![StringValue::from("a"), StringValue::from("b")];
    let to = SpanContext::new(
        TraceId::from(5_u128),
        SpanId::from(6_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::from_key_value([("k", "v")]).expect("a state"),
    );
    let span = SpanBuilder::from_name("work")
        .with_kind(SpanKind::Server)
        .with_start_time(UNIX_EPOCH + std::time::Duration::from_nanos(1234))
        .with_attributes([
            KeyValue::new("texts", opentelemetry::Value::Array(Array::String(texts))),
            KeyValue::new("numbers", opentelemetry::Value::Array(Array::I64(vec![1, -1]))),
        ])
        .with_events(vec![Event::new("tried", UNIX_EPOCH, vec![KeyValue::new("number", 2)], 0)])
        .with_links(vec![Link::new(to, vec![KeyValue::new("is", true)], 0)]);
    let mut span = provider.tracer("app").build(span);
    span.set_status(Status::error("broken"));
    drop(span);
    let data = exporter.get_finished_spans().expect("spans").remove(0);

    let mut bytes = Vec::new();
    write_span_data(&mut bytes, &data);
    let read = Span::decode(bytes.as_slice()).expect("a span");
    assert_eq!(read.trace_id, data.span_context.trace_id().to_bytes());
    assert_eq!((read.name.as_str(), read.kind, read.start_time_unix_nano), ("work", 2, 1234));
    assert_eq!(read.parent_span_id, [0; 0], "none");
    let number = |value| AnyValue { value: Some(Decoded::IntValue(value)) };
    let numbers = Decoded::ArrayValue(ArrayValue { values: vec![number(1), number(-1)] });
    assert_eq!(read.attributes[0], pair("texts", Value::Texts(&["a", "b"])));
    assert_eq!(read.attributes[1].value, Some(AnyValue { value: Some(numbers) }));
    assert_eq!(read.events[0].name, "tried");
    assert_eq!(read.events[0].attributes, [pair("number", Value::Int(2))]);
    assert_eq!((read.links[0].trace_state.as_str(), read.links[0].flags), ("k=v", 0x301));
    assert_eq!(read.links[0].attributes, [pair("is", Value::Bool(true))]);
    assert_eq!(read.status.map(|status| (status.code, status.message)), Some((2, "broken".into())));
}

#[test]
fn a_request_groups_spans_by_scope() {
    let envelope = Envelope::new(&[KeyValue::new("service.name", "checkout")]);
    let app = InstrumentationScope::builder("app").with_version("2").build();
    let app = envelope.scope(&app);
    let span = |number: u64| {
        let mut bytes = Vec::new();
        SpanWriter::new(&mut bytes).times(number, number);
        bytes
    };
    let spans = [(OWN_SCOPE, span(1)), (app, span(2)), (OWN_SCOPE, span(3)), (u32::MAX, span(4))];
    let mut bytes = Vec::new();
    envelope.write_traces(&mut bytes, spans.iter().map(|(scope, span)| (*scope, span.as_slice())));
    let request = ExportTraceServiceRequest::decode(bytes.as_slice()).expect("a request");
    let [of_resource] = request.resource_spans.as_slice() else { panic!("one resource") };
    let resource = of_resource.resource.as_ref().expect("a resource");
    assert_eq!(resource.attributes, [pair("service.name", Value::Text("checkout"))]);
    let read: Vec<_> = of_resource
        .scope_spans
        .iter()
        .map(|scope| {
            let name = scope.scope.as_ref().expect("a scope").name.as_str();
            (name, scope.spans.iter().map(|span| span.start_time_unix_nano).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(read, [("hopscope", vec![1, 3]), ("app", vec![2]), ("", vec![4])]);
}
