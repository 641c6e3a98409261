//! Works on one shipment from JetStream: refuses it once, then takes it.
//! `cargo run -p hopscope-async-nats --example consume`
//!
//! What to look at: two attempts, each with `receive`, `process` and `nak` or `ack`, linked to the sender's span.

use async_nats::jetstream::consumer::{PullConsumer, pull};
use hopscope_async_nats::TracedJetStream;
use hopscope_sdk::Failure;
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("shipping")?;
    let server = std::env::var("NATS").unwrap_or_else(|_| "nats://localhost:4222".into());
    let client = async_nats::connect(server).await?;
    let jetstream = TracedJetStream::new(async_nats::jetstream::new(client));
    let stream = jetstream.inner().get_stream("SHIPMENTS").await?;
    let config = pull::Config { durable_name: Some("shipping".into()), ..pull::Config::default() };
    let consumer: PullConsumer = stream.get_or_create_consumer("shipping", config).await?;

    let mut messages = jetstream.messages(&consumer).await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let is_first = message.message().info().is_ok_and(|info| info.delivered == 1);
        let work = message.process();
        if is_first {
            let failure = Failure::new("NO_TRUCK", "no truck is free");
            work.nak(failure, Some(Duration::from_millis(200))).await.map_err(anyhow::Error::from_boxed)?;
        } else {
            work.double_ack().await.map_err(anyhow::Error::from_boxed)?;
            break;
        }
    }
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}
