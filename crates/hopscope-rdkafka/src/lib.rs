//! Traced producers and consumers for rdkafka.
//!
//! ```no_run
//! use hopscope_rdkafka::{DeadLetter, Options, Received, TracedConsumer, TracedProducer};
//! use rdkafka::ClientConfig;
//! use rdkafka::consumer::Consumer;
//! use rdkafka::producer::FutureRecord;
//! use std::time::Duration;
//!
//! # async fn charge(_: Received) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = ClientConfig::new();
//! config.set("bootstrap.servers", "localhost:9092").set("group.id", "payment").set("enable.auto.commit", "false");
//!
//! let producer = TracedProducer::from_config(&config)?;
//! let record = FutureRecord::to("orders").key("4711").payload("{}");
//! producer.send(record, Duration::from_secs(5)).await.map_err(|(error, _)| error)?;
//!
//! let consumer = TracedConsumer::from_config(&config)?;
//! consumer.inner().subscribe(&["orders"])?;
//! let dead_letter = Some(DeadLetter::to(producer, "orders.dlt.payment"));
//! let stop = async { drop(tokio::signal::ctrl_c().await) };
//! consumer.run(Options { dead_letter, ..Options::default() }, charge, stop).await?;
//! # Ok(()) }
//! ```
//!
//! Or with a loop of your own:
//!
//! ```no_run
//! # use hopscope_rdkafka::TracedConsumer;
//! # use rdkafka::message::Message;
//! # async fn handle(_: Option<&[u8]>) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example(consumer: TracedConsumer) -> Result<(), Box<dyn std::error::Error>> {
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
//! ```
//!
//! A send ends at the delivery report, with partition and offset, or with its [`Transaction`]. A commit is one settle span
//! per lane with `hopscope.progress.next`, whether it was asked for ([`TracedConsumer::commit_message`],
//! [`TracedConsumer::run`]) or made by librdkafka itself after [`TracedConsumer::store_offset`].
//!
//! # It is not
//! - a `Deref` to the client: an untraced send would compile unseen. `inner()` says it in so many words;
//! - a change of any setting: `enable.auto.commit` and the rest are yours;
//! - a maker of topics: retry and dead-letter topics must exist.

mod client;
mod consumer;
mod copies;
mod headers;
mod message;
mod producer;
mod raw;
mod run;
mod sink;

pub use consumer::{
    ConsumerObserver, TracedBaseConsumer, TracedConsumer, TracedContext, TracedPartitionQueue,
    TracedStreamQueue,
};
pub use copies::{DeadLetter, RetryTopic};
pub use headers::{KafkaHeaders, ReadHeaders};
pub use producer::{
    TracedBaseProducer, TracedDelivery, TracedOpaque, TracedProducer, TracedProducerContext,
    TracedThreadedProducer, Transaction,
};
pub use run::{GivenUp, Options, Position, Received, RunError};
pub use sink::KafkaSink;

/// The client library that this is for.
pub use rdkafka;
