//! Batches: several messages of one topic in one request, stored one after another or not at all.

use super::TracedProducer;
use super::sending::{Described, Kind, not_quite, stored};
use crate::carrier::RocketMqHeaders;
use crate::failure::failure;
use crate::received::{Attributes, topic_alone};
use cheetah_string::CheetahString;
use hopscope_sdk::{Details, SendingBatch, Value};
use rocketmq_client_rust::{ClientResult, SendResult};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_queue::MessageQueue;

impl TracedProducer {
    /// [`DefaultMQProducer::send_batch`](rocketmq_client_rust::DefaultMQProducer::send_batch): one span for the batch
    /// until the broker's answer, and a context of its own for each message, with queue, offset and ids.
    ///
    /// # Errors
    /// The client's own. Then no message was stored.
    pub async fn send_batch<M>(&self, messages: Vec<M>) -> ClientResult<SendResult>
    where
        M: MessageTrait + Send + Sync,
    {
        let (messages, open) = self.start_batch(messages);
        open.ended(self.producer.send_batch(messages).await)
    }

    /// [`send_batch`](Self::send_batch) with a time-out in milliseconds.
    ///
    /// # Errors
    /// The client's own. Then no message was stored.
    pub async fn send_batch_with_timeout<M>(
        &self,
        messages: Vec<M>,
        timeout_ms: u64,
    ) -> ClientResult<SendResult>
    where
        M: MessageTrait + Send + Sync,
    {
        let (messages, open) = self.start_batch(messages);
        open.ended(self.producer.send_batch_with_timeout(messages, timeout_ms).await)
    }

    /// [`send_batch`](Self::send_batch) to that queue.
    ///
    /// # Errors
    /// The client's own. Then no message was stored.
    pub async fn send_batch_to_queue<M>(
        &self,
        messages: Vec<M>,
        queue: MessageQueue,
    ) -> ClientResult<SendResult>
    where
        M: MessageTrait + Send + Sync,
    {
        let (messages, open) = self.start_batch(messages);
        open.ended(self.producer.send_batch_to_queue(messages, queue).await)
    }

    fn start_batch<M: MessageTrait>(&self, mut messages: Vec<M>) -> (Vec<M>, OpenBatch) {
        let topic = messages.first().map(|message| message.topic().clone()).unwrap_or_default();
        let common = [("messaging.rocketmq.message.type", Value::Text("normal"))];
        let details = Details { attributes: &common, ..Details::default() };
        let mut batch = self.telemetry.send_batch("send", topic_alone(&topic), &details);
        for message in &mut messages {
            let described = Described::of(message, Kind::Plain);
            described.with_details(|details| {
                batch.create(topic_alone(&described.topic), details, &mut RocketMqHeaders(message))
            });
        }
        let count = messages.len();
        (messages, OpenBatch { batch, topic, count })
    }
}

struct OpenBatch {
    batch: SendingBatch,
    topic: CheetahString,
    count: usize,
}

impl OpenBatch {
    /// The broker's answer names the first offset, and all ids with commas between.
    fn ended(mut self, answer: ClientResult<SendResult>) -> ClientResult<SendResult> {
        match &answer {
            Ok(result) => {
                let mut ids = split(result.msg_id.as_deref(), self.count);
                let mut offset_ids = split(result.offset_msg_id.as_deref(), self.count);
                for (index, offset) in (result.queue_offset..).take(self.count).enumerate() {
                    let place = stored(&self.topic, result.message_queue.as_ref(), offset);
                    let mut attributes = Attributes::new();
                    if let Some(id) = offset_ids.next() {
                        attributes.push(("messaging.rocketmq.offset_message_id", Value::Text(id)));
                    }
                    attributes.extend(not_quite(result.send_status));
                    let message_id = ids.next().unwrap_or_default();
                    let details = Details { message_id, attributes: &attributes, ..Details::default() };
                    self.batch.confirm(index, place, &details);
                }
            }
            Err(error) => self.batch.fail_rest(failure(error)),
        }
        self.batch.end();
        answer
    }
}

/// The ids of so many messages; none where the answer has another number of them.
fn split(ids: Option<&str>, count: usize) -> impl Iterator<Item = &str> {
    let ids = ids.unwrap_or_default();
    let fits = ids.split(',').count() == count;
    ids.split(',').filter(move |_| fits)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn ids_are_given_to_messages_only_where_there_is_one_for_each() {
        let of = |ids, count| split(ids, count).collect::<Vec<_>>();
        assert_eq!(of(Some("A,B,C"), 3), ["A", "B", "C"]);
        assert_eq!(of(Some("A,B"), 3), [""; 0]);
        assert_eq!(of(None, 2), [""; 0]);
        assert_eq!(of(Some("A"), 1), ["A"]);
    }
}
