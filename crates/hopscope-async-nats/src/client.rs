//! [`TracedClient`]: publish and subscribe on core NATS.

use crate::NatsHeaders;
use crate::copies::original;
use crate::headers::message_id;
use async_nats::client::PublishError;
use async_nats::subject::ToSubject;
use async_nats::{Client, HeaderMap, Message, Subject, SubscribeError, Subscriber};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use hopscope_sdk::dead_letter::Original;
use hopscope_sdk::{Body, Delivery, Details, Failure, Place, Server, Telemetry, Traced};
use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A client whose publishes and subscriptions are traced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TracedClient {
    client: Client,
    pub(crate) telemetry: Telemetry,
    pub(crate) server: Option<(String, u16)>,
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
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.publish_in(subject.to_subject(), headers, payload, "").await
    }

    pub(crate) async fn publish_in(
        &self,
        subject: Subject,
        mut headers: HeaderMap,
        payload: Bytes,
        conversation: &str,
    ) -> Result<(), PublishError> {
        let details = Details {
            server: as_server(self.server.as_ref()),
            message_id: message_id(Some(&headers)),
            correlation_id: conversation,
            body_bytes: Some(payload.len() as u64),
            body: Body(&payload),
            template: template(&subject),
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
        let reply_to = message.reply.clone().unwrap_or_else(|| "".into());
        let delivery = receive(&self.telemetry, self.server.as_ref(), &self.group, &reply_to, &message);
        Traced::new(message, delivery)
    }
}

/// Records that this message was handed over. `conversation`: what a request and its reply have in common.
pub(crate) fn receive(
    telemetry: &Telemetry,
    server: Option<&(String, u16)>,
    group: &str,
    conversation: &str,
    message: &Message,
) -> Delivery {
    let headers = message.headers.as_ref();
    let copied = original(&message.subject, headers);
    let details = Details {
        server: as_server(server),
        group,
        message_id: message_id(headers),
        correlation_id: conversation,
        body_bytes: Some(message.payload.len() as u64),
        body: Body(&message.payload),
        copied_from: copied.as_ref().map(Original::copied_from),
        template: template(&message.subject),
        ..Details::default()
    };
    telemetry.receive("receive", Place::Nats { subject: &message.subject }, &details, &NatsHeaders(headers))
}

impl Stream for TracedSubscriber {
    type Item = Traced<Message>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.subscriber.poll_next_unpin(task);
        next.map(|message| message.map(|message| self.trace(message)))
    }
}

/// An inbox is made for one reply: spans and metrics are named for all of them together.
pub(crate) fn template(subject: &str) -> &'static str {
    if subject.starts_with("_INBOX.") { "_INBOX.>" } else { "" }
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
