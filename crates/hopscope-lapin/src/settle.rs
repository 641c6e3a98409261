//! [`Settle`]: ack, nack and reject, recorded.

use crate::failure::failure;
use hopscope_sdk::batch::settle_batch;
use hopscope_sdk::{Declared, Disposition, Failure, Settling, Traced};
use lapin::Acker;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use std::future::Future;

/// A message as lapin gives it: of a consumer, or of a get.
pub trait Message: Send + Sync {
    /// The delivery in it.
    fn as_delivery(&self) -> &Delivery;
}

impl Message for Delivery {
    fn as_delivery(&self) -> &Delivery {
        self
    }
}

impl Message for BasicGetMessage {
    fn as_delivery(&self) -> &Delivery {
        &self.delivery
    }
}

/// lapin's three ways to settle a delivery, each with the [`Declared`] outcome of its handler.
///
/// RabbitMQ does not confirm a settlement: the span ends when it is handed to the connection, and says so
/// (`hopscope.confirmed = false`). `Ok(false)` is lapin's word for a delivery that was settled before, or whose
/// channel is closed: recorded as a failure.
pub trait Settle {
    /// `basic.ack`. With `multiple` it is recorded on this message alone: for several, [`ack_multiple`].
    ///
    /// # Errors
    /// lapin's own.
    fn ack(
        &self,
        declared: Declared,
        options: BasicAckOptions,
    ) -> impl Future<Output = lapin::Result<bool>> + Send;

    /// `basic.ack` of a message of which a copy was sent on: what becomes of it is what was declared
    /// ([`Disposition::Retry`], [`Disposition::Reject`]).
    ///
    /// # Errors
    /// lapin's own.
    fn ack_as_declared(&self, declared: Declared) -> impl Future<Output = lapin::Result<bool>> + Send;

    /// `basic.nack`: again with `requeue`, else dropped or dead-lettered.
    ///
    /// # Errors
    /// lapin's own.
    fn nack(
        &self,
        declared: Declared,
        options: BasicNackOptions,
    ) -> impl Future<Output = lapin::Result<bool>> + Send;

    /// `basic.reject`: again with `requeue`, else dropped or dead-lettered.
    ///
    /// # Errors
    /// lapin's own.
    fn reject(
        &self,
        declared: Declared,
        options: BasicRejectOptions,
    ) -> impl Future<Output = lapin::Result<bool>> + Send;
}

impl<M: Message> Settle for Traced<M> {
    async fn ack(&self, declared: Declared, options: BasicAckOptions) -> lapin::Result<bool> {
        let acker = &self.message().as_delivery().acker;
        let settling = declared.settle_as("ack", Disposition::Accept);
        finish(settling, acker, acker.ack(options).await)
    }

    async fn ack_as_declared(&self, declared: Declared) -> lapin::Result<bool> {
        let acker = &self.message().as_delivery().acker;
        let settling = declared.settle("ack");
        finish(settling, acker, acker.ack(BasicAckOptions::default()).await)
    }

    async fn nack(&self, declared: Declared, options: BasicNackOptions) -> lapin::Result<bool> {
        let acker = &self.message().as_delivery().acker;
        let settling = declared.settle_as("nack", asked(options.requeue));
        finish(settling, acker, acker.nack(options).await)
    }

    async fn reject(&self, declared: Declared, options: BasicRejectOptions) -> lapin::Result<bool> {
        reject_as(self, declared, options, asked(options.requeue)).await
    }
}

/// One `basic.ack` for all of these, which must be all that is unsettled on their channel up to the last of them: it is
/// called on the last, with `multiple`, and recorded as one settle with a link to each. Nothing where there are none.
///
/// # Errors
/// lapin's own.
pub async fn ack_multiple<M: Message>(
    messages: &[Traced<M>],
    declared: Vec<Declared>,
) -> lapin::Result<bool> {
    let all: Vec<&Traced<M>> = messages.iter().collect();
    ack_all(&all, &declared).await
}

pub(crate) async fn ack_all<M: Message>(
    messages: &[&Traced<M>],
    declared: &[Declared],
) -> lapin::Result<bool> {
    let last =
        messages.iter().map(|message| message.message().as_delivery()).max_by_key(|of| of.delivery_tag);
    let (Some(last), Some(first)) = (last, declared.first()) else { return Ok(true) };
    let deliveries: Vec<_> = messages.iter().map(|message| message.delivery().clone()).collect();
    let settling = {
        let _work = first.context().clone().attach();
        settle_batch("ack", Disposition::Accept, &deliveries)
    };
    let answer = last.acker.ack(BasicAckOptions { multiple: true }).await;
    match settling {
        Some(settling) => finish(settling, &last.acker, answer),
        None => answer,
    }
}

/// `basic.reject` where the caller knows better what becomes of the message: its queue's dead-letter exchange may lead
/// back to it.
pub(crate) async fn reject_as<M: Message>(
    message: &Traced<M>,
    declared: Declared,
    options: BasicRejectOptions,
    disposition: Disposition,
) -> lapin::Result<bool> {
    let acker = &message.message().as_delivery().acker;
    let settling = declared.settle_as("reject", disposition);
    finish(settling, acker, acker.reject(options).await)
}

fn asked(requeue: bool) -> Disposition {
    if requeue { Disposition::Retry } else { Disposition::Reject }
}

fn finish(settling: Settling, acker: &Acker, answer: lapin::Result<bool>) -> lapin::Result<bool> {
    match &answer {
        Ok(true) => settling.sent(),
        Ok(false) if acker.poisoned() => {
            settling.fail(Failure::new("channel-closed", "the delivery's channel is closed"));
        }
        Ok(false) => settling.fail(Failure::new("already-settled", "the delivery was settled before")),
        Err(error) => settling.fail(failure(error)),
    }
    answer
}
