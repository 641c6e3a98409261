//! [`TracedProducer::send_batch`].

use super::{TracedProducer, canceled, outgoing};
use crate::KafkaHeaders;
use crate::client::failure;
use crate::message::{SEND, report_details, stored_at};
use hopscope_sdk::{Details, Place, SendingBatch};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{OwnedMessage, Timestamp, ToBytes};
use rdkafka::producer::FutureRecord;
use rdkafka::producer::future_producer::{DeliveryFuture, OwnedDeliveryResult};
use rdkafka::util::{AsyncRuntime, Timeout};

/// What became of a record of the batch so far.
enum Report {
    Awaited(DeliveryFuture),
    There(OwnedDeliveryResult),
}

impl<C: ClientContext + 'static, R: AsyncRuntime> TracedProducer<C, R> {
    /// Sends these records in their order and waits for all delivery reports, one answer a record, in the same order.
    ///
    /// One span for the batch, linked to one `create` span a record: the record carries the context of its own. A
    /// record that fails is named by its link, and does the others no harm. Where the client's queue is full this waits
    /// for it to have room, for each record up to `queue_timeout`.
    pub async fn send_batch<K, P, T>(
        &self,
        records: Vec<FutureRecord<'_, K, P>>,
        queue_timeout: T,
    ) -> Vec<OwnedDeliveryResult>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
        T: Into<Timeout>,
    {
        if records.is_empty() {
            return Vec::new();
        }
        let queue_timeout = queue_timeout.into();
        self.learn_cluster();
        let mut sending = self.start_batch(&records);
        let mut reports = Vec::with_capacity(records.len());
        for mut record in records {
            let outgoing = outgoing(&record);
            outgoing.with_details(&self.client, |details| {
                let headers = &mut KafkaHeaders(record.headers.get_or_insert_default());
                sending.create(outgoing.place(), details, headers)
            });
            reports.push(self.enqueue(record, queue_timeout).await);
        }
        let mut results = Vec::with_capacity(reports.len());
        for (message, report) in reports.into_iter().enumerate() {
            let result = match report {
                Report::There(result) => result,
                Report::Awaited(report) => report.await.unwrap_or_else(canceled),
            };
            self.learn_cluster();
            self.tell(&mut sending, message, &result);
            results.push(result);
        }
        sending.end();
        results
    }

    fn start_batch<K, P>(&self, records: &[FutureRecord<'_, K, P>]) -> SendingBatch
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let topic = records.first().map(|record| record.topic).unwrap_or_default();
        let is_one_topic = records.iter().all(|record| record.topic == topic);
        let place =
            Place::Kafka { topic: if is_one_topic { topic } else { "" }, partition: None, offset: None };
        let details = Details { group: "", ..self.client.details() };
        self.telemetry.send_batch(SEND, place, &details)
    }

    async fn enqueue<K, P>(&self, record: FutureRecord<'_, K, P>, queue_timeout: Timeout) -> Report
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        match self.producer.send_result(record) {
            Ok(report) => Report::Awaited(report),
            // The client's own `send` waits for room.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => {
                Report::There(self.producer.send(record, queue_timeout).await)
            }
            Err((error, record)) => Report::There(Err((error, owned(record)))),
        }
    }

    fn tell(&self, sending: &mut SendingBatch, message: usize, result: &OwnedDeliveryResult) {
        match result {
            Ok(stored) => {
                if let Some(place) = stored_at(stored.partition, stored.offset) {
                    sending.confirm(message, place, &report_details(&self.client, stored.timestamp));
                }
            }
            Err((error, _)) => sending.fail(message, failure(error)),
        }
    }
}

/// As the client's own `send` gives a record back.
fn owned<K, P>(record: FutureRecord<'_, K, P>) -> OwnedMessage
where
    K: ToBytes + ?Sized,
    P: ToBytes + ?Sized,
{
    OwnedMessage::new(
        record.payload.map(|payload| payload.to_bytes().to_vec()),
        record.key.map(|key| key.to_bytes().to_vec()),
        record.topic.to_owned(),
        record.timestamp.map_or(Timestamp::NotAvailable, Timestamp::CreateTime),
        record.partition.unwrap_or(-1),
        0,
        record.headers,
    )
}
