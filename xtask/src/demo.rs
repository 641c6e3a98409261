//! `cargo xtask demo`: the order flow through four real brokers, by the adapters, as separate processes.
//!
//! The flow itself is `examples/order-flow`; `hopscope demo` plays the same story without brokers.

use crate::{brokers, run};
use anyhow::{Result, bail};
use clap::Args;

/// Options of `cargo xtask demo`.
#[derive(Args)]
pub struct Options {
    /// Passed on to the order flow
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Environment variable of a broker and the flag of the order flow that takes its address.
const FLAGS: [(&str, &str); 4] = [
    ("HOPSCOPE_TEST_KAFKA", "--kafka"),
    ("HOPSCOPE_TEST_AMQP", "--amqp"),
    ("HOPSCOPE_TEST_NATS", "--nats"),
    ("HOPSCOPE_TEST_ROCKETMQ", "--rocketmq"),
];

/// Brings the brokers up and plays the flow; true if it succeeded.
pub fn demo(options: &Options) -> Result<bool> {
    let up = brokers::up(&brokers::Chosen::default(), false)?;
    if !up.failed.is_empty() {
        bail!("the demo needs all four brokers\n{}", up.failed.join("\n"));
    }
    let mut command = run::cargo();
    command.args(["run", "--release", "--package", "order-flow", "--", "play"]);
    for (variable, address) in &up.addresses {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| name == variable) {
            command.args([flag, address.as_str()]);
        }
    }
    Ok(run::show(command.args(&options.arguments))?.success())
}
