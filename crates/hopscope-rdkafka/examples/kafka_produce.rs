//! Sends one order to Kafka and says where it lies. `cargo run -p hopscope-rdkafka --example kafka_produce`
//! (`KAFKA=host:port`; the topic `orders` must exist or be made by the broker on its own).
//!
//! What to look at: one `send orders` span with partition and offset, at the OTLP endpoint of your environment
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, else this machine).

use hopscope_rdkafka::TracedProducer;
use rdkafka::ClientConfig;
use rdkafka::producer::FutureRecord;
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("checkout")?;
    let servers = std::env::var("KAFKA").unwrap_or_else(|_| "localhost:9092".into());
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);

    let producer = TracedProducer::from_config(&config)?;
    let record = FutureRecord::to("orders").key("4711").payload(r#"{"order": 4711}"#);
    let stored = producer.send(record, Duration::from_secs(10)).await.map_err(|(error, _)| error)?;
    anyhow::ensure!(stored.offset >= 0, "the broker gave no offset, partition={}", stored.partition);

    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}
