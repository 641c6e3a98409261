//! [`TracedBaseProducer`] and [`TracedThreadedProducer`]: delivery reports come to a `ProducerContext`.

use crate::client::{Client, failure};
use crate::message::{Outgoing, report_details, stored_at};
use hopscope_sdk::{Sending, Telemetry};
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Message, ToBytes};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DefaultProducerContext, DeliveryResult, NoCustomPartitioner, Partitioner,
    Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::statistics::Statistics;
use rdkafka::util::{IntoOpaque, Timeout};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A `BaseProducer` whose sends are spans, from the call to the delivery report that your [`ProducerContext`] is given,
/// with the opaque value that you sent. Poll it, as ever.
pub struct TracedBaseProducer<C = DefaultProducerContext, Part = NoCustomPartitioner>
where
    C: ProducerContext<Part>,
    Part: Partitioner,
{
    producer: BaseProducer<TracedProducerContext<C>, Part>,
}

/// A `ThreadedProducer` whose sends are spans, from the call to the delivery report that your [`ProducerContext`] is
/// given, with the opaque value that you sent.
pub struct TracedThreadedProducer<C = DefaultProducerContext, Part = NoCustomPartitioner>
where
    C: ProducerContext<Part> + 'static,
    Part: Partitioner,
{
    producer: ThreadedProducer<TracedProducerContext<C>, Part>,
}

/// Your producer context, and around it what ends a span at its delivery report.
#[derive(Debug)]
pub struct TracedProducerContext<C> {
    context: C,
    telemetry: Telemetry,
    client: Client,
}

/// What goes with a record to its delivery report: the open span, and your own opaque value.
#[derive(Debug)]
pub struct TracedOpaque<D> {
    sending: Sending,
    own: D,
}

impl<C> TracedProducerContext<C> {
    /// Your context.
    pub fn get(&self) -> &C {
        &self.context
    }

    fn new(config: &ClientConfig, context: C, telemetry: Telemetry) -> Self {
        Self { context, telemetry, client: Client::of(config) }
    }

    fn start<'a, K, P, D>(
        &self,
        client: &rdkafka::client::Client<Self>,
        record: BaseRecord<'a, K, P, D>,
    ) -> BaseRecord<'a, K, P, Box<TracedOpaque<D>>>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
        D: IntoOpaque,
        Self: ClientContext,
    {
        self.client.learn_cluster(|| client.fetch_cluster_id(Duration::ZERO));
        let BaseRecord { topic, partition, payload, key, timestamp, mut headers, delivery_opaque } = record;
        let outgoing = Outgoing {
            topic,
            partition,
            key: key.map(ToBytes::to_bytes),
            payload: payload.map(ToBytes::to_bytes),
        };
        let sending = outgoing.start(&self.telemetry, &self.client, &mut headers);
        let delivery_opaque = Box::new(TracedOpaque { sending, own: delivery_opaque });
        BaseRecord { topic, partition, payload, key, timestamp, headers, delivery_opaque }
    }
}

/// The client did not take the record: the span has failed, and the record is again as it was given, but for the
/// context in its headers.
fn refused<'a, K, P, D>(
    (error, record): (KafkaError, BaseRecord<'a, K, P, Box<TracedOpaque<D>>>),
) -> (KafkaError, BaseRecord<'a, K, P, D>)
where
    K: ToBytes + ?Sized,
    P: ToBytes + ?Sized,
    D: IntoOpaque,
{
    let BaseRecord { topic, partition, payload, key, timestamp, headers, delivery_opaque } = record;
    let TracedOpaque { sending, own } = *delivery_opaque;
    sending.fail(failure(&error));
    (error, BaseRecord { topic, partition, payload, key, timestamp, headers, delivery_opaque: own })
}

impl<C, Part> TracedBaseProducer<C, Part>
where
    C: ProducerContext<Part>,
    Part: Partitioner,
{
    /// Makes the client with your context.
    ///
    /// # Errors
    /// Those of the client: the configuration is wrong.
    pub fn from_config(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        Self::from_config_with(config, context, Telemetry::global())
    }

    /// Makes the client with your context, and with telemetry of its own.
    ///
    /// # Errors
    /// Those of the client: the configuration is wrong.
    pub fn from_config_with(config: &ClientConfig, context: C, telemetry: Telemetry) -> KafkaResult<Self> {
        let context = TracedProducerContext::new(config, context, telemetry);
        Ok(Self { producer: BaseProducer::from_config_and_context(config, context)? })
    }

    /// The client: to flush, purge, look. It sends nothing untraced: its records need an open span.
    pub fn inner(&self) -> &BaseProducer<TracedProducerContext<C>, Part> {
        &self.producer
    }

    /// Hands a record to the client; see [`BaseProducer::send`].
    ///
    /// # Errors
    /// The client's, with the record: its queue is full, the record is too large.
    #[expect(
        clippy::result_large_err,
        clippy::type_complexity,
        reason = "the signature of the client's own method"
    )]
    pub fn send<'a, K, P>(
        &self,
        record: BaseRecord<'a, K, P, C::DeliveryOpaque>,
    ) -> Result<(), (KafkaError, BaseRecord<'a, K, P, C::DeliveryOpaque>)>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let record = self.producer.context().start(self.producer.client(), record);
        self.producer.send(record).map_err(refused)
    }

    /// Serves delivery reports; see [`BaseProducer::poll`].
    pub fn poll<T: Into<Timeout>>(&self, timeout: T) {
        self.producer.poll(timeout);
    }
}

impl<C, Part> TracedThreadedProducer<C, Part>
where
    C: ProducerContext<Part> + 'static,
    Part: Partitioner + Send + Sync + 'static,
{
    /// Makes the client with your context.
    ///
    /// # Errors
    /// Those of the client: the configuration is wrong.
    pub fn from_config(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        Self::from_config_with(config, context, Telemetry::global())
    }

    /// Makes the client with your context, and with telemetry of its own.
    ///
    /// # Errors
    /// Those of the client: the configuration is wrong.
    pub fn from_config_with(config: &ClientConfig, context: C, telemetry: Telemetry) -> KafkaResult<Self> {
        let context = TracedProducerContext::new(config, context, telemetry);
        Ok(Self { producer: ThreadedProducer::from_config_and_context(config, context)? })
    }

    /// The client: to flush, purge, look. It sends nothing untraced: its records need an open span.
    pub fn inner(&self) -> &ThreadedProducer<TracedProducerContext<C>, Part> {
        &self.producer
    }

    /// Hands a record to the client; see [`ThreadedProducer::send`].
    ///
    /// # Errors
    /// The client's, with the record: its queue is full, the record is too large.
    #[expect(
        clippy::result_large_err,
        clippy::type_complexity,
        reason = "the signature of the client's own method"
    )]
    pub fn send<'a, K, P>(
        &self,
        record: BaseRecord<'a, K, P, C::DeliveryOpaque>,
    ) -> Result<(), (KafkaError, BaseRecord<'a, K, P, C::DeliveryOpaque>)>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let record = self.producer.context().start(self.producer.client(), record);
        self.producer.send(record).map_err(refused)
    }
}

impl<C, Part> ProducerContext<Part> for TracedProducerContext<C>
where
    C: ProducerContext<Part>,
    Part: Partitioner,
{
    type DeliveryOpaque = Box<TracedOpaque<C::DeliveryOpaque>>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let TracedOpaque { sending, own } = *opaque;
        match result {
            Ok(message) => match stored_at(message.partition(), message.offset()) {
                Some(place) => sending.confirm(place, &report_details(&self.client, message.timestamp())),
                None => sending.unconfirmed(),
            },
            Err((error, _)) => sending.fail(failure(error)),
        }
        self.context.delivery(result, own);
    }

    fn get_custom_partitioner(&self) -> Option<&Part> {
        self.context.get_custom_partitioner()
    }
}

impl<C: ClientContext> ClientContext for TracedProducerContext<C> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = C::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.context.stats(statistics);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.context.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.context.generate_oauth_token(config)
    }
}

impl<C, Part> fmt::Debug for TracedBaseProducer<C, Part>
where
    C: ProducerContext<Part>,
    Part: Partitioner,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedBaseProducer").finish_non_exhaustive()
    }
}

impl<C, Part> fmt::Debug for TracedThreadedProducer<C, Part>
where
    C: ProducerContext<Part> + 'static,
    Part: Partitioner,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedThreadedProducer").finish_non_exhaustive()
    }
}
