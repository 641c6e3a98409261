//! [`Processing`]: a handler at work on a message; [`Declared`]: what it said in the end.

use crate::around::Around;
use crate::record::Ended;
use crate::step::{PanicWatch, Step};
use crate::{Attribute, Delivery, Disposition, Failure, Settling};
use opentelemetry::{Context, ContextGuard, KeyValue};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;

/// A handler at work on a message: a CONSUMER span that ends when the outcome is declared.
///
/// It owns everything it needs: move it over awaits, into spawned tasks, thread pools and other threads. Dropped
/// without a declared outcome it is recorded as unknown (`hopscope.outcome`), in a panic as failed.
///
/// What the handler sends and calls becomes the child of this span inside [`run`](Self::run), or while the
/// guard of [`enter`](Self::enter) lives, or under [`context`](Self::context) given to OpenTelemetry's
/// `with_context`. A task that the handler spawns needs the context given along: `tokio::spawn(processing.run(...))`.
#[derive(Debug)]
#[must_use = "declare how it ended: succeed, fail or declare"]
pub struct Processing {
    step: Step,
    delivery: Delivery,
}

/// How processing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As intended.
    Ok,
    /// Not as intended.
    Failed(Failure),
    /// Nobody will say: the partition was taken away, the consumer shuts down. With the reason, in few words.
    Unknown(&'static str),
}

/// The outcome is declared, the process span has ended; the broker is not told yet. Tell it, and record that with
/// [`settle`](Self::settle); dropping it records nothing.
#[derive(Clone, Debug)]
pub struct Declared {
    delivery: Delivery,
    around: Around,
    context: OnceLock<Context>,
    disposition: Option<Disposition>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Ok,
            Outcome::Failed(failure) => Self::Failed(failure),
            Outcome::Unknown(reason) => Self::Unknown(reason.into()),
        }
    }
}

impl Processing {
    pub(crate) fn new(step: Step, delivery: Delivery) -> Self {
        Self { step, delivery }
    }

    /// The context of this work.
    pub fn context(&self) -> &Context {
        self.step.context()
    }

    /// What is known about the message.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Makes this work the current context of the thread while the guard lives. Not across an await: there,
    /// [`run`](Self::run).
    pub fn enter(&self) -> ContextGuard {
        self.step.context().clone().attach()
    }

    /// The future, with this work as its current context. A panic in it is recorded with its message, and goes on
    /// to whoever polls. The future does not borrow the guard: spawn it, and declare the outcome where you like.
    pub fn run<F: Future>(&self, future: F) -> Run<F> {
        Run::new(future, self.step.panic_watch())
    }

    /// Adds an event: a name of few values, attributes of your own.
    pub fn add_event(&self, name: &'static str, attributes: &[Attribute<'_>]) {
        self.step.add_event(name, attributes);
    }

    /// Sets an attribute of your own.
    pub fn set_attribute(&self, attribute: KeyValue) {
        self.step.set([attribute]);
    }

    /// The handler succeeded; the message may be acknowledged.
    pub fn succeed(self) -> Declared {
        self.declare(Outcome::Ok, Some(Disposition::Accept))
    }

    /// The handler failed. What becomes of the message is for [`Declared::settle`] and the broker.
    pub fn fail(self, failure: impl Into<Failure>) -> Declared {
        self.declare(Outcome::Failed(failure.into()), None)
    }

    /// Ends the span with that outcome and, where it is known, with what the broker will be asked to do.
    pub fn declare(self, outcome: Outcome, disposition: Option<Disposition>) -> Declared {
        let Self { mut step, delivery } = self;
        step.edit(|record| record.disposition = disposition);
        let around = step.inside();
        step.end(outcome.into());
        Declared::new(delivery, around, disposition)
    }
}

impl Declared {
    pub(crate) fn new(delivery: Delivery, around: Around, disposition: Option<Disposition>) -> Self {
        Self { delivery, around, context: OnceLock::new(), disposition }
    }

    /// What is known about the message.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Starts to tell the broker. `operation` is its own word (`ack`, `nack`, `commit`, `term`).
    pub fn settle(self, operation: &'static str) -> Settling {
        self.delivery.settle_in(operation, self.disposition, &self.around)
    }

    /// As [`settle`](Self::settle), where only the call that settles says what is asked of the broker (RabbitMQ's
    /// `nack`, with or without `requeue`).
    pub fn settle_as(self, operation: &'static str, disposition: Disposition) -> Settling {
        self.delivery.settle_in(operation, Some(disposition), &self.around)
    }

    /// The context of the work, for whoever sends on its behalf after its end (a dead letter).
    pub fn context(&self) -> &Context {
        self.context.get_or_init(|| self.around.to_context())
    }
}

pin_project_lite::pin_project! {
    /// A future under the context of a [`Processing`]: see [`Processing::run`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F> {
        #[pin]
        future: F,
        watch: PanicWatch,
    }
}

impl<F: Future> Run<F> {
    pub(crate) fn new(future: F, watch: PanicWatch) -> Self {
        Self { future, watch }
    }
}

impl<F: Future> Future for Run<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.watch.context().clone().attach();
        let future = this.future;
        // Unwinding goes on below, so nobody sees what the panic left half-done who would not have seen it anyway.
        match catch_unwind(AssertUnwindSafe(|| future.poll(task))) {
            Ok(poll) => poll,
            Err(payload) => {
                this.watch.panicked(&*payload);
                resume_unwind(payload)
            }
        }
    }
}
