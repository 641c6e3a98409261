//! [`Transaction`]: publishes and settlements that take effect together, or not at all.

use super::{Outgoing, with_headers};
use crate::TracedChannel;
use crate::failure::failure;
use crate::settle::Message;
use hopscope_sdk::{Declared, Details, Disposition, Failure, Place, Sending, Settling, Traced, Value};
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicPublishOptions};
use lapin::types::ShortString;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An open AMQP transaction of a channel.
///
/// **What is published and acknowledged in it ends with it**: until the commit no queue has the message, and after a
/// rollback none ever will. Each span says `messaging.rabbitmq.transaction.outcome` in the end: `committed`, or
/// `rolled_back` with the error `TRANSACTION_ROLLED_BACK`. Dropped before either, everything of it is recorded as
/// unknown; the broker still holds it as part of the channel's transaction, and forgets it when the channel closes.
///
/// RabbitMQ makes a transaction atomic for one queue only, and it costs a round trip each: publisher confirms are the
/// usual way.
#[derive(Debug)]
#[must_use = "commit it, or roll it back"]
pub struct Transaction<'c> {
    channel: &'c TracedChannel,
    told: Mutex<Told>,
}

/// What ends with the transaction.
#[derive(Debug, Default)]
struct Told {
    sends: Vec<Sending>,
    settlements: Vec<Settling>,
}

impl TracedChannel {
    /// `tx.select`: puts the channel into transaction mode, where it stays, and begins a transaction. One at a time;
    /// a channel with `confirm_select` cannot have any.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn transaction(&self) -> lapin::Result<Transaction<'_>> {
        self.channel.tx_select().await?;
        Ok(Transaction { channel: self, told: Mutex::default() })
    }
}

impl Transaction<'_> {
    /// Publishes in this transaction; see [`TracedChannel::basic_publish`].
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
    ) -> lapin::Result<()> {
        let outgoing = Outgoing {
            exchange: exchange.as_str(),
            routing_key: routing_key.as_str(),
            payload,
            properties: &properties,
            copied_from: None,
        };
        let (sending, headers) = outgoing.start(&self.channel.settings, "publish");
        let properties = with_headers(properties, headers);
        match self.channel.channel.basic_publish(exchange, routing_key, options, payload, properties).await {
            Ok(_no_confirm_in_a_transaction) => {
                self.lock().sends.push(sending);
                Ok(())
            }
            Err(error) => {
                sending.fail(failure(&error));
                Err(error)
            }
        }
    }

    /// Acknowledges in this transaction a message of this channel. After a rollback it is not settled, and may be
    /// settled again.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn ack<M: Message>(
        &self,
        message: &Traced<M>,
        declared: Declared,
        options: BasicAckOptions,
    ) -> lapin::Result<()> {
        let settling = declared.settle_as("ack", Disposition::Accept);
        // By the channel: lapin's acker is used up by its first word, also where that is rolled back.
        match self.channel.channel.basic_ack(message.message().as_delivery().delivery_tag, options).await {
            Ok(()) => {
                self.lock().settlements.push(settling);
                Ok(())
            }
            Err(error) => {
                settling.fail(failure(&error));
                Err(error)
            }
        }
    }

    /// Commits: everything of it takes effect.
    ///
    /// # Errors
    /// lapin's own; whether the broker committed is unknown then.
    pub async fn commit(self) -> lapin::Result<()> {
        self.channel.channel.tx_commit().await?;
        let Told { sends, settlements } = self.take();
        for mut sending in sends {
            say(&mut sending, "committed");
            sending.accepted();
        }
        settlements.into_iter().for_each(Settling::confirm);
        Ok(())
    }

    /// Rolls back: nothing of it takes effect.
    ///
    /// # Errors
    /// lapin's own.
    pub async fn rollback(self) -> lapin::Result<()> {
        self.channel.channel.tx_rollback().await?;
        let Told { sends, settlements } = self.take();
        let failure = Failure::new("TRANSACTION_ROLLED_BACK", "the transaction was rolled back");
        for mut sending in sends {
            say(&mut sending, "rolled_back");
            sending.fail(failure.clone());
        }
        settlements.into_iter().for_each(|settling| settling.fail(failure.clone()));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Told {
        std::mem::take(&mut self.lock())
    }
}

fn say(sending: &mut Sending, outcome: &str) {
    let unchanged = Place::RabbitMq { exchange: "", routing_key: "", queue: "", stream_offset: None };
    let attributes = [("messaging.rabbitmq.transaction.outcome", Value::Text(outcome))];
    sending.learn(unchanged, &Details { attributes: &attributes, ..Details::default() });
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        for sending in self.take().sends {
            sending.unknown("transaction left open");
        }
    }
}
