//! What is done about one message, or one batch: the handler, and what follows a failure.

use super::intake::{Item, Lane};
use super::{GivenUp, Options, Position, Received, RunError};
use hopscope_sdk::dead_letter::Original;
use hopscope_sdk::work::{BatchOutcome, InFlight, Task};
use hopscope_sdk::{Disposition, Failure, Outcome, Processing, ProcessingBatch, Verdict};
use rdkafka::message::Message;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

/// What came of a job.
#[derive(Debug, Default)]
pub(super) struct Attended {
    /// Messages that nothing more is to be done about.
    pub finished: Vec<InFlight>,
    /// Why nothing should go on.
    pub stop: Option<RunError>,
}

/// What becomes of a failed message.
enum After {
    Again(Original),
    DeadLettered(Original),
    Skipped,
    Stop(RunError),
}

/// Why an unfinished message ends when its partition goes.
pub(super) const REVOKED: Outcome = Outcome::Unknown("partition revoked");

/// One message: tries in place, then what its failure asks for.
pub(super) async fn one<H, F, E>(
    job: Vec<Item>,
    task: Task<Lane>,
    options: Arc<Options>,
    handler: Arc<H>,
) -> Attended
where
    H: Fn(Received) -> F + Send + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Send,
    for<'e> Failure: From<&'e E>,
{
    let mut attended = Attended::default();
    for Item { message, in_flight } in job {
        let processing = message.process();
        let tries = AtomicU32::new(0);
        let attempt = || {
            tries.fetch_add(1, Ordering::Relaxed);
            handler(Arc::clone(&message))
        };
        let result = caught(options.in_place.run(&processing, attempt)).await;
        if task.is_revoked() {
            processing.declare(REVOKED, None);
            continue;
        }
        let failure = match result {
            Ok(Ok(())) => {
                processing.succeed();
                attended.finished.push(in_flight);
                continue;
            }
            Ok(Err(error)) => Failure::from(&error),
            Err(panic) => panic,
        };
        let made = before(&message).saturating_add(tries.load(Ordering::Relaxed));
        let after = processing.run(follow(&options, &message, made, &failure)).await;
        match note(&processing, &options, &after) {
            Some(disposition) => {
                processing.declare(Outcome::Failed(failure), Some(disposition));
                attended.finished.push(in_flight);
            }
            None => drop(processing.fail(failure)),
        }
        if let After::Stop(error) = after {
            attended.stop = Some(error);
        }
    }
    attended
}

/// A batch: one call, then each failed message for itself.
pub(super) async fn batch<H, F, O>(
    job: Vec<Item>,
    task: Task<Lane>,
    options: Arc<Options>,
    handler: Arc<H>,
) -> Attended
where
    H: Fn(Vec<Received>) -> F + Send + Sync,
    F: Future<Output = O> + Send,
    O: Into<BatchOutcome> + Send,
{
    let mut attended = Attended::default();
    let deliveries = job.iter().map(|item| item.message.delivery().clone()).collect();
    let Some(mut work) = ProcessingBatch::start(deliveries) else { return attended };
    let messages = job.iter().map(|item| Arc::clone(&item.message)).collect();
    let outcome = caught(work.run(async { handler(messages).await.into() })).await;
    if task.is_revoked() {
        work.declare(REVOKED);
        return attended;
    }
    let outcome = outcome.unwrap_or_else(BatchOutcome::Failed);
    for (index, (Item { message, in_flight }, failure)) in job.iter().zip(outcome.each(job.len())).enumerate()
    {
        let Some(failure) = failure else {
            attended.finished.push(*in_flight);
            continue;
        };
        let made = before(message).saturating_add(1);
        match work.run(follow(&options, message, made, failure)).await {
            After::Stop(error) => drop(attended.stop.get_or_insert(error)),
            _ => attended.finished.push(*in_flight),
        }
        work.fail_one(index, failure.clone());
    }
    work.succeed();
    attended
}

/// Attempts that were made before this delivery.
fn before(message: &Received) -> u32 {
    message.delivery().attempt().map_or(0, |attempt| attempt.saturating_sub(1))
}

/// What comes after that failure, done.
async fn follow(options: &Options, message: &Received, attempts: u32, failure: &Failure) -> After {
    if let Some(retry) = &options.retry {
        let delivered = message.delivery().attempt().unwrap_or(1);
        if let Verdict::Again { delay } = retry.policy().after(delivered, failure) {
            return match retry.send(message, delivered, delay, failure).await {
                Ok((_, original)) => After::Again(original),
                Err(error) => After::Stop(RunError::NotCopied(position(message), error)),
            };
        }
    }
    if let Some(dead_letter) = &options.dead_letter {
        return match dead_letter.send(message, attempts, failure).await {
            Ok((_, original)) => After::DeadLettered(original),
            Err(error) => After::Stop(RunError::NotCopied(position(message), error)),
        };
    }
    match options.given_up {
        GivenUp::Skip => After::Skipped,
        GivenUp::Stop => After::Stop(RunError::GivenUp(position(message), failure.clone())),
    }
}

/// Notes the copy, and what the message's end means for it; none where it is not finished.
fn note(processing: &Processing, options: &Options, after: &After) -> Option<Disposition> {
    match after {
        After::Again(original) => {
            original.note(processing, options.retry.as_ref().map_or("", |retry| retry.topic()));
            Some(Disposition::Retry)
        }
        After::DeadLettered(original) => {
            original.note(processing, options.dead_letter.as_ref().map_or("", |dead| dead.topic()));
            Some(Disposition::Reject)
        }
        After::Skipped => Some(Disposition::Reject),
        After::Stop(_) => None,
    }
}

fn position(message: &Received) -> Position {
    let message = message.message();
    Position { topic: message.topic().to_owned(), partition: message.partition(), offset: message.offset() }
}

/// Runs to the end or to the first panic.
async fn caught<R>(work: impl Future<Output = R>) -> Result<R, Failure> {
    let mut work = Box::pin(work);
    poll_fn(move |task| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(task))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(Failure::panic(&*payload))),
    })
    .await
}
