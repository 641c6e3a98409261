//! A send under way: what is known before and what the client's answer adds.

use crate::carrier::RocketMqHeaders;
use crate::failure::failure;
use crate::names;
use crate::origin::property;
use crate::received::{Attributes, described, keys, topic_alone};
use bytes::Bytes;
use cheetah_string::CheetahString;
use hopscope_sdk::{Attribute, Body, CopiedFrom, Details, Failure, Place, Sending, Telemetry, Value};
use rocketmq_client_rust::{ClientError, ClientResult, SendResult, SendStatus};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::collections::HashMap;
use std::sync::Mutex;

/// A send under way.
pub(super) struct Open {
    pub sending: Sending,
    topic: CheetahString,
    /// It has a place when the broker answers: no schedule or transaction holds it back.
    has_place: bool,
}

/// Whether the broker holds the message back for a transaction.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Plain,
    Transaction,
}

/// Starts a send and writes its context into the message.
pub(super) fn start<M: MessageTrait>(
    telemetry: &Telemetry,
    operation: &'static str,
    message: &mut M,
    kind: Kind,
    copied_from: Option<CopiedFrom<'_>>,
) -> Open {
    let described = Described::of(message, kind);
    let tell = |details: &Details<'_>| {
        telemetry.send(operation, topic_alone(&described.topic), &Details { copied_from, ..*details })
    };
    let sending = described.with_details(tell);
    sending.inject(&mut RocketMqHeaders(message));
    Open { sending, topic: described.topic, has_place: described.message_type == "normal" }
}

/// What is known of a message before it is sent, apart from the message: its texts are shared, not copied.
pub(super) struct Described {
    pub topic: CheetahString,
    tag: CheetahString,
    keys: CheetahString,
    correlation_id: CheetahString,
    body: Option<Bytes>,
    message_type: &'static str,
}

impl Described {
    pub fn of<M: MessageTrait>(message: &M, kind: Kind) -> Self {
        let properties = message.get_properties();
        let property = |name| properties.get(name).cloned().unwrap_or_default();
        Self {
            topic: message.topic().clone(),
            tag: property(names::TAGS),
            keys: property(names::KEYS),
            correlation_id: property(names::CORRELATION_ID),
            body: message.get_body().cloned(),
            message_type: match kind {
                Kind::Transaction => "transaction",
                Kind::Plain if is_scheduled(properties) => "delay",
                Kind::Plain => "normal",
            },
        }
    }

    pub fn with_details<R>(&self, tell: impl FnOnce(&Details<'_>) -> R) -> R {
        let keys = keys(&self.keys);
        let mut attributes = described(&self.tag, &keys);
        attributes.push(("messaging.rocketmq.message.type", Value::Text(self.message_type)));
        tell(&Details {
            correlation_id: &self.correlation_id,
            body_bytes: self.body.as_ref().map(|body| body.len() as u64),
            body: Body(self.body.as_deref().unwrap_or_default()),
            attributes: &attributes,
            ..Details::default()
        })
    }
}

impl Open {
    pub fn confirm(self, result: &SendResult) {
        self.with_answer(result, None, |open, place, details| open.sending.confirm(place, details));
    }

    /// What the answer says, before the end is known.
    pub fn learn(self, result: &SendResult, more: Attribute<'_>) -> Self {
        self.with_answer(result, Some(more), |mut open, place, details| {
            open.sending.learn(place, details);
            open
        })
    }

    /// Queue and offset in the answer to a message that is held back are those of the broker's own topic for that: the
    /// message gets its place later, so it has none yet.
    fn with_answer<R>(
        self,
        result: &SendResult,
        more: Option<Attribute<'_>>,
        tell: impl FnOnce(Self, Place<'_>, &Details<'_>) -> R,
    ) -> R {
        let queue = result.message_queue.as_ref().filter(|_| self.has_place);
        let mut attributes = Attributes::new();
        if let Some(id) = &result.offset_msg_id {
            attributes.push(("messaging.rocketmq.offset_message_id", Value::Text(id)));
        }
        attributes.extend(not_quite(result.send_status));
        attributes.extend(more);
        let details = Details {
            message_id: result.msg_id.as_deref().unwrap_or_default(),
            attributes: &attributes,
            ..Details::default()
        };
        let topic = self.topic.clone();
        tell(self, stored(&topic, queue, result.queue_offset), &details)
    }

    pub fn fail(self, failure: Failure) {
        self.sending.fail(failure);
    }

    pub fn unconfirmed(self) {
        self.sending.unconfirmed();
    }
}

/// Where the broker put it.
pub(super) fn stored<'a>(topic: &'a str, queue: Option<&'a MessageQueue>, offset: u64) -> Place<'a> {
    Place::RocketMq {
        topic,
        logical_topic: "",
        broker: queue.map_or("", |queue| queue.broker_name().as_str()),
        queue: queue.map(MessageQueue::queue_id),
        offset: queue.and_then(|_| i64::try_from(offset).ok()),
    }
}

/// It is stored; a flush or a replica was not waited for long enough.
pub(super) fn not_quite(status: SendStatus) -> Option<Attribute<'static>> {
    let word = match status {
        SendStatus::SendOk => return None,
        SendStatus::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
        SendStatus::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
        SendStatus::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
    };
    Some(("messaging.rocketmq.send_status", Value::Text(word)))
}

pub(super) fn ended(
    open: Open,
    answer: ClientResult<Option<SendResult>>,
) -> ClientResult<Option<SendResult>> {
    match &answer {
        Ok(Some(result)) => open.confirm(result),
        Ok(None) => open.unconfirmed(),
        Err(error) => open.fail(failure(error)),
    }
    answer
}

pub(super) fn end(pending: &Mutex<Option<Open>>, result: Option<&SendResult>, error: Option<&ClientError>) {
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
