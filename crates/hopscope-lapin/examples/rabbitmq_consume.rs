//! Works on payments from RabbitMQ until Ctrl-C, four at a time. `cargo run -p hopscope-lapin --example rabbitmq_consume`
//! (`AMQP=amqp://...`), after `--example rabbitmq_publish`
//!
//! What to look at: `consume`, `process` (failed, with an event `hopscope.retry`) and `nack payments` of attempt 1, and the
//! same with `ack` of attempt 2, all linked to the sender's span. Publish a payment that is no JSON object: it is given
//! up at once, as `publish payments.dead`, which says why.

use hopscope_lapin::{DeadLetter, Options, Traced, TracedChannel};
use hopscope_sdk::Retry;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("fulfilment")?;
    let address = std::env::var("AMQP").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".into());
    let connection = Connection::connect(&address, ConnectionProperties::default()).await?;
    let channel = TracedChannel::new(connection.create_channel().await?);
    let copies = TracedChannel::new(connection.create_channel().await?);
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.inner().queue_declare("payments.dead".into(), durable, FieldTable::default()).await?;
    channel.inner().basic_qos(8, BasicQosOptions::default()).await?;

    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume("payments".into(), "example".into(), options, arguments).await?;
    let options = Options {
        workers_max: 4,
        retry: Retry::times(3).only_if(|failure| failure.message() != "no JSON object"),
        dead_letter: Some(DeadLetter::to_queue(copies, "payments.dead")),
        ..Options::default()
    };
    consumer.run(options, capture, async { drop(tokio::signal::ctrl_c().await) }).await?;
    connection.close(200, "done".into()).await?;
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}

/// What the handler sends and calls here becomes the child of the process span.
async fn capture(payment: Arc<Traced<Delivery>>) -> Result<(), Error> {
    if !payment.message().data.starts_with(b"{") {
        return Err(Error::new(ErrorKind::InvalidData, "no JSON object"));
    }
    match payment.message().redelivered {
        false => Err(Error::new(ErrorKind::TimedOut, "no answer within 2 s")),
        true => Ok(()),
    }
}
