//! Copies that this producer makes: dead letters into a topic of your own, and the way back.
//!
//! RocketMQ has dead letters of its own, `%DLQ%{group}`: [`TracedConsumer::run`](crate::TracedConsumer::run) puts
//! there what it gives up. A topic of your own says why it was given up, and may be one for many groups.

use super::TracedProducer;
use super::sending::{Kind, ended, start};
use crate::carrier::{ReadHeaders, RocketMqHeaders};
use cheetah_string::CheetahString;
use hopscope_sdk::dead_letter::{self, Edit, Families, Original};
use hopscope_sdk::{CopiedFrom, CopyKind, Delivery, Failure, Processing};
use rocketmq_client_rust::{ClientError, ClientResult, SendResult};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_single::Message;
use std::borrow::Borrow;

impl TracedProducer {
    /// Sends a copy of a message that is given up to that topic. Its properties say where the original lay, who gave it
    /// up after how many attempts, and why; the copy links to the original, and the work that is under way on that
    /// gets an event. The outcome is yours to declare.
    ///
    /// # Errors
    /// The client's own; there is no copy then.
    pub async fn dead_letter(
        &self,
        processing: &Processing,
        message: &MessageExt,
        topic: &str,
        failure: &Failure,
    ) -> ClientResult<Option<SendResult>> {
        let delivery = processing.delivery();
        let original =
            |place| delivery.with_details(|details| Original::dead_letter(place, details, failure));
        let original = original(delivery.place());
        let edit = dead_letter::mark(
            &original,
            &Families::usual("rocketmq"),
            &ReadHeaders(message.get_properties()),
        );
        let copied_from = CopiedFrom {
            reason: failure.message(),
            error_type: failure.kind(),
            ..delivery.as_original(CopyKind::DeadLetter)
        };
        let sent = self.copy(message, topic, &edit, copied_from).await?;
        original.note(processing, topic);
        Ok(sent)
    }

    /// Sends a dead letter back to where it lay before, whoever put it here: the broker (`%DLQ%`) or somebody's own
    /// headers. What made it a dead letter goes; where it comes from stays in its properties, and the copy links to it.
    /// Settle the dead letter once this has succeeded.
    ///
    /// # Errors
    /// The client's own, and an invalid argument where the message does not say where it lay.
    pub async fn redrive<M: Borrow<MessageExt>>(
        &self,
        message: &M,
        delivery: &Delivery,
    ) -> ClientResult<Option<SendResult>> {
        let message = message.borrow();
        let headers = ReadHeaders(message.get_properties());
        let back = delivery.with_details(|details| dead_letter::redrive(delivery.place(), details, &headers));
        let Some(to) = back.to.filter(|to| !to.destination.is_empty()) else {
            return Err(ClientError::illegal_argument("the message does not say where it lay before"));
        };
        self.copy(message, &to.destination, &back.edit, delivery.as_original(CopyKind::Redrive)).await
    }

    async fn copy(
        &self,
        message: &MessageExt,
        topic: &str,
        edit: &Edit,
        copied_from: CopiedFrom<'_>,
    ) -> ClientResult<Option<SendResult>> {
        let mut copy = Message::default();
        copy.set_topic(CheetahString::from_slice(topic));
        copy.set_body(message.get_body().cloned());
        copy.set_flag(message.get_flag());
        for (name, value) in message.get_properties() {
            if !OF_ONE_MESSAGE.contains(&name.as_str()) {
                copy.put_property(name.clone(), value.clone());
            }
        }
        edit.apply(&mut RocketMqHeaders(&mut copy));
        let open = start(&self.telemetry, "send", &mut copy, Kind::Plain, Some(copied_from));
        ended(open, self.producer.send(copy).await)
    }
}

/// Properties by which client and broker know one stored message, or what they did with it: a copy is another one.
const OF_ONE_MESSAGE: &[&str] = &[
    "UNIQ_KEY",
    "WAIT",
    "MSG_REGION",
    "TRACE_ON",
    "CLUSTER",
    "MIN_OFFSET",
    "MAX_OFFSET",
    "CONSUME_START_TIME",
    "POP_CK",
    "1ST_POP_TIME",
    "DELAY",
    "TIMER_DELAY_MS",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
    "TRAN_MSG",
    "PGROUP",
    "__transactionId__",
    "INNER_NUM",
    "INNER_MULTI_DISPATCH",
    "INNER_MULTI_QUEUE_OFFSET",
];
