//! [`Delivery`]: what is known about a message that was received; [`Traced`]: that beside the message.

use crate::details::Attributes;
use crate::step::{Start, Step};
use crate::{
    Details, Disposition, Headers, Origin, Place, Processing, Relation, Settling, Telemetry, carrier,
};
use opentelemetry::baggage::{Baggage, BaggageExt};
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt};
use opentelemetry::{Array, Context, KeyValue, Value};
use std::sync::Arc;

/// What is known about one received message: where it lay, who made it, which attempt this is.
///
/// Cheap to clone, `Send` and `'static`: it goes wherever the message goes. Nothing is open in it: a delivery that
/// is never processed says nothing.
#[derive(Clone, Debug)]
pub struct Delivery(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    telemetry: Telemetry,
    origin: Origin,
    name: String,
    attributes: Attributes,
}

/// A message with its [`Delivery`] beside it. The message is untouched.
#[derive(Clone, Debug)]
pub struct Traced<M> {
    message: M,
    delivery: Delivery,
}

impl Telemetry {
    /// Records that a message was handed to the application, and reads where it came from out of its headers.
    /// `operation` is the client's own word (`poll`, `receive`, `fetch`). Call it when the message is handed over,
    /// not when it was prefetched, and not for an empty poll.
    pub fn receive(
        &self,
        operation: &'static str,
        place: Place<'_>,
        details: &Details<'_>,
        headers: &dyn Headers,
    ) -> Delivery {
        let origin = carrier::extract(self.formats(), headers);
        let mut attributes = Attributes::of(&place, details);
        if !origin.problems.is_empty() {
            let problems = origin.problems.iter().cloned().map(Into::into).collect();
            let problems = Value::Array(Array::String(problems));
            attributes.facts.push(KeyValue::new("hopscope.context.problems", problems));
        }
        let inner = Inner { telemetry: self.clone(), origin, name: place.name().into_owned(), attributes };
        let delivery = Delivery(Arc::new(inner));
        delivery.start(operation, "receive", SpanKind::Client, &delivery.ambient()).end_ok();
        delivery
    }
}

impl Delivery {
    /// Where the message came from, as its headers say.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The handler begins: starts the process span.
    pub fn process(&self) -> Processing {
        let step = self.start("process", "process", SpanKind::Consumer, &self.ambient());
        Processing::new(step, self.clone())
    }

    /// Settles a message that no handler has seen (it expired, it is of no interest). After a handler, use
    /// [`Declared::settle`](crate::Declared::settle).
    pub fn settle(&self, operation: &'static str, disposition: Option<Disposition>) -> Settling {
        let step = self.start(operation, "settle", SpanKind::Client, &self.ambient());
        Self::settling(step, disposition)
    }

    /// Settles as a child of the work that declared the outcome, whatever the relation to the sender.
    pub(crate) fn settle_in(
        &self,
        operation: &'static str,
        disposition: Option<Disposition>,
        work: &Context,
    ) -> Settling {
        let links = match self.0.telemetry.relation() {
            Relation::Link | Relation::Both => self.0.origin.context.iter().cloned().collect(),
            Relation::Continue | Relation::None => Vec::new(),
        };
        Self::settling(self.start_at(operation, "settle", SpanKind::Client, work.clone(), links), disposition)
    }

    fn settling(step: Step, disposition: Option<Disposition>) -> Settling {
        if let Some(disposition) = disposition {
            step.set([KeyValue::new("hopscope.disposition", disposition.name())]);
        }
        Settling::new(step)
    }

    /// The current context, with the message's baggage where the context has none of its own.
    fn ambient(&self) -> Context {
        let current = Context::current();
        let baggage = &self.0.origin.baggage;
        if baggage.is_empty() || !current.baggage().is_empty() {
            return current;
        }
        let mut copy = Baggage::new();
        for (key, (value, metadata)) in baggage {
            copy.insert_with_metadata(key.clone(), value.clone(), metadata.clone());
        }
        current.with_baggage(copy)
    }

    fn start(
        &self,
        operation: &'static str,
        operation_type: &'static str,
        kind: SpanKind,
        ambient: &Context,
    ) -> Step {
        let (parent, links) = relate(self.0.telemetry.relation(), self.0.origin.context.as_ref(), ambient);
        self.start_at(operation, operation_type, kind, parent, links)
    }

    fn start_at(
        &self,
        operation: &'static str,
        operation_type: &'static str,
        kind: SpanKind,
        parent: Context,
        links: Vec<SpanContext>,
    ) -> Step {
        let inner = &*self.0;
        let start =
            Start { operation, operation_type, destination: Some(inner.name.clone()), kind, parent, links };
        let facts: &[KeyValue] = if operation_type == "settle" { &[] } else { &inner.attributes.facts };
        Step::start(inner.telemetry.tracer(), start, inner.attributes.identity.iter().chain(facts).cloned())
    }
}

/// Parent and links of a span that works on a message of that creation context.
fn relate(
    relation: Relation,
    creation: Option<&SpanContext>,
    ambient: &Context,
) -> (Context, Vec<SpanContext>) {
    let Some(creation) = creation else { return (ambient.clone(), Vec::new()) };
    let ambient_span = ambient.span().span_context().clone();
    let as_parent = || ambient.with_remote_span_context(creation.clone());
    match relation {
        Relation::None => (ambient.clone(), Vec::new()),
        Relation::Link => (ambient.clone(), vec![creation.clone()]),
        Relation::Both if ambient_span.is_valid() => (ambient.clone(), vec![creation.clone()]),
        Relation::Both => (as_parent(), vec![creation.clone()]),
        // No link to the ambient span: a consumer's link means "this message", to every reader of messaging spans.
        Relation::Continue => (as_parent(), Vec::new()),
    }
}

impl<M> Traced<M> {
    /// Puts both together.
    pub fn new(message: M, delivery: Delivery) -> Self {
        Self { message, delivery }
    }

    /// The message, as the client library gave it.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// What is known about it.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The handler begins: starts the process span.
    pub fn process(&self) -> Processing {
        self.delivery.process()
    }

    /// The same delivery beside another form of the message: decoded, detached, owned.
    pub fn map<N>(self, f: impl FnOnce(M) -> N) -> Traced<N> {
        Traced { message: f(self.message), delivery: self.delivery }
    }

    /// Both, apart.
    pub fn into_parts(self) -> (M, Delivery) {
        (self.message, self.delivery)
    }
}
