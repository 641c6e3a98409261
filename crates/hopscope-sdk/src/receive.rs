//! [`Delivery`]: what is known about a message that was received; [`Traced`]: that beside the message.

use crate::around::Around;
use crate::facts::Facts;
use crate::record::{Ended, Member, Stage};
use crate::step::{Start, Step};
use crate::{
    CopiedFrom, CopyKind, Details, Disposition, Headers, Origin, Place, Processing, Relation, Settling,
    Telemetry, baggage,
};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use smallvec::SmallVec;
use std::sync::Arc;

/// What is known about one received message: where it lay, who made it, which attempt this is.
///
/// Cheap to clone, `Send` and `'static`: it goes wherever the message goes. Nothing is open in it: a delivery that
/// is never processed says nothing.
#[derive(Clone, Debug)]
pub struct Delivery {
    telemetry: Telemetry,
    facts: Arc<Facts>,
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
        let delivery = self.delivered(place, details, headers);
        delivery.start(operation, Stage::Receive).end(Ended::Ok);
        delivery
    }

    /// What is known about a message, without a receive of its own: it came with others
    /// ([`receive_batch`](Self::receive_batch)), or another step tells of it.
    pub fn delivered(&self, place: Place<'_>, details: &Details<'_>, headers: &dyn Headers) -> Delivery {
        let facts = Facts::received(&place, details, self.settings(), headers);
        Delivery { telemetry: self.clone(), facts }
    }
}

impl Delivery {
    /// Where the message came from, as its headers say.
    pub fn origin(&self) -> &Origin {
        &self.facts.origin
    }

    /// Where the message lay.
    pub fn place(&self) -> Place<'_> {
        self.facts.place()
    }

    /// Everything that was told about it.
    pub fn with_details<R>(&self, look: impl FnOnce(&Details<'_>) -> R) -> R {
        self.facts.with(|_, details| look(details))
    }

    /// Delivery attempt, from 1, where the broker says it.
    pub fn attempt(&self) -> Option<u32> {
        self.facts.attempt()
    }

    /// Consumer group; empty where there is none.
    pub fn group(&self) -> &str {
        self.facts.group()
    }

    /// This message as the original of a copy that is about to be sent: its coordinates, its id, the group that
    /// gives it up, the attempts that were made, and the context that made it. Fill in why.
    pub fn as_original(&self, kind: CopyKind) -> CopiedFrom<'_> {
        self.facts.as_original(kind)
    }

    /// The handler begins: starts the process span.
    pub fn process(&self) -> Processing {
        Processing::new(self.start("process", Stage::Process), self.clone())
    }

    /// Settles a message that no handler has seen (it expired, it is of no interest). After a handler, use
    /// [`Declared::settle`](crate::Declared::settle).
    pub fn settle(&self, operation: &'static str, disposition: Option<Disposition>) -> Settling {
        let mut step = self.start(operation, Stage::Settle);
        step.edit(|record| record.disposition = disposition);
        Settling::new(step)
    }

    /// Settles as a child of the work that declared the outcome, whatever the relation to the sender.
    pub(crate) fn settle_in(
        &self,
        operation: &'static str,
        disposition: Option<Disposition>,
        work: &Around,
    ) -> Settling {
        let links = matches!(self.relation(), Relation::Link | Relation::Both);
        let creation = self.facts.origin.context.as_ref().filter(|_| links);
        let members = creation.cloned().map(Member::plain).into_iter().collect();
        let start = Start { operation, stage: Stage::Settle, around: work.clone(), members };
        let mut step = Step::start(&self.telemetry, Arc::clone(&self.facts), start);
        step.edit(|record| record.disposition = disposition);
        Settling::new(step)
    }

    pub(crate) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The current context, with the message's baggage where the context has none of its own.
    pub(crate) fn ambient(&self) -> Context {
        let current = Context::current();
        let baggage = &self.facts.origin.baggage;
        if baggage.is_empty() || !current.baggage().is_empty() {
            return current;
        }
        current.with_baggage(baggage::copy(baggage))
    }

    fn relation(&self) -> Relation {
        *self.telemetry.settings().relation.of_named(|| self.facts.place().name())
    }

    fn start(&self, operation: &'static str, stage: Stage) -> Step {
        let creation = self.facts.origin.context.as_ref();
        let (around, members) = relate(self.relation(), creation, self.ambient());
        let start = Start { operation, stage, around, members };
        Step::start(&self.telemetry, Arc::clone(&self.facts), start)
    }
}

/// Parent and links of a span that works on a message of that creation context.
fn relate(
    relation: Relation,
    creation: Option<&SpanContext>,
    ambient: Context,
) -> (Around, SmallVec<[Member; 1]>) {
    let Some(creation) = creation else { return (ambient.into(), SmallVec::new()) };
    let link = || {
        let mut members = SmallVec::new();
        members.push(Member::plain(creation.clone()));
        members
    };
    match relation {
        Relation::None => (ambient.into(), SmallVec::new()),
        Relation::Link => (ambient.into(), link()),
        Relation::Both if ambient.span().span_context().is_valid() => (ambient.into(), link()),
        Relation::Both => (Around::under(ambient, creation.clone()), link()),
        // No link to the ambient span: a consumer's link means "this message", to every reader of messaging spans.
        Relation::Continue => (Around::under(ambient, creation.clone()), SmallVec::new()),
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
