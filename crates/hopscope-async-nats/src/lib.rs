//! Traced publish, subscribe, request and JetStream for async-nats.
//!
//! ```no_run
//! use hopscope_async_nats::TracedJetStream;
//! use async_nats::jetstream::consumer::PullConsumer;
//! use std::time::Duration;
//!
//! # async fn handle(_: &[u8]) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example() -> Result<(), async_nats::Error> {
//! let client = async_nats::connect("localhost:4222").await?;
//! let jetstream = TracedJetStream::new(async_nats::jetstream::new(client));
//!
//! // Sent, and stored: the span ends at the acknowledgement, with stream and sequence.
//! jetstream.publish("shipments.new", "{}".into()).await?.await?;
//!
//! let consumer: PullConsumer = jetstream.inner().get_stream("SHIPMENTS").await?.get_consumer("packing").await?;
//! let mut messages = jetstream.messages(&consumer).await?;
//! while let Some(message) = messages.next().await {
//!     let work = message?.process();
//!     match work.run(handle(&work.message().payload)).await {
//!         Ok(()) => work.ack().await?,
//!         Err(error) => work.nak(&error, Some(Duration::from_secs(1))).await?,
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Or leave the loop to [`TracedMessages::run`]: handlers side by side, retries, dead letters, a shutdown that loses nothing.
//!
//! Core NATS acknowledges nothing: [`TracedClient::publish`] ends as unknown (`hopscope.outcome`), because nobody
//! can say whether a subscriber got the message.
//!
//! # What the server itself gives up
//! JetStream writes no dead letters of its own, it tells of them: an advisory, at `max_deliver` and after a `+TERM`. Received
//! from a stream that keeps these, it is a dead letter with the place of its message, and
//! [`redrive`](TracedJetStream::redrive) publishes that message again.
//!
//! # It is not
//! - a `Deref` to the client: an untraced publish would compile unseen. `inner()` says it in so many words;
//! - a change of received messages: what is known about them stands beside them;
//! - a tracer of key-value and object stores and services.

mod advisory;
mod client;
mod copies;
mod headers;
mod jetstream;
mod messages;
mod request;
mod run;
mod settle;
mod sink;
mod work;

pub use client::{TracedClient, TracedSubscriber};
pub use copies::DeadLetter;
pub use headers::NatsHeaders;
pub use jetstream::{TracedAck, TracedJetStream};
pub use messages::{FetchError, Received, TracedMessages};
pub use run::{Options, RunError};
pub use sink::NatsSink;
pub use work::Work;

/// The client library that this is for.
pub use async_nats;
