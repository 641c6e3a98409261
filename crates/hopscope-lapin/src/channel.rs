//! [`TracedChannel`]: lapin's channel with traced verbs.

use crate::carrier::{AmqpHeaders, ReadHeaders};
use crate::consumer::{TracedConsumer, receive};
use crate::failure::{failure, returned};
use hopscope_sdk::{Details, Failure, Headers, Place, Sending, Server, Telemetry, Traced};
use lapin::message::BasicGetMessage;
use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicPublishOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A [`Channel`] whose publishes, consumers and gets are traced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TracedChannel {
    channel: Channel,
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub telemetry: Telemetry,
    server: Option<(String, u16)>,
    key_headers: Vec<String>,
}

impl TracedChannel {
    /// Around a channel, with the global telemetry: call `hopscope_sdk::setup` before.
    pub fn new(channel: Channel) -> Self {
        let settings = Settings { telemetry: Telemetry::global(), server: None, key_headers: Vec::new() };
        Self { channel, settings: Arc::new(settings) }
    }

    /// The same, with telemetry of its own.
    #[must_use]
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        Arc::make_mut(&mut self.settings).telemetry = telemetry;
        self
    }

    /// Names the broker in the spans (`server.address`, `server.port`): lapin does not tell a channel's.
    #[must_use]
    pub fn with_server(mut self, address: impl Into<String>, port: u16) -> Self {
        Arc::make_mut(&mut self.settings).server = Some((address.into(), port));
        self
    }

    /// Headers whose values are business keys (`order-id`): recorded when sent and when received. AMQP has no key
    /// of its own.
    #[must_use]
    pub fn with_key_headers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        Arc::make_mut(&mut self.settings).key_headers = names.into_iter().map(Into::into).collect();
        self
    }

    /// lapin's channel, untraced: topology, `confirm_select`, `basic_qos`, transactions.
    pub fn inner(&self) -> &Channel {
        &self.channel
    }

    /// [`Channel::basic_publish`], traced until the confirm, which needs `confirm_select` once on the channel:
    /// without it the broker says nothing, and the outcome is recorded as unknown.
    ///
    /// The context goes into the headers; payload and all other properties stay as they are. A
    /// `message_id` property is recorded where the application set one.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn basic_publish(
        &self,
        exchange: ShortString,
        routing_key: ShortString,
        options: BasicPublishOptions,
        payload: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<TracedConfirm> {
        let place = Place::RabbitMq {
            exchange: exchange.as_str(),
            routing_key: routing_key.as_str(),
            queue: "",
            stream_offset: None,
        };
        let keys = self.settings.keys(properties.headers().as_ref());
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let details = Details {
            server: self.settings.server(),
            message_id: text(properties.message_id()),
            correlation_id: text(properties.correlation_id()),
            keys: &keys,
            body_bytes: u64::try_from(payload.len()).ok(),
            ..Details::default()
        };
        let sending = self.settings.telemetry.send("publish", place, &details);
        let mut headers = AmqpHeaders::from(properties.headers().as_ref());
        sending.inject(&mut headers);
        let headers = FieldTable::from(headers);
        let properties = if properties.headers().is_none() && headers.inner().is_empty() {
            properties
        } else {
            properties.with_headers(headers)
        };
        match self.channel.basic_publish(exchange, routing_key, options, payload, properties).await {
            Ok(confirm) => Ok(TracedConfirm { confirm, sending: Some(sending) }),
            Err(error) => {
                sending.fail(failure(&error));
                Err(error)
            }
        }
    }

    /// [`Channel::basic_consume`], traced: each delivery that the stream gives is a receive.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn basic_consume(
        &self,
        queue: ShortString,
        consumer_tag: ShortString,
        options: BasicConsumeOptions,
        arguments: FieldTable,
    ) -> lapin::Result<TracedConsumer> {
        let consumer = self.channel.basic_consume(queue, consumer_tag, options, arguments).await?;
        Ok(TracedConsumer::new(consumer, Arc::clone(&self.settings)))
    }

    /// [`Channel::basic_get`], traced; an empty queue is no receive.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn basic_get(
        &self,
        queue: ShortString,
        options: BasicGetOptions,
    ) -> lapin::Result<Option<Traced<BasicGetMessage>>> {
        let message = self.channel.basic_get(queue.clone(), options).await?;
        Ok(message.map(|message| {
            let delivery = receive(&self.settings, "get", queue.as_str(), "", &message.delivery);
            Traced::new(message, delivery)
        }))
    }
}

impl Settings {
    pub fn server(&self) -> Option<Server<'_>> {
        self.server.as_ref().map(|(address, port)| Server { address, port: *port })
    }

    /// Values of the key headers that are text.
    pub fn keys(&self, headers: Option<&FieldTable>) -> Vec<String> {
        let mut keys = Vec::new();
        for name in &self.key_headers {
            ReadHeaders(headers).get_all(name, &mut |value| {
                let key = value.and_then(|bytes| std::str::from_utf8(bytes).ok());
                keys.extend(key.filter(|key| !key.is_empty()).map(str::to_owned));
            });
        }
        keys
    }
}

/// The broker's answer to come, as [`PublisherConfirm`]: the send's span ends when it resolves. Dropped before, its
/// outcome is unknown.
#[derive(Debug)]
#[must_use = "the broker has not confirmed the message before this resolves"]
pub struct TracedConfirm {
    confirm: PublisherConfirm,
    sending: Option<Sending>,
}

impl Future for TracedConfirm {
    type Output = lapin::Result<Confirmation>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.confirm).poll(task));
        if let Some(sending) = self.sending.take() {
            end(sending, &answer);
        }
        Poll::Ready(answer)
    }
}

fn end(sending: Sending, answer: &lapin::Result<Confirmation>) {
    match answer {
        Ok(Confirmation::Ack(None)) => sending.accepted(),
        Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) => {
            sending.fail(returned(message))
        }
        Ok(Confirmation::Nack(None)) => sending.fail(Failure::new("nack", "refused by the broker")),
        Ok(Confirmation::NotRequested) => sending.unconfirmed(),
        Err(error) => sending.fail(failure(error)),
    }
}

pub(crate) fn text(value: &Option<ShortString>) -> &str {
    value.as_ref().map(ShortString::as_str).unwrap_or_default()
}
