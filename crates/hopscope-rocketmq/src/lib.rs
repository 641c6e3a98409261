//! Traced send and consume for [rocketmq-client-rust](https://docs.rs/rocketmq-client-rust) 1, on [`hopscope_sdk`].
//!
//! A [`TracedProducer`] has the client's verbs and signatures: a send ends at the `SendResult`, with queue, offset
//! and both message ids in it. A [`TracedConsumer`] gives each message of a listener, one by one, with what is known
//! about it beside it, and records what the listener answered.
//!
//! ```no_run
//! use hopscope_rocketmq::{TracedConsumer, TracedProducer};
//! use rocketmq_client_rust::{ClientResult, ConsumeConcurrentlyStatus, DefaultMQProducer, DefaultMQPushConsumer};
//! use rocketmq_model::common::message::message_single::Message;
//! # async fn example(producer: DefaultMQProducer, consumer: DefaultMQPushConsumer) -> ClientResult<()> {
//! let mut producer = TracedProducer::new(producer);
//! producer.inner_mut().start().await?;
//! producer.send(Message::builder().topic("notifications").key("order-1").body_slice(b"{}").build_unchecked()).await?;
//!
//! let mut consumer = TracedConsumer::new(consumer);
//! consumer.inner_mut().subscribe("notifications", "*").await?;
//! consumer.listen_concurrently(|message, _context| {
//!     let _body = message.message().body();
//!     Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
//! });
//! consumer.inner_mut().start().await
//! # }
//! ```
//!
//! # It is not
//! - a client: start, shutdown, subscriptions and runtimes stay the client's, by `inner` and `inner_mut`;
//! - RocketMQ's own message trace (`enable_trace`): both may be on, they do not disturb each other;
//! - batch sends, transactions or request/reply: not traced yet, and reached by `inner`;
//! - the gRPC client of RocketMQ 5: this is the remoting protocol.

mod carrier;
mod consumer;
mod failure;
mod names;
mod origin;
mod producer;

pub use carrier::{ReadHeaders, RocketMqHeaders};
pub use consumer::TracedConsumer;
pub use hopscope_sdk::Traced;
pub use producer::TracedProducer;
