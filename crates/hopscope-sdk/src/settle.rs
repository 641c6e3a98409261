//! [`Settling`]: from the declared outcome to the broker's confirmation.

use crate::details::Attributes;
use crate::step::{Start, Step};
use crate::{Details, Failure, Place, Telemetry};
use opentelemetry::trace::SpanKind;
use opentelemetry::{Context, KeyValue};

/// The broker is being told: a CLIENT span that ends at its confirmation. Dropped without a word its outcome is
/// unknown.
#[derive(Debug)]
#[must_use = "say how it ended: confirm, sent or fail"]
pub struct Settling(Step);

impl Settling {
    pub(crate) fn new(step: Step) -> Self {
        Self(step)
    }

    /// The broker has confirmed it.
    pub fn confirm(self) {
        self.0.end_ok();
    }

    /// It was sent, and the broker never confirms this one (a NATS ack, RabbitMQ's `basic.ack`):
    /// `hopscope.confirmed = false`.
    pub fn sent(self) {
        self.0.set([KeyValue::new("hopscope.confirmed", false)]);
        self.0.end_ok();
    }

    /// It did not reach the broker, or was refused.
    pub fn fail(self, failure: impl Into<Failure>) {
        self.0.end_failed(&failure.into());
    }

    /// Sets an attribute of your own.
    pub fn set_attribute(&self, attribute: KeyValue) {
        self.0.set([attribute]);
    }
}

impl Telemetry {
    /// Starts a cumulative settlement: one per commit and lane, not one per message. `place` names the lane, without
    /// a position; `next` is the next position that the group will read on it.
    pub fn settle_up_to(
        &self,
        operation: &'static str,
        place: Place<'_>,
        details: &Details<'_>,
        next: i64,
    ) -> Settling {
        let attributes = Attributes::of(&place, details);
        let start = Start {
            operation,
            operation_type: "settle",
            destination: Some(place.name().into_owned()),
            kind: SpanKind::Client,
            parent: Context::current(),
            links: Vec::new(),
        };
        let next = KeyValue::new("hopscope.progress.next", next);
        Settling(Step::start(self.tracer(), start, attributes.all().cloned().chain([next])))
    }
}
