//! Batches: [`SendingBatch`], [`Telemetry::receive_batch`], [`ProcessingBatch`].
//!
//! A batch is one span that links to the context of every message in it, with what differs from message to message
//! (partition, offset, message id, how it ended) on the link. A span holds a limited number of links, so a large
//! batch becomes several spans of the same name and times, numbered by `hopscope.batch.part`: no message is lost.
//! A message without a context has nothing to link to and gets a span of its own.

use crate::around::Around;
use crate::facts::Facts;
use crate::process::Run;
use crate::record::{Ended, Member, Stage};
use crate::step::{Start, Step};
use crate::{
    CarrierMut, Declared, Delivery, Details, Disposition, Failure, Outcome, Place, Settling, Telemetry,
    carrier,
};
use opentelemetry::trace::SpanContext;
use opentelemetry::{Context, ContextGuard, KeyValue};
use smallvec::SmallVec;
use std::future::Future;
use std::sync::Arc;

/// Messages that go to the broker in one call: a CLIENT span that ends with what the broker said of each, after one
/// `create` PRODUCER span for each message, whose context the message carries.
///
/// Messages of which nobody says how they ended are recorded as unknown, each.
#[derive(Debug)]
#[must_use = "say how each message ended, then `end`"]
pub struct SendingBatch {
    step: Step,
    telemetry: Telemetry,
    messages: Vec<Member>,
    body_bytes: u64,
}

impl Telemetry {
    /// Starts to send several messages in one call, as a child of the current span. [`create`](SendingBatch::create)
    /// each message of it; `place` and `details` are what they have in common.
    pub fn send_batch(
        &self,
        operation: &'static str,
        place: Place<'_>,
        details: &Details<'_>,
    ) -> SendingBatch {
        let facts = Facts::new(&place, details, self.settings());
        let (around, members) = (Around::current(), SmallVec::new());
        let step = Step::start(self, facts, Start { operation, stage: Stage::SendBatch, around, members });
        SendingBatch { step, telemetry: self.clone(), messages: Vec::new(), body_bytes: 0 }
    }

    /// Records that these messages were handed to the application in one call: one receive for all of them.
    pub fn receive_batch(&self, operation: &'static str, messages: &[Delivery]) {
        if messages.is_empty() {
            return;
        }
        let mut step = start(self, operation, Stage::Receive, messages);
        step.edit(|record| record.batch_messages = Some(messages.len()));
        step.end(Ended::Ok);
    }
}

impl SendingBatch {
    /// Makes the context of the next message and writes it into its headers. The number that is returned, counting
    /// from 0, names the message in the other calls.
    pub fn create(&mut self, place: Place<'_>, details: &Details<'_>, headers: &mut dyn CarrierMut) -> usize {
        let facts = Facts::new(&place, details, self.telemetry.settings());
        self.body_bytes += details.body_bytes.unwrap_or(0);
        let start = Start {
            operation: "create",
            stage: Stage::Create,
            around: Around::current(),
            members: facts.original().cloned().map(Member::plain).into_iter().collect(),
        };
        let create = Step::start(&self.telemetry, Arc::clone(&facts), start);
        let context = create.span_context();
        create.capture(headers);
        if self.telemetry.injects_at(&place) {
            let around = create.around().ambient();
            carrier::inject_span(self.telemetry.formats(), &context, around, headers);
        }
        create.end(Ended::Ok);
        self.messages.push(Member {
            context,
            facts: Some(facts),
            ended: Ended::Unknown("unconfirmed".into()),
        });
        self.messages.len() - 1
    }

    /// The broker has that message, here.
    pub fn confirm(&mut self, message: usize, place: Place<'_>, details: &Details<'_>) {
        if let Some(member) = self.messages.get_mut(message) {
            if let Some(facts) = &mut member.facts {
                Arc::make_mut(facts).learn(&place, details);
            }
            member.ended = Ended::Ok;
        }
    }

    /// The broker has that message and says nothing new.
    pub fn accepted(&mut self, message: usize) {
        if let Some(member) = self.messages.get_mut(message) {
            member.ended = Ended::Ok;
        }
    }

    /// The broker does not have that message, or refused it.
    pub fn fail(&mut self, message: usize, failure: impl Into<Failure>) {
        if let Some(member) = self.messages.get_mut(message) {
            member.ended = Ended::Failed(failure.into());
        }
    }

    /// The broker refused the batch as a whole: every message of which nothing else was said has failed.
    pub fn fail_rest(&mut self, failure: impl Into<Failure>) {
        let failure = failure.into();
        for member in &mut self.messages {
            if matches!(member.ended, Ended::Unknown(_)) {
                member.ended = Ended::Failed(failure.clone());
            }
        }
    }

    /// The broker has every message of which nothing else was said.
    pub fn accept_rest(&mut self) {
        for member in &mut self.messages {
            if matches!(member.ended, Ended::Unknown(_)) {
                member.ended = Ended::Ok;
            }
        }
    }

    /// The context of the batch.
    pub fn context(&self) -> &Context {
        self.step.context()
    }

    /// Ends the span. (So does dropping it.)
    pub fn end(self) {}
}

impl Drop for SendingBatch {
    fn drop(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        let body_bytes = i64::try_from(self.body_bytes).unwrap_or(i64::MAX);
        let ended = ended_as_a_whole(&messages);
        self.step.edit(|record| {
            record.batch_messages = Some(messages.len());
            record.attributes.push(KeyValue::new("hopscope.batch.body_size", body_bytes));
            record.members.extend(messages);
        });
        self.step.finish(ended);
    }
}

/// A handler at work on several messages: one CONSUMER span that ends when the outcomes are declared.
///
/// Dropped without a word, every message of which nothing was said is recorded as unknown.
#[derive(Debug)]
#[must_use = "declare how it ended: succeed, fail or declare"]
pub struct ProcessingBatch {
    step: Step,
    deliveries: Vec<Delivery>,
    outcomes: Vec<Option<Outcome>>,
}

impl ProcessingBatch {
    /// The handler begins on these messages; none where there are no messages.
    pub fn start(deliveries: Vec<Delivery>) -> Option<Self> {
        let mut step = start(deliveries.first()?.telemetry(), "process", Stage::Process, &deliveries);
        step.edit(|record| record.batch_messages = Some(deliveries.len()));
        let outcomes = deliveries.iter().map(|_| None).collect();
        Some(Self { step, deliveries, outcomes })
    }

    /// The context of this work.
    pub fn context(&self) -> &Context {
        self.step.context()
    }

    /// The messages, in their order.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// Makes this work the current context of the thread while the guard lives. Not across an await: there,
    /// [`run`](Self::run).
    pub fn enter(&self) -> ContextGuard {
        self.step.context().clone().attach()
    }

    /// The future, with this work as its current context: see [`Processing::run`](crate::Processing::run).
    pub fn run<F: Future>(&self, future: F) -> Run<F> {
        Run::new(future, self.step.panic_watch())
    }

    /// Says how it ended for one message, counting from 0. The first word counts.
    pub fn declare_one(&mut self, message: usize, outcome: Outcome) {
        if let Some(said @ None) = self.outcomes.get_mut(message) {
            *said = Some(outcome);
        }
    }

    /// That message failed; the others are not touched.
    pub fn fail_one(&mut self, message: usize, failure: impl Into<Failure>) {
        self.declare_one(message, Outcome::Failed(failure.into()));
    }

    /// Ends the span: every message of which nothing else was said has succeeded.
    pub fn succeed(self) -> Vec<Declared> {
        self.declare(Outcome::Ok)
    }

    /// Ends the span: every message of which nothing else was said has failed.
    pub fn fail(self, failure: impl Into<Failure>) -> Vec<Declared> {
        self.declare(Outcome::Failed(failure.into()))
    }

    /// Ends the span with that outcome for every message of which nothing else was said. One answer a message, in
    /// their order: settle them.
    pub fn declare(mut self, rest: Outcome) -> Vec<Declared> {
        let around = self.step.inside();
        self.close(rest);
        let outcomes = std::mem::take(&mut self.outcomes).into_iter();
        let declared = std::mem::take(&mut self.deliveries).into_iter().zip(outcomes);
        let declared = declared.map(|(delivery, outcome)| {
            let disposition = (outcome == Some(Outcome::Ok)).then_some(Disposition::Accept);
            Declared::new(delivery, around.clone(), disposition)
        });
        declared.collect()
    }

    fn close(&mut self, rest: Outcome) {
        for outcome in &mut self.outcomes {
            outcome.get_or_insert_with(|| rest.clone());
        }
        let outcomes = &self.outcomes;
        let mut ended = Ended::Ok;
        self.step.edit(|record| {
            for (member, outcome) in record.members.iter_mut().zip(outcomes) {
                member.ended = outcome.clone().map_or(Ended::Ok, Ended::from);
            }
            ended = ended_as_a_whole(&record.members);
        });
        self.step.finish(ended);
    }
}

impl Drop for ProcessingBatch {
    fn drop(&mut self) {
        if self.step.is_open() {
            let panic = self.step.panic();
            self.close(panic.map_or(Outcome::Unknown("dropped"), Outcome::Failed));
        }
    }
}

/// Starts to settle several messages with one call (RabbitMQ's `multiple`), as a child of the current span.
pub fn settle_batch(
    operation: &'static str,
    disposition: Disposition,
    messages: &[Delivery],
) -> Option<Settling> {
    let mut step = start(messages.first()?.telemetry(), operation, Stage::Settle, messages);
    step.edit(|record| {
        record.disposition = Some(disposition);
        record.batch_messages = Some(messages.len());
    });
    Some(Settling::new(step))
}

/// A step about all of these, each a member.
fn start(telemetry: &Telemetry, operation: &'static str, stage: Stage, messages: &[Delivery]) -> Step {
    let facts: Vec<_> = messages.iter().map(|message| Arc::clone(message.facts())).collect();
    let members = facts.iter().map(|facts| {
        let context = facts.origin.context.clone().unwrap_or(SpanContext::NONE);
        Member { context, facts: Some(Arc::clone(facts)), ended: Ended::Ok }
    });
    let start = Start { operation, stage, around: Around::current(), members: members.collect() };
    Step::start(telemetry, Arc::new(Facts::common(&facts)), start)
}

/// The span has failed where every message has: its failure is the first one's.
fn ended_as_a_whole(members: &[Member]) -> Ended {
    let mut first = None;
    for member in members {
        let Ended::Failed(failure) = &member.ended else { return Ended::Ok };
        first.get_or_insert(failure);
    }
    first.map_or(Ended::Ok, |failure| Ended::Failed(failure.clone()))
}
