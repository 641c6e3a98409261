//! [`TracedBaseConsumer`]: a `BaseConsumer`, for loops on a thread of their own.

use super::next_after;
use super::observer::{ConsumerObserver, TracedContext, finish, settle_each};
use hopscope_sdk::{Telemetry, Traced};
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::util::Timeout;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A `BaseConsumer` whose messages carry what is known about them beside them. Cheap to clone; without a runtime.
pub struct TracedBaseConsumer<C: ConsumerContext + 'static = TracedContext> {
    consumer: Arc<BaseConsumer<C>>,
    observer: ConsumerObserver,
}

/// A [`PartitionQueue`] whose messages carry what is known about them beside them. Its consumer must be polled as well:
/// that is what serves rebalances.
pub struct TracedPartitionQueue<C: ConsumerContext + 'static> {
    queue: PartitionQueue<C>,
    consumer: TracedBaseConsumer<C>,
}

impl TracedBaseConsumer {
    /// Makes the client too.
    ///
    /// # Errors
    /// Those of the client: the configuration is wrong.
    pub fn from_config(config: &ClientConfig) -> KafkaResult<Self> {
        Self::from_config_with(config, Telemetry::global())
    }

    /// Makes the client too, with telemetry of its own.
    ///
    /// # Errors
    /// Those of the client: the configuration is wrong.
    pub fn from_config_with(config: &ClientConfig, telemetry: Telemetry) -> KafkaResult<Self> {
        let observer = ConsumerObserver::new(config, telemetry);
        let consumer = BaseConsumer::from_config_and_context(config, TracedContext(observer.clone()))?;
        Ok(Self { consumer: Arc::new(consumer), observer })
    }
}

impl<C: ConsumerContext + 'static> TracedBaseConsumer<C> {
    /// Around a client with a context of your own, whose `commit_callback` should call the same observer.
    pub fn new(consumer: BaseConsumer<C>, observer: &ConsumerObserver) -> Self {
        Self { consumer: Arc::new(consumer), observer: observer.clone() }
    }

    /// The client: to subscribe, seek, pause. What is received or committed through it is not traced.
    pub fn inner(&self) -> &BaseConsumer<C> {
        &self.consumer
    }

    /// The next message, if there is one before the timeout; see [`BaseConsumer::poll`]. An empty poll is no step.
    pub fn poll<T: Into<Timeout>>(&self, timeout: T) -> Option<KafkaResult<Traced<BorrowedMessage<'_>>>> {
        let message = self.consumer.poll(timeout)?;
        Some(message.map(|message| self.observer.received(message, self.consumer.client())))
    }

    /// The messages that come until there are `messages_max` or the time is over, none at worst: one receive span for
    /// all.
    ///
    /// # Errors
    /// The client's, where there is no message yet. One that comes later ends the batch; a lasting one comes again.
    pub fn poll_batch(
        &self,
        messages_max: usize,
        timeout: Duration,
    ) -> KafkaResult<Vec<Traced<BorrowedMessage<'_>>>> {
        let (began, mut messages) = (Instant::now(), Vec::new());
        while messages.len() < messages_max {
            match self.consumer.poll(timeout.saturating_sub(began.elapsed())) {
                Some(Ok(message)) => messages.push(message),
                Some(Err(error)) if messages.is_empty() => return Err(error),
                Some(Err(_)) => break,
                // The client comes back early where it has served a callback.
                None if began.elapsed() < timeout => {}
                None => break,
            }
        }
        Ok(self.observer.received_batch(messages, self.consumer.client()))
    }

    /// Stores the message's offset for the next commit that librdkafka makes by itself
    /// (`enable.auto.offset.store=false`, `enable.auto.commit=true`). The commit is recorded when it is made.
    ///
    /// # Errors
    /// The client's: the partition is no longer assigned.
    pub fn store_offset(&self, message: &Traced<BorrowedMessage<'_>>) -> KafkaResult<()> {
        self.consumer.store_offset_from_message(message.message())
    }

    /// Commits this message, and by Kafka's rule everything before it in its partition; waits for the broker.
    ///
    /// # Errors
    /// The client's. It is in the settle span too.
    pub fn commit_message<M: Message>(&self, message: &Traced<M>) -> KafkaResult<()> {
        self.commit(&next_after(message.message())?)
    }

    /// Commits these offsets (each the next one to read) and waits for the broker.
    ///
    /// # Errors
    /// The client's. It is in the settle spans too.
    pub fn commit(&self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        let observer = &self.observer;
        let settling: Vec<_> = settle_each(&observer.telemetry, &observer.client, offsets).collect();
        let result = self.consumer.commit(offsets, CommitMode::Sync);
        settling.into_iter().for_each(|(settling, _)| finish(settling, result.as_ref().err()));
        result
    }

    /// That partition's messages in a queue of their own; see [`BaseConsumer::split_partition_queue`].
    pub fn split_partition_queue(&self, topic: &str, partition: i32) -> Option<TracedPartitionQueue<C>> {
        let queue = self.consumer.split_partition_queue(topic, partition)?;
        Some(TracedPartitionQueue { queue, consumer: self.clone() })
    }
}

impl<C: ConsumerContext + 'static> TracedPartitionQueue<C> {
    /// The next message of the partition, if there is one before the timeout.
    pub fn poll<T: Into<Timeout>>(&self, timeout: T) -> Option<KafkaResult<Traced<BorrowedMessage<'_>>>> {
        let message = self.queue.poll(timeout)?;
        let TracedBaseConsumer { consumer, observer } = &self.consumer;
        Some(message.map(|message| observer.received(message, consumer.client())))
    }
}

impl<C: ConsumerContext + 'static> Clone for TracedBaseConsumer<C> {
    fn clone(&self) -> Self {
        Self { consumer: Arc::clone(&self.consumer), observer: self.observer.clone() }
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for TracedBaseConsumer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedBaseConsumer").field("client", &self.observer.client).finish_non_exhaustive()
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for TracedPartitionQueue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedPartitionQueue").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}
