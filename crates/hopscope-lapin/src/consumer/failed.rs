//! What becomes of a message: acknowledged, tried again, given up.

use super::run::Options;
use crate::copy::{CopyError, DelayQueues};
use crate::settle::{Settle, reject_as};
use hopscope_sdk::opentelemetry::Context;
use hopscope_sdk::{Declared, Disposition, Failure, Outcome, Processing, Traced, Verdict};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use std::time::Duration;

/// How the broker is asked to give a message again.
#[derive(Clone, Debug, Default)]
pub enum Again {
    /// `basic.nack` with `requeue`, after the delay, for which the message is held. Only a quorum queue counts the
    /// attempts: on a classic queue the first retry is attempt 2, and so is every one after it.
    #[default]
    Requeue,
    /// `basic.reject`: the queue's own dead-letter exchange leads to a queue with a time to live, and that back. The
    /// delay is that queue's, the attempts are the rounds in `x-death`. Give a
    /// [`dead_letter`](Options::dead_letter) too: without it a message that is given up goes round as well.
    DeadLetterExchange,
    /// A copy waits in a queue of that delay: see [`DelayQueues`].
    Delay(DelayQueues),
}

/// What the broker is told of a failed message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It is given back, now.
    Requeue,
    /// Its queue's dead-letter exchange has it, or nobody; and what that means.
    Reject(Disposition),
    /// A copy was sent on: the original is acknowledged; and what that means.
    SentOn(Disposition),
}

/// How long a message is held that could not be sent on, before it is given back: it would come again at once.
const PAUSE: Duration = Duration::from_secs(1);

impl Options {
    /// Decides what becomes of a message that failed, and does what must be done before the broker is told.
    pub(super) async fn failed(
        &self,
        message: &Traced<Delivery>,
        processing: &Processing,
        failure: &Failure,
    ) -> Fate {
        let attempt = attempt_of(message);
        match self.retry.decide(processing, attempt, failure) {
            Verdict::Again { delay } => match &self.again {
                Again::Requeue => requeue_after(delay).await,
                Again::DeadLetterExchange => Fate::Reject(Disposition::Retry),
                Again::Delay(queues) => {
                    let sent = queues.publish(message, processing, failure, attempt, delay).await;
                    sent_on(sent, Disposition::Retry).await
                }
            },
            Verdict::GiveUp => match &self.dead_letter {
                None => Fate::Reject(Disposition::Reject),
                Some(to) => {
                    sent_on(to.publish(message, processing, failure).await, Disposition::Reject).await
                }
            },
        }
    }

    /// The same for a message of a batch, whose work has ended.
    pub(super) async fn failed_in_batch(
        &self,
        message: &Traced<Delivery>,
        work: &Context,
        failure: &Failure,
    ) -> Fate {
        let attempt = attempt_of(message);
        match self.retry.after(attempt, failure) {
            Verdict::Again { delay } => match &self.again {
                Again::Requeue => requeue_after(delay).await,
                Again::DeadLetterExchange => Fate::Reject(Disposition::Retry),
                Again::Delay(queues) => {
                    let sent = queues.publish_in(message, work, failure, attempt, delay).await;
                    sent_on(sent.map(drop), Disposition::Retry).await
                }
            },
            Verdict::GiveUp => match &self.dead_letter {
                None => Fate::Reject(Disposition::Reject),
                Some(to) => {
                    let sent = to.publish_in(message, work, failure).await;
                    sent_on(sent.map(drop), Disposition::Reject).await
                }
            },
        }
    }
}

/// A classic queue that gives a message again does not say how often it did.
fn attempt_of(message: &Traced<Delivery>) -> u32 {
    let at_least = if message.message().redelivered { 2 } else { 1 };
    message.delivery().attempt().unwrap_or(at_least)
}

async fn requeue_after(delay: Duration) -> Fate {
    tokio::time::sleep(delay).await;
    Fate::Requeue
}

/// Where the broker did not take the copy (its span says why) the original must stay.
async fn sent_on(sent: Result<(), CopyError>, disposition: Disposition) -> Fate {
    match sent {
        Ok(()) => Fate::SentOn(disposition),
        Err(_) => requeue_after(PAUSE).await,
    }
}

impl Fate {
    pub(super) fn disposition(self) -> Disposition {
        match self {
            Self::Requeue => Disposition::Retry,
            Self::Reject(disposition) | Self::SentOn(disposition) => disposition,
        }
    }

    /// Tells the broker. What goes wrong is in the settle span; a closed channel ends the consumer's stream too.
    pub(super) async fn settle(self, message: &Traced<Delivery>, declared: Declared) {
        let _recorded = match self {
            Self::Requeue => give_back(message, declared).await,
            Self::Reject(disposition) => {
                reject_as(message, declared, BasicRejectOptions { requeue: false }, disposition).await
            }
            Self::SentOn(_) => message.ack_as_declared(declared).await,
        };
    }
}

pub(super) async fn acknowledge(message: &Traced<Delivery>, declared: Declared) {
    let _recorded = message.ack(declared, BasicAckOptions::default()).await;
}

pub(super) async fn give_back(message: &Traced<Delivery>, declared: Declared) -> lapin::Result<bool> {
    message.nack(declared, BasicNackOptions { requeue: true, multiple: false }).await
}

/// As it ended, where nobody can settle it any more.
pub(super) fn lost(failure: Option<Failure>, reason: &'static str) -> Outcome {
    failure.map_or(Outcome::Unknown(reason), Outcome::Failed)
}
