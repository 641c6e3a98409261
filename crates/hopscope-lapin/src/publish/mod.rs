//! Publishing: [`TracedChannel::basic_publish`] and what becomes of it.

mod batch;
mod returned;
mod transaction;

pub use batch::Publish;
pub(crate) use returned::Returned;
pub use transaction::Transaction;

use crate::TracedChannel;
use crate::carrier::{AmqpHeaders, ReadHeaders};
use crate::channel::{Settings, text};
use crate::failure::{failure, returned};
use crate::request::REPLY_TO;
use hopscope_sdk::opentelemetry::trace::{SpanId, TraceContextExt};
use hopscope_sdk::{Body, CopiedFrom, Details, Failure, Place, Sending, Telemetry};
use lapin::options::BasicPublishOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A message on its way: what is told of it before the broker has it.
pub(crate) struct Outgoing<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub payload: &'a [u8],
    pub properties: &'a BasicProperties,
    pub copied_from: Option<CopiedFrom<'a>>,
}

impl TracedChannel {
    /// [`Channel::basic_publish`](lapin::Channel::basic_publish), traced until the confirm, which needs
    /// `confirm_select` once on the channel. Without it the broker says nothing: that is fire and forget, recorded as
    /// `unconfirmed` at once.
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
        let outgoing = Outgoing {
            exchange: exchange.as_str(),
            routing_key: routing_key.as_str(),
            payload,
            properties: &properties,
            copied_from: None,
        };
        let (sending, headers) = outgoing.start(&self.settings, "publish");
        let properties = with_headers(properties, headers);
        self.publish(sending, exchange, routing_key, options, payload, properties).await
    }

    /// Hands a message over whose send has begun.
    pub(crate) async fn publish(
        &self,
        sending: Sending,
        exchange: ShortString,
        routing_key: ShortString,
        options: BasicPublishOptions,
        payload: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<TracedConfirm> {
        match self.channel.basic_publish(exchange, routing_key, options, payload, properties).await {
            Ok(confirm) => {
                let (telemetry, returned) = (self.settings.telemetry.clone(), Arc::clone(&self.returned));
                let mut sending = Some(sending);
                if !self.channel.status().confirm()
                    && let Some(sending) = sending.take()
                {
                    sending.unconfirmed();
                }
                Ok(TracedConfirm { confirm, sending, is_mandatory: options.mandatory, telemetry, returned })
            }
            Err(error) => {
                sending.fail(failure(&error));
                Err(error)
            }
        }
    }
}

impl Outgoing<'_> {
    /// Starts a send as a child of the current context; the headers have it in them.
    pub fn start(&self, settings: &Settings, operation: &'static str) -> (Sending, AmqpHeaders) {
        let mut headers = AmqpHeaders::from(self.properties.headers().as_ref());
        let sending = self.describe(settings, |place, details| {
            let sending = settings.telemetry.send(operation, place, details);
            sending.inject(&mut headers);
            sending
        });
        (sending, headers)
    }

    pub fn describe<R>(&self, settings: &Settings, look: impl FnOnce(Place<'_>, &Details<'_>) -> R) -> R {
        let keys = settings.keys(self.properties.headers().as_ref());
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let details = Details {
            server: settings.server(),
            message_id: text(self.properties.message_id()),
            correlation_id: text(self.properties.correlation_id()),
            keys: &keys,
            body_bytes: u64::try_from(self.payload.len()).ok(),
            body: Body(self.payload),
            copied_from: self.copied_from,
            template: template(self.routing_key),
            ..Details::default()
        };
        look(sent_to(self.exchange, self.routing_key), &details)
    }
}

/// Where a message is sent: no queue is known.
pub(crate) fn sent_to<'a>(exchange: &'a str, routing_key: &'a str) -> Place<'a> {
    Place::RabbitMq { exchange, routing_key, queue: "", stream_offset: None }
}

/// Of names that RabbitMQ makes up for one channel or connection, what they have in common.
pub(crate) fn template(routing_key: &str) -> &'static str {
    if routing_key.starts_with(REPLY_TO) {
        REPLY_TO
    } else if routing_key.starts_with("amq.gen-") {
        "amq.gen"
    } else {
        ""
    }
}

/// A message without headers gets none that are empty.
pub(crate) fn with_headers(properties: BasicProperties, headers: AmqpHeaders) -> BasicProperties {
    let headers = FieldTable::from(headers);
    if properties.headers().is_none() && headers.inner().is_empty() {
        properties
    } else {
        properties.with_headers(headers)
    }
}

/// The broker's answer to come, as [`PublisherConfirm`]: the send's span ends when it resolves, also where one
/// confirm of the broker answers several messages (`multiple`). Dropped before, its outcome is unknown.
///
/// A message that the broker returns is a failure (`NO_ROUTE`) of its own send, never of another's. Where one confirm
/// answered several mandatory messages, lapin may give the returned one to any of them; if that one is awaited later,
/// the send that it belongs to was recorded as accepted before. [`TracedChannel::publish_batch`] is exact.
#[derive(Debug)]
#[must_use = "the broker has not confirmed the message before this resolves"]
pub struct TracedConfirm {
    confirm: PublisherConfirm,
    sending: Option<Sending>,
    is_mandatory: bool,
    telemetry: Telemetry,
    returned: Arc<Returned>,
}

impl Future for TracedConfirm {
    type Output = lapin::Result<Confirmation>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.confirm).poll(task));
        if let Some(sending) = self.sending.take() {
            self.end(sending, &answer);
        }
        Poll::Ready(answer)
    }
}

impl TracedConfirm {
    fn end(&self, sending: Sending, answer: &lapin::Result<Confirmation>) {
        if let Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = answer {
            let made_by = maker(&self.telemetry, message).unwrap_or_else(|| span_of(&sending));
            self.returned.note(made_by, returned(message));
        }
        // Only a mandatory message comes back.
        let returned = if self.is_mandatory { self.returned.take(span_of(&sending)) } else { None };
        match returned.or_else(|| refused(answer)) {
            Some(failure) => sending.fail(failure),
            None => sending.accepted(),
        }
    }
}

/// What the broker's answer says of the message that it answers, but for returned messages: see [`Returned`].
pub(crate) fn refused(answer: &lapin::Result<Confirmation>) -> Option<Failure> {
    match answer {
        Ok(Confirmation::Ack(_) | Confirmation::NotRequested) => None,
        // A message that was returned is confirmed; with another's beside it this may still be refused.
        Ok(Confirmation::Nack(_)) => Some(Failure::new("nack", "refused by the broker")),
        Err(error) => Some(failure(error)),
    }
}

fn span_of(sending: &Sending) -> SpanId {
    sending.context().span().span_context().span_id()
}

/// The span that made a returned message, as its headers say.
pub(crate) fn maker(telemetry: &Telemetry, message: &lapin::message::Delivery) -> Option<SpanId> {
    let headers = ReadHeaders(message.properties.headers().as_ref());
    let delivery = telemetry.delivered(sent_to("", ""), &Details::default(), &headers);
    delivery.origin().context.as_ref().map(|context| context.span_id())
}
