//! [`Collector`]: reads all series.

use super::request::Writer;
use super::table::{Counted, EXPORT_TARGET, SPAN_STATE, State};
use super::{Lane, Meters};
use crate::export::queue::Counts;
use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::Temporality;

/// The state of the SDK itself: what became of spans so far, and what waits now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SdkState {
    /// At the OTLP endpoint, where there is one.
    pub otlp: Option<Counts>,
    /// At the topic, where there is one. Beside an endpoint each span goes there too.
    pub topic: Option<Counts>,
    /// Steps that were not exported because the head of their trace said so.
    pub sampled_away: u64,
    /// Of these: exported all the same.
    pub kept: u64,
    /// Steps that have started and not ended.
    pub unended: u64,
}

impl SdkState {
    /// Where spans go, by the name that it has in the metrics.
    fn targets(&self) -> [(&'static str, Option<Counts>); 2] {
        [("otlp", self.otlp), ("topic", self.topic)]
    }

    /// Spans that ended: the same number for each target, told once.
    fn ended(&self) -> u64 {
        self.otlp.or(self.topic).unwrap_or_default().ended
    }
}

/// What only grows and differs from target to target, with the value of its attribute.
fn counts(of: &Counts) -> [(&'static str, u64); 3] {
    [("exported", of.exported), ("failed", of.failed), ("dropped", of.dropped)]
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
        let (last, is_delta) = (&self.last, writer.is_delta(State::Spans as usize));
        let grown = |now: u64, last: u64| if is_delta { now.saturating_sub(last) } else { now };
        let named = |name| KeyValue::new(SPAN_STATE, name);
        for ((target, now), (_, last)) in state.targets().into_iter().zip(last.targets()) {
            let (Some(now), last) = (now, last.unwrap_or_default()) else { continue };
            let target = KeyValue::new(EXPORT_TARGET, target);
            for ((name, now), (_, last)) in counts(&now).into_iter().zip(counts(&last)) {
                writer.count(State::Spans as usize, [&target, &named(name)], grown(now, last));
            }
            writer.level(State::SpansPending as usize, [&target, &named("queued")], now.queued);
            writer.level(State::QueueBytes as usize, [&target], now.queued_bytes);
        }
        writer.count(State::Spans as usize, [&named("ended")], grown(state.ended(), last.ended()));
        let away = grown(state.sampled_away, last.sampled_away);
        writer.count(State::Spans as usize, [&named("sampled_away")], away);
        writer.count(State::Spans as usize, [&named("kept")], grown(state.kept, last.kept));
        writer.level(State::SpansPending as usize, [&named("unended")], state.unended);
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
