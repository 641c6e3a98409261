//! `ExportMetricsServiceRequest` in OTLP/JSON.

use super::scalars::{Absent, Double, Int, Scalar, Text, Uint, scalar};
use super::{KeyValue, Resource, ScopeName, attributes, check_objects, messages, raw};
use crate::Error;
use crate::mapper::Scope;
use crate::otlp::{DecodeLimits, DecodedMetrics};
use crate::point::{MetricView, PointValue, PointView};
use crate::tallies::TallyMapper;
use hopscope_model::Tenant;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Decodes a request of metrics. Text that is not JSON of the right shape is an error as a whole; points that
/// are not kept are counted in [`DecodedMetrics::not_kept`].
pub fn decode_metrics_json(
    bytes: &[u8],
    tenant: &Tenant,
    received_ns: i64,
    limits: &DecodeLimits,
) -> Result<DecodedMetrics, Error> {
    check_objects(bytes, limits)?;
    let request: MetricsRequest<'_> = serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid(format!("malformed OTLP JSON: {error}")))?;
    let mut mapper = TallyMapper::new(tenant, received_ns, limits);
    let mut view = PointView::new(limits);
    for resource_metrics in &request.resource_metrics.0 {
        let resource = attributes(&resource_metrics.resource.attributes, limits);
        for scope_metrics in &resource_metrics.scope_metrics.0 {
            let scope = Scope {
                name: scope_metrics.scope.name.0.as_bytes(),
                version: scope_metrics.scope.version.0.as_bytes(),
            };
            mapper.resource(&resource, scope);
            for metric in &scope_metrics.metrics.0 {
                metric_points(&mut mapper, &mut view, metric, limits);
            }
        }
    }
    Ok(mapper.finish())
}

fn metric_points<'a>(
    mapper: &mut TallyMapper<'a>,
    view: &mut PointView<'a>,
    metric: &'a Metric<'a>,
    limits: &DecodeLimits,
) {
    if let Some(summary) = &metric.summary {
        return mapper.pass(summary.data_points.0.len() as u64);
    }
    let kinds = [&metric.gauge, &metric.sum, &metric.histogram, &metric.exponential_histogram];
    let Some((kind, data)) = kinds.iter().enumerate().find_map(|(kind, data)| Some((kind, data.as_ref()?)))
    else {
        return;
    };
    let name = metric.name.0.as_bytes();
    if !TallyMapper::wants(name) {
        return mapper.pass(data.data_points.0.len() as u64);
    }
    let shared = MetricView {
        name,
        unit: metric.unit.0.as_bytes(),
        temporality: data.aggregation_temporality.0,
        monotonic: data.is_monotonic.unwrap_or_default(),
    };
    for point in &data.data_points.0 {
        fill(view, point, kind, limits);
        mapper.point(&shared, view);
    }
}

/// `kind`: gauge, sum, histogram, exponential histogram.
fn fill<'a>(view: &mut PointView<'a>, point: &'a Point<'a>, kind: usize, limits: &DecodeLimits) {
    view.clear();
    for attribute in &point.attributes.0 {
        view.attributes.push(attribute.key.0.as_bytes(), raw(&attribute.value, limits.nesting_max));
    }
    (view.start_ns, view.at_ns) = (point.start_time_unix_nano.0, point.time_unix_nano.0);
    view.flags = point.flags.0 as u32;
    let (count, sum) = (point.count.0, point.sum.as_ref().map(|sum| sum.0));
    view.value = match (kind, &point.as_int, &point.as_double) {
        (2, ..) => PointValue::Histogram { count, sum },
        (3, ..) => PointValue::Exponential { count, sum },
        (_, Some(number), _) => PointValue::Int(number.0),
        (_, None, Some(number)) => PointValue::Double(number.0),
        (_, None, None) => PointValue::None,
    };
    view.counts.extend(point.bucket_counts.iter().map(|count| count.0));
    view.bounds.extend(point.explicit_bounds.iter().map(|bound| bound.0));
    let exponential = &mut view.exponential;
    let narrow = |number: &Option<Int>| {
        number.as_ref().and_then(|number| i32::try_from(number.0).ok()).unwrap_or_default()
    };
    exponential.scale = narrow(&point.scale);
    exponential.zero_count = point.zero_count.0;
    exponential.zero_threshold = point.zero_threshold.as_ref().map_or(0.0, |threshold| threshold.0);
    exponential.offset = narrow(&point.positive.offset);
    exponential.counts.extend(point.positive.bucket_counts.iter().map(|count| count.0));
}

/// `AggregationTemporality`.
#[derive(Default)]
struct TemporalityNumber(i64);

scalar!(TemporalityNumber, "an aggregation temporality", |scalar| match scalar {
    Scalar::Null | Scalar::Signed(_) => Some(Self(0)),
    Scalar::Text(name) => Some(Self(match name.as_ref() {
        "AGGREGATION_TEMPORALITY_DELTA" => 1,
        "AGGREGATION_TEMPORALITY_CUMULATIVE" => 2,
        digits => digits.parse().unwrap_or_default(),
    })),
    Scalar::Unsigned(number) => Some(Self(number.min(99) as i64)),
    Scalar::Double(_) => None,
});

messages! {
    MetricsRequest { resource_metrics: Absent<Vec<ResourceMetrics<'a>>>, }
    ResourceMetrics { resource: Absent<Resource<'a>>, scope_metrics: Absent<Vec<ScopeMetrics<'a>>>, }
    ScopeMetrics { scope: Absent<ScopeName<'a>>, metrics: Absent<Vec<Metric<'a>>>, }
    Metric {
        name: Text<'a>,
        unit: Text<'a>,
        gauge: Option<Data<'a>>,
        sum: Option<Data<'a>>,
        histogram: Option<Data<'a>>,
        exponential_histogram: Option<Data<'a>>,
        summary: Option<Data<'a>>,
    }
    Data {
        data_points: Absent<Vec<Point<'a>>>,
        aggregation_temporality: TemporalityNumber,
        is_monotonic: Option<bool>,
    }
    Point {
        attributes: Absent<Vec<KeyValue<'a>>>,
        start_time_unix_nano: Uint,
        time_unix_nano: Uint,
        flags: Uint,
        as_int: Option<Int>,
        as_double: Option<Double>,
        count: Uint,
        sum: Option<Double>,
        bucket_counts: Absent<Vec<Uint>>,
        explicit_bounds: Absent<Vec<Double>>,
        scale: Option<Int>,
        zero_count: Uint,
        zero_threshold: Option<Double>,
        positive: Absent<Buckets<'a>>,
    }
    Buckets { offset: Option<Int>, bucket_counts: Absent<Vec<Uint>>, }
}
