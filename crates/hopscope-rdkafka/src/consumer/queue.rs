//! [`TracedStreamQueue`]: one partition's messages by themselves.

use super::TracedConsumer;
use hopscope_sdk::Traced;
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;
use std::fmt;

/// A [`StreamPartitionQueue`] whose messages carry what is known about them beside them. Its consumer must be received
/// from as well: that is what serves rebalances.
pub struct TracedStreamQueue<C: ConsumerContext + 'static> {
    queue: StreamPartitionQueue<C>,
    consumer: TracedConsumer<C>,
}

impl<C: ConsumerContext + 'static> TracedStreamQueue<C> {
    pub(super) fn new(queue: StreamPartitionQueue<C>, consumer: TracedConsumer<C>) -> Self {
        Self { queue, consumer }
    }

    /// Waits for the next message of the partition. Cancel-safe, as the client's own.
    ///
    /// # Errors
    /// The client's.
    pub async fn recv(&self) -> KafkaResult<Traced<BorrowedMessage<'_>>> {
        let message = self.queue.recv().await?;
        Ok(self.consumer.observer.received(message, self.consumer.inner().client()))
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for TracedStreamQueue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedStreamQueue").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}
