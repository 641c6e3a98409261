//! Works on one payment from RabbitMQ: gives it back once, then acknowledges it.
//! `cargo run -p hopscope-lapin --example rabbitmq_consume`, after `--example rabbitmq_publish`
//!
//! What to look at: `consume`, `process` (failed) and `nack payments` of attempt 1, and the same with `ack` of
//! attempt 2, all linked to the sender's span.

use futures::StreamExt;
use hopscope_lapin::{Settle, TracedChannel};
use hopscope_sdk::Failure;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("fulfilment")?;
    let address = std::env::var("AMQP").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".into());
    let connection = Connection::connect(&address, ConnectionProperties::default()).await?;
    let channel = TracedChannel::new(connection.create_channel().await?);
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume("payments".into(), "example".into(), options, arguments).await?;
    while let Some(delivery) = consumer.next().await.transpose()? {
        let work = delivery.process();
        if delivery.message().redelivered {
            delivery.ack(work.succeed(), BasicAckOptions::default()).await?;
            break;
        }
        let failed = work.fail(Failure::new("warehouse_unavailable", "no answer within 2 s"));
        let again = BasicNackOptions { requeue: true, ..Default::default() };
        delivery.nack(failed, again).await?;
    }
    connection.close(200, "done".into()).await?;
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}
