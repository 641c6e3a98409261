//! Works on shipments from JetStream until Ctrl-C, four at a time. `cargo run -p hopscope-async-nats --example nats_consume`
//! (`NATS=nats://...`), after `--example nats_publish`
//!
//! What to look at: `receive`, `process` (failed, with an event `hopscope.retry`) and `nak shipments.new` of attempt 1, and
//! the same with `ack` of attempt 2, linked to the sender's span. Publish a shipment that is no JSON object: it is given up
//! at once, as `publish dlt.shipping.shipments.new`, which says why, and `term`.

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::stream;
use hopscope_async_nats::{DeadLetter, Options, Received, TracedJetStream};
use hopscope_sdk::Retry;
use std::io::{Error, ErrorKind};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("shipping")?;
    let server = std::env::var("NATS").unwrap_or_else(|_| "nats://localhost:4222".into());
    let client = async_nats::connect(server).await?;
    let jetstream = TracedJetStream::new(async_nats::jetstream::new(client));
    let dead = stream::Config {
        name: "SHIPMENTS-DEAD".into(),
        subjects: vec!["dlt.shipping.>".into()],
        ..stream::Config::default()
    };
    jetstream.inner().get_or_create_stream(dead).await?;
    let stream = jetstream.inner().get_stream("SHIPMENTS").await?;
    let config = pull::Config { durable_name: Some("shipping".into()), ..pull::Config::default() };
    let consumer: PullConsumer = stream.get_or_create_consumer("shipping", config).await?;

    let options = Options {
        workers_max: 4,
        retry: Retry::times(3)
            .fixed(Duration::from_millis(200))
            .only_if(|failure| failure.message() != "no JSON object"),
        dead_letter: Some(DeadLetter::to(jetstream.clone(), DeadLetter::name("shipments.new", "shipping"))),
        ..Options::default()
    };
    let messages = jetstream.messages(&consumer).await?;
    messages.run(options, ship, async { drop(tokio::signal::ctrl_c().await) }).await?;
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}

/// What the handler sends and calls here becomes the child of the process span.
async fn ship(shipment: Received) -> Result<(), Error> {
    if !shipment.message().payload.starts_with(b"{") {
        return Err(Error::new(ErrorKind::InvalidData, "no JSON object"));
    }
    match shipment.delivery().attempt() {
        Some(1) => Err(Error::other("no truck is free")),
        _ => Ok(()),
    }
}
