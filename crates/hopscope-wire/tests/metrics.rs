//! Metrics requests, built with OpenTelemetry's own types and read in protobuf and in JSON.

use hopscope_model::{Measure, Outcome, Quantile, Spread, Stage, Tally, Temporality, Tenant};
use hopscope_wire::otlp::{
    AnyValue, MetricData, PointData, ResourceMetricsData, decode_metrics_json, decode_metrics_protobuf,
    encode_metrics_request,
};
use hopscope_wire::{DecodeLimits, DecodedMetrics, NotKept};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

const START: u64 = 1_795_243_117_000_000_000;
const AT: u64 = START + 60_000_000_000;
const CUMULATIVE: i32 = 2;
const DELTA: i32 = 1;

fn text(key: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    let value = opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn kafka(more: &[(&str, &str)]) -> Vec<KeyValue> {
    let base = [("messaging.system", "kafka"), ("messaging.destination.name", "orders")];
    base.iter().chain(more).map(|(key, value)| text(key, value)).collect()
}

fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let attributes = vec![text("service.name", "checkout"), text("service.instance.id", "checkout-1")];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope { name: "test".into(), ..Default::default() }),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn point(count: i64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: START,
        time_unix_nano: AT,
        value: Some(number_data_point::Value::AsInt(count)),
        ..NumberDataPoint::default()
    }
}

fn sum(name: &str, temporality: i32, data_points: Vec<NumberDataPoint>) -> Metric {
    let sum = Sum { data_points, aggregation_temporality: temporality, is_monotonic: true };
    metric(name, "{message}", Data::Sum(sum))
}

fn durations(attributes: Vec<KeyValue>, bounds: &[f64], counts: &[u64]) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: START,
        time_unix_nano: AT,
        count: counts.iter().sum(),
        sum: Some(1.5),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn histogram(name: &str, unit: &str, point: HistogramDataPoint) -> Metric {
    let data = Histogram { data_points: vec![point], aggregation_temporality: CUMULATIVE };
    metric(name, unit, Data::Histogram(data))
}

/// Both encodings must mean the same.
fn decode_with(request: &ExportMetricsServiceRequest, limits: &DecodeLimits) -> DecodedMetrics {
    let tenant = Tenant::default();
    let json = serde_json::to_vec(request).expect("JSON");
    let json = decode_metrics_json(&json, &tenant, 5, limits).expect("readable JSON");
    let bytes = request.encode_to_vec();
    let protobuf = decode_metrics_protobuf(&bytes, &tenant, 5, limits).expect("readable protobuf");
    let tallies = |decoded: &DecodedMetrics| decoded.batch.tallies_owned().collect::<Vec<_>>();
    assert_eq!(tallies(&json), tallies(&protobuf));
    assert_eq!((json.points, json.not_kept), (protobuf.points, protobuf.not_kept));
    protobuf
}

fn tallies(metrics: Vec<Metric>) -> Vec<Tally> {
    let decoded = decode_with(&request(metrics), &DecodeLimits::default());
    assert_eq!(decoded.not_kept, NotKept::default());
    decoded.batch.tallies_owned().collect()
}

#[test]
fn a_counter_of_the_conventions() {
    let attributes = kafka(&[
        ("messaging.operation.name", "send"),
        ("messaging.destination.partition.id", "3"),
        ("error.type", "timeout"),
    ]);
    let metric = sum("messaging.client.sent.messages", CUMULATIVE, vec![point(41, attributes)]);
    let [tally] = tallies(vec![metric]).try_into().expect("one");
    let expected = Tally {
        measure: Measure::Messages,
        metric: "messaging.client.sent.messages".into(),
        detail: String::new(),
        system: "kafka".into(),
        cluster: String::new(),
        destination: "orders".into(),
        lane: "3".into(),
        group: String::new(),
        service: "checkout".into(),
        instance: "checkout-1".into(),
        stage: Stage::Send,
        outcome: Outcome::Failed { reason: "timeout".into() },
        series: tally.series,
        temporality: Temporality::Cumulative,
        start_ns: START.cast_signed(),
        at_ns: AT.cast_signed(),
        count: 41,
        spread: None,
    };
    assert_eq!(tally, expected);
}

#[test]
fn every_generation_says_the_same() {
    let group = [("messaging.consumer.group.name", "payment")];
    for (name, measure, stage) in [
        ("messaging.client.sent.messages", Measure::Messages, Stage::Send),
        ("messaging.client.published.messages", Measure::Messages, Stage::Send),
        ("messaging.publish.messages", Measure::Messages, Stage::Send),
        ("messaging.client.consumed.messages", Measure::Messages, Stage::Receive),
        ("messaging.receive.messages", Measure::Messages, Stage::Receive),
        ("messaging.process.messages", Measure::Messages, Stage::Process),
        ("messaging.deliver.messages", Measure::Messages, Stage::Process),
        ("messaging.settle.messages", Measure::Messages, Stage::Settle),
        ("hopscope.messaging.context", Measure::Context, Stage::Receive),
    ] {
        let [tally] = tallies(vec![sum(name, DELTA, vec![point(1, kafka(&group))])]).try_into().expect("one");
        assert_eq!((tally.measure, tally.stage, tally.temporality), (measure, stage, Temporality::Delta));
        assert_eq!(tally.group, if stage == Stage::Send { "" } else { "payment" }, "{name}");
    }
    for (name, operation, measure, stage) in [
        ("messaging.client.operation.duration", "send", Measure::Duration, Stage::Send),
        ("messaging.client.operation.duration", "receive", Measure::Duration, Stage::Receive),
        ("messaging.client.operation.duration", "settle", Measure::Duration, Stage::Settle),
        ("messaging.process.duration", "process", Measure::Duration, Stage::Process),
        ("messaging.deliver.duration", "", Measure::Duration, Stage::Process),
        ("messaging.publish.duration", "", Measure::Duration, Stage::Send),
        ("hopscope.messaging.queue.duration", "", Measure::Queue, Stage::Receive),
        ("hopscope.messaging.attempts", "", Measure::Attempts, Stage::Receive),
    ] {
        let attributes = kafka(&[("messaging.operation.type", operation)]);
        let metric = histogram(name, "s", durations(attributes, &[1.0], &[1, 0]));
        let [tally] = tallies(vec![metric]).try_into().expect("one");
        assert_eq!((tally.measure, tally.stage), (measure, stage), "{name} {operation}");
    }
}

#[test]
fn a_histogram_in_any_unit_is_ns() {
    let expected = Spread {
        sum: Some(1_500_000_000),
        buckets: vec![(5_000_000, 3), (25_000_000, 4)],
        over: 2,
        over_from: 50_000_000,
    };
    for (unit, factor) in [("s", 1.0), ("ms", 1e3), ("us", 1e6)] {
        let bounds = [0.005, 0.01, 0.025, 0.05].map(|bound| bound * factor);
        let mut point = durations(kafka(&[]), &bounds, &[3, 0, 4, 0, 2]);
        point.sum = Some(1.5 * factor);
        let [tally] =
            tallies(vec![histogram("messaging.process.duration", unit, point)]).try_into().expect("one");
        assert_eq!((tally.count, tally.spread.as_ref()), (9, Some(&expected)), "{unit}");
        assert_eq!(expected.quantile(990), Some(Quantile::MoreThan(50_000_000)));
    }
}

#[test]
fn a_layout_that_is_none_keeps_the_count() {
    for (bounds, counts) in [
        (&[0.005, 0.005][..], &[1, 1, 1][..]),
        (&[0.01, 0.005], &[1, 1, 1]),
        (&[0.005], &[1, 1, 1]),
        (&[], &[]),
        (&[f64::NAN], &[1, 2]),
    ] {
        let mut point = durations(kafka(&[]), bounds, counts);
        point.count = 3;
        point.sum = Some(f64::NAN);
        let [tally] =
            tallies(vec![histogram("messaging.process.duration", "s", point)]).try_into().expect("one");
        let spread = tally.spread.expect("a histogram");
        assert_eq!((tally.count, spread.sum), (3, None), "{bounds:?}");
        assert!(matches!(spread.count(), 0 | 3), "all of it or nothing: {spread:?}");
    }
}

#[test]
fn an_exponential_histogram_has_bounds_too() {
    let point = ExponentialHistogramDataPoint {
        attributes: kafka(&[]),
        start_time_unix_nano: START,
        time_unix_nano: AT,
        count: 10,
        sum: Some(7.0),
        scale: 1,
        zero_count: 1,
        positive: Some(Buckets { offset: -3, bucket_counts: vec![2, 0, 3, 4] }),
        zero_threshold: 0.001,
        ..ExponentialHistogramDataPoint::default()
    };
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: DELTA };
    let metric = metric("messaging.process.duration", "s", Data::ExponentialHistogram(data));
    let [tally] = tallies(vec![metric]).try_into().expect("one");
    // 2^((-3 + i + 1) / 2) seconds.
    let buckets = vec![(1_000_000, 1), (500_000_000, 2), (1_000_000_000, 3), (1_414_213_562, 4)];
    assert_eq!(tally.spread, Some(Spread { sum: Some(7_000_000_000), buckets, over: 0, over_from: 0 }));
}

#[test]
fn a_series_is_its_resource_scope_metric_and_attributes_in_any_order() {
    let series = |service: &str, name: &str, attributes: Vec<KeyValue>| {
        let mut request = request(vec![sum(name, CUMULATIVE, vec![point(1, attributes)])]);
        let resource = request.resource_metrics[0].resource.as_mut().expect("set");
        resource.attributes[0] = text("service.name", service);
        let decoded = decode_with(&request, &DecodeLimits::default());
        decoded.batch.tallies()[0].series
    };
    let name = "messaging.client.sent.messages";
    let base = series("a", name, kafka(&[("x", "1")]));
    let mut turned = kafka(&[("x", "1")]);
    turned.reverse();
    assert_eq!(series("a", name, turned), base);
    assert_ne!(series("b", name, kafka(&[("x", "1")])), base);
    assert_ne!(series("a", name, kafka(&[("x", "2")])), base, "also what is not kept tells series apart");
    assert_ne!(series("a", "messaging.publish.messages", kafka(&[("x", "1")])), base);
}

#[test]
fn what_the_sdk_says_of_itself() {
    let queued = vec![point(7, vec![text("state", "queued")])];
    let gauge = metric("hopscope.sdk.queue.bytes", "By", Data::Gauge(Gauge { data_points: queued }));
    let dropped = sum("hopscope.sdk.spans", CUMULATIVE, vec![point(2, vec![text("state", "dropped")])]);
    let found = tallies(vec![gauge, dropped]);
    let told: Vec<(&str, &str, Temporality, u64)> = found
        .iter()
        .map(|tally| (tally.metric.as_str(), tally.detail.as_str(), tally.temporality, tally.count))
        .collect();
    let expected = [
        ("hopscope.sdk.queue.bytes", "queued", Temporality::Level, 7),
        ("hopscope.sdk.spans", "dropped", Temporality::Cumulative, 2),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_not_kept_is_counted_by_reason() {
    let name = "messaging.client.sent.messages";
    let ended = NumberDataPoint { flags: 1, ..point(1, kafka(&[])) };
    let timeless = NumberDataPoint { time_unix_nano: 0, ..point(1, kafka(&[])) };
    let empty = NumberDataPoint { value: None, ..point(1, kafka(&[])) };
    let falling =
        Sum { data_points: vec![point(1, kafka(&[]))], aggregation_temporality: 2, is_monotonic: false };
    let summary = Summary { data_points: vec![SummaryDataPoint::default()] };
    let request = request(vec![
        sum("http.server.requests", CUMULATIVE, vec![point(1, Vec::new()), point(2, Vec::new())]),
        metric(name, "", Data::Summary(summary)),
        metric(name, "", Data::Sum(falling)),
        sum(name, 0, vec![point(1, kafka(&[]))]),
        sum(name, CUMULATIVE, vec![ended, timeless, empty, point(-1, kafka(&[])), point(1, kafka(&[]))]),
    ]);
    let decoded = decode_with(&request, &DecodeLimits::default());
    let expected = NotKept { other_metric: 3, no_value: 1, invalid: 5, over_limit: 0 };
    assert_eq!((decoded.not_kept, decoded.batch.tallies().len(), decoded.points), (expected, 1, 10));
    let limits = DecodeLimits { points_max: 1, ..DecodeLimits::default() };
    let many = (0..3).map(|count| point(count, kafka(&[]))).collect();
    let decoded = decode_with(&counters(name, many), &limits);
    assert_eq!((decoded.not_kept.over_limit, decoded.batch.tallies().len()), (2, 1));
}

fn counters(name: &str, points: Vec<NumberDataPoint>) -> ExportMetricsServiceRequest {
    request(vec![sum(name, CUMULATIVE, points)])
}

#[test]
fn our_encoder_writes_what_others_read() {
    let point = PointData {
        attributes: vec![("messaging.system".into(), AnyValue::from("kafka"))],
        start_ns: START,
        at_ns: AT,
        count: 3,
        sum: 0.5,
        buckets: vec![1, 2],
    };
    let metric = |name: &str, bounds: Vec<f64>| MetricData {
        name: name.into(),
        unit: "s".into(),
        delta: false,
        bounds,
        points: vec![point.clone()],
    };
    let bytes = encode_metrics_request(&[ResourceMetricsData {
        attributes: vec![("service.name".into(), AnyValue::from("checkout"))],
        scope: "demo".into(),
        metrics: vec![
            metric("messaging.client.sent.messages", Vec::new()),
            metric("messaging.process.duration", vec![0.005]),
        ],
    }]);
    let read = ExportMetricsServiceRequest::decode(&bytes[..]).expect("protobuf");
    let found: Vec<Tally> = decode_with(&read, &DecodeLimits::default()).batch.tallies_owned().collect();
    assert_eq!(found.iter().map(|tally| tally.count).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(
        found[1].spread.as_ref().map(|spread| (spread.buckets.clone(), spread.over)),
        Some((vec![(5_000_000, 1)], 2))
    );
}

#[test]
fn no_cut_and_no_flip_panics() {
    let metrics = vec![
        sum("messaging.client.sent.messages", CUMULATIVE, vec![point(1, kafka(&[]))]),
        histogram("messaging.process.duration", "s", durations(kafka(&[]), &[0.005], &[1, 2])),
    ];
    let bytes = request(metrics).encode_to_vec();
    let limits = DecodeLimits::default();
    for at in 0..bytes.len() {
        let _ = decode_metrics_protobuf(&bytes[..at], &Tenant::default(), 5, &limits);
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            hopscope_wire::fuzz_entry(&bad);
        }
    }
}
