//! [`Received`] and [`Work`]: a JetStream message, and a handler at work on it.

use async_nats::client::PublishError;
use async_nats::jetstream::{AckKind, Message};
use async_nats::{Error, RequestError};
use hopscope_sdk::opentelemetry::{Context, ContextGuard, KeyValue};
use hopscope_sdk::{Declared, Delivery, Disposition, Failure, Outcome, Processing, Run, Settling};
use std::future::Future;
use std::time::Duration;

/// A JetStream message with what is known about it beside it.
#[derive(Debug)]
pub struct Received {
    message: Message,
    delivery: Delivery,
    next: Option<i64>,
}

/// A handler at work on a message: a process span that ends when the outcome is declared by one of the verbs that
/// consume it, then a settle span. Dropped without a word it is recorded as unknown, and JetStream delivers again.
///
/// The futures of the verbs may be dropped: then the settle span ends as unknown.
#[derive(Debug)]
#[must_use = "settle the message: ack, double_ack, nak, term or settle"]
pub struct Work {
    processing: Processing,
    message: Message,
    next: Option<i64>,
}

impl Received {
    pub(crate) fn new(message: Message, delivery: Delivery, next: Option<i64>) -> Self {
        Self { message, delivery, next }
    }

    /// The message, as the client gave it. What is settled through it is not traced.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// What is known about it.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The handler begins: starts the process span.
    pub fn process(self) -> Work {
        let Self { message, delivery, next } = self;
        Work { processing: delivery.process(), message, next }
    }

    /// The message and what is known about it, apart.
    pub fn into_parts(self) -> (Message, Delivery) {
        (self.message, self.delivery)
    }
}

impl Work {
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
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
        let (settling, message) = self.declare(AckKind::Ack, Outcome::Ok);
        let result = confirmed_ack(&message).await;
        match &result {
            Ok(()) => settling.confirm(),
            Err(error) => settling.fail(failure(error)),
        }
        result
    }

    /// Failed; to be delivered again (`-NAK`), after the delay where there is one.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn nak(self, failure: impl Into<Failure>, delay: Option<Duration>) -> Result<(), Error> {
        let outcome = Outcome::Failed(failure.into());
        self.settle(AckKind::Nak(delay), outcome).await
    }

    /// Failed; never to be delivered again (`+TERM`).
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn term(self, failure: impl Into<Failure>) -> Result<(), Error> {
        let outcome = Outcome::Failed(failure.into());
        self.settle(AckKind::Term, outcome).await
    }

    /// Still at it (`+WPI`): the server starts its clock anew. Nothing ends.
    ///
    /// # Errors
    /// The client's.
    pub async fn progress(&self) -> Result<(), Error> {
        self.message.ack_with(AckKind::Progress).await
    }

    /// Any outcome with any acknowledgement.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn settle(self, kind: AckKind, outcome: Outcome) -> Result<(), Error> {
        let (settling, message) = self.declare(kind, outcome);
        let result = message.ack_with(kind).await;
        match &result {
            Ok(()) => settling.sent(),
            Err(error) => settling.fail(failure(error)),
        }
        result
    }

    /// Ends the process span without telling the server: for consumers that need no acknowledgement.
    pub fn finish(self, outcome: Outcome) -> Declared {
        self.processing.declare(outcome, None)
    }

    fn declare(self, kind: AckKind, outcome: Outcome) -> (Settling, Message) {
        let Self { processing, message, next } = self;
        let (operation, disposition) = match kind {
            AckKind::Ack | AckKind::Next => ("ack", Disposition::Accept),
            AckKind::Nak(_) => ("nak", Disposition::Retry),
            AckKind::Term => ("term", Disposition::Reject),
            // Asks for more time, and so for the message to stay with this consumer.
            AckKind::Progress => ("progress", Disposition::Retry),
        };
        let settling = processing.declare(outcome, Some(disposition)).settle(operation);
        if let AckKind::Nak(Some(delay)) = kind
            && let Ok(delay_ms) = i64::try_from(delay.as_millis())
        {
            settling.set_attribute(KeyValue::new("messaging.nats.nak_delay_ms", delay_ms));
        }
        if let (Some(next), Disposition::Accept) = (next, disposition) {
            settling.set_attribute(KeyValue::new("hopscope.progress.next", next));
        }
        (settling, message)
    }
}

/// The client's own double ack takes any answer for a confirmation, also "no responders": that the consumer is gone.
/// A request tells the two apart.
async fn confirmed_ack(message: &Message) -> Result<(), Error> {
    let Some(reply) = message.reply.clone() else { return message.double_ack().await };
    message.context.client().request(reply, AckKind::Ack.into()).await?;
    Ok(())
}

/// The kind of the client's error, where it has one.
fn failure(error: &Error) -> Failure {
    let kind = if let Some(error) = error.downcast_ref::<RequestError>() {
        format!("{:?}", error.kind())
    } else if let Some(error) = error.downcast_ref::<PublishError>() {
        format!("{:?}", error.kind())
    } else {
        "_OTHER".to_owned()
    };
    Failure::new(kind, error)
}
