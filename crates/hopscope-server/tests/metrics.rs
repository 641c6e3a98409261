//! Metrics over OTLP: exact rates of services that sample their spans, whatever is sent twice.
#![allow(clippy::expect_used)]

mod support;

use hopscope_client::api::{Flow, Rate, RatesAnswer};
use hopscope_server::Config;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use support::{Rig, a_second_ago, channel, process_span, request, send_span, text};

const MINUTE_NS: u64 = 60_000_000_000;
const CUMULATIVE: i32 = 2;

/// A process that has been sending for ten minutes.
struct Process {
    service: &'static str,
    instance: &'static str,
    started_minutes_ago: u64,
}

const CHECKOUT: Process = Process { service: "checkout", instance: "checkout-1", started_minutes_ago: 10 };

fn kafka(more: &[(&str, &str)]) -> Vec<KeyValue> {
    let base = [("messaging.system", "kafka"), ("messaging.destination.name", "orders")];
    base.iter().chain(more).map(|(key, value)| text(key, value)).collect()
}

impl Process {
    fn counter(&self, name: &str, minutes_ago: u64, count: i64, attributes: Vec<KeyValue>) -> Metric {
        let point = NumberDataPoint {
            attributes,
            start_time_unix_nano: a_second_ago() - self.started_minutes_ago * MINUTE_NS,
            time_unix_nano: a_second_ago() - minutes_ago * MINUTE_NS,
            value: Some(number_data_point::Value::AsInt(count)),
            ..NumberDataPoint::default()
        };
        let data = Sum { data_points: vec![point], aggregation_temporality: CUMULATIVE, is_monotonic: true };
        Metric { name: name.to_owned(), data: Some(Data::Sum(data)), ..Metric::default() }
    }

    fn request(&self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let mut attributes = vec![text("service.name", self.service)];
        if !self.instance.is_empty() {
            attributes.push(text("service.instance.id", self.instance));
        }
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let resource = Some(Resource { attributes, ..Resource::default() });
        let resource_metrics =
            vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn sent(&self, minutes_ago: u64, count: i64) -> ExportMetricsServiceRequest {
        self.request(vec![self.counter("messaging.client.sent.messages", minutes_ago, count, kafka(&[]))])
    }
}

async fn post(rig: &Rig, request: &ExportMetricsServiceRequest) -> ExportMetricsServiceResponse {
    let url = format!("http://{}/v1/metrics", rig.server.addresses.otlp_http);
    let sent = rig.http.post(url).header("content-type", "application/x-protobuf");
    let answer = sent.body(request.encode_to_vec()).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    ExportMetricsServiceResponse::decode(&answer.bytes().await.expect("a body")[..]).expect("it")
}

async fn rates(rig: &Rig) -> RatesAnswer {
    let answer = rig.client.rates(Some("1h"), "").await.expect("rates");
    assert!(answer.coverage.complete, "{:?}", answer.coverage);
    answer
}

fn of<'a>(answer: &'a RatesAnswer, group: &str) -> &'a Rate {
    answer.rates.iter().find(|rate| rate.group == group).expect("that group")
}

fn told(flow: &Flow) -> (&str, i64, i64) {
    let steps: i64 = flow.steps.iter().map(|step| step.0).sum();
    assert_eq!(steps, flow.total.0, "the steps are the total");
    (flow.source.as_str(), flow.total.0, flow.failed.0)
}

#[tokio::test]
async fn delivered_twice_over_both_transports_counts_once() {
    let rig = Rig::in_memory().await;
    let sample = CHECKOUT.sent(1, 9_000);
    for _ in 0..3 {
        assert_eq!(post(&rig, &sample).await.partial_success, None);
    }
    let mut grpc = MetricsServiceClient::new(channel(&rig.server).await);
    assert_eq!(grpc.export(sample).await.expect("OK").into_inner().partial_success, None);
    let answer = rates(&rig).await;
    let rate = of(&answer, "");
    assert_eq!(told(&rate.sent), ("exact", 9_000, 0));
    // Nine minutes are reported of ten, in a range of an hour: 9,000 in 59 minutes.
    assert!((2.4..2.7).contains(&rate.sent.per_second), "{}", rate.sent.per_second);
    let http = rig.books("otlp_http_metrics").await;
    assert_eq!((http.received.0, http.stored.0, http.dropped[0].reason.as_str()), (3, 1, "duplicate"));
    assert_eq!(rig.books("otlp_grpc_metrics").await.stored.0, 0);
    assert_eq!(rig.books("otlp_http").await.received.0, 0, "spans have books of their own");
    rig.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_service_and_of_the_server_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = || Config::on_free_ports(folder.path().to_string_lossy());
    let rig = Rig::with(config()).await;
    post(&rig, &CHECKOUT.sent(6, 400)).await;
    post(&rig, &CHECKOUT.sent(5, 500)).await;
    rig.stop().await;
    let rig = Rig::with(config()).await;
    let restarted = Process { started_minutes_ago: 4, ..CHECKOUT };
    let second = Process { instance: "checkout-2", ..CHECKOUT };
    post(&rig, &restarted.sent(2, 30)).await;
    post(&rig, &second.sent(2, 7)).await;
    post(&rig, &CHECKOUT.sent(5, 500)).await;
    assert_eq!(told(&of(&rates(&rig).await, "").sent), ("exact", 537, 0));
    rig.stop().await;
    let rig = Rig::with(config()).await;
    assert_eq!(told(&of(&rates(&rig).await, "").sent), ("exact", 537, 0));
    rig.stop().await;
}

#[tokio::test]
async fn who_counts_is_exact_and_of_the_others_spans_are_counted() {
    let rig = Rig::in_memory().await;
    let group = [("messaging.consumer.group.name", "payment")];
    let failed = [group[0], ("error.type", "timeout")];
    let payment = Process { service: "payment", instance: "payment-1", ..CHECKOUT };
    let durations = |attributes, count| HistogramDataPoint {
        attributes,
        start_time_unix_nano: a_second_ago() - 10 * MINUTE_NS,
        time_unix_nano: a_second_ago() - MINUTE_NS,
        count,
        sum: Some(3.0),
        bucket_counts: vec![count - 1, 0, 1],
        explicit_bounds: vec![0.005, 0.01],
        ..HistogramDataPoint::default()
    };
    let process = Metric {
        name: "messaging.process.duration".into(),
        unit: "s".into(),
        data: Some(Data::Histogram(Histogram {
            data_points: vec![durations(kafka(&group), 280), durations(kafka(&failed), 20)],
            aggregation_temporality: CUMULATIVE,
        })),
        ..Metric::default()
    };
    let consumed = payment.counter("messaging.client.consumed.messages", 1, 300, kafka(&group));
    // The same under its older name: counted once.
    let older = payment.counter("messaging.receive.messages", 1, 300, kafka(&group));
    post(&rig, &payment.request(vec![consumed, older, process])).await;
    let spans = vec![send_span(1, 1, 1), process_span(1, 2, 1, 1, "audit")];
    assert_eq!(rig.send(&request("shop", spans)).await.status(), 200);
    let spans = vec![process_span(1, 3, 1, 1, "payment")];
    assert_eq!(rig.send(&request("payment", spans)).await.status(), 200);
    let answer = rates(&rig).await;
    assert_eq!(answer.rates.len(), 2, "{:?}", answer.rates);
    let rate = of(&answer, "payment");
    assert_eq!(told(&rate.sent), ("sampled", 1, 0));
    assert_eq!(told(&rate.consumed), ("exact", 300, 20), "its one span adds nothing to what it counts");
    let process = rate.process.as_ref().expect("a histogram");
    assert_eq!((process.count.0, process.p50.ns.0, process.p50.more), (300, 5_000_000, false));
    assert_eq!((process.p99.ns.0, process.p99.more), (5_000_000, false));
    assert_eq!(process.mean_ns.expect("known").0, 20_000_000);
    assert_eq!(told(&of(&answer, "audit").consumed), ("sampled", 1, 0));
    let shop = Process { service: "shop", instance: "", ..CHECKOUT };
    post(&rig, &shop.sent(1, 1_000)).await;
    let answer = rates(&rig).await;
    assert_eq!(told(&of(&answer, "payment").sent), ("exact", 1_000, 0));
    assert_eq!(answer.without_instance, ["shop"]);
    let other = rig.client.rates(None, "group:audit").await.expect("rates");
    assert_eq!(other.rates.len(), 1);
    assert!(rig.client.rates(Some("yesterdayish"), "").await.is_err());
    rig.stop().await;
}

/// Subjects with an order number in them: metrics count the template, spans name each.
#[tokio::test]
async fn a_templated_destination_is_one_and_so_is_a_temporary_one() {
    let rig = Rig::in_memory().await;
    let nats = |of: &[(&str, &str)]| -> Vec<KeyValue> {
        [("messaging.system", "nats")].iter().chain(of).map(|(key, value)| text(key, value)).collect()
    };
    let counted = nats(&[("messaging.destination.template", "orders.{id}")]);
    post(&rig, &CHECKOUT.request(vec![CHECKOUT.counter("messaging.client.sent.messages", 1, 900, counted)]))
        .await;
    let spans = |names: [&str; 3], first: u64| -> Vec<_> {
        let of = |(span, name): (u64, &str)| {
            let attributes =
                nats(&[("messaging.operation.type", "send"), ("messaging.destination.name", name)]);
            opentelemetry_proto::tonic::trace::v1::Span { attributes, ..send_span(1, span, 1) }
        };
        (first..).zip(names).map(of).collect()
    };
    let sent = request("checkout", spans(["orders.1", "orders.2", "_INBOX.a.1"], 1));
    assert_eq!(rig.send(&sent).await.status(), 200);
    let sent = request("shop", spans(["orders.3", "orders.3.late", "_INBOX.b.1"], 4));
    assert_eq!(rig.send(&sent).await.status(), 200);
    let answer = rates(&rig).await;
    let mut all: Vec<_> =
        answer.rates.iter().map(|rate| (rate.destination.as_str(), told(&rate.sent))).collect();
    all.sort_unstable();
    assert_eq!(
        all,
        [
            ("_INBOX.>", ("sampled", 2, 0)),
            ("orders.3.late", ("sampled", 1, 0)),
            ("orders.{id}", ("mixed", 901, 0)),
        ],
        "spans of who counts add nothing, those of the shop do"
    );
    rig.stop().await;
}

#[tokio::test]
async fn what_says_nothing_of_messages_is_accepted_and_counted() {
    let rig = Rig::in_memory().await;
    let other = CHECKOUT.counter("http.server.requests", 1, 5, Vec::new());
    let negative = CHECKOUT.counter("messaging.client.sent.messages", 1, -5, kafka(&[]));
    let only_other = CHECKOUT.request(vec![other.clone()]);
    assert_eq!(post(&rig, &only_other).await.partial_success, None);
    let partial = post(&rig, &CHECKOUT.request(vec![other, negative])).await.partial_success;
    let partial = partial.expect("a partial success");
    assert_eq!(partial.rejected_data_points, 1);
    assert!(partial.error_message.contains("no count"), "{}", partial.error_message);
    let books = rig.books("otlp_http_metrics").await;
    let dropped: Vec<(&str, i64)> =
        books.dropped.iter().map(|one| (one.reason.as_str(), one.events.0)).collect();
    assert_eq!(
        (books.received.0, books.stored.0, dropped),
        (3, 0, vec![("invalid", 1), ("other_metric", 2)])
    );
    let url = format!("http://{}/v1/metrics", rig.server.addresses.otlp_http);
    let bad = rig.http.post(url).header("content-type", "application/json").body("[]");
    assert_eq!(bad.send().await.expect("an answer").status(), 400);
    assert_eq!(rig.books("otlp_http_metrics").await.invalid_requests.0, 1);
    rig.stop().await;
}
