//! Traced send and consume for [rocketmq-client-rust](https://docs.rs/rocketmq-client-rust) 1, on [`hopscope_sdk`].
//!
//! A [`TracedProducer`] has the client's verbs and signatures: a send ends at the `SendResult`, with queue, offset
//! and both message ids in it. [`TracedTransactionProducer`] is the same for transactional messages. A
//! [`TracedConsumer`] runs async handlers with retries, dead letters, order and shutdown, one message or a batch at a
//! time, or takes listeners in the client's own words. A [`TracedLitePullConsumer`] polls and commits.
//!
//! ```no_run
//! use hopscope_rocketmq::{Options, Traced, TracedConsumer, TracedProducer};
//! use hopscope_sdk::Retry;
//! use rocketmq_client_rust::{ClientResult, DefaultMQProducer, DefaultMQPushConsumer};
//! use rocketmq_model::common::message::{message_ext::MessageExt, message_single::Message};
//! use std::time::Duration;
//! # async fn mail<B>(_: Option<B>) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example(producer: DefaultMQProducer, consumer: DefaultMQPushConsumer) -> ClientResult<()> {
//! let mut producer = TracedProducer::new(producer);
//! producer.inner_mut().start().await?;
//! producer.send(Message::builder().topic("notifications").key("order-1").body_slice(b"{}").build_unchecked()).await?;
//!
//! let mut consumer = TracedConsumer::new(consumer);
//! consumer.inner_mut().subscribe("notifications", "*").await?;
//! // Two more attempts, a minute apart; then it goes to `%DLQ%{group}`.
//! let options = Options { retry: Retry::times(3).fixed(Duration::from_secs(60)), ..Options::default() };
//! let handler = async |message: &Traced<&MessageExt>| mail(message.message().body()).await;
//! consumer.run(options, handler, async { drop(tokio::signal::ctrl_c().await) }).await
//! # }
//! ```
//!
//! # What each part of RocketMQ is here
//! | Word of the SDK | RocketMQ |
//! |---|---|
//! | send: single, fire-and-forget, ordered, delayed | [`TracedProducer`]; ordered by selector or queue, delayed by the message |
//! | send: batch | [`TracedProducer::send_batch`]: one topic, stored as a whole |
//! | send: transaction | [`TracedTransactionProducer`]: half, commit, rollback, check |
//! | consume: push, concurrent or in order | [`TracedConsumer::run`] |
//! | consume: batch | [`TracedConsumer::run_batches`] |
//! | consume: pull | [`TracedLitePullConsumer`] |
//! | settle | success, send back at a level, suspend, commit |
//! | retry through the broker | `CONSUMER_SEND_MSG_BACK` and `%RETRY%{group}` |
//! | dead letter | `%DLQ%{group}`, or [`TracedProducer::dead_letter`]; [`TracedProducer::redrive`] |
//! | request and reply | [`TracedProducer::request`] |
//!
//! # It is not
//! - a client: subscriptions and runtimes stay the client's, by `inner` and `inner_mut`;
//! - RocketMQ's own message trace (`enable_trace`): both may be on, they do not disturb each other;
//! - the classic pull consumer (`DefaultMQPullConsumer`): untraced;
//! - the gRPC client of RocketMQ 5: this is the remoting protocol.

mod carrier;
mod consumer;
mod failure;
mod names;
mod origin;
mod producer;
mod pull;
mod received;
mod sink;

pub use carrier::{ReadHeaders, RocketMqHeaders};
pub use consumer::{Options, TracedConsumer};
pub use hopscope_sdk::Traced;
pub use producer::{TracedProducer, TracedTransactionProducer};
pub use pull::{DeadLetter, PullOptions, TracedLitePullConsumer};
pub use sink::RocketMqSink;
