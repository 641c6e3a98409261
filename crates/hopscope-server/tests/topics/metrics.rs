//! Metrics on a topic become exact rates.

use super::kafka::Topic;
use super::support::{Rig, a_second_ago, text, within};
use super::{Record, stored};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

const MINUTE_NS: u64 = 60_000_000_000;
const CUMULATIVE: i32 = 2;

/// A process that has sent `count` messages in nine minutes.
fn sent(count: i64) -> Record {
    let point = NumberDataPoint {
        attributes: vec![text("messaging.system", "kafka"), text("messaging.destination.name", "orders")],
        start_time_unix_nano: a_second_ago() - 10 * MINUTE_NS,
        time_unix_nano: a_second_ago() - MINUTE_NS,
        value: Some(number_data_point::Value::AsInt(count)),
        ..NumberDataPoint::default()
    };
    let sum = Sum { data_points: vec![point], aggregation_temporality: CUMULATIVE, is_monotonic: true };
    let metric = Metric {
        name: "messaging.client.sent.messages".to_owned(),
        data: Some(Data::Sum(sum)),
        ..Metric::default()
    };
    let resource = Resource {
        attributes: vec![text("service.name", "checkout"), text("service.instance.id", "checkout-1")],
        ..Resource::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    };
    let headers = vec![("content-type", "application/x-protobuf"), ("hopscope-signal", "metrics")];
    Record { headers, body: request.encode_to_vec() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_on_a_topic_are_counted_once_in_books_of_their_own() {
    let topic = Topic::new().await;
    topic.put(&[sent(1_000), sent(1_000)]).await;
    let rig = Rig::with(topic.config()).await;
    stored(&rig, "kafka_metrics", 1).await;
    within(60, "both are read", || async { super::duplicates(&rig, "kafka_metrics").await == 1 }).await;
    let answer = rig.client.rates(Some("1h"), "").await.expect("rates");
    let rate = answer.rates.first().expect("one destination");
    assert_eq!(rate.sent.total.0, 1_000, "{answer:?}");
    assert_eq!(rig.books("kafka").await.received.0, 0);
    rig.stop().await;
}
