//! Works on notifications from RocketMQ until Ctrl-C; each fails once and comes again.
//! `cargo run -p hopscope-rocketmq --example rocketmq_consume`, after `--example rocketmq_send`
//!
//! What to look at: `receive`, `process` (failed, with an event `hopscope.retry`) and `send_message_back notifications`,
//! then the retry's copy on `%RETRY%mailer` with its attempt 2.

use hopscope_rocketmq::{Options, Traced, TracedConsumer};
use hopscope_sdk::Retry;
use rocketmq_client_rust::{
    ClientConfig, ClientRuntime, ClientRuntimeConfig, DefaultMQPushConsumer, TelemetryHandle,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let telemetry = hopscope_sdk::setup::init("notify")?;
    let address = std::env::var("ROCKETMQ").unwrap_or_else(|_| "127.0.0.1:9876".into());
    let plan = RuntimeOwner::plan(RuntimeConfig::default());
    let plan = plan.map_err(|error| anyhow::anyhow!("no plan for a runtime: {error:?}"))?;
    let owner = plan.build().map_err(|error| anyhow::anyhow!("no runtime: {error:?}"))?;
    // The client's own telemetry would print to standard output.
    let component = owner.root_context().component("example");
    let runtime = ClientRuntime::try_new(component, ClientRuntimeConfig::default(), TelemetryHandle::noop())?;
    let config = ClientConfig { namesrv_addr: Some(address.into()), ..ClientConfig::default() };
    let consumer = DefaultMQPushConsumer::builder(runtime.clone())
        .client_config(config)
        .consumer_group("mailer")
        .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
        .build();

    let mut consumer = TracedConsumer::new(consumer);
    consumer.inner_mut().subscribe("notifications", "*").await?;
    let handler = async |message: &Traced<&MessageExt>| match message.message().reconsume_times() {
        0 => Err(std::io::Error::other("the mail server is busy")),
        _ => Ok(()),
    };
    let options = Options { retry: Retry::times(3).fixed(Duration::from_secs(1)), ..Options::default() };
    consumer.run(options, handler, async { drop(tokio::signal::ctrl_c().await) }).await?;

    runtime.shutdown().await;
    owner.shutdown_tasks().await;
    owner.shutdown_background();
    telemetry.shutdown(Duration::from_secs(5));
    Ok(())
}
