//! rocketmq-client-rust: synchronous sends and a push consumer that handles one message at a time.

use crate::client::{BODY, Client, KEY, TRACEPARENT, Tracing, address, unique};
use anyhow::{Result, anyhow, ensure};
use async_trait::async_trait;
use hopscope_rocketmq::{TracedConsumer, TracedProducer};
use rocketmq_client_rust::{
    ClientConfig, ClientRuntime, ClientRuntimeConfig, ConsumeConcurrentlyContext, ConsumeConcurrentlyStatus,
    DefaultMQProducer, DefaultMQPushConsumer, MQPushConsumer as _, TelemetryHandle,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::MessageTrait as _;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_single::Message;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

pub struct RocketMq {
    topic: String,
    has_header: bool,
    producer: Producer,
    consumer: Receiver,
    handled: watch::Receiver<u64>,
    /// How many were handled at the end of the last round.
    before: u64,
    owner: RuntimeOwner,
}

enum Producer {
    Raw(DefaultMQProducer),
    Traced(TracedProducer),
}

enum Receiver {
    Raw(DefaultMQPushConsumer),
    Traced(TracedConsumer),
}

impl Receiver {
    fn inner(&self) -> &DefaultMQPushConsumer {
        match self {
            Self::Raw(consumer) => consumer,
            Self::Traced(consumer) => consumer.inner(),
        }
    }
}

impl RocketMq {
    pub async fn open(tracing: Tracing<'_>) -> Result<Self> {
        let config = ClientConfig {
            namesrv_addr: Some(address("HOPSCOPE_TEST_ROCKETMQ")?.into()),
            vip_channel_enabled: false,
            ..ClientConfig::default()
        };
        let plan =
            RuntimeOwner::plan(RuntimeConfig::default()).map_err(|error| anyhow!("no plan: {error:?}"))?;
        let owner = plan.build().map_err(|error| anyhow!("no runtime: {error:?}"))?;
        let component = owner.root_context().component("bench");
        let runtime =
            ClientRuntime::try_new(component, ClientRuntimeConfig::default(), TelemetryHandle::noop())?;
        let topic = unique("bench");
        let mut producer = DefaultMQProducer::builder(runtime.clone())
            .client_config(config.clone())
            .producer_group(unique("producer"))
            .build();
        producer.start().await?;
        // The first message makes the topic, which the consumer is to find.
        producer.send(message(&topic)?).await?;
        let mut consumer = DefaultMQPushConsumer::builder(runtime.clone())
            .client_config(config)
            .consumer_group(unique("group"))
            .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
            .build();
        consumer.subscribe(topic.as_str(), "*").await?;
        let (handled, count) = watch::channel(0);
        let handled = Arc::new(handled);
        let has_header = tracing.has_header();
        let (producer, consumer) = match tracing {
            Tracing::None | Tracing::Header => {
                consumer.register_message_listener_concurrently(
                    move |messages: &[&MessageExt], _: &ConsumeConcurrentlyContext| {
                        messages.iter().for_each(|message| {
                            if has_header {
                                black_box(message.properties().get(TRACEPARENT.0));
                            }
                            black_box(message.body());
                            handled.send_modify(|count| *count += 1);
                        });
                        Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
                    },
                );
                consumer.start().await?;
                (Producer::Raw(producer), Receiver::Raw(consumer))
            }
            Tracing::Full(telemetry) => {
                let mut consumer = TracedConsumer::new(consumer).with_telemetry(telemetry.clone());
                consumer.listen_concurrently(move |message, _| {
                    black_box(message.message().body());
                    handled.send_modify(|count| *count += 1);
                    Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
                });
                consumer.inner_mut().start().await?;
                let producer = TracedProducer::new(producer).with_telemetry(telemetry.clone());
                (Producer::Traced(producer), Receiver::Traced(consumer))
            }
        };
        let mut client = Self { topic, has_header, producer, consumer, handled: count, before: 0, owner };
        client.until(1).await?;
        client.consumer.inner().suspend().await;
        Ok(client)
    }

    /// Waits until so many more were handled.
    async fn until(&mut self, messages: usize) -> Result<Duration> {
        let (before, wanted) = (self.before, self.before + messages as u64);
        self.handled.wait_for(|count| *count > before).await?;
        let first = Instant::now();
        self.before = *self.handled.wait_for(|count| *count >= wanted).await?;
        Ok(first.elapsed())
    }
}

fn message(topic: &str) -> Result<Message> {
    Ok(Message::builder().topic(topic).key(KEY).body_slice(&BODY).build()?)
}

#[async_trait(?Send)]
impl Client for RocketMq {
    async fn send(&self) -> Result<()> {
        let mut message = message(&self.topic)?;
        if self.has_header {
            message.put_property(TRACEPARENT.0.into(), TRACEPARENT.1.into());
        }
        let sent = match &self.producer {
            Producer::Raw(producer) => producer.send(message).await?,
            Producer::Traced(producer) => producer.send(message).await?,
        };
        ensure!(sent.is_some(), "the broker gives no result");
        Ok(())
    }

    async fn consume(&mut self, messages: usize) -> Result<Duration> {
        self.consumer.inner().resume().await;
        let took = self.until(messages).await?;
        self.consumer.inner().suspend().await;
        Ok(took)
    }

    async fn close(self: Box<Self>) {
        self.owner.shutdown_background();
    }
}
