//! Our decoders against the generated types: same bytes, same batch. Against mutated bytes: no panic.

mod generated;

use hopscope_model::{Batch, MessageEvent, Progress, Tenant};
use hopscope_wire::workload::{Random, Workload};
use hopscope_wire::{DecodeLimits, Decoded, fuzz_entry, otlp};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;

/// Everything a batch holds, owned: `f64` by its digits, so that NaN equals itself.
fn contents(batch: &Batch) -> (String, Vec<Progress>) {
    let events: Vec<MessageEvent> = batch.events().map(|event| event.to_owned()).collect();
    (format!("{events:#?}"), batch.progress_owned().collect())
}

fn assert_same(ours: &Decoded, oracle: &Decoded) {
    assert_eq!((ours.spans, ours.rejected), (oracle.spans, oracle.rejected));
    let (ours, oracle) = (contents(&ours.batch), contents(&oracle.batch));
    assert_eq!(ours.1, oracle.1);
    let differs = ours.0.lines().zip(oracle.0.lines()).find(|(ours, oracle)| ours != oracle);
    assert!(ours.0 == oracle.0, "first difference (ours, oracle): {differs:?}");
}

fn check(request: &ExportTraceServiceRequest, limits: &DecodeLimits) {
    let tenant = Tenant::default();
    let bytes = request.encode_to_vec();
    let oracle = generated::decode(&bytes, &tenant, 5, limits).expect("encoded by the same types");
    let ours = otlp::decode_protobuf(&bytes, &tenant, 5, limits).expect("valid");
    assert_same(&ours, &oracle);
    let json = serde_json::to_vec(request).expect("serialisable");
    let ours = otlp::decode_json(&json, &tenant, 5, limits).expect("serialised by the same types");
    assert_same(&ours, &oracle);
}

#[test]
fn same_on_the_workload() {
    let request = generated::structures(&Workload::new(3).request(2_000)).expect("valid");
    check(&request, &DecodeLimits::default());
}

/// Fields may come in any order, although no known encoder makes use of it.
#[test]
fn same_when_resource_and_scope_stand_behind_their_spans() {
    let field = |number: u8, body: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(body.len() as u64, &mut out);
        out.extend_from_slice(body);
        out
    };
    let mut request = generated::structures(&Workload::new(4).request(4)).expect("valid");
    let mut bytes = Vec::new();
    for resource_spans in &mut request.resource_spans {
        let mut late = Vec::new();
        for scope_spans in &resource_spans.scope_spans {
            let spans = scope_spans.spans.iter().flat_map(|span| field(2, &span.encode_to_vec()));
            let scope = scope_spans.scope.as_ref().map(Message::encode_to_vec).unwrap_or_default();
            late.extend(field(2, &spans.chain(field(1, &scope)).collect::<Vec<u8>>()));
        }
        let resource = resource_spans.resource.as_ref().map(Message::encode_to_vec).unwrap_or_default();
        late.extend(field(1, &resource));
        bytes.extend(field(1, &late));
    }
    assert_eq!(generated::structures(&bytes).expect("valid"), request);
    let (tenant, limits) = (Tenant::default(), DecodeLimits::default());
    let ours = otlp::decode_protobuf(&bytes, &tenant, 0, &limits).expect("valid");
    assert_same(&ours, &generated::map(&request, &tenant, 0, &limits));
    assert_eq!(ours.batch.event(0).service(), "checkout");
}

/// Names that mean something, beside some that do not.
const KEYS: [&str; 34] = [
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.operation",
    "messaging.destination.name",
    "messaging.destination",
    "messaging.destination_kind",
    "messaging.destination.partition.id",
    "messaging.kafka.destination.partition",
    "messaging.kafka.offset",
    "messaging.kafka.message.offset",
    "messaging.kafka.message.key",
    "messaging.consumer.group.name",
    "messaging.message.id",
    "messaging.message.conversation_id",
    "messaging.rabbitmq.destination.routing_key",
    "messaging.rabbitmq.queue",
    "messaging.nats.stream",
    "messaging.nats.sequence",
    "messaging.rocketmq.broker.name",
    "messaging.rocketmq.queue.id",
    "messaging.rocketmq.queue.offset",
    "messaging.message.body.size",
    "messaging.url",
    "server.address",
    "server.port",
    "error.type",
    "exception.type",
    "hopscope.keys",
    "hopscope.attempt",
    "hopscope.disposition",
    "hopscope.progress.next",
    "http.request.method",
    "",
];

const TEXTS: [&str; 22] = [
    "",
    "kafka",
    "rabbitmq",
    "nats",
    "rocketmq",
    "send",
    "publish",
    "receive",
    "process",
    "settle",
    "ack",
    "nak",
    "orders",
    "logs:info:audit",
    "info",
    "payment",
    "12",
    "retry",
    "queue",
    "amqp://u:p@h:1/v",
    "订单 \"4711\"\n",
    "a value that is longer than the shortest limit of these tests allows",
];

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        6 => prop::sample::select(&TEXTS[..]).prop_map(|text| Some(Value::StringValue(text.to_owned()))),
        1 => any::<String>().prop_map(|text| Some(Value::StringValue(text))),
        2 => (0i64..20).prop_map(|number| Some(Value::IntValue(number))),
        1 => any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        1 => any::<bool>().prop_map(|truth| Some(Value::BoolValue(truth))),
        1 => prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(0.5)]
            .prop_filter("the generated types write those as null", |number| number.is_finite())
            .prop_map(|number| Some(Value::DoubleValue(number))),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3);
        let map = prop::collection::vec((prop::sample::select(&KEYS[..]), inner), 0..3);
        prop_oneof![
            list.prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            map.prop_map(|pairs| Value::KvlistValue(KeyValueList {
                values: pairs.into_iter().map(|(key, value)| key_value(key, value)).collect()
            })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn key_value(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn attributes(most: usize) -> impl Strategy<Value = Vec<KeyValue>> {
    let one = (prop::sample::select(&KEYS[..]), any_value());
    prop::collection::vec(one, 0..most)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| key_value(key, value)).collect())
}

/// Mostly valid, of few values, so that spans meet their parents.
fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => (1u8..5).prop_map(move |byte| vec![byte; length]),
        1 => Just(vec![0; length]),
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn flags() -> impl Strategy<Value = u32> {
    prop::sample::select(&[0u32, 1, 0x100, 0x301, u32::MAX][..])
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1_795_000_000_000_000_000u64..1_795_000_000_000_001_000,
        1 => prop::sample::select(&[0u64, 1, 7_258_118_400_000_000_000, i64::MAX as u64, u64::MAX][..]),
    ]
}

fn link() -> impl Strategy<Value = Link> {
    (id(16), id(8), attributes(4), flags()).prop_map(|(trace_id, span_id, attributes, flags)| Link {
        trace_id,
        span_id,
        attributes,
        flags,
        ..Link::default()
    })
}

fn event() -> impl Strategy<Value = Event> {
    (prop::sample::select(&["exception", "log"][..]), attributes(3), any_value()).prop_map(
        |(name, mut attributes, value)| {
            attributes.push(key_value("exception.message", value));
            Event { name: name.to_owned(), attributes, ..Event::default() }
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), id(8), flags());
    let times = (time(), time());
    let lists = (attributes(12), prop::collection::vec(link(), 0..4), prop::collection::vec(event(), 0..3));
    let status = prop::option::of((0i32..4, prop::sample::select(&TEXTS[..])));
    let dropped = (prop::sample::select(&[0u32, 0, 3][..]), prop::sample::select(&[0u32, 0, 3][..]));
    let rest =
        (0i32..7, prop::sample::select(&TEXTS[..]), prop::sample::select(&["", "a=b"][..]), status, dropped);
    (ids, times, lists, rest).prop_map(|(ids, times, lists, rest)| Span {
        trace_id: ids.0,
        span_id: ids.1,
        parent_span_id: ids.2,
        flags: ids.3,
        start_time_unix_nano: times.0,
        end_time_unix_nano: times.1,
        attributes: lists.0,
        links: lists.1,
        events: lists.2,
        kind: rest.0,
        name: rest.1.to_owned(),
        trace_state: rest.2.to_owned(),
        status: rest.3.map(|(code, message)| Status { code, message: message.to_owned() }),
        dropped_attributes_count: rest.4.0,
        dropped_links_count: rest.4.1,
        ..Span::default()
    })
}

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = prop::option::of(prop::sample::select(&TEXTS[..]));
    let scope_spans = (scope, prop::collection::vec(span(), 0..5)).prop_map(|(scope, spans)| ScopeSpans {
        scope: scope.map(|name| InstrumentationScope { name: name.to_owned(), ..Default::default() }),
        spans,
        ..ScopeSpans::default()
    });
    let resource = prop::option::of((attributes(4), any_value())).prop_map(|resource| {
        resource.map(|(mut attributes, name)| {
            attributes.push(key_value("service.name", name));
            Resource { attributes, ..Resource::default() }
        })
    });
    let resource_spans =
        (resource, prop::collection::vec(scope_spans, 0..3)).prop_map(|(resource, scope_spans)| {
            ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
        });
    prop::collection::vec(resource_spans, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// Small enough for random requests to run into every one of them.
const TIGHT: DecodeLimits = DecodeLimits {
    spans_max: 9,
    events_max: 12,
    points_max: 9,
    buckets_per_point_max: 8,
    attributes_per_span_max: 5,
    attribute_bytes_max: 16,
    links_per_span_max: 2,
    nesting_max: 1,
    json_objects_max: usize::MAX,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn same_on_random_requests(request in request()) {
        check(&request, &DecodeLimits::default());
        check(&request, &TIGHT);
    }
}

/// Bytes that were valid until some of them were changed, cut out or doubled.
fn mutated(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1) as u64) as usize;
        let end = (at + 1 + random.below(8) as usize).min(bytes.len());
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.bits() as u8),
        }
    }
    bytes
}

/// What the fuzz target runs, on stable: 20,000 mutations of valid requests, half protobuf, half JSON. A seed
/// given in `HOPSCOPE_SEED` is run again.
#[test]
fn mutate() {
    let seed = std::env::var("HOPSCOPE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    println!("HOPSCOPE_SEED={seed}");
    let mut random = Random::new(seed);
    let protobuf = Workload::new(seed).request(4);
    let json = serde_json::to_vec(&generated::structures(&protobuf).expect("valid")).expect("serialisable");
    let (mut refused, tenant, limits) = (0, Tenant::default(), DecodeLimits::default());
    for round in 0..20_000 {
        let bytes = mutated(if round % 2 == 0 { &protobuf } else { &json }, &mut random);
        fuzz_entry(&bytes);
        // Generated types are the stricter ones: what they accept, we do.
        let ours = otlp::decode_protobuf(&bytes, &tenant, 0, &limits);
        refused += u32::from(ours.is_err());
        if generated::structures(&bytes).is_ok() {
            assert!(ours.is_ok(), "round={round} bytes={bytes:02x?}");
        }
    }
    assert!((5_000..19_900).contains(&refused), "mutations do not reach both sides: refused={refused}");
}
