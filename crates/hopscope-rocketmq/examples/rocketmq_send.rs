//! Sends one notification to RocketMQ. `cargo run -p hopscope-rocketmq --example rocketmq_send` (`ROCKETMQ=host:port` of the
//! name server)
//!
//! What to look at: one `send notifications` span with queue, offset and both message ids, at the OTLP endpoint of
//! your environment (`OTEL_EXPORTER_OTLP_ENDPOINT`, else this machine).

use hopscope_rocketmq::TracedProducer;
use rocketmq_client_rust::{
    ClientConfig, ClientRuntime, ClientRuntimeConfig, DefaultMQProducer, TelemetryHandle,
};
use rocketmq_model::common::message::message_single::Message;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("shipping")?;
    let address = std::env::var("ROCKETMQ").unwrap_or_else(|_| "127.0.0.1:9876".into());
    let plan = RuntimeOwner::plan(RuntimeConfig::default());
    let plan = plan.map_err(|error| anyhow::anyhow!("no plan for a runtime: {error:?}"))?;
    let owner = plan.build().map_err(|error| anyhow::anyhow!("no runtime: {error:?}"))?;
    // The client's own telemetry would print to standard output.
    let component = owner.root_context().component("example");
    let runtime = ClientRuntime::try_new(component, ClientRuntimeConfig::default(), TelemetryHandle::noop())?;
    let config = ClientConfig { namesrv_addr: Some(address.into()), ..ClientConfig::default() };
    let producer =
        DefaultMQProducer::builder(runtime.clone()).client_config(config).producer_group("shipping").build();

    let mut producer = TracedProducer::new(producer);
    producer.inner_mut().start().await?;
    let message = Message::builder().topic("notifications").key("order-4711").body_slice(b"{}").build()?;
    let stored = producer.send(message).await?;
    anyhow::ensure!(stored.is_some(), "the broker gave no result");

    producer.inner_mut().shutdown().await;
    runtime.shutdown().await;
    owner.shutdown_tasks().await;
    owner.shutdown_background();
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}
