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
//! # It is not
//! - a client: connections, topology, recovery and prefetch stay lapin's, by [`TracedChannel::inner`];
//! - a delegate: [`lapin::Consumer::set_delegate`] is not traced, the stream is;
//! - a writer of payloads: only the headers of the trace context are set, everything else stays as it is.

mod carrier;
mod channel;
mod consumer;
mod death;
mod failure;
mod settle;

pub use carrier::{AmqpHeaders, ReadHeaders};
pub use channel::{TracedChannel, TracedConfirm};
pub use consumer::TracedConsumer;
pub use hopscope_sdk::Traced;
pub use settle::Settle;
