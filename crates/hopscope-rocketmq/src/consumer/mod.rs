//! [`TracedConsumer`]: the client's push consumer, whose listeners are traced.

mod handling;
mod listener;
mod queues;
mod send_back;

pub use handling::Options;
pub(crate) use queues::Queues;

use crate::received::Reader;
use hopscope_sdk::{Telemetry, Traced};
use listener::Listener;
use rocketmq_client_rust::{
    ClientResult, ConsumeConcurrentlyContext, ConsumeConcurrentlyStatus, ConsumeOrderlyContext,
    ConsumeOrderlyStatus, DefaultMQPushConsumer, MQPushConsumer,
};
use rocketmq_model::common::message::message_ext::MessageExt;
use std::sync::Arc;

/// A [`DefaultMQPushConsumer`] whose listeners are traced.
///
/// There are two ways to handle messages. [`run`](Self::run) and [`run_batches`](Self::run_batches) take an async
/// handler that says `Ok` or `Err`, and do the rest: retries, dead letters, order, shutdown.
/// [`listen_concurrently`](Self::listen_concurrently) and [`listen_orderly`](Self::listen_orderly) take a listener in
/// the client's own words; it gets one message at a time, also where the client hands over several. There RocketMQ
/// settles what it handed over as a whole: with the first message that is not a success the rest of that batch is not
/// handled, and all of it comes again.
pub struct TracedConsumer {
    consumer: DefaultMQPushConsumer,
    telemetry: Telemetry,
}

impl TracedConsumer {
    /// Around a client, with the global telemetry: call `hopscope_sdk::setup` before.
    pub fn new(consumer: DefaultMQPushConsumer) -> Self {
        Self { consumer, telemetry: Telemetry::global() }
    }

    /// The same, with telemetry of its own; before a listener is registered.
    #[must_use]
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// The client's consumer, untraced.
    pub fn inner(&self) -> &DefaultMQPushConsumer {
        &self.consumer
    }

    /// The client's consumer, to subscribe, to start and to shut down.
    pub fn inner_mut(&mut self) -> &mut DefaultMQPushConsumer {
        &mut self.consumer
    }

    /// Registers a concurrent listener. While the handler runs, its process span is the current one; success,
    /// reconsume-later, an error and a panic are recorded as what they make of the message.
    pub fn listen_concurrently<H>(&mut self, handler: H)
    where
        H: Fn(&Traced<&MessageExt>, &ConsumeConcurrentlyContext) -> ClientResult<ConsumeConcurrentlyStatus>
            + Send
            + Sync
            + 'static,
    {
        let times_max = self.consumer.max_reconsume_times();
        let listener = self.listener(if times_max == -1 { RECONSUME_TIMES_MAX_DEFAULT } else { times_max });
        self.consumer.register_message_listener_concurrently(
            move |messages: &[&MessageExt], context: &ConsumeConcurrentlyContext| {
                listener.consume(context.get_message_queue(), messages, |message| handler(message, context))
            },
        );
    }

    /// Registers an ordered listener, as [`listen_concurrently`](Self::listen_concurrently). A suspended queue
    /// gives the same stored message again.
    pub fn listen_orderly<H>(&mut self, handler: H)
    where
        H: Fn(&Traced<&MessageExt>, &mut ConsumeOrderlyContext) -> ClientResult<ConsumeOrderlyStatus>
            + Send
            + Sync
            + 'static,
    {
        let times_max = self.consumer.max_reconsume_times();
        let listener = self.listener(if times_max == -1 { i32::MAX } else { times_max });
        self.consumer.register_message_listener_orderly(
            move |messages: &[&MessageExt], context: &mut ConsumeOrderlyContext| {
                let queue = context.get_message_queue().clone();
                listener.consume(&queue, messages, |message| handler(message, context))
            },
        );
    }

    fn listener(&mut self, reconsume_times_max: i32) -> Listener {
        Listener { reader: self.reader(), queues: self.watch_queues(), reconsume_times_max }
    }

    fn reader(&self) -> Reader {
        Reader { telemetry: self.telemetry.clone(), group: self.consumer.consumer_group().to_string() }
    }

    /// From now on it is known which queues are this consumer's. A listener that the application has set is told too.
    fn watch_queues(&mut self) -> Arc<Queues> {
        let queues = Arc::new(Queues::new(self.consumer.message_queue_listener()));
        self.consumer.set_message_queue_listener(Some(queues.clone()));
        queues
    }
}

impl std::fmt::Debug for TracedConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedConsumer")
            .field("group", &self.consumer.consumer_group())
            .finish_non_exhaustive()
    }
}

/// What the client takes `max_reconsume_times = -1` for, in a concurrent listener.
const RECONSUME_TIMES_MAX_DEFAULT: i32 = 16;
