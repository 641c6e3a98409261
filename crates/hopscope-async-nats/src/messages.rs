//! [`TracedMessages`]: what a JetStream consumer gives; [`Received`]: one of them.

use crate::NatsHeaders;
use crate::advisory;
use crate::client::as_server;
use crate::copies::original;
use crate::headers::message_id;
use crate::jetstream::TracedJetStream;
use crate::work::Work;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{BatchError, OrderedConfig};
use async_nats::jetstream::consumer::{
    AckPolicy, Consumer, PullConsumer, PushConsumer, StreamError, pull, push,
};
use futures::{Stream, StreamExt};
use hopscope_sdk::dead_letter::Original;
use hopscope_sdk::{Body, Delivery, Details, Place, Telemetry, Value};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A JetStream message with what is known about it beside it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Received(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    message: Message,
    delivery: Delivery,
    ack_policy: AckPolicy,
}

/// The messages of a consumer, each with what is known about it beside it. Take them one by one, or give a handler to
/// [`run`](Self::run) or [`run_batches`](Self::run_batches).
#[derive(Debug)]
pub struct TracedMessages<S> {
    pub(crate) messages: S,
    pub(crate) receiver: Receiver,
}

/// What is the same for every message of a consumer.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    telemetry: Telemetry,
    server: Option<(String, u16)>,
    pub(crate) ack_policy: AckPolicy,
}

impl TracedJetStream {
    /// The messages of a pull consumer; see [`PullConsumer::messages`].
    ///
    /// # Errors
    /// The client's.
    pub async fn messages(
        &self,
        consumer: &PullConsumer,
    ) -> Result<TracedMessages<pull::Stream>, StreamError> {
        let messages = consumer.messages().await?;
        Ok(self.trace(messages).with_ack_policy(consumer.cached_info().config.ack_policy))
    }

    /// The messages of a push consumer; see [`PushConsumer::messages`].
    ///
    /// # Errors
    /// The client's.
    pub async fn push_messages(
        &self,
        consumer: &PushConsumer,
    ) -> Result<TracedMessages<push::Messages>, StreamError> {
        let messages = consumer.messages().await?;
        Ok(self.trace(messages).with_ack_policy(consumer.cached_info().config.ack_policy))
    }

    /// The messages of an ordered consumer: all of them, in their order, nothing to settle.
    ///
    /// # Errors
    /// The client's.
    pub async fn ordered_messages(
        &self,
        consumer: Consumer<OrderedConfig>,
    ) -> Result<TracedMessages<pull::Ordered>, StreamError> {
        Ok(self.trace(consumer.messages().await?).with_ack_policy(AckPolicy::None))
    }

    /// Any other stream of messages: [`stream`](PullConsumer::stream) with limits of your own,
    /// [`fetch`](PullConsumer::fetch), [`batch`](PullConsumer::batch). It is taken for one of a consumer that wants
    /// each message acknowledged: else say [`with_ack_policy`](TracedMessages::with_ack_policy).
    pub fn trace<S, E>(&self, messages: S) -> TracedMessages<S>
    where
        S: Stream<Item = Result<Message, E>> + Unpin,
    {
        TracedMessages { messages, receiver: self.receiver(AckPolicy::Explicit) }
    }

    /// Up to that many messages with one pull, waited for at most so long: one receive for all of them, none where there
    /// are none. Work on them as a [`ProcessingBatch`](hopscope_sdk::ProcessingBatch) and settle each
    /// ([`Received::settle`]).
    ///
    /// # Errors
    /// The client's. Messages that came before it are in [`FetchError::before`]: they are yours to settle.
    pub async fn receive_batch(
        &self,
        consumer: &PullConsumer,
        messages_max: usize,
        wait: Duration,
    ) -> Result<Vec<Received>, FetchError> {
        let batch = consumer.batch().max_messages(messages_max).expires(wait).messages();
        let mut batch = batch.await.map_err(|error| FetchError::from(error, Vec::new()))?;
        let receiver = self.receiver(consumer.cached_info().config.ack_policy);
        let (mut messages, mut failed) = (Vec::new(), None);
        while let Some(next) = batch.next().await {
            match next {
                Ok(message) => messages.push(message),
                Err(error) => failed = Some(error),
            }
        }
        let received = receiver.batch("fetch", messages);
        match failed {
            Some(error) => Err(FetchError { error, before: received }),
            None => Ok(received),
        }
    }

    fn receiver(&self, ack_policy: AckPolicy) -> Receiver {
        let Self { telemetry, server, .. } = self.clone();
        Receiver { telemetry, server, ack_policy }
    }
}

/// A pull that ended in an error.
#[derive(Debug)]
pub struct FetchError {
    /// The client's.
    pub error: async_nats::Error,
    /// Messages that had come.
    pub before: Vec<Received>,
}

impl FetchError {
    fn from(error: BatchError, before: Vec<Received>) -> Self {
        Self { error: error.into(), before }
    }
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the pull failed: {}, messages_before={}", self.error, self.before.len())
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}

impl Received {
    /// The message, as the client gave it. What is settled through it is not traced.
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// What is known about it.
    pub fn delivery(&self) -> &Delivery {
        &self.0.delivery
    }

    /// The handler begins: starts the process span.
    pub fn process(&self) -> Work {
        Work::new(self.clone())
    }

    /// Whether the server wants an answer.
    pub(crate) fn wants_ack(&self) -> bool {
        self.0.ack_policy != AckPolicy::None
    }

    /// Where an acknowledgement covers everything before it too: the next sequence that is not yet acknowledged.
    pub(crate) fn next_after(&self) -> Option<i64> {
        let Place::JetStream { sequence: Some(sequence), .. } = self.delivery().place() else { return None };
        let is_cumulative = self.0.ack_policy == AckPolicy::All;
        i64::try_from(sequence).ok()?.checked_add(1).filter(|_| is_cumulative)
    }
}

impl<S> TracedMessages<S> {
    /// What the consumer wants acknowledged.
    #[must_use]
    pub fn with_ack_policy(mut self, policy: AckPolicy) -> Self {
        self.receiver.ack_policy = policy;
        self
    }
}

impl<S, E> TracedMessages<S>
where
    S: Stream<Item = Result<Message, E>> + Unpin,
{
    /// The next message; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Result<Received, E>> {
        StreamExt::next(self).await
    }
}

impl<S, E> Stream for TracedMessages<S>
where
    S: Stream<Item = Result<Message, E>> + Unpin,
{
    type Item = Result<Received, E>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.messages.poll_next_unpin(task);
        next.map(|message| message.map(|message| message.map(|message| self.receiver.single(message))))
    }
}

impl Receiver {
    /// Whether the server wants an answer.
    pub(crate) fn wants_ack(&self) -> bool {
        self.ack_policy != AckPolicy::None
    }

    /// A message that is handed over by itself.
    pub(crate) fn single(&self, message: Message) -> Received {
        let delivery = self.describe(&message, |place, details, headers| {
            self.telemetry.receive("receive", place, details, headers)
        });
        self.received(message, delivery)
    }

    /// Messages that are handed over together.
    pub(crate) fn batch(&self, operation: &'static str, messages: Vec<Message>) -> Vec<Received> {
        let received = messages.into_iter().map(|message| {
            let delivery = self.describe(&message, |place, details, headers| {
                self.telemetry.delivered(place, details, headers)
            });
            self.received(message, delivery)
        });
        let received: Vec<_> = received.collect();
        let deliveries: Vec<_> = received.iter().map(|received| received.delivery().clone()).collect();
        self.telemetry.receive_batch(operation, &deliveries);
        received
    }

    fn received(&self, message: Message, delivery: Delivery) -> Received {
        Received(Arc::new(Inner { message, delivery, ack_policy: self.ack_policy }))
    }

    fn describe<R>(
        &self,
        message: &Message,
        look: impl FnOnce(Place<'_>, &Details<'_>, &NatsHeaders<Option<&async_nats::HeaderMap>>) -> R,
    ) -> R {
        let headers = message.headers.as_ref();
        let subject = message.subject.as_str();
        let copied = original(subject, headers).or_else(|| advisory::original(subject, &message.payload));
        let details = Details {
            server: as_server(self.server.as_ref()),
            message_id: message_id(headers),
            body_bytes: Some(message.payload.len() as u64),
            body: Body(&message.payload),
            copied_from: copied.as_ref().map(Original::copied_from),
            ..Details::default()
        };
        let headers = NatsHeaders(headers);
        // Without the reply subject of a consumer there is neither position nor attempt.
        let Ok(info) = message.info() else {
            return look(Place::JetStream { subject, stream: "", sequence: None }, &details, &headers);
        };
        let consumer_sequence = i64::try_from(info.consumer_sequence).unwrap_or(i64::MAX);
        let details = Details {
            group: info.consumer,
            attempt: u32::try_from(info.delivered).ok(),
            broker_time_ns: unix_ns(SystemTime::from(info.published)),
            attributes: &[("messaging.nats.consumer_sequence", Value::Int(consumer_sequence))],
            ..details
        };
        let place = Place::JetStream { subject, stream: info.stream, sequence: Some(info.stream_sequence) };
        look(place, &details, &headers)
    }
}

fn unix_ns(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}
