//! [`TracedJetStream`]: publish to streams, receive from consumers.

use crate::NatsHeaders;
use crate::client::{as_server, failure, server};
use crate::headers::message_id;
use crate::work::Received;
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, StreamError, pull};
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::{OutboundMessage, PublishMessage};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{Context as JetStream, Message};
use async_nats::subject::ToSubject;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use hopscope_sdk::opentelemetry::KeyValue;
use hopscope_sdk::{Delivery, Details, Place, Sending, Telemetry};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

/// A JetStream context whose publishes and consumers are traced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TracedJetStream {
    jetstream: JetStream,
    telemetry: Telemetry,
    server: Option<(String, u16)>,
}

/// A publish that was sent; await it for the acknowledgement. Dropped before, the span ends as unknown: the message
/// may well be stored.
#[derive(Debug)]
#[must_use = "the span ends when this is awaited"]
pub struct TracedAck {
    ack: PublishAckFuture,
    sending: Sending,
    subject: String,
}

/// The messages of a consumer, each with what is known about it beside it.
#[derive(Debug)]
pub struct TracedMessages<S> {
    messages: S,
    telemetry: Telemetry,
    server: Option<(String, u16)>,
    /// An acknowledgement covers everything before it too.
    is_cumulative: bool,
}

impl TracedJetStream {
    /// Around a JetStream context.
    pub fn new(jetstream: JetStream) -> Self {
        let server = server(&jetstream.client());
        Self { jetstream, telemetry: Telemetry::global(), server }
    }

    /// The same, with telemetry of its own.
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// The context: to make and find streams and consumers. What is published through it is not traced.
    pub fn inner(&self) -> &JetStream {
        &self.jetstream
    }

    /// Publishes; see [`JetStream::publish`]. Await the result for the acknowledgement.
    ///
    /// # Errors
    /// The client's; it is in the span too.
    pub async fn publish<S: ToSubject>(&self, subject: S, payload: Bytes) -> Result<TracedAck, PublishError> {
        self.send_publish(subject, PublishMessage::build().payload(payload)).await
    }

    /// Publishes with headers; see [`JetStream::publish_with_headers`].
    ///
    /// # Errors
    /// The client's; it is in the span too.
    pub async fn publish_with_headers<S: ToSubject>(
        &self,
        subject: S,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<TracedAck, PublishError> {
        self.send_publish(subject, PublishMessage::build().payload(payload).headers(headers)).await
    }

    /// Publishes a built message (message id, expectations); see [`JetStream::send_publish`].
    ///
    /// # Errors
    /// The client's; it is in the span too.
    pub async fn send_publish<S: ToSubject>(
        &self,
        subject: S,
        message: PublishMessage,
    ) -> Result<TracedAck, PublishError> {
        let OutboundMessage { subject, payload, headers } = message.outbound_message(subject);
        let mut headers = headers.unwrap_or_default();
        let details = Details {
            server: as_server(self.server.as_ref()),
            message_id: message_id(Some(&headers)),
            body_bytes: Some(payload.len() as u64),
            ..Details::default()
        };
        let place = Place::JetStream { subject: &subject, stream: "", sequence: None };
        let sending = self.telemetry.send("publish", place, &details);
        sending.inject(&mut NatsHeaders(&mut headers));
        let message = PublishMessage::build().payload(payload).headers(headers);
        match self.jetstream.send_publish(subject.clone(), message).await {
            Ok(ack) => Ok(TracedAck { ack, sending, subject: subject.into_string() }),
            Err(error) => {
                sending.fail(failure(&error.kind(), &error));
                Err(error)
            }
        }
    }

    /// The messages of a pull consumer; see [`PullConsumer::messages`].
    ///
    /// # Errors
    /// The client's.
    pub async fn messages(
        &self,
        consumer: &PullConsumer,
    ) -> Result<TracedMessages<pull::Stream>, StreamError> {
        let messages = consumer.messages().await?;
        let mut traced = self.trace(messages);
        traced.is_cumulative = consumer.cached_info().config.ack_policy == AckPolicy::All;
        Ok(traced)
    }

    /// Any other stream of messages: a fetch, a batch, a push consumer.
    pub fn trace<S, E>(&self, messages: S) -> TracedMessages<S>
    where
        S: Stream<Item = Result<Message, E>> + Unpin,
    {
        let Self { telemetry, server, .. } = self.clone();
        TracedMessages { messages, telemetry, server, is_cumulative: false }
    }
}

impl IntoFuture for TracedAck {
    type Output = Result<PublishAck, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { ack, sending, subject } = self;
            let result = ack.await;
            match &result {
                Ok(ack) => {
                    let place = Place::JetStream {
                        subject: &subject,
                        stream: &ack.stream,
                        sequence: Some(ack.sequence),
                    };
                    let duplicate = [KeyValue::new("messaging.nats.duplicate", true)];
                    let attributes = if ack.duplicate { duplicate.as_slice() } else { &[] };
                    sending.confirm(place, &Details { attributes, ..Details::default() });
                }
                Err(error) => sending.fail(failure(&error.kind(), error)),
            }
            result
        })
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

    fn receive(&self, message: Message) -> Received {
        let delivery = self.delivery(&message);
        // With a cumulative policy the acknowledgement is progress: the next sequence that is not yet acknowledged.
        let next = message.info().ok().filter(|_| self.is_cumulative).map(|info| info.stream_sequence + 1);
        Received::new(message, delivery, next.and_then(|next| i64::try_from(next).ok()))
    }

    fn delivery(&self, message: &Message) -> Delivery {
        let details = Details {
            server: as_server(self.server.as_ref()),
            message_id: message_id(message.headers.as_ref()),
            body_bytes: Some(message.payload.len() as u64),
            ..Details::default()
        };
        let subject = message.subject.as_str();
        let headers = NatsHeaders(message.headers.as_ref());
        // Without the reply subject of a consumer there is neither position nor attempt.
        let Ok(info) = message.info() else {
            let place = Place::JetStream { subject, stream: "", sequence: None };
            return self.telemetry.receive("receive", place, &details, &headers);
        };
        let consumer_sequence = i64::try_from(info.consumer_sequence).ok();
        let attributes: Vec<_> = consumer_sequence
            .map(|sequence| KeyValue::new("messaging.nats.consumer_sequence", sequence))
            .into_iter()
            .collect();
        let details = Details {
            group: info.consumer,
            attempt: u32::try_from(info.delivered).ok(),
            broker_time_ns: unix_ns(SystemTime::from(info.published)),
            attributes: &attributes,
            ..details
        };
        let place = Place::JetStream { subject, stream: info.stream, sequence: Some(info.stream_sequence) };
        self.telemetry.receive("receive", place, &details, &headers)
    }
}

impl<S, E> Stream for TracedMessages<S>
where
    S: Stream<Item = Result<Message, E>> + Unpin,
{
    type Item = Result<Received, E>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.messages.poll_next_unpin(task);
        next.map(|message| message.map(|message| message.map(|message| self.receive(message))))
    }
}

fn unix_ns(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}
