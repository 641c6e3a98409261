//! Where the brokers are, and clients for them.

use anyhow::{Context as _, Result};
use lapin::options::ConfirmSelectOptions;
use rdkafka::ClientConfig;
use rocketmq_client_rust::{
    ClientConfig as RocketConfig, ClientRuntime, ClientRuntimeConfig, DefaultMQProducer,
    DefaultMQPushConsumer, TelemetryHandle,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use std::sync::Arc;

/// Addresses of the four brokers. `cargo xtask brokers up` prints them as variables.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Addresses {
    /// Kafka: host:port, several with commas
    #[arg(long, global = true, env = "HOPSCOPE_TEST_KAFKA", default_value = "127.0.0.1:9092")]
    pub kafka: String,
    /// RabbitMQ: amqp://user:password@host:port/vhost
    #[arg(
        long,
        global = true,
        env = "HOPSCOPE_TEST_AMQP",
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    pub amqp: String,
    /// NATS: nats://host:port
    #[arg(long, global = true, env = "HOPSCOPE_TEST_NATS", default_value = "nats://127.0.0.1:4222")]
    pub nats: String,
    /// RocketMQ name server: host:port
    #[arg(long, global = true, env = "HOPSCOPE_TEST_ROCKETMQ", default_value = "127.0.0.1:9876")]
    pub rocketmq: String,
}

impl Addresses {
    /// Kafka's configuration, with a group where it is for a consumer. A member that is gone is missed after 6 s.
    pub fn kafka(&self, client: &str, group: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka).set("client.id", client);
        if !group.is_empty() {
            config
                .set("group.id", group)
                .set("auto.offset.reset", "earliest")
                .set("enable.auto.commit", "false")
                .set("session.timeout.ms", "6000");
        }
        config
    }

    /// A connection to RabbitMQ and a channel with publisher confirms.
    pub async fn rabbitmq(&self) -> Result<(lapin::Connection, lapin::Channel)> {
        let properties = lapin::ConnectionProperties::default();
        let connection = lapin::Connection::connect(&self.amqp, properties)
            .await
            .with_context(|| format!("cannot connect to RabbitMQ, amqp={}", self.amqp))?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }

    /// A connection to NATS.
    pub async fn nats(&self, client: &str) -> Result<async_nats::Client> {
        async_nats::ConnectOptions::new()
            .name(client)
            .connect(&self.nats)
            .await
            .with_context(|| format!("cannot connect to NATS, nats={}", self.nats))
    }

    /// What RocketMQ's clients run on.
    pub fn rocketmq(&self) -> Result<RocketMq> {
        let owner = RuntimeOwner::plan(RuntimeConfig::default())
            .map_err(|error| anyhow::anyhow!("no plan for RocketMQ's runtime: {error:?}"))?
            .build()
            .map_err(|error| anyhow::anyhow!("no runtime for RocketMQ: {error:?}"))?;
        let component = owner.root_context().component("order-flow");
        let runtime =
            ClientRuntime::try_new(component, ClientRuntimeConfig::default(), TelemetryHandle::noop())?;
        let config = RocketConfig {
            namesrv_addr: Some(self.rocketmq.clone().into()),
            vip_channel_enabled: false,
            poll_name_server_interval: 10_000,
            ..RocketConfig::default()
        };
        Ok(RocketMq { owner, runtime, config })
    }
}

/// A RocketMQ runtime, and how to reach the name server.
pub(crate) struct RocketMq {
    owner: RuntimeOwner,
    /// Every client is made on it.
    runtime: Arc<ClientRuntime>,
    /// Every client is made with it.
    config: RocketConfig,
}

impl RocketMq {
    /// A producer of that group, not started yet.
    pub fn producer(&self, group: &str) -> DefaultMQProducer {
        DefaultMQProducer::builder(self.runtime.clone())
            .client_config(self.config.clone())
            .producer_group(group)
            .build()
    }

    /// A push consumer of that group, not started yet.
    pub fn consumer(&self, group: &str) -> DefaultMQPushConsumer {
        DefaultMQPushConsumer::builder(self.runtime.clone())
            .client_config(self.config.clone())
            .consumer_group(group)
            .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
            .build()
    }

    /// Ends what runs in the background, after the clients were shut down.
    pub async fn close(self) {
        self.runtime.shutdown().await;
        self.owner.shutdown_tasks().await;
        self.owner.shutdown_background();
    }
}
