//! [`TracedProducer`]: a `FutureProducer` whose sends are spans.

use crate::KafkaHeaders;
use crate::client::{Client, failure, key_text, times_ns, tombstone};
use hopscope_sdk::{Details, Place, Sending, Telemetry};
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::ToBytes;
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
    topic: String,
    client: Arc<Client>,
    sending: Option<Sending>,
}

impl TracedProducer {
    /// Makes the client too, and so knows its address and client id.
    ///
    /// # Errors
    /// Those of the client: the configuration is wrong.
    pub fn from_config(config: &ClientConfig) -> KafkaResult<Self> {
        let client = Arc::new(Client::of(config));
        Ok(Self { producer: config.create()?, telemetry: Telemetry::global(), client })
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

    /// Sends a record and waits for the delivery report; see [`FutureProducer::send`].
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
        let topic = record.topic;
        let sending = self.start(&mut record);
        let result = self.producer.send(record, queue_timeout).await;
        self.learn_cluster();
        finish(sending, topic, &self.client, &result);
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
        let topic = record.topic.to_owned();
        let sending = self.start(&mut record);
        match self.producer.send_result(record) {
            Ok(report) => {
                Ok(TracedDelivery { report, topic, client: Arc::clone(&self.client), sending: Some(sending) })
            }
            Err((error, record)) => {
                sending.fail(failure(&error));
                Err((error, record))
            }
        }
    }

    fn start<K, P>(&self, record: &mut FutureRecord<'_, K, P>) -> Sending
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        self.learn_cluster();
        let payload = record.payload.map(ToBytes::to_bytes);
        let tombstone = tombstone(payload);
        let details = Details {
            // A configuration may be shared with a consumer; a sender has no group.
            group: "",
            attributes: tombstone.as_slice(),
            key: key_text(record.key.map(ToBytes::to_bytes)),
            body_bytes: payload.map(|payload| payload.len() as u64),
            ..self.client.details()
        };
        let place = Place::Kafka { topic: record.topic, partition: record.partition, offset: None };
        let sending = self.telemetry.send("send", place, &details);
        sending.inject(&mut KafkaHeaders(record.headers.get_or_insert_default()));
        sending
    }

    fn learn_cluster(&self) {
        self.client.learn_cluster(|| self.producer.client().fetch_cluster_id(Duration::ZERO));
    }
}

fn finish(sending: Sending, topic: &str, client: &Client, result: &OwnedDeliveryResult) {
    match result {
        Ok(Delivery { partition, offset, timestamp }) => {
            let place = Place::Kafka { topic, partition: Some(*partition), offset: Some(*offset) };
            let (broker_time_ns, _) = times_ns(*timestamp);
            // The first record of a client goes out before the cluster is known.
            let cluster = client.details().cluster;
            sending.confirm(place, &Details { broker_time_ns, cluster, ..Details::default() });
        }
        Err((error, _)) => sending.fail(failure(error)),
    }
}

impl Future for TracedDelivery {
    type Output = OwnedDeliveryResult;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Poll::Ready(report) = Pin::new(&mut this.report).poll(task) else { return Poll::Pending };
        let result = match report {
            Ok(result) => result,
            // The client drops a report unsaid only with itself.
            Err(_) => Err((KafkaError::Canceled, unknown_message(&this.topic))),
        };
        if let Some(sending) = this.sending.take() {
            finish(sending, &this.topic, &this.client, &result);
        }
        Poll::Ready(result)
    }
}

fn unknown_message(topic: &str) -> rdkafka::message::OwnedMessage {
    let timestamp = rdkafka::message::Timestamp::NotAvailable;
    rdkafka::message::OwnedMessage::new(None, None, topic.to_owned(), timestamp, -1, -1, None)
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
        f.debug_struct("TracedDelivery").field("topic", &self.topic).finish_non_exhaustive()
    }
}
