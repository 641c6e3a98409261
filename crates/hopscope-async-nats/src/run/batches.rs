//! Several messages to one handler.

use super::attend::{Fate, SHUTDOWN, attempt_of, give_back};
use super::intake::{End, give_back_held, next_or};
use super::{Options, RunError};
use crate::{Received, TracedMessages};
use async_nats::jetstream::{AckKind, Message};
use futures::{FutureExt, Stream};
use hopscope_sdk::work::BatchOutcome;
use hopscope_sdk::{Declared, Failure, ProcessingBatch};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};

pub(super) async fn drive<S, E, H, F, O>(
    of: TracedMessages<S>,
    options: Options,
    handler: H,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError>
where
    S: Stream<Item = Result<Message, E>> + Unpin,
    E: Into<async_nats::Error>,
    H: Fn(Vec<Received>) -> F,
    F: Future<Output = O>,
    O: Into<BatchOutcome>,
{
    let TracedMessages { mut messages, receiver } = of;
    let mut stop = pin!(stop);
    let end = loop {
        let mut taken = Vec::new();
        let end = collect(&mut messages, &options, &mut taken, stop.as_mut()).await;
        if matches!(end, Some(End::Stopped)) {
            // No handler saw them, and there is no record of them.
            for message in taken.iter().filter(|_| receiver.wants_ack()) {
                let _ = message.ack_with(AckKind::Nak(None)).await;
            }
        } else if !taken.is_empty()
            && work(&options, receiver.batch("receive", taken), &handler, stop.as_mut()).await
                == Stopped(true)
        {
            break End::Stopped;
        }
        if let Some(end) = end {
            break end;
        }
    };
    give_back_held(messages, receiver.ack_policy).await;
    end.into_result()
}

/// Fills the batch; says so where there will be no other.
async fn collect<S, E>(
    messages: &mut S,
    options: &Options,
    taken: &mut Vec<Message>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Option<End>
where
    S: Stream<Item = Result<Message, E>> + Unpin,
    E: Into<async_nats::Error>,
{
    match next_or(messages, stop.as_mut()).await {
        Ok(message) => taken.push(message),
        Err(end) => return Some(end),
    }
    let mut wait = pin!(tokio::time::sleep(options.batch_wait));
    while taken.len() < options.batch_max {
        tokio::select! {
            biased;
            next = next_or(messages, stop.as_mut()) => match next {
                Ok(message) => taken.push(message),
                Err(end) => return Some(end),
            },
            () = &mut wait => break,
        }
    }
    None
}

/// Whether the handlers were told to end.
#[derive(Debug, PartialEq)]
struct Stopped(bool);

async fn work<H, F, O>(
    options: &Options,
    batch: Vec<Received>,
    handler: &H,
    stop: Pin<&mut impl Future<Output = ()>>,
) -> Stopped
where
    H: Fn(Vec<Received>) -> F,
    F: Future<Output = O>,
    O: Into<BatchOutcome>,
{
    let deliveries = batch.iter().map(|message| message.delivery().clone()).collect();
    let Some(mut processing) = ProcessingBatch::start(deliveries) else { return Stopped(false) };
    let work = processing.run(async { handler(batch.clone()).await.into() });
    let mut work = pin!(options.in_progress(&batch, AssertUnwindSafe(work).catch_unwind()));
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
        for (message, declared) in batch.iter().zip(processing.declare(SHUTDOWN)) {
            if message.wants_ack() {
                give_back(message, declared).await;
            }
        }
        return stopped;
    };
    let outcome: BatchOutcome = done.unwrap_or_else(|panic| BatchOutcome::Failed(Failure::panic(&*panic)));
    let failures = outcome.each(batch.len());
    let mut fates = Vec::with_capacity(batch.len());
    for (number, (message, failure)) in batch.iter().zip(&failures).enumerate() {
        let Some(failure) = failure else {
            fates.push(None);
            continue;
        };
        let attempt = attempt_of(message);
        if message.wants_ack() {
            let verdict = options.retry.after(attempt, failure);
            let fate = processing.run(options.follow(verdict, message, attempt, failure)).await;
            fates.push(Some((fate, *failure)));
        } else {
            fates.push(None);
        }
        processing.fail_one(number, (*failure).clone());
    }
    settle(options, &batch, processing.succeed(), fates).await;
    stopped
}

async fn settle(
    options: &Options,
    batch: &[Received],
    declared: Vec<Declared>,
    fates: Vec<Option<(Fate, &Failure)>>,
) {
    for ((message, declared), fate) in batch.iter().zip(declared).zip(fates) {
        match fate {
            _ if !message.wants_ack() => {}
            None => options.acknowledge(message, declared).await,
            Some((fate, failure)) => fate.settle(message, declared, failure).await,
        }
    }
}
