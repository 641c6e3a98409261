//! [`Settle`]: ack, nack and reject, recorded.

use crate::failure::failure;
use hopscope_sdk::{Declared, Disposition, Failure, Settling, Traced};
use lapin::Acker;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use std::future::Future;

/// lapin's three ways to settle a delivery, each with the [`Declared`] outcome of its handler.
///
/// RabbitMQ does not confirm a settlement: the span ends when it is handed to the connection, and says so
/// (`hopscope.confirmed = false`). `Ok(false)` is lapin's word for a delivery that was settled before, or whose
/// channel is closed: recorded as a failure.
pub trait Settle {
    /// `basic.ack`. With `multiple` it is recorded on this message alone.
    ///
    /// # Errors
    /// lapin's own.
    fn ack(
        &self,
        declared: Declared,
        options: BasicAckOptions,
    ) -> impl Future<Output = lapin::Result<bool>> + Send;

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

impl Settle for Traced<Delivery> {
    async fn ack(&self, declared: Declared, options: BasicAckOptions) -> lapin::Result<bool> {
        ack(&self.message().acker, declared, options).await
    }

    async fn nack(&self, declared: Declared, options: BasicNackOptions) -> lapin::Result<bool> {
        nack(&self.message().acker, declared, options).await
    }

    async fn reject(&self, declared: Declared, options: BasicRejectOptions) -> lapin::Result<bool> {
        reject(&self.message().acker, declared, options).await
    }
}

impl Settle for Traced<BasicGetMessage> {
    async fn ack(&self, declared: Declared, options: BasicAckOptions) -> lapin::Result<bool> {
        ack(&self.message().acker, declared, options).await
    }

    async fn nack(&self, declared: Declared, options: BasicNackOptions) -> lapin::Result<bool> {
        nack(&self.message().acker, declared, options).await
    }

    async fn reject(&self, declared: Declared, options: BasicRejectOptions) -> lapin::Result<bool> {
        reject(&self.message().acker, declared, options).await
    }
}

async fn ack(acker: &Acker, declared: Declared, options: BasicAckOptions) -> lapin::Result<bool> {
    let settling = declared.settle_as("ack", Disposition::Accept);
    finish(settling, acker, acker.ack(options).await)
}

async fn nack(acker: &Acker, declared: Declared, options: BasicNackOptions) -> lapin::Result<bool> {
    let settling = declared.settle_as("nack", asked(options.requeue));
    finish(settling, acker, acker.nack(options).await)
}

async fn reject(acker: &Acker, declared: Declared, options: BasicRejectOptions) -> lapin::Result<bool> {
    let settling = declared.settle_as("reject", asked(options.requeue));
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
