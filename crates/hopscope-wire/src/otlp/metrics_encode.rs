//! An encoder of metric requests, small and plain: the demo reports its counts with it, tests and benches make
//! their inputs.

use super::AnyValue;
use super::encode::put_attributes;
use crate::protobuf::{put_bytes, put_fixed64, put_message, put_uint, put_varint};

/// A resource with its metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceMetricsData {
    /// Attributes of the resource: `service.name` and more.
    pub attributes: Vec<(String, AnyValue)>,
    /// Name of the instrumentation scope.
    pub scope: String,
    /// The metrics.
    pub metrics: Vec<MetricData>,
}

/// One metric: a counter, or a histogram where its points have buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricData {
    /// Name.
    pub name: String,
    /// Unit.
    pub unit: String,
    /// True for delta, false for cumulative points.
    pub delta: bool,
    /// Finite upper bounds of the buckets; empty for a counter.
    pub bounds: Vec<f64>,
    /// The points.
    pub points: Vec<PointData>,
}

/// One point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointData {
    /// Attributes of the series.
    pub attributes: Vec<(String, AnyValue)>,
    /// Since when it counts, ns since the epoch.
    pub start_ns: u64,
    /// When it was read, ns since the epoch.
    pub at_ns: u64,
    /// The count.
    pub count: u64,
    /// Sum of a histogram's values.
    pub sum: f64,
    /// Counts of a histogram's buckets, one more than there are bounds.
    pub buckets: Vec<u64>,
}

/// `ExportMetricsServiceRequest` in protobuf.
pub fn encode_metrics_request(resources: &[ResourceMetricsData]) -> Vec<u8> {
    let mut out = Vec::new();
    for resource in resources {
        let mut attributes = Vec::new();
        put_attributes(&mut attributes, 1, &resource.attributes);
        let mut scope = Vec::new();
        put_bytes(&mut scope, 1, resource.scope.as_bytes());
        let mut scope_metrics = Vec::new();
        put_message(&mut scope_metrics, 1, &scope);
        for metric in &resource.metrics {
            put_message(&mut scope_metrics, 2, &encode_metric(metric));
        }
        let mut resource_metrics = Vec::new();
        put_message(&mut resource_metrics, 1, &attributes);
        put_message(&mut resource_metrics, 2, &scope_metrics);
        put_message(&mut out, 1, &resource_metrics);
    }
    out
}

fn encode_metric(metric: &MetricData) -> Vec<u8> {
    let histogram = !metric.bounds.is_empty();
    let mut data = Vec::new();
    for point in &metric.points {
        let encoded = if histogram { encode_histogram(point, &metric.bounds) } else { encode_number(point) };
        put_message(&mut data, 1, &encoded);
    }
    put_uint(&mut data, 2, if metric.delta { 1 } else { 2 });
    put_uint(&mut data, 3, u64::from(!histogram));
    let mut out = Vec::new();
    put_bytes(&mut out, 1, metric.name.as_bytes());
    put_bytes(&mut out, 3, metric.unit.as_bytes());
    put_message(&mut out, if histogram { 9 } else { 7 }, &data);
    out
}

fn encode_number(point: &PointData) -> Vec<u8> {
    let mut out = Vec::new();
    put_fixed64(&mut out, 2, point.start_ns);
    put_fixed64(&mut out, 3, point.at_ns);
    put_value(&mut out, 6, point.count);
    put_attributes(&mut out, 7, &point.attributes);
    out
}

fn encode_histogram(point: &PointData, bounds: &[f64]) -> Vec<u8> {
    let mut out = Vec::new();
    put_fixed64(&mut out, 2, point.start_ns);
    put_fixed64(&mut out, 3, point.at_ns);
    put_value(&mut out, 4, point.count);
    put_value(&mut out, 5, point.sum.to_bits());
    let counts: Vec<u8> = point.buckets.iter().flat_map(|count| count.to_le_bytes()).collect();
    put_bytes(&mut out, 6, &counts);
    let bounds: Vec<u8> = bounds.iter().flat_map(|bound| bound.to_le_bytes()).collect();
    put_bytes(&mut out, 7, &bounds);
    put_attributes(&mut out, 9, &point.attributes);
    out
}

/// Also where it is 0: inside a oneof, and where presence counts, absent is another thing.
fn put_value(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}
