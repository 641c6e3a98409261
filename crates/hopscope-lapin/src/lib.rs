//! Traced publish, consume and settle for [lapin](https://docs.rs/lapin) 4, on [`hopscope_sdk`].
//!
//! A [`TracedChannel`] has lapin's verbs and its signatures. A publish ends at the publisher confirm; a returned
//! message is a failure; a consumer gives each delivery with what is known about it beside it; `ack`, `nack` and
//! `reject` are recorded through [`Settle`].
//!
//! ```no_run
//! use futures::StreamExt;
//! use hopscope_lapin::{Settle, TracedChannel};
//! use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions};
//! # async fn handle(_: &[u8]) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example(channel: lapin::Channel) -> Result<(), lapin::Error> {
//! let channel = TracedChannel::new(channel);
//! let properties = lapin::BasicProperties::default().with_message_id("payment-4711".into());
//! let confirm = channel.basic_publish("payments".into(), "card".into(), BasicPublishOptions::default(), b"{}", properties);
//! confirm.await?.await?;
//!
//! let mut consumer = channel
//!     .basic_consume("payments".into(), "worker".into(), BasicConsumeOptions::default(), Default::default())
//!     .await?;
//! while let Some(delivery) = consumer.next().await.transpose()? {
//!     let processing = delivery.process();
//!     match processing.run(handle(&delivery.message().data)).await {
//!         Ok(()) => delivery.ack(processing.succeed(), BasicAckOptions::default()).await?,
//!         Err(error) => {
//!             let again = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
//!             delivery.nack(processing.fail(&error), again).await?
//!         }
//!     };
//! }
//! # Ok(()) }
//! ```
//!
//! Or leave retries, dead letters, order and shutdown to [`TracedConsumer::run`]:
//!
//! ```no_run
//! use hopscope_lapin::{Again, DeadLetter, DelayQueues, Options, TracedChannel};
//! use hopscope_sdk::Retry;
//! use lapin::options::{BasicConsumeOptions, BasicQosOptions};
//! use std::time::Duration;
//! # async fn charge(_: &[u8]) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example(channel: TracedChannel, copies: TracedChannel, stop: impl Future<Output = ()>) -> lapin::Result<()> {
//! channel.inner().basic_qos(32, BasicQosOptions::default()).await?;
//! let consumer = channel
//!     .basic_consume("payments".into(), "worker".into(), BasicConsumeOptions::default(), Default::default())
//!     .await?;
//! let options = Options {
//!     workers_max: 16,
//!     retry: Retry::times(5).exponential(Duration::from_secs(1), 2.0, Duration::from_secs(60)),
//!     again: Again::Delay(DelayQueues::new(copies.clone())),
//!     dead_letter: Some(DeadLetter::to_queue(copies, "payments.dead")),
//!     ..Options::default()
//! };
//! consumer.run(options, |payment| async move { charge(&payment.message().data).await }, stop).await
//! # }
//! ```
//!
//! # It is not
//! - a client: connections, topology, recovery and prefetch stay lapin's, by [`TracedChannel::inner`];
//! - a delegate: [`lapin::Consumer::set_delegate`] is not traced, the stream is;
//! - a writer of payloads: only the headers of the trace context are set, everything else stays as it is. (Copies that
//!   you ask for, dead letters and retries, get headers that say what they are copies of.)

mod carrier;
mod channel;
mod consumer;
mod copy;
mod death;
mod failure;
mod publish;
mod receive;
mod request;
mod settle;
mod sink;

pub use carrier::{AmqpHeaders, ReadHeaders};
pub use channel::TracedChannel;
pub use consumer::{Again, Options, TracedConsumer};
pub use copy::{CopyError, DeadLetter, DelayQueues};
pub use hopscope_sdk::Traced;
pub use publish::{Publish, TracedConfirm, Transaction};
pub use request::{RequestError, Requester};
pub use settle::{Message, Settle, ack_multiple};
pub use sink::AmqpSink;

/// The client library that this is for.
pub use lapin;
