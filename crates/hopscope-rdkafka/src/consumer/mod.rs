//! [`TracedConsumer`]: a `StreamConsumer` that says what it was given, and what the group has committed.

mod base;
mod observer;
mod queue;

pub use base::{TracedBaseConsumer, TracedPartitionQueue};
pub use observer::{ConsumerObserver, TracedContext};
pub(crate) use observer::{OnRevoke, settle_each};
pub use queue::TracedStreamQueue;

use crate::client::Client;
use crate::message;
use hopscope_sdk::{Telemetry, Traced};
use observer::finish;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A `StreamConsumer` whose messages carry what is known about them beside them. Cheap to clone.
///
/// A process span ends when its outcome is declared; the commit is told for itself, once per lane, however many
/// messages it covers. [`run`](Self::run) does all of it: handlers side by side, retries, dead letters, commits.
pub struct TracedConsumer<C: ConsumerContext + 'static = TracedContext> {
    consumer: Arc<StreamConsumer<C>>,
    observer: ConsumerObserver,
}

impl TracedConsumer {
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
        let context = TracedContext(observer.clone());
        let consumer = StreamConsumer::from_config_and_context(config, context)?;
        Ok(Self { consumer: Arc::new(consumer), observer })
    }
}

impl<C: ConsumerContext + 'static> TracedConsumer<C> {
    /// Around a client with a context of your own. That context's callbacks should call the same observer, or the
    /// commits that librdkafka makes by itself stay unseen, and a run is not told of partitions that go.
    pub fn new(consumer: StreamConsumer<C>, observer: &ConsumerObserver) -> Self {
        Self { consumer: Arc::new(consumer), observer: observer.clone() }
    }

    /// The client: to subscribe, seek, pause. What is received or committed through it is not traced.
    pub fn inner(&self) -> &StreamConsumer<C> {
        &self.consumer
    }

    /// Waits for the next message. Cancel-safe, as the client's own.
    ///
    /// # Errors
    /// The client's.
    pub async fn recv(&self) -> KafkaResult<Traced<BorrowedMessage<'_>>> {
        let message = self.consumer.recv().await?;
        Ok(self.observer.received(message, self.consumer.client()))
    }

    /// Waits for a message, then takes those that come until there are `messages_max` or `wait` is over: one receive
    /// span for all. Cancelled it loses what it has taken so far, as far as this consumer goes: nothing of it is
    /// committed.
    ///
    /// Work on them together with [`ProcessingBatch`](hopscope_sdk::ProcessingBatch), or on each.
    ///
    /// # Errors
    /// The client's, where there is no message yet. One that comes later ends the batch; a lasting one comes again.
    pub async fn recv_batch(
        &self,
        messages_max: usize,
        wait: Duration,
    ) -> KafkaResult<Vec<Traced<BorrowedMessage<'_>>>> {
        let mut messages = vec![self.consumer.recv().await?];
        let fill = async {
            while messages.len() < messages_max {
                match self.consumer.recv().await {
                    Ok(message) => messages.push(message),
                    Err(_) => break,
                }
            }
        };
        let _ = tokio::time::timeout(wait, fill).await;
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
    pub async fn commit_message<M: Message + Sync>(&self, message: &Traced<M>) -> KafkaResult<()> {
        self.commit(next_after(message.message())?).await
    }

    /// Commits these offsets (each the next one to read) and waits for the broker, on a thread for blocking work.
    ///
    /// # Errors
    /// The client's. It is in the settle spans too.
    pub async fn commit(&self, offsets: TopicPartitionList) -> KafkaResult<()> {
        let (telemetry, client) = self.parts();
        let settling: Vec<_> = settle_each(telemetry, client, &offsets).collect();
        let consumer = Arc::clone(&self.consumer);
        let commit = move || consumer.commit(&offsets, CommitMode::Sync);
        let result = tokio::task::spawn_blocking(commit).await.unwrap_or(Err(KafkaError::Canceled));
        settling.into_iter().for_each(|(settling, _)| finish(settling, result.as_ref().err()));
        result
    }

    /// That partition's messages in a queue of their own; see [`StreamConsumer::split_partition_queue`].
    pub fn split_partition_queue(&self, topic: &str, partition: i32) -> Option<TracedStreamQueue<C>> {
        let queue = self.consumer.split_partition_queue(topic, partition)?;
        Some(TracedStreamQueue::new(queue, self.clone()))
    }

    pub(crate) fn parts(&self) -> (&Telemetry, &Client) {
        (&self.observer.telemetry, &self.observer.client)
    }

    pub(crate) fn observer(&self) -> &ConsumerObserver {
        &self.observer
    }
}

impl ConsumerObserver {
    fn received<'m, C: ClientContext>(
        &self,
        message: BorrowedMessage<'m>,
        client: &rdkafka::client::Client<C>,
    ) -> Traced<BorrowedMessage<'m>> {
        self.learn_cluster(client);
        let delivery = message::delivery(&self.telemetry, &self.client, &message, Some(POLL));
        Traced::new(message, delivery)
    }

    fn received_batch<'m, C: ClientContext>(
        &self,
        messages: Vec<BorrowedMessage<'m>>,
        client: &rdkafka::client::Client<C>,
    ) -> Vec<Traced<BorrowedMessage<'m>>> {
        self.learn_cluster(client);
        let delivered =
            |message: &BorrowedMessage<'_>| message::delivery(&self.telemetry, &self.client, message, None);
        let deliveries: Vec<_> = messages.iter().map(delivered).collect();
        self.telemetry.receive_batch(POLL, &deliveries);
        messages
            .into_iter()
            .zip(deliveries)
            .map(|(message, delivery)| Traced::new(message, delivery))
            .collect()
    }

    fn learn_cluster<C: ClientContext>(&self, client: &rdkafka::client::Client<C>) {
        self.client.learn_cluster(|| client.fetch_cluster_id(Duration::ZERO));
    }
}

/// The client's own word for it.
const POLL: &str = "poll";

fn next_after<M: Message>(message: &M) -> KafkaResult<TopicPartitionList> {
    let mut offsets = TopicPartitionList::with_capacity(1);
    let next = Offset::Offset(message.offset().saturating_add(1));
    offsets.add_partition_offset(message.topic(), message.partition(), next)?;
    Ok(offsets)
}

impl<C: ConsumerContext + 'static> Clone for TracedConsumer<C> {
    fn clone(&self) -> Self {
        Self { consumer: Arc::clone(&self.consumer), observer: self.observer.clone() }
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for TracedConsumer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedConsumer").field("client", &self.observer.client).finish_non_exhaustive()
    }
}
