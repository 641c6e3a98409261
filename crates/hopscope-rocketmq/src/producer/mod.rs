//! [`TracedProducer`]: the client's producer with traced sends.

mod batch;
mod copies;
mod request;
mod sending;
mod transaction;

pub use transaction::TracedTransactionProducer;

use crate::failure::failure;
use hopscope_sdk::Telemetry;
use rocketmq_client_rust::{ClientError, ClientResult, DefaultMQProducer, SendResult};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_queue::MessageQueue;
use sending::{Kind, Open, end, ended, start};
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

    /// The client's producer, untraced.
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
        let open = start(&self.telemetry, "send", &mut message, Kind::Plain, None);
        (message, open)
    }
}

impl std::fmt::Debug for TracedProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedProducer")
            .field("group", &self.producer.producer_group())
            .finish_non_exhaustive()
    }
}
