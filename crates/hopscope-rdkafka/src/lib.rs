//! Traced producer and consumer for rdkafka.
//!
//! ```no_run
//! use hopscope_rdkafka::{TracedConsumer, TracedProducer};
//! use rdkafka::ClientConfig;
//! use rdkafka::message::Message;
//! use rdkafka::producer::FutureRecord;
//! use std::time::Duration;
//!
//! # async fn handle(_: Option<&[u8]>) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = ClientConfig::new();
//! config.set("bootstrap.servers", "localhost:9092").set("group.id", "payment");
//!
//! let producer = TracedProducer::from_config(&config)?;
//! let record = FutureRecord::to("orders").key("4711").payload("{}");
//! producer.send(record, Duration::from_secs(5)).await.map_err(|(error, _)| error)?;
//!
//! let consumer = TracedConsumer::from_config(&config)?;
//! consumer.inner().subscribe(&["orders"])?;
//! loop {
//!     let message = consumer.recv().await?;
//!     let work = message.process();
//!     match work.run(handle(message.message().payload())).await {
//!         Ok(()) => {
//!             work.succeed();
//!             consumer.commit_message(&message).await?;
//!         }
//!         Err(error) => drop(work.fail(&error)),
//!     }
//! }
//! # }
//! # use rdkafka::consumer::Consumer;
//! ```
//!
//! A send ends at the delivery report, with partition and offset. A commit is one settle span per lane with
//! `hopscope.progress.next`, whether it was asked for ([`TracedConsumer::commit_message`]) or made by librdkafka
//! itself after [`TracedConsumer::store_offset`].
//!
//! # It is not
//! - a `Deref` to the client: an untraced send would compile unseen. `inner()` says it in so many words;
//! - a change of any setting: `enable.auto.commit` and the rest are yours;
//! - a tracer of transactions, batches and rebalances yet.

mod client;
mod consumer;
mod headers;
mod producer;
mod raw;

pub use consumer::{CommitObserver, TracedConsumer, TracedContext};
pub use headers::{KafkaHeaders, ReadHeaders};
pub use producer::{TracedDelivery, TracedProducer};

/// The client library that this is for.
pub use rdkafka;
