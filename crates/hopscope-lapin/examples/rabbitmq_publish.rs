//! Publishes one payment to RabbitMQ. `cargo run -p hopscope-lapin --example rabbitmq_publish` (`AMQP=amqp://...`)
//!
//! What to look at: one `publish payments` span that ends at the confirm, at the OTLP endpoint of your environment
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, else this machine).

use hopscope_lapin::TracedChannel;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("payment")?;
    let address = std::env::var("AMQP").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".into());
    let connection = Connection::connect(&address, ConnectionProperties::default()).await?;
    let channel = TracedChannel::new(connection.create_channel().await?);
    channel.inner().confirm_select(ConfirmSelectOptions::default()).await?;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.inner().queue_declare("payments".into(), durable, quorum).await?;

    let properties = BasicProperties::default().with_message_id("payment-4711".into());
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirm = channel.basic_publish("".into(), "payments".into(), options, b"{}", properties).await?;
    anyhow::ensure!(confirm.await?.is_ack(), "the broker refused it");

    connection.close(200, "done".into()).await?;
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}
