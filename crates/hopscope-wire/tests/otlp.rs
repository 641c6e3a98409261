//! Requests in, events out: the rules that are OTLP's own.

use hopscope_model::{SpanId, Stage, Tenant, TraceId};
use hopscope_wire::otlp::{self, ResourceData, SpanData};
use hopscope_wire::{DecodeLimits, Decoded, Kind};

fn decode(spans: Vec<SpanData>) -> Decoded {
    let resource = ResourceData {
        attributes: vec![("service.name".into(), "checkout".into()), ("region".into(), "eu".into())],
        scope: "test".into(),
        spans,
    };
    let bytes = otlp::encode_request(&[resource]);
    otlp::decode_protobuf(&bytes, &Tenant::default(), 7, &DecodeLimits::default()).expect("our own encoding")
}

fn span(kind: Kind, attributes: &[(&str, &str)]) -> SpanData {
    SpanData {
        trace: TraceId([1; 16]),
        span: SpanId([2; 8]),
        name: "send orders".into(),
        kind,
        start_ns: 1_000,
        end_ns: 3_000,
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect(),
        ..SpanData::default()
    }
}

#[test]
fn a_send() {
    let decoded = decode(vec![span(
        Kind::Producer,
        &[
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "orders"),
            ("color", "red"),
        ],
    )]);
    let event = decoded.batch.event(0).to_owned();
    assert_eq!(
        (event.stage, event.destination.as_str(), event.service.as_str()),
        (Stage::Send, "orders", "checkout")
    );
    assert_eq!(event.creation, event.context());
    assert_eq!((event.start_ns, event.duration_ns, event.received_ns), (1_000, Some(2_000), 7));
    let names: Vec<&str> = event.attributes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["color", "region", "otel.scope.name"]);
}

#[test]
fn spans_without_ids_are_rejected_and_the_rest_is_kept() {
    let mut headless = span(Kind::Producer, &[]);
    headless.trace = TraceId::ZERO;
    let decoded = decode(vec![headless, span(Kind::Internal, &[])]);
    assert_eq!((decoded.spans, decoded.rejected.total(), decoded.batch.len()), (2, 1, 1));
    assert_eq!(decoded.rejected.to_string(), "spans rejected: 1 without a valid trace id");
    assert_eq!(decoded.batch.event(0).stage(), Stage::Work);
}

#[test]
fn what_is_not_protobuf_is_refused_with_its_offset() {
    let error = otlp::decode_protobuf(&[10, 200], &Tenant::default(), 0, &DecodeLimits::default());
    let message = error.map(|_| ()).expect_err("cut short").message;
    assert_eq!(message, "malformed protobuf: varint cut short or longer than 64 bits offset=1");
}
