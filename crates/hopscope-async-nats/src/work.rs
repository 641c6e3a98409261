//! [`Work`]: a handler at work on a JetStream message.

use crate::Received;
use crate::settle::{of, reason};
use async_nats::Error;
use async_nats::jetstream::{AckKind, Message};
use hopscope_sdk::opentelemetry::{Context, ContextGuard};
use hopscope_sdk::{Declared, Disposition, Failure, Outcome, Processing, Run};
use std::future::Future;
use std::time::Duration;

/// A handler at work on a message: a process span that ends when the outcome is declared by one of the verbs that
/// consume it, then a settle span. Dropped without a word it is recorded as unknown, and JetStream delivers again.
///
/// The futures of the verbs may be dropped: then the settle span ends as unknown.
#[derive(Debug)]
#[must_use = "settle the message: ack, double_ack, nak, term or settle"]
pub struct Work {
    processing: Processing,
    received: Received,
}

impl Work {
    pub(crate) fn new(received: Received) -> Self {
        Self { processing: received.delivery().process(), received }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        self.received.message()
    }

    /// The message with what is known about it.
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// The process guard, for its attributes and its delivery.
    pub fn processing(&self) -> &Processing {
        &self.processing
    }

    /// The context of this work: see [`Processing::context`].
    pub fn context(&self) -> &Context {
        self.processing.context()
    }

    /// Makes this work the current context of the thread: see [`Processing::enter`].
    pub fn enter(&self) -> ContextGuard {
        self.processing.enter()
    }

    /// The future with this work as its current context: see [`Processing::run`].
    pub fn run<F: Future>(&self, future: F) -> Run<F> {
        self.processing.run(future)
    }

    /// Done (`+ACK`). The settle span ends when it is sent: the server does not confirm it.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn ack(self) -> Result<(), Error> {
        self.settle(AckKind::Ack, Outcome::Ok).await
    }

    /// Done, and waits until the server has confirmed it.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn double_ack(self) -> Result<(), Error> {
        let (received, declared) = self.declare(Outcome::Ok, Disposition::Accept);
        received.double_ack(declared).await
    }

    /// Failed; to be delivered again (`-NAK`), after the delay where there is one.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn nak(self, failure: impl Into<Failure>, delay: Option<Duration>) -> Result<(), Error> {
        let outcome = Outcome::Failed(failure.into());
        self.settle(AckKind::Nak(delay), outcome).await
    }

    /// Failed; never to be delivered again (`+TERM`, with the failure as the reason).
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn term(self, failure: impl Into<Failure>) -> Result<(), Error> {
        let failure = failure.into();
        let reason = reason(&failure);
        let (received, declared) = self.declare(Outcome::Failed(failure), Disposition::Reject);
        received.term(declared, &reason).await
    }

    /// Still at it (`+WPI`): the server starts its clock anew. Nothing ends.
    ///
    /// # Errors
    /// The client's.
    pub async fn progress(&self) -> Result<(), Error> {
        self.message().ack_with(AckKind::Progress).await
    }

    /// Any outcome with any acknowledgement.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn settle(self, kind: AckKind, outcome: Outcome) -> Result<(), Error> {
        let (_, disposition) = of(kind);
        let (received, declared) = self.declare(outcome, disposition);
        received.settle(declared, kind).await
    }

    /// Ends the process span without telling the server: for consumers that need no acknowledgement.
    pub fn finish(self, outcome: Outcome) -> Declared {
        self.processing.declare(outcome, None)
    }

    fn declare(self, outcome: Outcome, disposition: Disposition) -> (Received, Declared) {
        let Self { processing, received } = self;
        (received, processing.declare(outcome, Some(disposition)))
    }
}
