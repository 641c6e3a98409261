//! Copies of messages: dead letters, retries through a waiting queue, redrives.

use crate::TracedChannel;
use crate::carrier::AmqpHeaders;
use crate::death::original;
use crate::publish::{Outgoing, TracedConfirm, refused, with_headers};
use crate::settle::Message;
use hopscope_sdk::dead_letter::{self, Edit, Families, Original};
use hopscope_sdk::opentelemetry::Context;
use hopscope_sdk::{CopyKind, Failure, Processing, Traced};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The broker did not take a copy: do not settle the original as if it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyError(Failure);

impl CopyError {
    /// What the broker or the client said.
    pub fn failure(&self) -> &Failure {
        &self.0
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker did not take the copy, {}: {}", self.0.kind(), self.0.message())
    }
}

impl std::error::Error for CopyError {}

/// Where messages go that are given up: an exchange of yours, to which a copy is published, with headers that say where
/// the message comes from, why it was given up and after how many attempts, and with a link to it.
///
/// A queue's own dead-letter exchange (`x-dead-letter-exchange`) needs none of this: reject the message, and read
/// where it came from out of `x-death`. This helper is for the failure's type and text, which the broker does not know.
///
/// The channel is put into confirm mode. Give it one of its own: an exchange that does not exist closes it.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    channel: TracedChannel,
    exchange: ShortString,
    routing_key: Option<ShortString>,
    families: Families,
}

impl DeadLetter {
    /// To that exchange, under the key that the message had.
    pub fn new(channel: TracedChannel, exchange: impl Into<ShortString>) -> Self {
        Self { channel, exchange: exchange.into(), routing_key: None, families: Families::usual("rabbitmq") }
    }

    /// To a queue, by the default exchange.
    pub fn to_queue(channel: TracedChannel, queue: impl Into<ShortString>) -> Self {
        Self { routing_key: Some(queue.into()), ..Self::new(channel, "") }
    }

    /// Under that key.
    #[must_use]
    pub fn with_routing_key(mut self, routing_key: impl Into<ShortString>) -> Self {
        self.routing_key = Some(routing_key.into());
        self
    }

    /// With headers that others look for (Spring AMQP's) beside ours.
    #[must_use]
    pub fn with_families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// Publishes a copy and waits for the confirm; the work gets the event `hopscope.copied`. Then acknowledge the
    /// original: `declare(Outcome::Failed(failure), Some(Disposition::Reject))`, [`Settle::ack_as_declared`].
    ///
    /// # Errors
    /// The broker did not take it: no such exchange, no queue is bound, refused, connection lost.
    ///
    /// [`Settle::ack_as_declared`]: crate::Settle::ack_as_declared
    pub async fn publish<M: Message>(
        &self,
        message: &Traced<M>,
        processing: &Processing,
        failure: &Failure,
    ) -> Result<(), CopyError> {
        let original = self.publish_in(message, processing.context(), failure).await?;
        original.note(processing, destination(&self.exchange, &self.key_of(message.message())));
        Ok(())
    }

    /// For work that is no single message's.
    pub(crate) async fn publish_in<M: Message>(
        &self,
        message: &Traced<M>,
        work: &Context,
        failure: &Failure,
    ) -> Result<Original, CopyError> {
        let delivery = message.delivery();
        let original =
            delivery.with_details(|details| Original::dead_letter(delivery.place(), details, failure));
        let original = failed_now(message, original);
        let copy = Copy {
            message: message.message(),
            edit: dead_letter::mark(&original, &self.families, &headers_of(message.message())),
            original: &original,
        };
        copy.publish(&self.channel, self.exchange.clone(), self.key_of(message.message()), work).await?;
        Ok(original)
    }

    fn key_of(&self, message: &impl Message) -> ShortString {
        self.routing_key.clone().unwrap_or_else(|| message.as_delivery().routing_key.clone())
    }
}

/// Retries after a delay: a copy waits in a queue of that delay and then comes back to the queue that it came from.
///
/// The waiting queues are named `{queue}.retry.{ms}`; they are made when needed and deleted a minute after the last
/// message. Delays are rounded up to two digits, so that jitter does not make a queue for every message. The attempts
/// are counted in our headers, on any kind of queue.
///
/// The channel is put into confirm mode.
#[derive(Clone, Debug)]
pub struct DelayQueues {
    channel: TracedChannel,
}

impl DelayQueues {
    /// On that channel.
    pub fn new(channel: TracedChannel) -> Self {
        Self { channel }
    }

    /// Publishes a copy that comes back after the delay, and waits for the confirm; the work gets the event
    /// `hopscope.copied`. `attempts` were made. Then acknowledge the original, as after [`DeadLetter::publish`], with
    /// [`Disposition::Retry`](hopscope_sdk::Disposition::Retry).
    ///
    /// # Errors
    /// The broker did not take it.
    pub async fn publish<M: Message>(
        &self,
        message: &Traced<M>,
        processing: &Processing,
        failure: &Failure,
        attempts: u32,
        delay: Duration,
    ) -> Result<(), CopyError> {
        let (original, queue) =
            self.publish_in(message, processing.context(), failure, attempts, delay).await?;
        original.note(processing, queue.as_str());
        Ok(())
    }

    /// For work that is no single message's.
    pub(crate) async fn publish_in<M: Message>(
        &self,
        message: &Traced<M>,
        work: &Context,
        failure: &Failure,
        attempts: u32,
        delay: Duration,
    ) -> Result<(Original, ShortString), CopyError> {
        let delivery = message.delivery();
        let original = delivery.with_details(|details| Original::retry(delivery.place(), details, failure));
        let original = Original { attempts: Some(attempts), ..failed_now(message, original) };
        let queue = self.declare(&original.group, delay).await.map_err(CopyError::client)?;
        let copy = Copy {
            message: message.message(),
            edit: dead_letter::mark(&original, &Families::ours(), &headers_of(message.message())),
            original: &original,
        };
        copy.publish(&self.channel, ShortString::default(), queue.clone(), work).await?;
        Ok((original, queue))
    }

    /// Declared each time: that also puts its end off. It ends only after the last message has left it.
    async fn declare(&self, back_to: &str, delay: Duration) -> lapin::Result<ShortString> {
        const IDLE_MS: i64 = 60_000;
        let delay_ms = two_digits(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
        let queue = ShortString::from(format!("{back_to}.retry.{delay_ms}"));
        let mut arguments = FieldTable::default();
        let expires_ms = delay_ms.saturating_add(IDLE_MS);
        for (name, value) in [
            ("x-message-ttl", AMQPValue::LongLongInt(delay_ms)),
            ("x-expires", AMQPValue::LongLongInt(expires_ms)),
            ("x-dead-letter-exchange", AMQPValue::LongString("".into())),
            ("x-dead-letter-routing-key", AMQPValue::LongString(back_to.into())),
        ] {
            arguments.insert(name.into(), value);
        }
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.inner().queue_declare(queue.clone(), durable, arguments).await?;
        Ok(queue)
    }
}

impl TracedChannel {
    /// Sends a dead letter back, whoever made it one: to the queue that gave it up, where its headers say which, else to
    /// the exchange and key that it was published with. What made it a dead letter leaves its headers; context and
    /// application headers stay, and `hopscope-redrive-*` says out of which dead letter it came. Waits for the confirm;
    /// then acknowledge the dead letter. The channel is put into confirm mode.
    ///
    /// # Errors
    /// Its headers do not say where it came from, or the broker did not take it.
    pub async fn redrive<M: Message>(&self, dead: &Traced<M>) -> Result<(), CopyError> {
        let (delivery, message) = (dead.delivery(), dead.message().as_delivery());
        let headers = headers_of(dead.message());
        let queue = delivery.group().to_owned();
        let to = original(message.properties.headers().as_ref(), &queue, "");
        let (exchange, key) = match &to {
            Some(to) if !to.group.is_empty() => ("", to.group.as_str()),
            Some(to) if to.destination == "amq.default" => ("", to.address.as_str()),
            Some(to) => (to.destination.as_str(), to.address.as_str()),
            None => {
                return Err(CopyError(Failure::new(
                    "no-origin",
                    "the headers do not say where it came from",
                )));
            }
        };
        let back = delivery.with_details(|details| dead_letter::redrive(delivery.place(), details, &headers));
        // How often the dead letter was given to its reader says nothing of the message.
        let from = Original { attempts: None, ..Original::from(delivery.as_original(CopyKind::Redrive)) };
        let copy = Copy { message: dead.message(), edit: back.edit, original: &from };
        copy.publish(self, exchange.into(), key.into(), &Context::current()).await
    }
}

/// A copy to publish.
struct Copy<'a, M> {
    message: &'a M,
    edit: Edit,
    original: &'a Original,
}

impl<M: Message> Copy<'_, M> {
    async fn publish(
        self,
        channel: &TracedChannel,
        exchange: ShortString,
        routing_key: ShortString,
        work: &Context,
    ) -> Result<(), CopyError> {
        confirm_mode(channel).await.map_err(CopyError::client)?;
        let message = self.message.as_delivery();
        let mut headers = headers_of(self.message);
        headers.edit(&self.edit);
        headers.remove_named(&BROKERS_OWN);
        let properties = properties_of_copy(&message.properties, headers.into());
        let outgoing = Outgoing {
            exchange: exchange.as_str(),
            routing_key: routing_key.as_str(),
            payload: &message.data,
            properties: &properties,
            copied_from: Some(self.original.copied_from()),
        };
        let (sending, headers) = {
            let _work = work.clone().attach();
            outgoing.start(&channel.settings, "publish")
        };
        let properties = with_headers(properties, headers);
        // A copy that no queue takes would be lost.
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirm =
            channel.publish(sending, exchange, routing_key, options, &message.data, properties).await;
        taken(confirm).await
    }
}

async fn taken(confirm: lapin::Result<TracedConfirm>) -> Result<(), CopyError> {
    let answer = confirm.map_err(CopyError::client)?.await;
    let failure = match &answer {
        Ok(Confirmation::Ack(Some(message))) => Some(crate::failure::returned(message)),
        Ok(Confirmation::NotRequested) => Some(Failure::new("unconfirmed", "the channel has no confirms")),
        other => refused(other),
    };
    failure.map_or(Ok(()), |failure| Err(CopyError(failure)))
}

impl CopyError {
    fn client(error: lapin::Error) -> Self {
        Self(crate::failure::failure(&error))
    }
}

/// What the broker writes for itself, and where else it would route a copy to.
const BROKERS_OWN: [&str; 11] = [
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-delivery-count",
    "x-acquired-count",
    "CC",
    "BCC",
];

/// All of them but the time to live, which was the original's, and the user, who is another now: the broker closes the
/// channel of whoever publishes under a name that is not his.
fn properties_of_copy(of: &BasicProperties, headers: FieldTable) -> BasicProperties {
    let mut copy = BasicProperties::default().with_headers(headers);
    macro_rules! keep {
        ($($field:ident, $with:ident;)*) => {
            $(if let Some(value) = of.$field() { copy = copy.$with(value.clone()); })*
        };
    }
    keep! {
        content_type, with_content_type;
        content_encoding, with_content_encoding;
        delivery_mode, with_delivery_mode;
        priority, with_priority;
        correlation_id, with_correlation_id;
        reply_to, with_reply_to;
        message_id, with_message_id;
        timestamp, with_timestamp;
        kind, with_type;
        app_id, with_app_id;
        cluster_id, with_cluster_id;
    }
    copy
}

fn headers_of(message: &impl Message) -> AmqpHeaders {
    AmqpHeaders::from(message.as_delivery().properties.headers().as_ref())
}

#[expect(clippy::disallowed_methods, reason = "when the application saw it fail")]
fn failed_now<M>(message: &Traced<M>, original: Original) -> Original {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    Original {
        context: message.delivery().origin().context.clone(),
        first_failed_ns: now.and_then(|now| i64::try_from(now.as_nanos()).ok()),
        ..original
    }
}

/// As the copy's own span names it.
fn destination<'a>(exchange: &'a ShortString, routing_key: &'a ShortString) -> &'a str {
    if exchange.as_str().is_empty() { routing_key.as_str() } else { exchange.as_str() }
}

async fn confirm_mode(channel: &TracedChannel) -> lapin::Result<()> {
    if channel.inner().status().confirm() {
        return Ok(());
    }
    channel.inner().confirm_select(ConfirmSelectOptions::default()).await
}

/// Rounded up.
fn two_digits(number: i64) -> i64 {
    let mut step = 1;
    while number / step >= 100 {
        step *= 10;
    }
    match number % step {
        0 => number,
        rest => number.saturating_add(step - rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_two_digits() {
        for (delay, rounded) in [(0, 0), (7, 7), (100, 100), (101, 110), (3000, 3000), (12_345, 13_000)] {
            assert_eq!(two_digits(delay), rounded);
        }
        assert!(two_digits(i64::MAX) > i64::MAX / 2);
    }
}
