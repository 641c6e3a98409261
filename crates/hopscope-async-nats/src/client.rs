//! [`TracedClient`]: publish and subscribe on core NATS.

use crate::NatsHeaders;
use crate::headers::message_id;
use async_nats::client::PublishError;
use async_nats::subject::ToSubject;
use async_nats::{Client, HeaderMap, Message, SubscribeError, Subscriber};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use hopscope_sdk::{Details, Failure, Place, Server, Telemetry, Traced};
use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A client whose publishes and subscriptions are traced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TracedClient {
    client: Client,
    telemetry: Telemetry,
    server: Option<(String, u16)>,
}

/// A subscription; every message has what is known about it beside it.
#[derive(Debug)]
pub struct TracedSubscriber {
    subscriber: Subscriber,
    telemetry: Telemetry,
    server: Option<(String, u16)>,
    group: String,
}

impl TracedClient {
    /// Around a client.
    pub fn new(client: Client) -> Self {
        let server = server(&client);
        Self { client, telemetry: Telemetry::global(), server }
    }

    /// The same, with telemetry of its own.
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// The client. What goes through it is not traced.
    pub fn inner(&self) -> &Client {
        &self.client
    }

    /// Publishes; see [`Client::publish`]. Core NATS acknowledges nothing: the outcome is recorded as unknown.
    ///
    /// # Errors
    /// The client's: the message is too large, the subject is none, the connection is closed.
    pub async fn publish<S: ToSubject>(&self, subject: S, payload: Bytes) -> Result<(), PublishError> {
        self.publish_with_headers(subject, HeaderMap::new(), payload).await
    }

    /// Publishes with headers of your own; see [`Client::publish_with_headers`].
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_with_headers<S: ToSubject>(
        &self,
        subject: S,
        mut headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let subject = subject.to_subject();
        let details = Details {
            server: as_server(self.server.as_ref()),
            body_bytes: Some(payload.len() as u64),
            ..Details::default()
        };
        let sending = self.telemetry.send("publish", Place::Nats { subject: &subject }, &details);
        sending.inject(&mut NatsHeaders(&mut headers));
        let result = self.client.publish_with_headers(subject.clone(), headers, payload).await;
        match &result {
            Ok(()) => sending.unconfirmed(),
            Err(error) => sending.fail(failure(&error.kind(), error)),
        }
        result
    }

    /// Subscribes; see [`Client::subscribe`].
    ///
    /// # Errors
    /// The client's.
    pub async fn subscribe<S: ToSubject>(&self, subject: S) -> Result<TracedSubscriber, SubscribeError> {
        let subscriber = self.client.subscribe(subject).await?;
        Ok(self.trace(subscriber, String::new()))
    }

    /// Subscribes as a member of a queue group; see [`Client::queue_subscribe`].
    ///
    /// # Errors
    /// The client's.
    pub async fn queue_subscribe<S: ToSubject>(
        &self,
        subject: S,
        queue_group: String,
    ) -> Result<TracedSubscriber, SubscribeError> {
        let subscriber = self.client.queue_subscribe(subject, queue_group.clone()).await?;
        Ok(self.trace(subscriber, queue_group))
    }

    fn trace(&self, subscriber: Subscriber, group: String) -> TracedSubscriber {
        let Self { telemetry, server, .. } = self.clone();
        TracedSubscriber { subscriber, telemetry, server, group }
    }
}

impl TracedSubscriber {
    /// The next message; `None` when the subscription has ended.
    pub async fn next(&mut self) -> Option<Traced<Message>> {
        StreamExt::next(self).await
    }

    /// The subscription: to unsubscribe or drain.
    pub fn inner_mut(&mut self) -> &mut Subscriber {
        &mut self.subscriber
    }

    fn trace(&self, message: Message) -> Traced<Message> {
        let details = Details {
            server: as_server(self.server.as_ref()),
            group: &self.group,
            message_id: message_id(message.headers.as_ref()),
            body_bytes: Some(message.payload.len() as u64),
            ..Details::default()
        };
        let place = Place::Nats { subject: &message.subject };
        let headers = NatsHeaders(message.headers.as_ref());
        let delivery = self.telemetry.receive("receive", place, &details, &headers);
        Traced::new(message, delivery)
    }
}

impl Stream for TracedSubscriber {
    type Item = Traced<Message>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.subscriber.poll_next_unpin(task);
        next.map(|message| message.map(|message| self.trace(message)))
    }
}

/// The address that the server gives for itself; a wildcard names nobody.
pub(crate) fn server(client: &Client) -> Option<(String, u16)> {
    let info = client.try_server_info()?;
    let is_wildcard = matches!(info.host.as_str(), "" | "0.0.0.0" | "::");
    (!is_wildcard).then_some((info.host, info.port))
}

pub(crate) fn as_server(server: Option<&(String, u16)>) -> Option<Server<'_>> {
    server.map(|(address, port)| Server { address, port: *port })
}

/// The client's own word for the error as its kind.
pub(crate) fn failure(kind: &dyn Debug, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("{kind:?}"), error)
}
