//! [`Writer`]: points into `ExportMetricsServiceRequest`s.

use super::series::Spread;
use super::table::{Distribution, Instrument, METRICS, State};
use crate::export::otlp::key_value;
use crate::export::protobuf::{bytes_field, fixed64_field, length_field, message_field, varint_field};
use crate::telemetry::scope;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::metrics::Temporality;

/// Keeps the points of all metrics side by side, so that a series is read once and each metric is written once.
pub(super) struct Writer<'a> {
    points: [Vec<u8>; METRICS.len()],
    points_bytes: usize,
    requests: Vec<Vec<u8>>,
    temporality: Temporality,
    start_ns: u64,
    last_ns: u64,
    now_ns: u64,
    resource: &'a [KeyValue],
    scope: InstrumentationScope,
    points_bytes_max: usize,
}

/// Room in a request for its last point and for what stands around all points.
const MARGIN_BYTES: usize = 8 * 1024;

impl<'a> Writer<'a> {
    pub fn new(temporality: Temporality, resource: &'a [KeyValue], request_bytes_max: usize) -> Self {
        Self {
            points: Default::default(),
            points_bytes: 0,
            requests: Vec::new(),
            temporality,
            start_ns: 0,
            last_ns: 0,
            now_ns: 0,
            resource,
            scope: scope(),
            points_bytes_max: request_bytes_max.saturating_sub(MARGIN_BYTES),
        }
    }

    /// When counting began, when it was last read, and now.
    pub fn at(&mut self, start_ns: u64, last_ns: u64, now_ns: u64) {
        (self.start_ns, self.last_ns, self.now_ns) = (start_ns, last_ns, now_ns);
    }

    /// Whether the points of that metric are what came since the last time.
    pub fn is_delta(&self, metric: usize) -> bool {
        match (self.temporality, METRICS[metric].instrument) {
            (_, Instrument::Level) | (Temporality::Cumulative, _) => false,
            // Deltas of what is recorded save memory; what is read where it stands takes none.
            (Temporality::LowMemory, _) => metric < State::Spans as usize,
            _ => true,
        }
    }

    /// A point of a counter, where there is something to say.
    pub fn count<'k>(
        &mut self,
        metric: usize,
        attributes: impl IntoIterator<Item = &'k KeyValue>,
        value: u64,
    ) {
        if value > 0 {
            self.level(metric, attributes, value);
        }
    }

    /// A point, even if it is zero.
    pub fn level<'k>(
        &mut self,
        metric: usize,
        attributes: impl IntoIterator<Item = &'k KeyValue>,
        value: u64,
    ) {
        self.point(metric, 7, attributes, |out| fixed64_field(out, 6, value));
    }

    /// A point of a histogram, where there is something to say.
    pub fn spread<'k>(
        &mut self,
        measure: Distribution,
        attributes: impl IntoIterator<Item = &'k KeyValue>,
        spread: &Spread,
    ) {
        let Some(read) = spread.read(self.is_delta(measure as usize)) else { return };
        let bounds = measure.bounds();
        self.point(measure as usize, 9, attributes, |out| {
            fixed64_field(out, 4, read.counts.iter().sum());
            double_field(out, 5, bounds.sum_in_unit(read.sum));
            length_field(out, 6, read.counts.len() * 8);
            read.counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
            length_field(out, 7, bounds.values.len() * 8);
            let in_unit = bounds.values.iter().map(|bound| bounds.in_unit(*bound));
            in_unit.for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
            // Those of a value that was not yet counted may have gone with an earlier delta.
            if read.min <= read.max {
                double_field(out, 11, bounds.in_unit(read.min));
                double_field(out, 12, bounds.in_unit(read.max));
            }
        });
    }

    /// Points of numbers and of histograms differ in the field of their attributes, and in their value.
    fn point<'k>(
        &mut self,
        metric: usize,
        attributes_field: u32,
        attributes: impl IntoIterator<Item = &'k KeyValue>,
        write_value: impl FnOnce(&mut Vec<u8>),
    ) {
        let start_ns = if self.is_delta(metric) { self.last_ns } else { self.start_ns };
        let (points, now_ns) = (&mut self.points[metric], self.now_ns);
        let before = points.len();
        message_field(points, 1, |out| {
            attributes.into_iter().for_each(|set| key_value(out, attributes_field, set));
            fixed64_field(out, 2, start_ns);
            fixed64_field(out, 3, now_ns);
            write_value(out);
        });
        self.points_bytes += points.len() - before;
        if self.points_bytes >= self.points_bytes_max {
            self.flush();
        }
    }

    /// All requests.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        if self.points_bytes > 0 {
            self.flush();
        }
        self.requests
    }

    fn flush(&mut self) {
        let mut request = Vec::with_capacity(self.points_bytes + MARGIN_BYTES);
        message_field(&mut request, 1, |out| {
            message_field(out, 1, |out| self.resource.iter().for_each(|set| key_value(out, 1, set)));
            message_field(out, 2, |out| self.write_scope(out));
        });
        self.requests.push(request);
        self.points.iter_mut().for_each(Vec::clear);
        self.points_bytes = 0;
    }

    fn write_scope(&self, out: &mut Vec<u8>) {
        message_field(out, 1, |out| {
            bytes_field(out, 1, self.scope.name().as_bytes());
            bytes_field(out, 2, self.scope.version().unwrap_or_default().as_bytes());
        });
        let filled = self.points.iter().enumerate().filter(|(_, points)| !points.is_empty());
        filled.for_each(|(metric, points)| {
            message_field(out, 2, |out| self.write_metric(out, metric, points));
        });
        bytes_field(out, 3, self.scope.schema_url().unwrap_or_default().as_bytes());
    }

    fn write_metric(&self, out: &mut Vec<u8>, metric: usize, points: &[u8]) {
        let of = &METRICS[metric];
        bytes_field(out, 1, of.name.as_bytes());
        bytes_field(out, 2, of.description.as_bytes());
        bytes_field(out, 3, of.unit.as_bytes());
        let field = if of.instrument == Instrument::Histogram { HISTOGRAM } else { SUM };
        message_field(out, field, |out| {
            out.extend_from_slice(points);
            varint_field(out, 2, if self.is_delta(metric) { DELTA } else { CUMULATIVE });
            if of.instrument == Instrument::Counter {
                varint_field(out, 3, 1);
            }
        });
    }
}

/// Fields of `Metric`.
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;

/// Values of `AggregationTemporality`.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

fn double_field(out: &mut Vec<u8>, field: u32, value: f64) {
    fixed64_field(out, field, value.to_bits());
}
