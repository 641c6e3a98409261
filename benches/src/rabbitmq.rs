//! lapin: one channel to publish with confirms, one to consume.

use crate::client::{BODY, Client, KEY, TRACEPARENT, Tracing, address, unique};
use anyhow::{Result, ensure};
use async_trait::async_trait;
use futures::StreamExt as _;
use hopscope_lapin::{Settle as _, TracedChannel};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use std::hint::black_box;
use std::time::{Duration, Instant};

const PREFETCH: u16 = 500;
const TAG: &str = "bench";

pub struct RabbitMq {
    queue: String,
    has_header: bool,
    sending: Side,
    receiving: Side,
    connection: Connection,
}

enum Side {
    Raw(Channel),
    Traced(TracedChannel),
}

impl Side {
    async fn open(connection: &Connection, tracing: Tracing<'_>) -> Result<Self> {
        let channel = connection.create_channel().await?;
        Ok(match tracing {
            Tracing::None | Tracing::Header => Self::Raw(channel),
            Tracing::Full(telemetry) => Self::Traced(
                TracedChannel::new(channel).with_telemetry(telemetry.clone()).with_server("127.0.0.1", 5672),
            ),
        })
    }

    fn channel(&self) -> &Channel {
        match self {
            Self::Raw(channel) => channel,
            Self::Traced(channel) => channel.inner(),
        }
    }
}

impl RabbitMq {
    pub async fn open(tracing: Tracing<'_>) -> Result<Self> {
        let address = address("HOPSCOPE_TEST_AMQP")?;
        let connection = Connection::connect(&address, ConnectionProperties::default()).await?;
        let (sending, receiving) =
            (Side::open(&connection, tracing).await?, Side::open(&connection, tracing).await?);
        sending.channel().confirm_select(ConfirmSelectOptions::default()).await?;
        receiving.channel().basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let queue = unique("bench");
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        sending.channel().queue_declare(queue.as_str().into(), durable, FieldTable::default()).await?;
        Ok(Self { queue, has_header: tracing.has_header(), sending, receiving, connection })
    }
}

#[async_trait(?Send)]
impl Client for RabbitMq {
    async fn send(&self) -> Result<()> {
        let (exchange, key, options) =
            ("".into(), self.queue.as_str().into(), BasicPublishOptions::default());
        let mut properties = BasicProperties::default().with_correlation_id(KEY.into());
        if self.has_header {
            let mut headers = FieldTable::default();
            headers.insert(TRACEPARENT.0.into(), AMQPValue::LongString(TRACEPARENT.1.into()));
            properties = properties.with_headers(headers);
        }
        let confirmation = match &self.sending {
            Side::Raw(channel) => {
                channel.basic_publish(exchange, key, options, &BODY, properties).await?.await?
            }
            Side::Traced(channel) => {
                channel.basic_publish(exchange, key, options, &BODY, properties).await?.await?
            }
        };
        ensure!(
            matches!(confirmation, Confirmation::Ack(_)),
            "the broker does not confirm: {confirmation:?}"
        );
        Ok(())
    }

    async fn consume(&mut self, messages: usize) -> Result<Duration> {
        let (queue, options, table) =
            (self.queue.as_str().into(), BasicConsumeOptions::default(), FieldTable::default());
        let mut first = None;
        match &self.receiving {
            Side::Raw(channel) => {
                let mut consumer = channel.basic_consume(queue, TAG.into(), options, table).await?;
                for _ in 0..messages {
                    let Some(delivery) = consumer.next().await.transpose()? else { break };
                    first.get_or_insert_with(Instant::now);
                    if self.has_header
                        && let Some(headers) = delivery.properties.headers()
                    {
                        black_box(headers.inner().get(TRACEPARENT.0));
                    }
                    black_box(&delivery.data);
                    delivery.acker.ack(BasicAckOptions::default()).await?;
                }
            }
            Side::Traced(channel) => {
                let mut consumer = channel.basic_consume(queue, TAG.into(), options, table).await?;
                for _ in 0..messages {
                    let Some(delivery) = consumer.next().await.transpose()? else { break };
                    first.get_or_insert_with(Instant::now);
                    let work = delivery.process();
                    black_box(&delivery.message().data);
                    delivery.ack(work.succeed(), BasicAckOptions::default()).await?;
                }
            }
        }
        let took = first.map_or(Duration::ZERO, |first| first.elapsed());
        self.receiving.channel().basic_cancel(TAG.into(), BasicCancelOptions::default()).await?;
        Ok(took)
    }

    async fn close(self: Box<Self>) {
        let delete = QueueDeleteOptions::default();
        let _ = self.sending.channel().queue_delete(self.queue.as_str().into(), delete).await;
        let _ = self.connection.close(200, "done".into()).await;
    }
}
