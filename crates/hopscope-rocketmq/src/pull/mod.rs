//! [`TracedLitePullConsumer`]: the client's pull consumer with traced polls and commits.

mod running;

pub use running::{DeadLetter, PullOptions};

use crate::failure::failure;
use crate::received::Reader;
use hopscope_sdk::{Details, Place, Telemetry, Traced};
use rocketmq_client_rust::{ClientError, ClientResult, DefaultLitePullConsumer};
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::sync::Arc;
use std::time::Duration;

/// A [`DefaultLitePullConsumer`] whose polls and commits are traced.
///
/// [`run`](Self::run) takes an async handler and does the rest. By hand: [`poll`](Self::poll), handle, and
/// [`commit`](Self::commit); switch the client's own commits off then (`set_auto_commit(false)`), they say what was
/// polled, not what was done, and nobody sees them.
pub struct TracedLitePullConsumer {
    consumer: DefaultLitePullConsumer,
    reader: Reader,
}

impl TracedLitePullConsumer {
    /// Around a client, with the global telemetry: call `hopscope_sdk::setup` before.
    pub fn new(consumer: DefaultLitePullConsumer) -> Self {
        let group = consumer.consumer_group().to_string();
        Self { consumer, reader: Reader { telemetry: Telemetry::global(), group } }
    }

    /// The same, with telemetry of its own.
    #[must_use]
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        self.reader.telemetry = telemetry;
        self
    }

    /// The client's consumer, to subscribe, to start, to seek and to shut down; untraced.
    pub fn inner(&self) -> &DefaultLitePullConsumer {
        &self.consumer
    }

    /// Messages that have come, all of one queue; none after that time. One receive for all of them.
    pub async fn poll(&self, timeout: Duration) -> Vec<Traced<Arc<MessageExt>>> {
        let timeout_ms = timeout.as_millis().try_into().unwrap_or(u64::MAX);
        let messages = self.consumer.poll_with_timeout_zero_copy(timeout_ms).await;
        let delivered = |message: &Arc<MessageExt>| self.reader.delivered(message.topic(), message);
        let deliveries: Vec<_> = messages.iter().map(delivered).collect();
        self.reader.telemetry.receive_batch("poll", &deliveries);
        messages
            .into_iter()
            .zip(deliveries)
            .map(|(message, delivery)| Traced::new(message, delivery))
            .collect()
    }

    /// Says that the group has done everything before `next` in that queue, and waits for the broker's confirmation,
    /// which the client's own commits do not. A settle step, and progress of the group.
    ///
    /// # Errors
    /// The broker was not told, or refused.
    pub async fn commit(&self, queue: &MessageQueue, next: i64) -> ClientResult<()> {
        let place = Place::RocketMq {
            topic: queue.topic(),
            logical_topic: "",
            broker: queue.broker_name(),
            queue: Some(queue.queue_id()),
            offset: None,
        };
        let details = Details { group: &self.reader.group, ..Details::default() };
        let settling = self.reader.telemetry.settle_up_to("commit", place, &details, next);
        let committed = self.tell(queue, next).await;
        match &committed {
            Ok(()) => settling.confirm(),
            Err(error) => settling.fail(failure(error)),
        }
        committed
    }

    async fn tell(&self, queue: &MessageQueue, next: i64) -> ClientResult<()> {
        let store = self.consumer.offset_store().await;
        let store = store.ok_or_else(|| ClientError::not_initialized("OffsetStore"))?;
        // The client tells the broker what it remembers, now and then, so it must remember this.
        store.update_offset(queue, next, false).await;
        store.update_consume_offset_to_broker(queue, next, false).await
    }
}

impl std::fmt::Debug for TracedLitePullConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedLitePullConsumer").field("group", &self.reader.group).finish_non_exhaustive()
    }
}

/// The queue that a polled message lies in.
fn queue_of(message: &MessageExt) -> MessageQueue {
    MessageQueue::from_parts(message.topic().clone(), message.broker_name(), message.queue_id())
}
