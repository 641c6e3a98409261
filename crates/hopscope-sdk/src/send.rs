//! [`Sending`]: a message on its way to the broker.

use crate::around::Around;
use crate::facts::Facts;
use crate::record::{Ended, Member, Stage};
use crate::step::{Start, Step};
use crate::{CarrierMut, Details, Failure, Place, Telemetry, carrier};
use opentelemetry::Context;
use smallvec::SmallVec;

/// A message on its way to the broker: a PRODUCER span that ends with what the broker said.
///
/// Dropped without a word (a cancelled future) its outcome is unknown: the broker may have the message.
#[derive(Debug)]
#[must_use = "say how it ended: confirm, fail or unconfirmed"]
pub struct Sending {
    step: Step,
    is_injected: bool,
}

impl Telemetry {
    /// Starts a send, as a child of the current span. `operation` is the client's own word (`send`, `publish`).
    ///
    /// Where [`Details::copied_from`] knows the context that made the original, the send links to it.
    pub fn send(&self, operation: &'static str, place: Place<'_>, details: &Details<'_>) -> Sending {
        let facts = Facts::new(&place, details, self.settings());
        let mut members = SmallVec::new();
        if let Some(original) = facts.original() {
            members.push(Member::plain(original.clone()));
        }
        let start = Start { operation, stage: Stage::Send, around: Around::current(), members };
        Sending { step: Step::start(self, facts, start), is_injected: self.injects_at(&place) }
    }
}

impl Sending {
    /// Writes this send's context (and baggage) into the message's headers: every older context in them is
    /// removed, all other headers stay as they are. Nothing is touched where the set-up says so for the destination.
    ///
    /// Headers that are to be recorded ([`Capture`](crate::Capture)) are read here.
    pub fn inject(&self, headers: &mut dyn CarrierMut) {
        self.step.capture(headers);
        if self.is_injected {
            let context = self.step.span_context();
            let around = self.step.around().ambient();
            carrier::inject_span(self.step.telemetry().formats(), &context, around, headers);
        }
    }

    /// The context of this send, for whoever puts it into the message another way.
    pub fn context(&self) -> &Context {
        self.step.context()
    }

    /// Takes over what has become known, while how it ends is not (the record lies in the log, its transaction is open).
    pub fn learn(&mut self, place: Place<'_>, details: &Details<'_>) {
        self.step.learn(&place, details);
    }

    /// The broker has it, here: ends the span with what is new in `place` and `details`.
    pub fn confirm(mut self, place: Place<'_>, details: &Details<'_>) {
        self.step.learn(&place, details);
        self.step.end(Ended::Ok);
    }

    /// The broker has it and says nothing new (RabbitMQ's confirm).
    pub fn accepted(self) {
        self.step.end(Ended::Ok);
    }

    /// The broker does not have it, or refused it.
    pub fn fail(self, failure: impl Into<Failure>) {
        self.step.end(Ended::Failed(failure.into()));
    }

    /// It was handed over and nobody will say more: fire-and-forget, NATS core.
    pub fn unconfirmed(self) {
        self.unknown("unconfirmed");
    }

    /// Nobody will say how it ended; why, in few words (`transaction aborted`).
    pub fn unknown(self, reason: &'static str) {
        self.step.end(Ended::Unknown(reason.into()));
    }

    /// Adds an event: a name of few values, attributes of your own.
    pub fn add_event(&self, name: &'static str, attributes: &[crate::Attribute<'_>]) {
        self.step.add_event(name, attributes);
    }
}
