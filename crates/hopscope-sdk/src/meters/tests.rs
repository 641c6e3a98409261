//! The numbers that leave, on both ways, decoded by OpenTelemetry's own types.

use super::{
    Collector, Contexts, Ending, Lane, LaneKey, Limits, Meters, OperationType, SdkState, Temporality,
};
use crate::export::queue::Counts;
use crate::{Place, Server};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue as ProtoKeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, metric, number_data_point};
use opentelemetry_sdk::metrics::{InMemoryMetricExporterBuilder, PeriodicReader, SdkMeterProvider};
use prost::Message;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

const MS: u64 = 1_000_000;

fn kafka<'a>(topic: &'a str, group: &'a str) -> LaneKey<'a> {
    let place = Place::Kafka { topic, partition: Some(3), offset: Some(7) };
    let server = Some(Server { address: "b1", port: 9092 });
    LaneKey { group, server, ..LaneKey::of(place) }
}

/// One of everything, and some of it twice.
fn record_everything(meters: &Meters) {
    let producer = meters.lane(&kafka("orders", ""));
    producer.sent("send", 2 * MS, Ending::Ok);
    producer.sent("send", 5 * MS, Ending::Ok);
    producer.sent("send", 5 * MS + 1, Ending::Failed("MESSAGE_TOO_LARGE"));
    producer.sent("send", 6 * MS, Ending::Unknown);
    producer.timed(OperationType::Send, "send_batch", 30 * MS, Ending::Ok);
    producer.sent_in_batch("send_batch", 7, Ending::Ok);
    producer.sent_in_batch("send_batch", 2, Ending::Failed("TIMEOUT"));
    producer.sent_in_batch("send_batch", 1, Ending::Failed("QUEUE_FULL"));
    producer.sent_in_batch("send_batch", 1, Ending::Unknown);
    let consumer = meters.lane(&kafka("orders", "payment"));
    consumer.received("poll", Contexts { found: 3, missing: 2, broken: 1 });
    consumer.received("poll", Contexts::FOUND);
    consumer.timed(OperationType::Receive, "poll", MS, Ending::Ok);
    consumer.timed(OperationType::Receive, "poll", 20_000 * MS, Ending::Failed("BROKER_DOWN"));
    consumer.timed(OperationType::Process, "process", 100 * MS, Ending::Ok);
    consumer.timed(OperationType::Process, "process", 110 * MS, Ending::Failed("panic"));
    consumer.timed(OperationType::Process, "process", 120 * MS, Ending::Unknown);
    consumer.timed(OperationType::Settle, "commit", 3 * MS, Ending::Ok);
    consumer.timed(OperationType::Settle, "commit", 3 * MS, Ending::Failed("REBALANCE"));
    consumer.waited(250 * MS as i64);
    consumer.waited(-1);
    consumer.waited(3 * 86_400_000 * MS as i64);
    [1, 1, 2, 17, 1000].into_iter().for_each(|attempt| consumer.attempt(attempt));
    let places = [
        Place::Nats { subject: "in" },
        Place::JetStream { subject: "orders.new", stream: "ORDERS", sequence: Some(9) },
        Place::RabbitMq { exchange: "", routing_key: "a.b", queue: "work", stream_offset: None },
        Place::RocketMq { topic: "%RETRY%g", logical_topic: "t", broker: "a", queue: Some(2), offset: None },
    ];
    for place in places {
        meters.lane(&LaneKey::of(place)).received("receive", Contexts::MISSING);
        let template = LaneKey { template: "t.{id}", ..LaneKey::of(place) };
        meters.lane(&template).received("receive", Contexts::BROKEN);
    }
}

/// What a series says, without its times.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    count: u64,
    sum: f64,
    /// Of a histogram.
    spread: Option<Spread>,
}

#[derive(Clone, Debug, PartialEq)]
struct Spread {
    bounds: Vec<f64>,
    counts: Vec<u64>,
    min: Option<f64>,
    max: Option<f64>,
}

type Series = BTreeMap<String, Point>;

/// Name, unit, temporality and attributes of each series, and what it says; sums of distributions apart from the last
/// digits, which hang on the order of the additions.
fn series(requests: &[ExportMetricsServiceRequest]) -> Series {
    let mut out = Series::new();
    for request in requests {
        let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        for of in scopes.flat_map(|scope| &scope.metrics) {
            let head = format!("{} {} {}", of.name, of.unit, of.description.len());
            let mut put = |kind: &str, attributes: &[ProtoKeyValue], point: Point| {
                let key = format!("{head} {kind} {}", text_of(attributes));
                assert!(out.insert(key.clone(), point).is_none(), "twice: {key}");
            };
            match of.data.as_ref().expect("data") {
                metric::Data::Sum(sum) => {
                    let kind = format!("sum t={} m={}", sum.aggregation_temporality, sum.is_monotonic);
                    for point in &sum.data_points {
                        let Some(number_data_point::Value::AsInt(value)) = point.value else {
                            panic!("a whole number: {point:?}")
                        };
                        let count = u64::try_from(value).expect("not negative");
                        put(&kind, &point.attributes, Point { count, sum: 0.0, spread: None });
                    }
                }
                metric::Data::Histogram(histogram) => {
                    let kind = format!("histogram t={}", histogram.aggregation_temporality);
                    for point in &histogram.data_points {
                        put(&kind, &point.attributes, point_of(point));
                    }
                }
                other => panic!("neither sum nor histogram: {other:?}"),
            }
        }
    }
    out
}

fn point_of(point: &HistogramDataPoint) -> Point {
    assert_eq!(point.count, point.bucket_counts.iter().sum::<u64>());
    let (bounds, counts) = (point.explicit_bounds.clone(), point.bucket_counts.clone());
    let sum = (point.sum.expect("a sum") * 1e9).round() / 1e9;
    Point { count: point.count, sum, spread: Some(Spread { bounds, counts, min: point.min, max: point.max }) }
}

fn text_of(attributes: &[ProtoKeyValue]) -> String {
    let mut texts: Vec<String> = attributes
        .iter()
        .map(|set| match set.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(any_value::Value::StringValue(text)) => format!("{}={text}", set.key),
            Some(any_value::Value::IntValue(number)) => format!("{}={number}", set.key),
            other => format!("{}={other:?}", set.key),
        })
        .collect();
    texts.sort();
    texts.join(",")
}

fn collect(collector: &mut Collector, now_ns: u64, bytes_max: usize) -> Vec<ExportMetricsServiceRequest> {
    let resource = [KeyValue::new("service.name", "checkout")];
    decode(&collector.collect(now_ns, &resource, &SdkState::default(), bytes_max))
}

fn decode(requests: &[Vec<u8>]) -> Vec<ExportMetricsServiceRequest> {
    requests
        .iter()
        .map(|request| ExportMetricsServiceRequest::decode(&request[..]).expect("valid protobuf"))
        .collect()
}

fn without_state(mut series: Series) -> Series {
    series.retain(|name, _| !name.starts_with("hopscope.sdk."));
    series
}

fn through_opentelemetry(temporality: Temporality, rounds: usize) -> Vec<Series> {
    let exporter = InMemoryMetricExporterBuilder::new().with_temporality(temporality).build();
    let reader = PeriodicReader::builder(exporter.clone()).with_interval(Duration::from_secs(3600)).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let meters = Meters::through(&provider.meter("hopscope"), Limits::default());
    let round = |_| {
        record_everything(&meters);
        exporter.reset();
        provider.force_flush().expect("flushed");
        let finished = exporter.get_finished_metrics().expect("metrics");
        series(&finished.iter().map(ExportMetricsServiceRequest::from).collect::<Vec<_>>())
    };
    (0..rounds).map(round).collect()
}

fn own(temporality: Temporality, rounds: usize) -> Vec<Series> {
    let meters = Meters::default();
    let mut collector = Collector::new(meters.clone(), temporality, 1);
    let round = |round| {
        record_everything(&meters);
        without_state(series(&collect(&mut collector, 10 + round as u64, usize::MAX)))
    };
    (0..rounds).map(round).collect()
}

/// Every kind of series, as one request.
pub(super) fn everything() -> Vec<u8> {
    let meters = Meters::default();
    record_everything(&meters);
    let counts = Counts { ended: 1, exported: 1, queued: 1, ..Counts::default() };
    let state = SdkState { otlp: Some(counts), ..SdkState::default() };
    Collector::new(meters, Temporality::Cumulative, 1).collect(2, &[], &state, usize::MAX).remove(0)
}

/// The metrics of a request.
pub(super) fn decoded(request: &[u8]) -> Vec<Metric> {
    let request = ExportMetricsServiceRequest::decode(request).expect("valid protobuf");
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

#[test]
fn both_ways_give_the_same_numbers() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let (own, theirs) = (own(temporality, 3), through_opentelemetry(temporality, 3));
        for (own, theirs) in own.iter().zip(&theirs) {
            assert_eq!(own.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
            for (name, point) in own {
                assert_eq!(point, &theirs[name], "{temporality:?} {name}");
            }
        }
    }
}

#[test]
fn a_producers_series_are_those_of_the_conventions() {
    let series = own(Temporality::Cumulative, 1).remove(0);
    let mut text = String::new();
    for (name, point) in series.iter().filter(|(name, _)| !name.contains("payment")) {
        if name.contains("messaging.system=kafka") {
            let sum = point.sum;
            writeln!(text, "{name}\n    {} {sum}", point.count).expect("to a string");
        }
    }
    expect_test::expect_file!["tests_producer.txt"].assert_eq(&text);
}

fn kinds(series: &Series, name: &str, temporality: &str) -> u64 {
    let of = |(key, _): &(&String, &Point)| key.starts_with(name) && key.contains(temporality);
    series.iter().filter(of).map(|(_, point)| point.count).sum()
}

#[test]
fn a_delta_is_what_came_since_and_low_memory_keeps_totals_of_what_stands() {
    let (total, delta) = ([1, 2, 3], [1, 1, 1]);
    for (temporality, sent, ended) in [
        (Temporality::Cumulative, (" t=2 ", total), (" t=2 ", total)),
        (Temporality::Delta, (" t=1 ", delta), (" t=1 ", delta)),
        (Temporality::LowMemory, (" t=1 ", delta), (" t=2 ", total)),
    ] {
        let meters = Meters::default();
        let mut collector = Collector::new(meters.clone(), temporality, 100);
        for round in 0..3 {
            meters.lane(&kafka("orders", "")).sent("send", MS, Ending::Ok);
            let otlp = Counts { ended: round + 1, queued: 4, queued_bytes: 7, ..Counts::default() };
            let topic = Counts { ended: round + 1, dropped: 10 * (round + 1), ..Counts::default() };
            let state = SdkState { otlp: Some(otlp), topic: Some(topic), ..SdkState::default() };
            let series = series(&decode(&collector.collect(101 + round, &[], &state, usize::MAX)));
            let of = |name, kind| kinds(&series, name, kind);
            let round = round as usize;
            assert_eq!(of("messaging.client.sent.messages", sent.0), sent.1[round], "{temporality:?}");
            let of_target = |name: &str, state: &str, target: &str| {
                let set =
                    if target.is_empty() { String::new() } else { format!("hopscope.sdk.target={target}") };
                let of = |(key, _): &(&String, &Point)| {
                    key.starts_with(name) && [state, &set, ended.0].iter().all(|part| key.contains(part))
                };
                series.iter().filter(of).map(|(_, point)| point.count).sum::<u64>()
            };
            let spans = |state, target| of_target("hopscope.sdk.spans {span}", state, target);
            assert_eq!(spans("ended", ""), ended.1[round], "{temporality:?}, once for both targets");
            let dropped = ["otlp", "topic"].map(|target| spans("dropped", target));
            assert_eq!(dropped, [0, 10 * ended.1[round]], "{temporality:?}");
            // What there is now is never a difference.
            assert_eq!(of("hopscope.sdk.spans.pending", " t=2 m=false"), 4);
            assert_eq!(of("hopscope.sdk.queue.bytes", " t=2 m=false"), 7);
        }
    }
}

#[test]
fn points_say_since_when() {
    for (temporality, starts) in [(Temporality::Cumulative, [5, 5]), (Temporality::Delta, [5, 50])] {
        let meters = Meters::default();
        let mut collector = Collector::new(meters.clone(), temporality, 5);
        for (now, start) in [50, 60].into_iter().zip(starts) {
            meters.lane(&kafka("orders", "")).sent("send", MS, Ending::Ok);
            let request = collect(&mut collector, now, usize::MAX).remove(0);
            let resource = &request.resource_metrics[0];
            assert_eq!(
                text_of(&resource.resource.as_ref().expect("a resource").attributes),
                "service.name=checkout"
            );
            let scope = &resource.scope_metrics[0];
            assert_eq!(scope.scope.as_ref().expect("a scope").name, "hopscope");
            assert!(scope.schema_url.starts_with("https://opentelemetry.io/schemas/"));
            let Some(metric::Data::Histogram(histogram)) = &scope.metrics[0].data else {
                panic!("a histogram")
            };
            let point = &histogram.data_points[0];
            assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (start, now), "{temporality:?}");
        }
        // The clock was set back.
        let request = collect(&mut collector, 1, usize::MAX).remove(0);
        let Some(metric::Data::Sum(level)) =
            &request.resource_metrics[0].scope_metrics[0].metrics.last().expect("one").data
        else {
            panic!("a sum")
        };
        assert_eq!(level.data_points[0].time_unix_nano, 60);
    }
}

#[test]
fn what_is_too_much_for_one_request_goes_into_several() {
    let meters = Meters::default();
    let names: Vec<String> = (0..300).map(|number| format!("topic-{number}")).collect();
    let record =
        || names.iter().for_each(|topic| meters.lane(&kafka(topic, "")).sent("send", MS, Ending::Ok));
    record();
    let mut collector = Collector::new(meters.clone(), Temporality::Delta, 1);
    let requests = collector.collect(2, &[], &SdkState::default(), 32 * 1024);
    assert!(requests.len() > 3, "{}", requests.len());
    assert!(requests.iter().all(|request| request.len() <= 32 * 1024));
    let split = without_state(series(&decode(&requests)));
    record();
    let whole = collect(&mut collector, 3, usize::MAX);
    assert_eq!((whole.len(), without_state(series(&whole))), (1, split));
}

#[test]
fn more_lanes_than_allowed_share_one_and_no_message_is_lost() {
    let meters = Meters::new(Limits { lanes_max: 3, ..Limits::default() });
    for topic in ["a", "b", "c", "d", "e", "a"] {
        meters.lane(&kafka(topic, "")).sent("send", MS, Ending::Ok);
    }
    let mut collector = Collector::new(meters, Temporality::Cumulative, 1);
    let series = series(&collect(&mut collector, 2, usize::MAX));
    let sent: BTreeMap<_, _> =
        series.iter().filter(|(name, _)| name.starts_with("messaging.client.sent")).collect();
    assert_eq!((sent.len(), kinds(&series, "messaging.client.sent", "")), (4, 6));
    let overflow = sent.iter().find(|(name, _)| name.contains("otel.metric.overflow")).expect("an overflow");
    assert_eq!(overflow.1.count, 2);
    assert!(!overflow.0.contains("messaging.destination"), "{}", overflow.0);
}

#[test]
fn more_errors_and_words_than_allowed_become_other() {
    let meters = Meters::new(Limits { error_types_max: 2, value_bytes_max: 5, ..Limits::default() });
    let lane = meters.lane(&kafka("t", ""));
    for error in ["a", "b", "c", "d", "", "a", "ééé"] {
        lane.timed(OperationType::Process, "process", MS, Ending::Failed(error));
    }
    const WORDS: [&str; 20] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17",
        "18", "19",
    ];
    for word in WORDS.into_iter().chain(WORDS) {
        lane.timed(OperationType::Settle, word, MS, Ending::Ok);
    }
    let series = series(&collect(&mut Collector::new(meters, Temporality::Cumulative, 1), 2, usize::MAX));
    let of = |text: &str| kinds(&series, "messaging.", text);
    assert_eq!((of("error.type=a"), of("error.type=b"), of("error.type=_OTHER")), (2, 1, 4));
    assert_eq!((of("operation.name=0,"), of("operation.name=_OTHER")), (2, 10));
}

#[test]
fn long_names_are_cut_at_a_character() {
    let meters = Meters::new(Limits { value_bytes_max: 4, ..Limits::default() });
    meters.lane(&kafka("aééé", "")).sent("send", MS, Ending::Ok);
    let series = series(&collect(&mut Collector::new(meters, Temporality::Cumulative, 1), 2, usize::MAX));
    assert_eq!(kinds(&series, "messaging.client.sent", "destination.name=aé,"), 1);
}

#[test]
fn nothing_is_lost_where_threads_record_while_deltas_are_taken() {
    const EACH: u64 = 20_000;
    let meters = Meters::default();
    let record = |lane: &Lane| {
        (0..EACH).for_each(|n| {
            lane.received("poll", Contexts::FOUND);
            lane.timed(OperationType::Receive, "poll", n, Ending::Ok);
        })
    };
    let (mut messages, mut times, mut sum_ns) = (0, 0, 0.0);
    std::thread::scope(|threads| {
        let started: Vec<_> =
            (0..3).map(|_| threads.spawn(|| record(meters.lane(&kafka("t", "g"))))).collect();
        let mut collector = Collector::new(meters.clone(), Temporality::Delta, 1);
        let mut is_last = false;
        loop {
            let series = series(&collect(&mut collector, 2, usize::MAX));
            messages += kinds(&series, "messaging.client.consumed", "");
            times += kinds(&series, "messaging.client.operation", "");
            sum_ns += series.values().map(|point| point.sum * 1e9).sum::<f64>();
            if is_last {
                break;
            }
            is_last = started.iter().all(|thread| thread.is_finished());
        }
    });
    assert_eq!((messages, times), (3 * EACH, 3 * EACH));
    assert_eq!(sum_ns.round() as u64, 3 * EACH * (EACH - 1) / 2);
}
