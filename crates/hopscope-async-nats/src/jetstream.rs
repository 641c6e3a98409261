//! [`TracedJetStream`]: publish to streams.

mod batch;

use crate::NatsHeaders;
use crate::client::{as_server, failure, server, template};
use crate::headers::message_id;
use async_nats::HeaderMap;
use async_nats::jetstream::Context as JetStream;
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::{OutboundMessage, PublishMessage};
use async_nats::jetstream::publish::PublishAck;
use async_nats::subject::ToSubject;
use bytes::Bytes;
use hopscope_sdk::{Body, CopiedFrom, Details, Place, Sending, Telemetry, Value};
use std::future::{Future, IntoFuture};
use std::pin::Pin;

/// A JetStream context whose publishes and consumers are traced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TracedJetStream {
    jetstream: JetStream,
    pub(crate) telemetry: Telemetry,
    pub(crate) server: Option<(String, u16)>,
}

/// A publish that was sent; await it for the acknowledgement. Dropped before, the span ends as unknown: the message
/// may well be stored. To not wait, [`forget`](Self::forget) it.
#[derive(Debug)]
#[must_use = "the span ends when this is awaited"]
pub struct TracedAck {
    ack: PublishAckFuture,
    sending: Sending,
    subject: String,
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
        self.send_copy(subject, message, None).await
    }

    /// The same, of a message that is a copy of another.
    pub(crate) async fn send_copy<S: ToSubject>(
        &self,
        subject: S,
        message: PublishMessage,
        copied_from: Option<CopiedFrom<'_>>,
    ) -> Result<TracedAck, PublishError> {
        let OutboundMessage { subject, payload, headers } = message.outbound_message(subject);
        let mut headers = headers.unwrap_or_default();
        let details = Details {
            server: as_server(self.server.as_ref()),
            message_id: message_id(Some(&headers)),
            body_bytes: Some(payload.len() as u64),
            body: Body(&payload),
            copied_from,
            template: template(&subject),
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
}

impl TracedAck {
    /// Waits for no acknowledgement: recorded as unknown, `unconfirmed`.
    pub fn forget(self) {
        self.sending.unconfirmed();
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
                Ok(ack) => stored(&subject, ack, |place, details| sending.confirm(place, details)),
                Err(error) => sending.fail(failure(&error.kind(), error)),
            }
            result
        })
    }
}

/// What an acknowledgement says.
fn stored(subject: &str, ack: &PublishAck, tell: impl FnOnce(Place<'_>, &Details<'_>)) {
    let place = Place::JetStream { subject, stream: &ack.stream, sequence: Some(ack.sequence) };
    let duplicate = [("messaging.nats.duplicate", Value::Bool(true))];
    let attributes = if ack.duplicate { duplicate.as_slice() } else { &[] };
    tell(place, &Details { attributes, ..Details::default() });
}
