//! [`ConsumerObserver`]: what a consumer's callbacks tell; [`TracedContext`]: a context that has them call it.

use crate::client::{Client, failure};
use hopscope_sdk::{Place, Settling, Telemetry};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Sees what librdkafka says in callbacks: commits that it made by itself, partitions that go. Cheap to clone.
///
/// With a consumer context of your own, call [`committed`](Self::committed) from its `commit_callback` and
/// [`rebalanced`](Self::rebalanced) from its `pre_rebalance`.
#[derive(Clone, Debug)]
pub struct ConsumerObserver {
    pub(crate) telemetry: Telemetry,
    pub(crate) client: Arc<Client>,
    runs: Runs,
}

/// The runs that are to be told of partitions that go.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<Weak<dyn OnRevoke>>>>);

/// Somebody at work on messages of these partitions.
pub(crate) trait OnRevoke: Send + Sync {
    /// They are taken away now; what is to be committed of them still. Does not wait.
    fn revoked(&self, partitions: &TopicPartitionList) -> TopicPartitionList;
}

/// A consumer context that has a [`ConsumerObserver`] called, and nothing else.
#[derive(Clone, Debug)]
pub struct TracedContext(pub(super) ConsumerObserver);

impl ConsumerObserver {
    /// An observer for the consumer of this configuration.
    pub fn new(config: &ClientConfig, telemetry: Telemetry) -> Self {
        Self { telemetry, client: Arc::new(Client::of(config)), runs: Runs::default() }
    }

    /// Records one settle span per lane of a commit.
    pub fn committed(&self, result: &KafkaResult<()>, offsets: &TopicPartitionList) {
        for (settling, error) in settle_each(&self.telemetry, &self.client, offsets) {
            finish(settling, result.as_ref().err().or(error.as_ref()));
        }
    }

    /// Before a rebalance: what is unfinished of partitions that go ends as unknown, and what is finished is committed
    /// where the partitions are still this consumer's (this waits for the broker, as rebalance callbacks may).
    pub fn rebalanced<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = rebalance else { return };
        let runs: Vec<_> = {
            let mut runs = self.runs.0.lock().unwrap_or_else(PoisonError::into_inner);
            runs.retain(|run| run.strong_count() > 0);
            runs.iter().filter_map(Weak::upgrade).collect()
        };
        for run in runs {
            let due = run.revoked(partitions);
            if due.count() > 0 && !consumer.assignment_lost() {
                let settling: Vec<_> = settle_each(&self.telemetry, &self.client, &due).collect();
                let result = consumer.commit(&due, rdkafka::consumer::CommitMode::Sync);
                settling.into_iter().for_each(|(settling, _)| finish(settling, result.as_ref().err()));
            }
        }
    }

    pub(crate) fn tell(&self, run: &Arc<dyn OnRevoke>) {
        self.runs.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(run));
    }
}

/// Starts to settle each lane that has an offset, with the error that the broker gave for it.
pub(crate) fn settle_each<'a>(
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

pub(super) fn finish(settling: Settling, error: Option<&KafkaError>) {
    match error {
        None => settling.confirm(),
        Some(error) => settling.fail(failure(error)),
    }
}

impl ClientContext for TracedContext {}

impl ConsumerContext for TracedContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.0.rebalanced(consumer, rebalance);
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.0.committed(&result, offsets);
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runs")
    }
}
