//! [`Sampling`]: which traces are kept, decided at the head.

use crate::per_destination::PerDestination;
use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};
use std::borrow::Cow;

/// Which steps are kept, decided when they start.
///
/// It thins spans; metrics are never sampled, and what goes wrong can be kept all the same: see [`Keep`](crate::Keep).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// By destination; the rule for all others is that of the application's own spans too.
    pub destinations: PerDestination<Sampler>,
}

/// A way to decide.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampler {
    /// Everything.
    Always,
    /// Nothing.
    Never,
    /// That share of traces, 0 to 1, by trace id: every service decides alike.
    Ratio(f64),
    /// What the parent decided; without a parent, this. A consumer whose trace is its own
    /// ([`Relation::Link`](crate::Relation::Link)) takes the context that made the message for its parent here, so
    /// that a message's story is kept as a whole or not at all.
    ParentBased(Root),
}

/// The decision where there is no parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root {
    /// Everything.
    Always,
    /// Nothing.
    Never,
    /// That share of traces, 0 to 1.
    Ratio(f64),
}

/// What the parent decided, else everything.
impl Default for Sampler {
    fn default() -> Self {
        Self::ParentBased(Root::Always)
    }
}

impl Sampling {
    /// The same for every destination.
    pub fn all(sampler: Sampler) -> Self {
        Self { destinations: sampler.into() }
    }

    /// Whether a step on that destination is kept. `decided` is what the parent decided, or whoever sent the message.
    pub(crate) fn keeps<'d>(
        &self,
        destination: &dyn Fn() -> Cow<'d, str>,
        trace: TraceId,
        decided: Option<bool>,
    ) -> bool {
        self.destinations.of_named(destination).keeps(trace, decided)
    }
}

impl Sampler {
    fn keeps(&self, trace: TraceId, decided: Option<bool>) -> bool {
        match (self, decided) {
            (Self::Always, _) => true,
            (Self::Never, _) => false,
            (Self::Ratio(share), _) => is_in_share(*share, trace),
            (Self::ParentBased(_), Some(decided)) => decided,
            (Self::ParentBased(root), None) => match root {
                Root::Always => true,
                Root::Never => false,
                Root::Ratio(share) => is_in_share(*share, trace),
            },
        }
    }
}

/// The same decision as OpenTelemetry's `TraceIdRatioBased`: by the lower 63 bits of the trace id.
fn is_in_share(share: f64, trace: TraceId) -> bool {
    let bound = (share.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
    let [.., a, b, c, d, e, f, g, h] = trace.to_bytes();
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1) < bound
}

/// For the application's own spans.
impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(|parent| parent.span().span_context().clone());
        let decided = parent.as_ref().filter(|parent| parent.is_valid()).map(SpanContext::is_sampled);
        let decision = if self.keeps(&|| Cow::Borrowed(""), trace, decided) {
            SamplingDecision::RecordAndSample
        } else {
            SamplingDecision::Drop
        };
        let trace_state = parent.map(|parent| parent.trace_state().clone()).unwrap_or_default();
        SamplingResult { decision, attributes: Vec::new(), trace_state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler as Theirs};

    #[test]
    fn a_ratio_decides_as_opentelemetrys_does() {
        for _ in 0..1000 {
            let trace = RandomIdGenerator::default().new_trace_id();
            for share in [0.0, 0.01, 0.5, 1.0] {
                let theirs = Theirs::TraceIdRatioBased(share);
                let theirs = theirs.should_sample(None, trace, "", &SpanKind::Client, &[], &[]).decision;
                let ours = Sampler::Ratio(share).keeps(trace, None);
                assert_eq!(ours, theirs == SamplingDecision::RecordAndSample, "{trace} {share}");
            }
        }
    }

    #[test]
    fn a_parent_decides_where_it_is_asked() {
        let trace = TraceId::from(u128::MAX);
        for (sampler, of_yes, of_no, of_none) in [
            (Sampler::default(), true, false, true),
            (Sampler::ParentBased(Root::Never), true, false, false),
            (Sampler::ParentBased(Root::Ratio(0.5)), true, false, false),
            (Sampler::Always, true, true, true),
            (Sampler::Never, false, false, false),
            (Sampler::Ratio(0.5), false, false, false),
        ] {
            let got = [Some(true), Some(false), None].map(|decided| sampler.keeps(trace, decided));
            assert_eq!(got, [of_yes, of_no, of_none], "{sampler:?}");
        }
    }
}
