//! What the services of the order flow count themselves, as their metrics say it once a minute.

use super::OrderFlow;
use crate::otlp::{AnyValue, MetricData, PointData, ResourceMetricsData, SpanData};
use std::collections::BTreeMap;

const MINUTE_NS: u64 = 60_000_000_000;

/// Buckets that the conventions advise, in seconds.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Attributes of a span that its counts have too.
const OF_SERIES: [&str; 7] = [
    "messaging.system",
    "messaging.operation.name",
    "messaging.destination.name",
    "messaging.consumer.group.name",
    "messaging.nats.stream",
    "messaging.rabbitmq.queue",
    "error.type",
];

/// Metric and attributes, as text, for a series has one name.
type Series = (&'static str, Vec<(String, String)>);

/// The metrics of every service, each with a sample a minute from the first span on.
pub fn order_flow_metrics(flow: &OrderFlow) -> Vec<ResourceMetricsData> {
    let starts = flow.resources.iter().flat_map(|resource| &resource.spans).map(|span| span.start_ns);
    let start_ns = starts.min().unwrap_or_default();
    let end_ns = flow.end_ns.unsigned_abs();
    let of_resource = |resource: &crate::otlp::ResourceData| {
        let mut series: BTreeMap<Series, Vec<&SpanData>> = BTreeMap::new();
        for span in &resource.spans {
            for metric in metrics_of(span) {
                series.entry((metric, attributes_of(span))).or_default().push(span);
            }
        }
        let metrics = series.into_iter().map(|((name, attributes), spans)| {
            let histogram = name == "messaging.process.duration";
            let times = (start_ns + MINUTE_NS..end_ns).step_by(MINUTE_NS as usize).chain([end_ns]);
            MetricData {
                name: name.to_owned(),
                unit: if histogram { "s" } else { "{message}" }.to_owned(),
                bounds: if histogram { BOUNDS.to_vec() } else { Vec::new() },
                points: times.map(|at_ns| point(&attributes, &spans, start_ns, at_ns)).collect(),
                ..MetricData::default()
            }
        });
        ResourceMetricsData {
            attributes: resource.attributes.clone(),
            scope: resource.scope.clone(),
            metrics: metrics.collect(),
        }
    };
    flow.resources.iter().map(of_resource).collect()
}

fn text_of<'s>(span: &'s SpanData, key: &str) -> Option<&'s str> {
    span.attributes.iter().find_map(|(name, value)| match value {
        AnyValue::Text(text) if name == key => Some(text.as_str()),
        _ => None,
    })
}

/// A batch that is sent counts its messages; what is processed in one call is one duration.
fn messages(span: &SpanData) -> u64 {
    let of_batch = |(name, value): &(String, AnyValue)| match value {
        AnyValue::Int(count) if name == "messaging.batch.message_count" => Some(count.unsigned_abs()),
        _ => None,
    };
    let is_sent = text_of(span, "messaging.operation.type") == Some("send");
    span.attributes.iter().find_map(of_batch).filter(|_| is_sent).unwrap_or(1)
}

fn metrics_of(span: &SpanData) -> &'static [&'static str] {
    match text_of(span, "messaging.operation.type") {
        Some("send") => &["messaging.client.sent.messages"],
        Some("receive") => &["messaging.client.consumed.messages"],
        Some("process") => &["messaging.process.duration"],
        _ => &[],
    }
}

fn attributes_of(span: &SpanData) -> Vec<(String, String)> {
    let given = OF_SERIES.iter().filter_map(|key| Some(((*key).to_owned(), text_of(span, key)?.to_owned())));
    given.collect()
}

/// What these spans come to until `at_ns`.
fn point(attributes: &[(String, String)], spans: &[&SpanData], start_ns: u64, at_ns: u64) -> PointData {
    let mut point = PointData {
        attributes: attributes.iter().map(|(key, text)| (key.clone(), text.as_str().into())).collect(),
        start_ns,
        at_ns,
        buckets: vec![0; BOUNDS.len() + 1],
        ..PointData::default()
    };
    for span in spans.iter().filter(|span| span.end_ns <= at_ns) {
        let seconds = span.end_ns.saturating_sub(span.start_ns) as f64 / 1e9;
        point.count += messages(span);
        point.sum += seconds;
        point.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
    }
    point
}
