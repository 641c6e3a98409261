//! Publishes one shipment to JetStream. `cargo run -p hopscope-async-nats --example nats_publish`
//!
//! What to look at: one `publish shipments.new` span with stream and sequence, at the OTLP endpoint of your
//! environment (`OTEL_EXPORTER_OTLP_ENDPOINT`, else this machine).

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream;
use hopscope_async_nats::TracedJetStream;
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("packing")?;
    let server = std::env::var("NATS").unwrap_or_else(|_| "nats://localhost:4222".into());
    let client = async_nats::connect(server).await?;
    let jetstream = TracedJetStream::new(async_nats::jetstream::new(client));
    let config = stream::Config {
        name: "SHIPMENTS".into(),
        subjects: vec!["shipments.>".into()],
        ..stream::Config::default()
    };
    jetstream.inner().get_or_create_stream(config).await?;

    let message = PublishMessage::build().payload(r#"{"order": 4711}"#.into()).message_id("shipment-4711");
    let stored = jetstream.send_publish("shipments.new", message).await?.await?;
    anyhow::ensure!(stored.sequence > 0, "the server gave no sequence, stream={}", stored.stream);

    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}
