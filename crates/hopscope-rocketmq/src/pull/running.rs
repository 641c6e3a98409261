//! [`TracedLitePullConsumer::run`]: concurrent handlers, commits, dead letters and shutdown in one call.

use super::{TracedLitePullConsumer, queue_of};
use crate::TracedProducer;
use crate::consumer::Queues;
use crate::names;
use crate::origin::property;
use hopscope_sdk::work::{End, InFlight, Offsets, Slot, Task, Workers, WorkersConfig};
use hopscope_sdk::{Delivery, Disposition, Failure, Outcome, Processing, Retry, Traced};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::collections::HashSet;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How [`TracedLitePullConsumer::run`] handles messages.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// How many handlers at a time, and in which order. A lane is a queue; a key is the message's keys.
    pub workers: WorkersConfig,
    /// Tries in the handler's own time. A pull consumer has no retries through the broker.
    pub retry: Retry,
    /// Where messages go that are given up. `None`: they are recorded as failed and rejected, and passed over.
    pub dead_letter: Option<DeadLetter>,
    /// Least time between commits.
    pub commit_interval: Duration,
    /// How long the end waits for handlers that are at work.
    pub drain: Duration,
}

/// A topic of dead letters, and who writes there.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// A started producer.
    pub producer: Arc<TracedProducer>,
    /// Topic.
    pub topic: String,
}

/// No retries, no dead letters, a commit each second at most, 10 s at the end.
impl Default for PullOptions {
    fn default() -> Self {
        Self {
            workers: WorkersConfig::default(),
            retry: Retry::never(),
            dead_letter: None,
            commit_interval: Duration::from_secs(1),
            drain: Duration::from_secs(10),
        }
    }
}

type Message = Traced<Arc<MessageExt>>;
type Done = Arc<Mutex<Offsets<MessageQueue>>>;

impl TracedLitePullConsumer {
    /// Polls the started consumer and handles messages until `stop`; then waits for the handlers that are at work and
    /// commits what they did. The client goes on: shut it down afterwards.
    ///
    /// A commit never passes a message that is not finished, and a slow handler holds up polling, not the broker.
    /// Messages of a queue that was taken away, and those that had not begun at the end, end as unknown and come again.
    pub async fn run<E, F>(
        &self,
        options: PullOptions,
        handler: impl Fn(Message) -> F + Send + Sync + 'static,
        stop: impl Future<Output = ()>,
    ) where
        E: Send + 'static,
        for<'e> Failure: From<&'e E>,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.consumer.set_auto_commit(false).await;
        let queues = Arc::new(Queues::new(self.consumer.message_queue_listener().await));
        self.consumer.set_message_queue_listener(Some(queues.clone())).await;
        let done = Done::default();
        let handling = Arc::new(Handling { options: options.clone(), handler });
        let finished = Arc::clone(&done);
        let workers = Workers::new(
            &Handle::current(),
            options.workers,
            move |(message, at): (Message, InFlight), task| {
                let handling = Arc::clone(&handling);
                async move { handling.handle(message, &task).await.then_some(at) }
            },
            move |ended| {
                if let (End::Done(Some(at)), false) = (ended.end, ended.revoked) {
                    lock(&finished).finished(&ended.slot.lane, at);
                }
            },
        );
        let mut stop = pin!(stop);
        let mut committed_at = Instant::now();
        let mut lanes = HashSet::new();
        'polling: loop {
            let messages = tokio::select! {
                biased;
                () = &mut stop => break 'polling,
                messages = self.poll(options.commit_interval) => messages,
            };
            lanes.retain(|lane| {
                let is_ours = queues.lost(lane).is_none();
                if !is_ours {
                    revoke(&workers, &done, lane);
                }
                is_ours
            });
            for message in messages {
                let slot = slot(message.message());
                let at = lock(&done).started(slot.lane.clone(), slot.position);
                if !lanes.contains(&slot.lane) {
                    lanes.insert(slot.lane.clone());
                }
                tokio::select! {
                    biased;
                    // Dropped here it has not begun, and no commit passes it.
                    () = &mut stop => break 'polling,
                    _ = workers.submit(slot, (message, at)) => {}
                }
            }
            if committed_at.elapsed() >= options.commit_interval {
                self.commit_due(&done).await;
                committed_at = Instant::now();
            }
        }
        let drained = workers.drain(options.drain).await;
        drained.not_started.iter().for_each(|(_, (message, _))| end_unknown(message.delivery(), "shut down"));
        self.commit_due(&done).await;
    }

    /// A commit that failed stays due.
    async fn commit_due(&self, done: &Done) {
        let due = lock(done).due();
        for (queue, next) in due {
            if self.commit(&queue, next).await.is_ok() {
                lock(done).committed(&queue, next);
            }
        }
    }
}

/// The queue is another consumer's now.
fn revoke(workers: &Workers<MessageQueue, (Message, InFlight)>, done: &Done, lane: &MessageQueue) {
    let revoked = workers.revoke(lane);
    revoked.waiting.iter().for_each(|(_, (message, _))| end_unknown(message.delivery(), "queue revoked"));
    lock(done).revoke(lane);
}

fn end_unknown(delivery: &Delivery, reason: &'static str) {
    delivery.process().declare(Outcome::Unknown(reason), None);
}

fn slot(message: &MessageExt) -> Slot<MessageQueue> {
    let slot = Slot::new(queue_of(message), message.queue_offset());
    match property(message.get_properties(), names::KEYS) {
        "" => slot,
        keys => slot.with_key(keys.as_bytes()),
    }
}

fn lock(done: &Done) -> MutexGuard<'_, Offsets<MessageQueue>> {
    done.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Handling<H> {
    options: PullOptions,
    handler: H,
}

impl<H> Handling<H> {
    /// True where nothing is left to be done with the message.
    async fn handle<E, F>(&self, message: Message, task: &Task<MessageQueue>) -> bool
    where
        for<'e> Failure: From<&'e E>,
        H: Fn(Message) -> F,
        F: Future<Output = Result<(), E>>,
    {
        let processing = message.process();
        let result = caught(self.options.retry.run(&processing, || (self.handler)(message.clone()))).await;
        match result {
            Ok(Ok(())) if task.is_revoked() => {
                processing.declare(Outcome::Unknown("queue revoked"), None);
                false
            }
            Ok(Ok(())) => {
                processing.succeed();
                true
            }
            Ok(Err(error)) => self.give_up(processing, message.message(), Failure::from(&error)).await,
            Err(panic) => self.give_up(processing, message.message(), panic).await,
        }
    }

    async fn give_up(&self, processing: Processing, message: &MessageExt, failure: Failure) -> bool {
        let mut is_done = true;
        if let Some(DeadLetter { producer, topic }) = &self.options.dead_letter {
            let sent = processing.run(producer.dead_letter(&processing, message, topic, &failure));
            is_done = sent.await.is_ok();
        }
        // Where the dead letter is not written, the message is still the group's: it comes again after a restart.
        let disposition = if is_done { Disposition::Reject } else { Disposition::Retry };
        processing.declare(Outcome::Failed(failure), Some(disposition));
        is_done
    }
}

/// A handler that panics has failed, as one that says so: the queue goes on.
async fn caught<R>(work: impl Future<Output = R>) -> Result<R, Failure> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(Failure::panic(&*payload))),
    })
    .await
}
