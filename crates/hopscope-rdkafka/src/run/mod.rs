//! [`TracedConsumer::run`]: handlers side by side, retries, dead letters and commits in one call.

mod attend;
mod engine;
mod intake;

use crate::{DeadLetter, RetryTopic, TracedConsumer};
use hopscope_sdk::work::{BatchOutcome, Order};
use hopscope_sdk::{Failure, Retry, Traced};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a handler is given: a message with what is known about it. Each try of it is given the same.
pub type Received = Arc<Traced<OwnedMessage>>;

/// How [`TracedConsumer::run`] works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most handlers at work at a time.
    pub workers_max: usize,
    /// Most messages that wait for a worker. When there are more the partitions are paused, so that the group still
    /// hears of this consumer however slow its handlers are.
    pub waiting_max: usize,
    /// Which messages are worked on one after another.
    pub order: Order,
    /// Tries in the handler's own time, before anything else is done about a failure. Not for batches.
    pub in_place: Retry,
    /// Then: a copy to a topic that the group reads again later, as long as its policy says so.
    pub retry: Option<RetryTopic>,
    /// Then: a copy to a topic of messages that were given up.
    pub dead_letter: Option<DeadLetter>,
    /// Then: what becomes of a message that was given up, and of which there is no copy.
    pub given_up: GivenUp,
    /// Most messages of a batch, for [`TracedConsumer::run_batches`].
    pub batch_max: usize,
    /// Longest wait for a batch to fill.
    pub batch_wait: Duration,
    /// How often finished messages are committed.
    pub commit_every: Duration,
    /// How long a shutdown waits for handlers that are at work. What is left then is not committed, and comes again.
    pub drain: Duration,
}

/// What becomes of a message that was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GivenUp {
    /// It is not committed, and the run ends with [`RunError::GivenUp`]: nothing is lost, and nothing goes on.
    #[default]
    Stop,
    /// It is passed over: this group will not see it again. Its span says that it failed.
    Skip,
}

/// 16 handlers, messages of a partition one after another, no retries, stop at the first failure, commit every second.
impl Default for Options {
    fn default() -> Self {
        Self {
            workers_max: 16,
            waiting_max: 64,
            order: Order::ByLane,
            in_place: Retry::never(),
            retry: None,
            dead_letter: None,
            given_up: GivenUp::Stop,
            batch_max: 500,
            batch_wait: Duration::from_millis(100),
            commit_every: Duration::from_secs(1),
            drain: Duration::from_secs(30),
        }
    }
}

/// Why a run ended by itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The client cannot go on.
    Client(KafkaError),
    /// A message was given up, and [`GivenUp::Stop`] holds. It is not committed.
    GivenUp(Position, Failure),
    /// A message was given up and its copy could not be sent. It is not committed.
    NotCopied(Position, KafkaError),
    /// The last commit failed: messages that were worked on come again.
    Commit(KafkaError),
}

/// Where a message lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl<C: ConsumerContext + 'static> TracedConsumer<C> {
    /// Works on what the subscribed topics hold until `stop` is ready: `handler` is called for each message, for up to
    /// [`workers_max`](Options::workers_max) of them side by side. Then what is at work is finished, what is finished
    /// is committed, and the consumer leaves its group: subscribe again to go on.
    ///
    /// Offsets are committed every [`commit_every`](Options::commit_every), before partitions go in a rebalance, and at
    /// the end, and **never past a message that is not finished**: set `enable.auto.commit=false`. A message is finished
    /// when its handler has succeeded, or a copy of it lies in a retry or dead-letter topic, or it was given up under
    /// [`GivenUp::Skip`]. Messages that are unfinished when their partition goes end as unknown, `partition revoked`, and
    /// another consumer is given them; a handler that is at work on one goes on to its end.
    ///
    /// A panic in the handler is a failure that is not tried again in place.
    ///
    /// ```no_run
    /// use hopscope_rdkafka::{DeadLetter, Options, Received, TracedConsumer, TracedProducer};
    /// use hopscope_sdk::Retry;
    /// use rdkafka::consumer::Consumer;
    /// # async fn charge(_: Received) -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn example(config: &rdkafka::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
    /// let consumer = TracedConsumer::from_config(config)?;
    /// consumer.inner().subscribe(&["orders"])?;
    /// let options = Options {
    ///     in_place: Retry::times(3),
    ///     dead_letter: Some(DeadLetter::to(TracedProducer::from_config(config)?, "orders.dlt.payment")),
    ///     ..Options::default()
    /// };
    /// consumer.run(options, charge, async { drop(tokio::signal::ctrl_c().await) }).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`RunError`]. Whatever it is, what was finished is committed as far as that is possible.
    pub async fn run<H, F, E>(
        &self,
        options: Options,
        handler: H,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError>
    where
        H: Fn(Received) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Send + 'static,
        for<'e> Failure: From<&'e E>,
    {
        let handler = Arc::new(handler);
        let attend = move |job, task, policy| attend::one(job, task, policy, Arc::clone(&handler));
        engine::drive(self, Options { batch_max: 1, ..options }, attend, stop).await
    }

    /// As [`run`](Self::run), with a handler for whole batches: up to [`batch_max`](Options::batch_max) messages, all of
    /// one partition, in their order. It says which of them failed ([`BatchOutcome`], or a `Result` for all): the others
    /// are finished, those are copied or given up, each for itself. [`Options::in_place`] does not apply.
    ///
    /// # Errors
    /// See [`RunError`]. Whatever it is, what was finished is committed as far as that is possible.
    pub async fn run_batches<H, F, O>(
        &self,
        options: Options,
        handler: H,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError>
    where
        H: Fn(Vec<Received>) -> F + Send + Sync + 'static,
        F: Future<Output = O> + Send + 'static,
        O: Into<BatchOutcome> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let attend = move |job, task, policy| attend::batch(job, task, policy, Arc::clone(&handler));
        engine::drive(self, options, attend, stop).await
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic={} partition={} offset={}", self.topic, self.partition, self.offset)
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "the client cannot go on: {error}"),
            Self::GivenUp(at, failure) => {
                write!(f, "a message was given up: {}: {}, {at}", failure.kind(), failure.message())
            }
            Self::NotCopied(at, error) => write!(f, "a failed message could not be copied: {error}, {at}"),
            Self::Commit(error) => write!(f, "the last commit failed: {error}"),
        }
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Client(error) | Self::NotCopied(_, error) | Self::Commit(error) => Some(error),
            Self::GivenUp(..) => None,
        }
    }
}
