//! [`Transaction`]: sends that are delivered together, or not at all.

use super::TracedProducer;
use crate::TracedConsumer;
use crate::client::{Client, failure};
use crate::consumer::settle_each;
use crate::message::{report_details, stored_at};
use hopscope_sdk::{Attribute, Details, Failure, Place, Sending, Settling, Value};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::ToBytes;
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::util::{AsyncRuntime, Timeout};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An open transaction of a producer with a `transactional.id`.
///
/// **A send of it ends with the transaction**, not at its delivery report: until the commit no `read_committed`
/// consumer sees the record, and after an abort none ever will, although it lies in the log. So the report is an event
/// on the span (`hopscope.stored`, with it come partition and offset), and in the end the span says
/// `messaging.kafka.transaction.outcome`: `committed`, or `aborted` with the error `TRANSACTION_ABORTED`. Offsets that
/// are committed with it ([`send_offsets`](Self::send_offsets)) are settle spans that end in the same way.
///
/// Dropped before either, everything of it is recorded as unknown: the broker aborts it at `transaction.timeout.ms`,
/// or the next producer with the same id does.
pub struct Transaction<C: ClientContext + 'static, R: AsyncRuntime> {
    producer: TracedProducer<C, R>,
    told: Mutex<Told>,
}

/// What ends with the transaction.
#[derive(Debug, Default)]
struct Told {
    /// None where it has ended before: its delivery failed.
    sends: Vec<Option<Sending>>,
    offsets: Vec<Settling>,
}

impl<C, R> TracedProducer<C, R>
where
    C: ClientContext + 'static,
    R: AsyncRuntime + Send + Sync + 'static,
{
    /// See [`Producer::init_transactions`]; once, before the first transaction. Waits on a thread for blocking work.
    ///
    /// # Errors
    /// The client's.
    pub async fn init_transactions<T: Into<Timeout>>(&self, timeout: T) -> KafkaResult<()> {
        let timeout = timeout.into();
        self.blocking(move |producer| producer.init_transactions(timeout)).await
    }

    /// Begins a transaction. What this producer sends until its end belongs to it: send it through the transaction.
    ///
    /// # Errors
    /// The client's: there is one already, transactions were not initialised.
    pub fn begin_transaction(&self) -> KafkaResult<Transaction<C, R>> {
        self.producer.begin_transaction()?;
        Ok(Transaction { producer: self.clone(), told: Mutex::default() })
    }

    async fn blocking(
        &self,
        call: impl FnOnce(&FutureProducer<C, R>) -> KafkaResult<()> + Send + 'static,
    ) -> KafkaResult<()> {
        let producer = self.producer.clone();
        let call = tokio::task::spawn_blocking(move || call(&producer));
        call.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

impl<C, R> Transaction<C, R>
where
    C: ClientContext + 'static,
    R: AsyncRuntime + Send + Sync + 'static,
{
    /// Sends a record in this transaction and waits for the delivery report; see [`TracedProducer::send`].
    pub async fn send<K, P, T>(
        &self,
        mut record: FutureRecord<'_, K, P>,
        queue_timeout: T,
    ) -> OwnedDeliveryResult
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
        T: Into<Timeout>,
    {
        let sending = self.producer.start(&mut record);
        let number = {
            let mut told = self.lock();
            told.sends.push(Some(sending));
            told.sends.len() - 1
        };
        let result = self.producer.producer.send(record, queue_timeout).await;
        self.producer.learn_cluster();
        self.reported(number, &result);
        result
    }

    fn reported(&self, number: usize, result: &OwnedDeliveryResult) {
        let mut told = self.lock();
        let Some(slot) = told.sends.get_mut(number) else { return };
        match (result, slot.as_mut()) {
            (Ok(stored), Some(sending)) => {
                if let Some(place) = stored_at(stored.partition, stored.offset) {
                    sending.learn(place, &report_details(&self.producer.client, stored.timestamp));
                }
                sending.add_event("hopscope.stored", &[]);
            }
            (Err((error, _)), Some(_)) => {
                if let Some(sending) = slot.take() {
                    sending.fail(failure(error));
                }
            }
            // The transaction ended while this waited.
            (_, None) => {}
        }
    }

    /// Commits offsets of a consumer with this transaction: each the next one that its group is to read. Waits on a
    /// thread for blocking work; the settle spans, one for each partition, end with the transaction.
    ///
    /// # Errors
    /// The client's; it is in the settle spans too.
    pub async fn send_offsets<D, T>(
        &self,
        consumer: &TracedConsumer<D>,
        offsets: TopicPartitionList,
        timeout: T,
    ) -> KafkaResult<()>
    where
        D: ConsumerContext + 'static,
        T: Into<Timeout>,
    {
        let group = consumer.inner().group_metadata();
        let group = group.ok_or_else(|| KafkaError::Global(RDKafkaErrorCode::UnknownGroup))?;
        let (telemetry, client) = consumer.parts();
        let settling: Vec<_> =
            settle_each(telemetry, client, &offsets).map(|(settling, _)| settling).collect();
        let timeout = timeout.into();
        let result = self
            .producer
            .blocking(move |producer| producer.send_offsets_to_transaction(&offsets, &group, timeout))
            .await;
        match &result {
            Ok(()) => self.lock().offsets.extend(settling),
            Err(error) => settling.into_iter().for_each(|settling| settling.fail(failure(error))),
        }
        result
    }

    /// Commits: everything of it is delivered. Waits on a thread for blocking work.
    ///
    /// # Errors
    /// The client's: nothing has ended then. Commit again where the error is retriable, else
    /// [`abort`](Self::abort).
    pub async fn commit<T: Into<Timeout>>(&self, timeout: T) -> KafkaResult<()> {
        let timeout = timeout.into();
        self.producer.blocking(move |producer| producer.commit_transaction(timeout)).await?;
        let Told { sends, offsets } = self.take();
        for sending in sends.into_iter().flatten() {
            sending.confirm(
                UNCHANGED,
                &Details { attributes: &self.outcome("committed"), ..Details::default() },
            );
        }
        offsets.into_iter().for_each(Settling::confirm);
        Ok(())
    }

    /// Aborts: nothing of it is delivered. Waits on a thread for blocking work.
    ///
    /// # Errors
    /// The client's: nothing has ended then.
    pub async fn abort<T: Into<Timeout>>(&self, timeout: T) -> KafkaResult<()> {
        let timeout = timeout.into();
        self.producer.blocking(move |producer| producer.abort_transaction(timeout)).await?;
        let Told { sends, offsets } = self.take();
        let failure = Failure::new("TRANSACTION_ABORTED", "the transaction was aborted");
        for mut sending in sends.into_iter().flatten() {
            sending.learn(UNCHANGED, &Details { attributes: &self.outcome("aborted"), ..Details::default() });
            sending.fail(failure.clone());
        }
        offsets.into_iter().for_each(|settling| settling.fail(failure.clone()));
        Ok(())
    }

    fn outcome(&self, outcome: &'static str) -> [Attribute<'_>; 2] {
        let client: &Client = &self.producer.client;
        [
            ("messaging.kafka.transaction.outcome", Value::Text(outcome)),
            ("messaging.kafka.transaction.id", Value::Text(&client.transactional_id)),
        ]
    }
}

impl<C: ClientContext + 'static, R: AsyncRuntime> Transaction<C, R> {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Told {
        std::mem::take(&mut self.lock())
    }
}

/// What is known of the place stays.
const UNCHANGED: Place<'static> = Place::Kafka { topic: "", partition: None, offset: None };

impl<C: ClientContext + 'static, R: AsyncRuntime> Drop for Transaction<C, R> {
    fn drop(&mut self) {
        for sending in self.take().sends.into_iter().flatten() {
            sending.unknown("transaction left open");
        }
    }
}

impl<C: ClientContext + 'static, R: AsyncRuntime> fmt::Debug for Transaction<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("sends", &self.lock().sends.len()).finish_non_exhaustive()
    }
}
