//! OTLP 1.x traces and metrics: requests in protobuf and JSON, the answers to them, and a small request encoder.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>, schemas `opentelemetry/proto/collector/{trace,metrics}/v1`.

mod answer;
mod encode;
mod json;
mod metrics;
mod metrics_encode;
mod proto;

pub use answer::{
    Code, PartialSuccess, encode_response_json, encode_response_protobuf, encode_status_json,
    encode_status_protobuf,
};
pub use encode::{AnyValue, EventData, LinkData, ResourceData, SpanData, encode_request};
pub use json::{decode_json, decode_metrics_json};
pub use metrics::decode_metrics_protobuf;
pub use metrics_encode::{MetricData, PointData, ResourceMetricsData, encode_metrics_request};
pub use proto::decode_protobuf;

use hopscope_model::Batch;
use std::fmt;

/// How much one request may hold. What goes past a limit is left out and counted, never silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Spans; more are rejected.
    pub spans_max: usize,
    /// Events that the spans become, links counted; a span that would go past it is rejected.
    pub events_max: usize,
    /// Points of metrics that are kept; more are rejected.
    pub points_max: usize,
    /// Buckets of one point; one with more is kept without them.
    pub buckets_per_point_max: usize,
    /// Attributes of a span, of a link, of a point, of a resource; more are dropped (`hopscope.dropped_attributes`).
    pub attributes_per_span_max: usize,
    /// Bytes of one text; longer ones are cut at a character (`hopscope.truncated_values`).
    pub attribute_bytes_max: usize,
    /// Links of a span; more are dropped (`hopscope.dropped_links`).
    pub links_per_span_max: usize,
    /// Arrays and maps inside each other in one value; what is deeper becomes `null`.
    pub nesting_max: usize,
    /// Objects in a JSON request (a span has about 25); one with more is refused as a whole.
    pub json_objects_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            spans_max: 250_000,
            events_max: 250_000,
            points_max: 250_000,
            buckets_per_point_max: 1_024,
            attributes_per_span_max: 256,
            attribute_bytes_max: 64 << 10,
            links_per_span_max: 10_000,
            nesting_max: 16,
            json_objects_max: 500_000,
        }
    }
}

/// What a request was decoded into.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The events and progress of the spans that were accepted.
    pub batch: Batch,
    /// Spans in the request, rejected ones included.
    pub spans: u64,
    /// Spans left out.
    pub rejected: Rejected,
}

/// Spans left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Trace id absent, all zero or not 16 bytes.
    pub trace_id: u64,
    /// Span id absent, all zero or not 8 bytes.
    pub span_id: u64,
    /// Past [`DecodeLimits::spans_max`] or [`DecodeLimits::events_max`].
    pub over_limit: u64,
}

impl Rejected {
    /// Spans left out for any reason: `rejected_spans` of a partial success.
    pub fn total(&self) -> u64 {
        self.trace_id + self.span_id + self.over_limit
    }

    /// Each reason with its stable name, for metrics.
    pub fn by_reason(&self) -> [(&'static str, u64); 3] {
        [("trace_id", self.trace_id), ("span_id", self.span_id), ("over_limit", self.over_limit)]
    }
}

/// What a request of metrics was decoded into.
#[derive(Clone, Debug)]
pub struct DecodedMetrics {
    /// The tallies of the points that are kept.
    pub batch: Batch,
    /// Points in the request, those that are not kept included.
    pub points: u64,
    /// Points that are not kept.
    pub not_kept: NotKept,
}

/// Points that are not kept, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotKept {
    /// Of a metric that says nothing of messages: accepted and forgotten.
    pub other_metric: u64,
    /// The sender says that there is no value: a series that ended.
    pub no_value: u64,
    /// Without a time, or with a value that cannot be a count.
    pub invalid: u64,
    /// Past [`DecodeLimits::points_max`].
    pub over_limit: u64,
}

impl NotKept {
    /// Points that are not kept for any reason.
    pub fn total(&self) -> u64 {
        self.other_metric + self.no_value + self.rejected()
    }

    /// Those that the sender should hear of: `rejected_data_points` of a partial success.
    pub fn rejected(&self) -> u64 {
        self.invalid + self.over_limit
    }

    /// Each reason with its stable name, for metrics.
    pub fn by_reason(&self) -> [(&'static str, u64); 4] {
        [
            ("other_metric", self.other_metric),
            ("no_value", self.no_value),
            ("invalid", self.invalid),
            ("over_limit", self.over_limit),
        ]
    }
}

/// `error_message` of a partial success; empty when nothing was rejected.
impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.invalid, "without a time or with a value that is no count"),
            (self.over_limit, "past the limit of one request"),
        ];
        list(f, "points rejected: ", &reasons)
    }
}

fn list(f: &mut fmt::Formatter<'_>, begin: &str, reasons: &[(u64, &str)]) -> fmt::Result {
    let mut separator = begin;
    for (count, reason) in reasons.iter().filter(|(count, _)| *count > 0) {
        write!(f, "{separator}{count} {reason}")?;
        separator = ", ";
    }
    Ok(())
}

/// `error_message` of a partial success; empty when nothing was left out.
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.trace_id, "without a valid trace id"),
            (self.span_id, "without a valid span id"),
            (self.over_limit, "past the limit of one request"),
        ];
        list(f, "spans rejected: ", &reasons)
    }
}
