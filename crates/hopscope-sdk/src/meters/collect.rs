//! [`Collector`]: reads all series.

use super::request::Writer;
use super::table::{Counted, SPAN_STATE, State};
use super::{Lane, Meters};
use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::Temporality;

/// The state of the SDK itself: what became of spans so far, and what waits now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SdkState {
    /// Spans that ended, and were to be exported.
    pub ended: u64,
    /// Of these: acknowledged by the endpoint.
    pub exported: u64,
    /// Of these: not acknowledged, and given up.
    pub failed: u64,
    /// Of these: not held, because the queue was full.
    pub dropped: u64,
    /// Steps that were not exported because the head of their trace said so.
    pub sampled_away: u64,
    /// Of these: exported all the same.
    pub kept: u64,
    /// Spans that wait for their export now.
    pub queued: u64,
    /// Steps that have started and not ended.
    pub unended: u64,
    /// What the waiting spans take, bytes.
    pub queue_bytes: u64,
}

impl SdkState {
    /// What only grows, with the value of its attribute.
    fn counts(&self) -> [(&'static str, u64); 6] {
        [
            ("ended", self.ended),
            ("exported", self.exported),
            ("failed", self.failed),
            ("dropped", self.dropped),
            ("sampled_away", self.sampled_away),
            ("kept", self.kept),
        ]
    }

    /// What there is now.
    fn pending(&self) -> [(&'static str, u64); 2] {
        [("queued", self.queued), ("unended", self.unended)]
    }
}

/// Reads all series of a process, and writes them as `ExportMetricsServiceRequest`s.
///
/// One collector at most for the same meters: where values are deltas, to read is to take. What it has written is the
/// caller's: where sending fails, send the same bytes again, or a delta is lost.
#[derive(Debug)]
pub struct Collector {
    meters: Meters,
    temporality: Temporality,
    start_ns: u64,
    last_ns: u64,
    last: SdkState,
}

impl Collector {
    /// `start_ns`: when the process began to count, Unix nanoseconds. `temporality`: what
    /// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` says, which it parses.
    pub fn new(meters: Meters, temporality: Temporality, start_ns: u64) -> Self {
        Self { meters, temporality, start_ns, last_ns: start_ns, last: SdkState::default() }
    }

    /// Everything as of `now_ns`, Unix nanoseconds, in as many requests of about `request_bytes_max` at most as it
    /// takes. A series without a value is left out.
    pub fn collect(
        &mut self,
        now_ns: u64,
        resource: &[KeyValue],
        state: &SdkState,
        request_bytes_max: usize,
    ) -> Vec<Vec<u8>> {
        // A clock that was set back must not let a point end before it began.
        let now_ns = now_ns.max(self.last_ns);
        let mut writer = Writer::new(self.temporality, resource, request_bytes_max);
        writer.at(self.start_ns, self.last_ns, now_ns);
        self.meters.lanes().for_each(|lane| write_lane(lane, &mut writer));
        self.write_state(state, &mut writer);
        (self.last_ns, self.last) = (now_ns, *state);
        writer.finish()
    }

    fn write_state(&self, state: &SdkState, writer: &mut Writer<'_>) {
        let is_delta = writer.is_delta(State::Spans as usize);
        for ((name, now), (_, last)) in state.counts().into_iter().zip(self.last.counts()) {
            let value = if is_delta { now.saturating_sub(last) } else { now };
            writer.count(State::Spans as usize, [&KeyValue::new(SPAN_STATE, name)], value);
        }
        for (name, now) in state.pending() {
            writer.level(State::SpansPending as usize, [&KeyValue::new(SPAN_STATE, name)], now);
        }
        writer.level(State::QueueBytes as usize, [], state.queue_bytes);
    }
}

fn write_lane(lane: &Lane, writer: &mut Writer<'_>) {
    for operation in lane.operations() {
        operation.each(|ending, points| {
            let (timed, counted) = operation.attributes(ending);
            let (duration, messages) = (operation.kind.duration(), operation.kind.messages());
            writer.spread(duration, lane.attributes().iter().chain(&timed), &points.duration);
            if let (Some(measure), Some(count)) = (messages, &points.messages) {
                let value = count.read(writer.is_delta(measure as usize));
                writer.count(measure as usize, lane.attributes().iter().chain(&counted), value);
            }
        });
    }
    for (state, count) in lane.contexts() {
        let value = count.read(writer.is_delta(Counted::Context as usize));
        writer.count(Counted::Context as usize, lane.attributes().iter().chain([&state]), value);
    }
    for (measure, spread) in lane.spreads() {
        writer.spread(measure, lane.attributes(), spread);
    }
}
