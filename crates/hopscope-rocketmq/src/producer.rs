//! [`TracedProducer`]: the client's producer with traced sends.

use crate::carrier::RocketMqHeaders;
use crate::failure::failure;
use crate::names;
use crate::origin::property;
use cheetah_string::CheetahString;
use hopscope_sdk::opentelemetry::{Array, KeyValue, StringValue, Value};
use hopscope_sdk::{Details, Place, Sending, Telemetry};
use rocketmq_client_rust::{ClientError, ClientResult, DefaultMQProducer, SendResult, SendStatus};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::collections::HashMap;
use std::sync::Mutex;

/// A [`DefaultMQProducer`] whose sends are traced.
pub struct TracedProducer {
    producer: DefaultMQProducer,
    telemetry: Telemetry,
}

impl TracedProducer {
    /// Around a client, with the global telemetry: call `hopscope_sdk::setup` before.
    pub fn new(producer: DefaultMQProducer) -> Self {
        Self { producer, telemetry: Telemetry::global() }
    }

    /// The same, with telemetry of its own.
    #[must_use]
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// The client's producer, untraced: batches, transactions, request/reply.
    pub fn inner(&self) -> &DefaultMQProducer {
        &self.producer
    }

    /// The client's producer, to start and to shut down.
    pub fn inner_mut(&mut self) -> &mut DefaultMQProducer {
        &mut self.producer
    }

    /// [`DefaultMQProducer::send`], traced until the broker's answer.
    ///
    /// # Errors
    /// The client's own.
    pub async fn send<M>(&self, message: M) -> ClientResult<Option<SendResult>>
    where
        M: MessageTrait + Send + Sync,
    {
        let (message, sending) = self.start(message);
        ended(sending, self.producer.send(message).await)
    }

    /// [`DefaultMQProducer::send_with_timeout`], traced until the broker's answer.
    ///
    /// # Errors
    /// The client's own.
    pub async fn send_with_timeout<M>(&self, message: M, timeout_ms: u64) -> ClientResult<Option<SendResult>>
    where
        M: MessageTrait + Send + Sync,
    {
        let (message, sending) = self.start(message);
        ended(sending, self.producer.send_with_timeout(message, timeout_ms).await)
    }

    /// [`DefaultMQProducer::send_to_queue`], traced until the broker's answer.
    ///
    /// # Errors
    /// The client's own.
    pub async fn send_to_queue<M>(&self, message: M, queue: MessageQueue) -> ClientResult<Option<SendResult>>
    where
        M: MessageTrait + Send + Sync,
    {
        let (message, sending) = self.start(message);
        ended(sending, self.producer.send_to_queue(message, queue).await)
    }

    /// [`DefaultMQProducer::send_with_selector`], traced until the broker's answer: ordered messages.
    ///
    /// # Errors
    /// The client's own.
    pub async fn send_with_selector<M, S, T>(
        &self,
        message: M,
        selector: S,
        argument: T,
    ) -> ClientResult<Option<SendResult>>
    where
        M: MessageTrait + Send + Sync,
        S: Fn(&[MessageQueue], &M, &T) -> Option<MessageQueue> + Send + Sync,
        T: Send + Sync,
    {
        let (message, sending) = self.start(message);
        ended(sending, self.producer.send_with_selector(message, selector, argument).await)
    }

    /// [`DefaultMQProducer::send_with_callback`], traced until the callback.
    ///
    /// # Errors
    /// The client's own, where the message was not handed over; then no callback comes.
    pub async fn send_with_callback<M, F>(&self, message: M, callback: F) -> ClientResult<()>
    where
        M: MessageTrait + Send + Sync,
        F: Fn(Option<&SendResult>, Option<&ClientError>) + Send + Sync + 'static,
    {
        let (message, sending) = self.start(message);
        let pending = std::sync::Arc::new(Mutex::new(Some(sending)));
        let ours = std::sync::Arc::clone(&pending);
        let called = move |result: Option<&SendResult>, error: Option<&ClientError>| {
            end(&ours, result, error);
            callback(result, error);
        };
        let handed_over = self.producer.send_with_callback(message, called).await;
        if let Err(error) = &handed_over {
            end(&pending, None, Some(error));
        }
        handed_over
    }

    /// [`DefaultMQProducer::send_oneway`]: the broker does not answer, so the outcome is recorded as unknown.
    ///
    /// # Errors
    /// The client's own.
    pub async fn send_oneway<M>(&self, message: M) -> ClientResult<()>
    where
        M: MessageTrait + Send + Sync,
    {
        let (message, sending) = self.start(message);
        let handed_over = self.producer.send_oneway(message).await;
        match &handed_over {
            Ok(()) => sending.unconfirmed(),
            Err(error) => sending.fail(failure(error)),
        }
        handed_over
    }

    fn start<M: MessageTrait>(&self, mut message: M) -> (M, Open) {
        let topic = message.topic().to_string();
        let properties = message.get_properties();
        let is_scheduled = is_scheduled(properties);
        let attributes = attributes(properties, is_scheduled);
        let place =
            Place::RocketMq { topic: &topic, logical_topic: "", broker: "", queue: None, offset: None };
        let details = Details {
            correlation_id: property(properties, names::CORRELATION_ID),
            body_bytes: message.get_body().and_then(|body| u64::try_from(body.len()).ok()),
            attributes: &attributes,
            ..Details::default()
        };
        let sending = self.telemetry.send("send", place, &details);
        sending.inject(&mut RocketMqHeaders(&mut message));
        (message, Open { sending, topic, is_scheduled })
    }
}

impl std::fmt::Debug for TracedProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedProducer")
            .field("group", &self.producer.producer_group())
            .finish_non_exhaustive()
    }
}

/// A send under way.
struct Open {
    sending: Sending,
    topic: String,
    is_scheduled: bool,
}

impl Open {
    fn unconfirmed(self) {
        self.sending.unconfirmed();
    }

    fn fail(self, failure: hopscope_sdk::Failure) {
        self.sending.fail(failure);
    }

    /// Queue and offset in the answer to a scheduled message are those of the broker's own schedule topic: the
    /// message gets its place later, so it has none yet.
    fn confirm(self, result: &SendResult) {
        let queue = result.message_queue.as_ref().filter(|_| !self.is_scheduled);
        let place = Place::RocketMq {
            topic: &self.topic,
            logical_topic: "",
            broker: queue.map_or("", |queue| queue.broker_name().as_str()),
            queue: queue.map(MessageQueue::queue_id),
            offset: queue.and_then(|_| i64::try_from(result.queue_offset).ok()),
        };
        let mut attributes = Vec::new();
        if let Some(id) = &result.offset_msg_id {
            attributes.push(KeyValue::new("messaging.rocketmq.offset_message_id", id.clone()));
        }
        if result.send_status != SendStatus::SendOk {
            // It is stored; a flush or a replica was not waited for long enough.
            attributes.push(KeyValue::new("messaging.rocketmq.send_status", result.send_status.to_string()));
        }
        let details = Details {
            message_id: result.msg_id.as_deref().unwrap_or_default(),
            attributes: &attributes,
            ..Details::default()
        };
        self.sending.confirm(place, &details);
    }
}

fn ended(open: Open, answer: ClientResult<Option<SendResult>>) -> ClientResult<Option<SendResult>> {
    match &answer {
        Ok(Some(result)) => open.confirm(result),
        Ok(None) => open.unconfirmed(),
        Err(error) => open.fail(failure(error)),
    }
    answer
}

fn end(pending: &Mutex<Option<Open>>, result: Option<&SendResult>, error: Option<&ClientError>) {
    let open = pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let Some(open) = open else { return };
    match (result, error) {
        (Some(result), _) => open.confirm(result),
        (None, Some(error)) => open.fail(failure(error)),
        (None, None) => open.unconfirmed(),
    }
}

fn is_scheduled(properties: &HashMap<CheetahString, CheetahString>) -> bool {
    let delay = property(properties, names::DELAY);
    (!delay.is_empty() && delay != "0")
        || names::TIMERS.iter().any(|timer| !property(properties, timer).is_empty())
}

fn attributes(properties: &HashMap<CheetahString, CheetahString>, is_scheduled: bool) -> Vec<KeyValue> {
    let mut attributes = described(properties);
    attributes.push(KeyValue::new(
        "messaging.rocketmq.message.type",
        if is_scheduled { "delay" } else { "normal" },
    ));
    attributes
}

/// Tag and keys, as the conventions name them.
pub(crate) fn described(properties: &HashMap<CheetahString, CheetahString>) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    let tag = property(properties, names::TAGS);
    if !tag.is_empty() {
        attributes.push(KeyValue::new("messaging.rocketmq.message.tag", tag.to_owned()));
    }
    let keys: Vec<StringValue> =
        property(properties, names::KEYS).split_whitespace().map(|key| key.to_owned().into()).collect();
    if !keys.is_empty() {
        attributes.push(KeyValue::new("messaging.rocketmq.message.keys", Value::Array(Array::String(keys))));
    }
    attributes
}
