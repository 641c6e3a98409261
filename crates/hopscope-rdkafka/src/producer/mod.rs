//! [`TracedProducer`]: a `FutureProducer` whose sends are spans.

mod batch;
mod callback;
mod transaction;

pub use callback::{TracedBaseProducer, TracedOpaque, TracedProducerContext, TracedThreadedProducer};
pub use transaction::Transaction;

use crate::KafkaHeaders;
use crate::client::{Client, failure};
use crate::message::{Outgoing, SEND, finish};
use hopscope_sdk::{CopiedFrom, Details, Sending, Telemetry};
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{OwnedMessage, Timestamp, ToBytes};
use rdkafka::producer::future_producer::{Delivery, DeliveryFuture, OwnedDeliveryResult};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::{AsyncRuntime, DefaultRuntime, Timeout};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A `FutureProducer` whose sends are spans: from the call to the delivery report, with partition, offset and
/// timestamp, or the error. Cheap to clone, as the client is.
pub struct TracedProducer<C: ClientContext + 'static = DefaultClientContext, R: AsyncRuntime = DefaultRuntime>
{
    producer: FutureProducer<C, R>,
    telemetry: Telemetry,
    client: Arc<Client>,
}

/// What [`TracedProducer::send_result`] gives: the delivery report, awaited.
///
/// Dropped before it is there the span ends as unknown: the record may well be delivered.
#[must_use = "the span ends when this is awaited"]
pub struct TracedDelivery {
    report: DeliveryFuture,
    client: Arc<Client>,
    sending: Option<Sending>,
}

impl TracedProducer {
    /// Makes the client too, and so knows its address and client id.
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
        Ok(Self { producer: config.create()?, telemetry, client: Arc::new(Client::of(config)) })
    }
}

impl<C: ClientContext + 'static, R: AsyncRuntime> TracedProducer<C, R> {
    /// Around a client of your own. Its address stays unknown; the cluster id is learned.
    pub fn new(producer: FutureProducer<C, R>) -> Self {
        Self { producer, telemetry: Telemetry::global(), client: Arc::default() }
    }

    /// The same, with telemetry of its own.
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// The client. What is sent through it is not traced.
    pub fn inner(&self) -> &FutureProducer<C, R> {
        &self.producer
    }

    /// Sends a record and waits for the delivery report; see [`FutureProducer::send`]. With `acks=0` there is none
    /// that says anything: the span ends as unconfirmed.
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
        let sending = self.start(&mut record);
        let result = self.producer.send(record, queue_timeout).await;
        self.learn_cluster();
        finish(sending, &self.client, &result);
        result
    }

    /// Sends a record without waiting; see [`FutureProducer::send_result`].
    ///
    /// # Errors
    /// The client's, with the record: its queue is full, the record is too large.
    #[expect(clippy::result_large_err, reason = "the signature of the client's own method")]
    pub fn send_result<'a, K, P>(
        &self,
        mut record: FutureRecord<'a, K, P>,
    ) -> Result<TracedDelivery, (KafkaError, FutureRecord<'a, K, P>)>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let sending = self.start(&mut record);
        match self.producer.send_result(record) {
            Ok(report) => {
                Ok(TracedDelivery { report, client: Arc::clone(&self.client), sending: Some(sending) })
            }
            Err((error, record)) => {
                sending.fail(failure(&error));
                Err((error, record))
            }
        }
    }

    /// Hands a record to the client, and nobody looks after it: the span ends here, as unconfirmed.
    ///
    /// # Errors
    /// The client's, with the record: its queue is full, the record is too large.
    #[expect(clippy::result_large_err, reason = "the signature of the client's own method")]
    pub fn send_and_forget<'a, K, P>(
        &self,
        mut record: FutureRecord<'a, K, P>,
    ) -> Result<(), (KafkaError, FutureRecord<'a, K, P>)>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let sending = self.start(&mut record);
        match self.producer.send_result(record) {
            Ok(_unread) => {
                sending.unconfirmed();
                Ok(())
            }
            Err((error, record)) => {
                sending.fail(failure(&error));
                Err((error, record))
            }
        }
    }

    /// Sends a copy of another message, and says so.
    pub(crate) async fn send_copy(
        &self,
        mut record: FutureRecord<'_, [u8], [u8]>,
        of: CopiedFrom<'_>,
        timeout: Duration,
    ) -> Result<Delivery, KafkaError> {
        self.learn_cluster();
        let outgoing = outgoing(&record);
        let sending = outgoing.with_details(&self.client, |details| {
            let details = Details { copied_from: Some(of), ..*details };
            self.telemetry.send(SEND, outgoing.place(), &details)
        });
        sending.inject(&mut KafkaHeaders(record.headers.get_or_insert_default()));
        let result = self.producer.send(record, timeout).await;
        finish(sending, &self.client, &result);
        result.map_err(|(error, _)| error)
    }

    fn start<K, P>(&self, record: &mut FutureRecord<'_, K, P>) -> Sending
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        self.learn_cluster();
        outgoing(record).start(&self.telemetry, &self.client, &mut record.headers)
    }

    fn learn_cluster(&self) {
        self.client.learn_cluster(|| self.producer.client().fetch_cluster_id(Duration::ZERO));
    }
}

fn outgoing<'a, K, P>(record: &FutureRecord<'a, K, P>) -> Outgoing<'a>
where
    K: ToBytes + ?Sized,
    P: ToBytes + ?Sized,
{
    Outgoing {
        topic: record.topic,
        partition: record.partition,
        key: record.key.map(ToBytes::to_bytes),
        payload: record.payload.map(ToBytes::to_bytes),
    }
}

impl Future for TracedDelivery {
    type Output = OwnedDeliveryResult;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Poll::Ready(report) = Pin::new(&mut this.report).poll(task) else { return Poll::Pending };
        let result = report.unwrap_or_else(canceled);
        if let Some(sending) = this.sending.take() {
            finish(sending, &this.client, &result);
        }
        Poll::Ready(result)
    }
}

/// The client drops a report unsaid only with itself, and the record with it.
#[expect(clippy::result_large_err, reason = "the client's own type")]
fn canceled<E>(_unsaid: E) -> OwnedDeliveryResult {
    let unknown = OwnedMessage::new(None, None, String::new(), Timestamp::NotAvailable, -1, -1, None);
    Err((KafkaError::Canceled, unknown))
}

impl<C: ClientContext + 'static, R: AsyncRuntime> Clone for TracedProducer<C, R> {
    fn clone(&self) -> Self {
        Self {
            producer: self.producer.clone(),
            telemetry: self.telemetry.clone(),
            client: Arc::clone(&self.client),
        }
    }
}

impl<C: ClientContext + 'static, R: AsyncRuntime> fmt::Debug for TracedProducer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedProducer").field("client", &self.client).finish_non_exhaustive()
    }
}

impl fmt::Debug for TracedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedDelivery").field("sending", &self.sending).finish_non_exhaustive()
    }
}
