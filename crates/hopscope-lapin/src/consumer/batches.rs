//! [`TracedConsumer::run_batches`]: several messages to one handler, acknowledged with one word.

use super::TracedConsumer;
use super::failed::{acknowledge, give_back};
use super::run::{CLOSED, End, Options, SHUTDOWN};
use crate::receive::delivered;
use crate::settle::ack_all;
use futures::FutureExt;
use hopscope_sdk::work::BatchOutcome;
use hopscope_sdk::{Declared, Failure, Outcome, ProcessingBatch, Traced};
use lapin::message::Delivery;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;

impl TracedConsumer {
    /// Handles messages in batches, one after another, until `stop`, or until the consumer is cancelled or its channel
    /// closed. A batch is `batch_max` messages, or what has come `batch_wait` after the first.
    ///
    /// The handler says which messages failed: those are tried again or given up, each by itself, as the options say. The
    /// others are acknowledged with one `multiple` ack, where they are all that is unsettled on the channel (nothing
    /// else consumes or gets on it); else one by one. Every message is linked from the one process span and from the
    /// one ack. A batch that the shutdown did not wait for is given back whole.
    ///
    /// # Errors
    /// lapin's own: the channel or connection is closed, and will not recover.
    pub async fn run_batches<H, F>(
        mut self,
        options: Options,
        handler: H,
        stop: impl Future<Output = ()>,
    ) -> lapin::Result<()>
    where
        H: Fn(Arc<[Traced<Delivery>]>) -> F,
        F: Future<Output = BatchOutcome>,
    {
        let mut stop = pin!(stop);
        let mut settled = Settled::default();
        let end = loop {
            let mut messages = Vec::new();
            let end = self.collect(&options, &mut messages, stop.as_mut()).await;
            if !messages.is_empty() && !matches!(end, Some(End::Stopped | End::Closed(_))) {
                let batch = self.batch(std::mem::take(&mut messages));
                if self.work(&options, batch, &handler, stop.as_mut(), &mut settled).await == Stopped(true) {
                    break End::Stopped;
                }
            }
            if let Some(end) = end {
                // No handler saw them, and there is no record of them.
                for message in messages.iter().filter(|_| !self.no_ack) {
                    let _ = message.acker.nack(REQUEUE).await;
                }
                break end;
            }
        };
        self.give_back_prefetched(&end, options.drain).await;
        end.into_result()
    }

    /// Fills the batch; says so where there will be no other.
    async fn collect(
        &mut self,
        options: &Options,
        messages: &mut Vec<Delivery>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<End> {
        match self.next_or(stop.as_mut()).await {
            Ok(message) => messages.push(message),
            Err(end) => return Some(end),
        }
        let mut wait = pin!(tokio::time::sleep(options.batch_wait));
        while messages.len() < options.batch_max {
            tokio::select! {
                biased;
                next = self.next_or(stop.as_mut()) => match next {
                    Ok(message) => messages.push(message),
                    Err(end) => return Some(end),
                },
                () = &mut wait => break,
            }
        }
        None
    }

    fn batch(&self, messages: Vec<Delivery>) -> Arc<[Traced<Delivery>]> {
        let (queue, tag) = (self.consumer.queue(), self.consumer.tag());
        let settings = &self.channel.settings;
        let traced = messages.into_iter().map(|message| {
            let delivery = delivered(settings, queue.as_str(), tag.as_str(), &message);
            Traced::new(message, delivery)
        });
        let batch: Arc<[_]> = traced.collect();
        let deliveries: Vec<_> = batch.iter().map(|message| message.delivery().clone()).collect();
        settings.telemetry.receive_batch("consume", &deliveries);
        batch
    }

    async fn work<H, F>(
        &self,
        options: &Options,
        batch: Arc<[Traced<Delivery>]>,
        handler: &H,
        stop: Pin<&mut impl Future<Output = ()>>,
        settled: &mut Settled,
    ) -> Stopped
    where
        H: Fn(Arc<[Traced<Delivery>]>) -> F,
        F: Future<Output = BatchOutcome>,
    {
        let deliveries = batch.iter().map(|message| message.delivery().clone()).collect();
        let Some(mut processing) = ProcessingBatch::start(deliveries) else { return Stopped(false) };
        let work = processing.run(async { handler(Arc::clone(&batch)).await });
        let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
        let mut stopped = Stopped(false);
        let drain = async {
            stop.await;
            stopped = Stopped(true);
            tokio::time::sleep(options.drain).await;
        };
        let done = tokio::select! {
            biased;
            done = &mut work => Some(done),
            () = drain => None,
        };
        let Some(done) = done else {
            for (message, declared) in batch.iter().zip(processing.declare(Outcome::Unknown(SHUTDOWN))) {
                if !self.no_ack {
                    let _recorded = give_back(message, declared).await;
                }
            }
            return stopped;
        };
        let outcome = done.unwrap_or_else(|panic| BatchOutcome::Failed(Failure::panic(&*panic)));
        let failures = outcome.each(batch.len());
        for (number, failure) in failures.iter().enumerate() {
            if let Some(failure) = failure {
                processing.fail_one(number, (*failure).clone());
            }
        }
        let is_lost = batch.iter().any(|message| message.message().acker.poisoned());
        let rest = if is_lost { Outcome::Unknown(CLOSED) } else { Outcome::Ok };
        let declared = processing.declare(rest);
        if !is_lost && !self.no_ack {
            settle(options, &batch, declared, &failures, settled).await;
        }
        stopped
    }
}

/// Whether the handlers were told to end.
#[derive(Debug, PartialEq)]
struct Stopped(bool);

const REQUEUE: lapin::options::BasicNackOptions =
    lapin::options::BasicNackOptions { requeue: true, multiple: false };

/// First each one that failed, then the others together: a `multiple` ack covers whatever is unsettled before it.
async fn settle(
    options: &Options,
    batch: &[Traced<Delivery>],
    declared: Vec<Declared>,
    failures: &[Option<&Failure>],
    settled: &mut Settled,
) {
    let (mut done, mut done_declared) = (Vec::new(), Vec::new());
    for ((message, declared), failure) in batch.iter().zip(declared).zip(failures) {
        match failure {
            Some(failure) => {
                let fate = options.failed_in_batch(message, declared.context(), failure).await;
                fate.settle(message, declared).await;
            }
            None => {
                done.push(message);
                done_declared.push(declared);
            }
        }
    }
    let tags: Vec<u64> = batch.iter().map(|message| message.message().delivery_tag).collect();
    if settled.covers(&tags) && done.len() > 1 {
        let _recorded = ack_all(&done, &done_declared).await;
    } else {
        for (message, declared) in done.into_iter().zip(done_declared) {
            acknowledge(message, declared).await;
        }
    }
}

/// How far everything of the channel is known to be settled. Delivery tags count from 1 without a gap, over all
/// consumers and gets of a channel, and anew after a recovery.
#[derive(Debug, Default)]
struct Settled {
    to: u64,
}

impl Settled {
    /// True where these tags are all that is unsettled up to the last of them; they will be settled now.
    fn covers(&mut self, tags: &[u64]) -> bool {
        if tags.first() == Some(&1) {
            self.to = 0;
        }
        let is_next = (self.to + 1..).zip(tags).all(|(next, tag)| next == *tag);
        if is_next {
            self.to += tags.len() as u64;
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiple_ack_covers_nobody_elses_messages() {
        let mut settled = Settled::default();
        assert!(settled.covers(&[1, 2, 3]));
        assert!(settled.covers(&[4]));
        assert!(!settled.covers(&[6, 7]), "5 is another consumer's");
        assert!(!settled.covers(&[8, 9]), "5 may still be unsettled");
        assert!(settled.covers(&[1, 2]), "after a recovery the channel counts anew");
        assert!(settled.covers(&[3]));
        assert!(!settled.covers(&[4, 6]));
    }
}
