//! [`Sending`]: a message on its way to the broker.

use crate::details::Attributes;
use crate::step::{Start, Step};
use crate::{CarrierMut, Details, Failure, Place, Telemetry, carrier};
use opentelemetry::trace::SpanKind;
use opentelemetry::{Context, Key, KeyValue};

/// A message on its way to the broker: a PRODUCER span that ends with what the broker said.
///
/// Dropped without a word (a cancelled future) its outcome is unknown: the broker may have the message.
#[derive(Debug)]
#[must_use = "say how it ended: confirm, fail or unconfirmed"]
pub struct Sending {
    step: Step,
    telemetry: Telemetry,
    /// What the span has already: an attribute that is set twice is exported twice.
    written: Vec<Key>,
}

impl Telemetry {
    /// Starts a send, as a child of the current span. `operation` is the client's own word (`send`, `publish`).
    pub fn send(&self, operation: &'static str, place: Place<'_>, details: &Details<'_>) -> Sending {
        let attributes = Attributes::of(&place, details);
        let start = Start {
            operation,
            operation_type: "send",
            destination: Some(place.name().into_owned()),
            kind: SpanKind::Producer,
            parent: Context::current(),
            links: Vec::new(),
        };
        let step = Step::start(self.tracer(), start, attributes.all().cloned());
        let written = if step.is_recording() {
            attributes.all().map(|set| set.key.clone()).collect()
        } else {
            Vec::new()
        };
        Sending { step, telemetry: self.clone(), written }
    }
}

impl Sending {
    /// Writes this send's context (and baggage) into the message's headers: every older context in them is
    /// removed, all other headers stay as they are.
    pub fn inject(&self, headers: &mut dyn CarrierMut) {
        carrier::inject(self.telemetry.formats(), self.step.context(), headers);
    }

    /// The context of this send, for whoever puts it into the message another way.
    pub fn context(&self) -> &Context {
        self.step.context()
    }

    /// The broker has it, here: ends the span with what is new in `place` and `details`.
    pub fn confirm(self, place: Place<'_>, details: &Details<'_>) {
        if self.step.is_recording() {
            let Attributes { identity, facts } = Attributes::of(&place, details);
            let new = |set: &KeyValue| !self.written.contains(&set.key);
            self.step.set(identity.into_iter().chain(facts).filter(new));
        }
        self.step.end_ok();
    }

    /// The broker has it and says nothing new (RabbitMQ's confirm).
    pub fn accepted(self) {
        self.step.end_ok();
    }

    /// The broker does not have it, or refused it.
    pub fn fail(self, failure: impl Into<Failure>) {
        self.step.end_failed(&failure.into());
    }

    /// It was handed over and nobody will say more: fire-and-forget, NATS core.
    pub fn unconfirmed(self) {
        self.step.end_unknown("unconfirmed");
    }
}
