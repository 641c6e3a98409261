//! Works on orders from Kafka until Ctrl-C. `cargo run -p hopscope-rdkafka --example kafka_consume`
//! (`KAFKA=host:port`; the topics `orders`, `orders.retry.payment` and `orders.dlt.payment` must exist).
//!
//! What to look at: `poll orders` and `process orders` linked to the sender's span; for an order that is no text a copy
//! `send orders.retry.payment`, tried again five seconds later, and in the end `send orders.dlt.payment`; one `commit`
//! for each partition with `hopscope.progress.next`.

use hopscope_rdkafka::{DeadLetter, Options, Received, RetryTopic, TracedConsumer, TracedProducer};
use hopscope_sdk::Retry;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("payment")?;
    let servers = std::env::var("KAFKA").unwrap_or_else(|_| "localhost:9092".into());
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("group.id", "payment")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");

    let producer = TracedProducer::from_config(&config)?;
    let retry_topic = RetryTopic::name("orders", "payment");
    let retry = Retry::times(3).fixed(Duration::from_secs(5));
    let options = Options {
        retry: Some(RetryTopic::to(producer.clone(), &retry_topic, retry)),
        dead_letter: Some(DeadLetter::to(producer, DeadLetter::name("orders", "payment"))),
        ..Options::default()
    };
    let consumer = TracedConsumer::from_config(&config)?;
    consumer.inner().subscribe(&["orders", &retry_topic])?;
    consumer.run(options, charge, async { drop(tokio::signal::ctrl_c().await) }).await?;
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}

/// What the handler sends and calls here becomes the child of the process span.
async fn charge(order: Received) -> Result<(), std::str::Utf8Error> {
    std::str::from_utf8(order.message().payload().unwrap_or_default()).map(drop)
}
