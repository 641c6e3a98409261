//! Works on one order from Kafka and commits it. `cargo run -p hopscope-rdkafka --example consume`
//!
//! What to look at: `poll orders` and `process orders` linked to the sender's span, then one `commit orders` with
//! `hopscope.progress.next`.

use hopscope_rdkafka::TracedConsumer;
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

    let consumer = TracedConsumer::from_config(&config)?;
    consumer.inner().subscribe(&["orders"])?;
    let message = consumer.recv().await?;
    let work = message.process();
    match work.run(charge(message.message().payload())).await {
        Ok(()) => {
            work.succeed();
            consumer.commit_message(&message).await?;
        }
        // Not committed: it is read again after a restart.
        Err(error) => drop(work.fail(&error)),
    }
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}

/// What the handler sends and calls here becomes the child of the process span.
async fn charge(order: Option<&[u8]>) -> Result<(), std::str::Utf8Error> {
    std::str::from_utf8(order.unwrap_or_default()).map(drop)
}
