//! [`TracedConsumer`]: a `StreamConsumer` that says what it was given, and what the group has committed.

use crate::ReadHeaders;
use crate::client::{Client, failure, key_text, times_ns, tombstone};
use hopscope_sdk::{Details, Place, Settling, Telemetry, Traced};
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, consumer::CommitMode};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A `StreamConsumer` whose messages carry what is known about them beside them. Cheap to clone.
///
/// A process span ends when its outcome is declared; the commit is told for itself, once per lane, however many
/// messages it covers.
pub struct TracedConsumer<C: ConsumerContext + 'static = TracedContext> {
    consumer: Arc<StreamConsumer<C>>,
    telemetry: Telemetry,
    client: Arc<Client>,
}

/// A consumer context that records the commits that librdkafka makes by itself.
#[derive(Clone, Debug)]
pub struct TracedContext(CommitObserver);

/// Records commits. Call [`committed`](Self::committed) from the `commit_callback` of a context of your own.
#[derive(Clone, Debug)]
pub struct CommitObserver {
    telemetry: Telemetry,
    client: Arc<Client>,
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
        let observer = CommitObserver::new(config, telemetry);
        let CommitObserver { telemetry, client } = observer.clone();
        let consumer = StreamConsumer::from_config_and_context(config, TracedContext(observer))?;
        Ok(Self { consumer: Arc::new(consumer), telemetry, client })
    }
}

impl<C: ConsumerContext + 'static> TracedConsumer<C> {
    /// Around a client with a context of your own. That context's `commit_callback` should call the same observer,
    /// or the commits that librdkafka makes by itself stay unseen.
    pub fn new(consumer: StreamConsumer<C>, observer: &CommitObserver) -> Self {
        let CommitObserver { telemetry, client } = observer.clone();
        Self { consumer: Arc::new(consumer), telemetry, client }
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
        self.client.learn_cluster(|| self.consumer.client().fetch_cluster_id(Duration::ZERO));
        let (broker_time_ns, origin_time_ns) = times_ns(message.timestamp());
        let tombstone = tombstone(message.payload());
        let details = Details {
            attributes: tombstone.as_slice(),
            key: key_text(message.key()),
            body_bytes: message.payload().map(|payload| payload.len() as u64),
            broker_time_ns,
            origin_time_ns,
            ..self.client.details()
        };
        let place = Place::Kafka {
            topic: message.topic(),
            partition: Some(message.partition()),
            offset: Some(message.offset()),
        };
        let delivery = self.telemetry.receive("poll", place, &details, &ReadHeaders(message.headers()));
        Ok(Traced::new(message, delivery))
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
        let message = message.message();
        let mut offsets = TopicPartitionList::with_capacity(1);
        let next = Offset::Offset(message.offset().saturating_add(1));
        offsets.add_partition_offset(message.topic(), message.partition(), next)?;
        self.commit(offsets).await
    }

    /// Commits these offsets (each the next one to read) and waits for the broker, on a thread for blocking work.
    ///
    /// # Errors
    /// The client's. It is in the settle spans too.
    pub async fn commit(&self, offsets: TopicPartitionList) -> KafkaResult<()> {
        let settling: Vec<_> = settle_each(&self.telemetry, &self.client, &offsets).collect();
        let consumer = Arc::clone(&self.consumer);
        let commit = move || consumer.commit(&offsets, CommitMode::Sync);
        let result = tokio::task::spawn_blocking(commit).await.unwrap_or(Err(KafkaError::Canceled));
        settling.into_iter().for_each(|(settling, _)| finish(settling, result.as_ref().err()));
        result
    }
}

impl CommitObserver {
    /// An observer for the consumer of this configuration.
    pub fn new(config: &ClientConfig, telemetry: Telemetry) -> Self {
        Self { telemetry, client: Arc::new(Client::of(config)) }
    }

    /// Records one settle span per lane of a commit.
    pub fn committed(&self, result: &KafkaResult<()>, offsets: &TopicPartitionList) {
        for (settling, error) in settle_each(&self.telemetry, &self.client, offsets) {
            finish(settling, result.as_ref().err().or(error.as_ref()));
        }
    }
}

/// Starts to settle each lane that has an offset, with the error that the broker gave for it.
fn settle_each<'a>(
    telemetry: &'a Telemetry,
    client: &'a Client,
    offsets: &'a TopicPartitionList,
) -> impl Iterator<Item = (Settling, Option<KafkaError>)> + 'a {
    offsets.elements().into_iter().filter_map(|lane| {
        // Lanes without an offset were asked for and had nothing to commit.
        let Offset::Offset(next) = lane.offset() else { return None };
        let place = Place::Kafka { topic: lane.topic(), partition: Some(lane.partition()), offset: None };
        Some((telemetry.settle_up_to("commit", place, &client.details(), next), lane.error().err()))
    })
}

fn finish(settling: Settling, error: Option<&KafkaError>) {
    match error {
        None => settling.confirm(),
        Some(error) => settling.fail(failure(error)),
    }
}

impl ClientContext for TracedContext {}

impl ConsumerContext for TracedContext {
    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.0.committed(&result, offsets);
    }
}

impl<C: ConsumerContext + 'static> Clone for TracedConsumer<C> {
    fn clone(&self) -> Self {
        Self {
            consumer: Arc::clone(&self.consumer),
            telemetry: self.telemetry.clone(),
            client: Arc::clone(&self.client),
        }
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for TracedConsumer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedConsumer").field("client", &self.client).finish_non_exhaustive()
    }
}
