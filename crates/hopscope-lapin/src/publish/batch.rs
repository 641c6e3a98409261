//! [`TracedChannel::publish_batch`].

use super::{Outgoing, maker, refused, sent_to, with_headers};
use crate::TracedChannel;
use crate::carrier::AmqpHeaders;
use crate::failure::returned;
use hopscope_sdk::opentelemetry::trace::SpanId;
use hopscope_sdk::{Details, SendingBatch};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Confirmation, PublisherConfirm};

/// A message of a batch.
#[derive(Clone, Debug, Default)]
pub struct Publish<'a> {
    /// Exchange; empty is the default exchange.
    pub exchange: ShortString,
    /// Routing key.
    pub routing_key: ShortString,
    /// Options.
    pub options: BasicPublishOptions,
    /// Payload.
    pub payload: &'a [u8],
    /// Properties; the context is written into their headers.
    pub properties: BasicProperties,
}

impl TracedChannel {
    /// Publishes these messages in their order and waits for all confirms: one answer a message, in the same order.
    /// All are on their way at once, and RabbitMQ confirms many of them with one `multiple` confirm.
    ///
    /// One span for the batch, linked to one `create` span a message, whose context the message carries. A message that
    /// is refused or returned is named by its link, and does the others no harm. On a channel without
    /// `confirm_select` each is recorded as `unconfirmed`.
    pub async fn publish_batch(&self, messages: Vec<Publish<'_>>) -> Vec<lapin::Result<Confirmation>> {
        let Some(first) = messages.first() else { return Vec::new() };
        let exchange = first.exchange.clone();
        let is_one_exchange = messages.iter().all(|message| message.exchange == exchange);
        let is_one_key = messages.iter().all(|message| message.routing_key == first.routing_key);
        let place = sent_to(
            if is_one_exchange { exchange.as_str() } else { "" },
            if is_one_key { first.routing_key.as_str() } else { "" },
        );
        let details = Details { server: self.settings.server(), ..Details::default() };
        let mut sending = self.settings.telemetry.send_batch("publish", place, &details);
        let mut makers = Vec::with_capacity(messages.len());
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            let (maker, properties) = self.create(&mut sending, &message);
            makers.push(maker);
            let Publish { exchange, routing_key, options, payload, .. } = message;
            confirms
                .push(self.channel.basic_publish(exchange, routing_key, options, payload, properties).await);
        }
        let mut answers = Vec::with_capacity(confirms.len());
        for confirm in confirms {
            answers.push(wait(confirm).await);
        }
        self.tell(&mut sending, &makers, &answers);
        sending.end();
        answers
    }

    /// Only a mandatory message comes back: of the others nobody needs to know which span made them.
    fn create(&self, sending: &mut SendingBatch, message: &Publish<'_>) -> (Option<SpanId>, BasicProperties) {
        let outgoing = Outgoing {
            exchange: message.exchange.as_str(),
            routing_key: message.routing_key.as_str(),
            payload: message.payload,
            properties: &message.properties,
            copied_from: None,
        };
        let mut headers = AmqpHeaders::from(message.properties.headers().as_ref());
        outgoing.describe(&self.settings, |place, details| sending.create(place, details, &mut headers));
        let maker = if message.options.mandatory {
            let read = self.settings.telemetry.delivered(sent_to("", ""), &Details::default(), &headers);
            read.origin().context.as_ref().map(|context| context.span_id())
        } else {
            None
        };
        (maker, with_headers(message.properties.clone(), headers))
    }

    fn tell(
        &self,
        sending: &mut SendingBatch,
        makers: &[Option<SpanId>],
        answers: &[lapin::Result<Confirmation>],
    ) {
        for (number, answer) in answers.iter().enumerate() {
            if let Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = answer {
                let made_by = maker(&self.settings.telemetry, message);
                let of_batch = made_by.and_then(|id| makers.iter().position(|maker| *maker == Some(id)));
                match (of_batch, made_by) {
                    (Some(whose), _) => sending.fail(whose, returned(message)),
                    // Of a single publish that was on its way on this channel, or of somebody who writes no context.
                    (None, Some(other)) if makers.iter().flatten().next().is_some() => {
                        self.returned.note(other, returned(message));
                    }
                    (None, _) => sending.fail(number, returned(message)),
                }
            }
        }
        let returned_otherwise = |maker: &Option<SpanId>| maker.and_then(|id| self.returned.take(id));
        for (number, (answer, maker)) in answers.iter().zip(makers).enumerate() {
            if let Some(failure) = returned_otherwise(maker).or_else(|| refused(answer)) {
                sending.fail(number, failure);
            }
        }
        if self.channel.status().confirm() {
            sending.accept_rest();
        }
    }
}

async fn wait(confirm: lapin::Result<PublisherConfirm>) -> lapin::Result<Confirmation> {
    confirm?.await
}
