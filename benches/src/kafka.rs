//! rdkafka: `FutureProducer` and `StreamConsumer`.

use crate::client::{BODY, Client, KEY, TRACEPARENT, Tracing, address, unique};
use anyhow::Result;
use async_trait::async_trait;
use hopscope_rdkafka::{TracedConsumer, TracedProducer};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{Consumer, ConsumerContext, StreamConsumer};
use rdkafka::message::{Header, Headers as _, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::hint::black_box;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Kafka {
    topic: String,
    has_header: bool,
    producer: Producer,
    consumer: Receiver,
}

enum Producer {
    Raw(FutureProducer),
    Traced(TracedProducer),
}

enum Receiver {
    Raw(StreamConsumer),
    Traced(TracedConsumer),
}

impl Kafka {
    pub async fn open(tracing: Tracing<'_>) -> Result<Self> {
        let topic = unique("bench");
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", address("HOPSCOPE_TEST_KAFKA")?)
            .set("client.id", "bench")
            .set("group.id", unique("group"))
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false");
        let admin: AdminClient<_> = config.create()?;
        let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
        for made in admin.create_topics([&new], &AdminOptions::new()).await? {
            made.map_err(|(topic, error)| anyhow::anyhow!("no topic {topic}: {error}"))?;
        }
        let (producer, consumer) = match tracing {
            Tracing::None | Tracing::Header => {
                (Producer::Raw(config.create()?), Receiver::Raw(config.create()?))
            }
            Tracing::Full(telemetry) => (
                Producer::Traced(TracedProducer::from_config_with(&config, telemetry.clone())?),
                Receiver::Traced(TracedConsumer::from_config_with(&config, telemetry.clone())?),
            ),
        };
        let kafka = Self { topic, has_header: tracing.has_header(), producer, consumer };
        match &kafka.consumer {
            Receiver::Raw(consumer) => kafka.assign(consumer)?,
            Receiver::Traced(consumer) => kafka.assign(consumer.inner())?,
        }
        Ok(kafka)
    }

    /// From the beginning, and not yet: nothing is fetched while something else is measured.
    fn assign<C: ConsumerContext>(&self, consumer: &StreamConsumer<C>) -> Result<()> {
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(&self.topic, 0, Offset::Beginning)?;
        consumer.assign(&all)?;
        Ok(consumer.pause(&all)?)
    }

    fn only(&self) -> TopicPartitionList {
        let mut all = TopicPartitionList::new();
        all.add_partition(&self.topic, 0);
        all
    }
}

#[async_trait(?Send)]
impl Client for Kafka {
    async fn send(&self) -> Result<()> {
        let mut record = FutureRecord::to(&self.topic).key(KEY).payload(&BODY[..]);
        if self.has_header {
            let (key, value) = TRACEPARENT;
            record = record.headers(OwnedHeaders::new().insert(Header { key, value: Some(value) }));
        }
        let sent = match &self.producer {
            Producer::Raw(producer) => producer.send(record, TIMEOUT).await,
            Producer::Traced(producer) => producer.send(record, TIMEOUT).await,
        };
        sent.map(drop).map_err(|(error, _)| error.into())
    }

    async fn consume(&mut self, messages: usize) -> Result<Duration> {
        let all = self.only();
        match &self.consumer {
            Receiver::Raw(consumer) => {
                consumer.resume(&all)?;
                let mut first = None;
                for _ in 0..messages {
                    let message = consumer.recv().await?;
                    first.get_or_insert_with(Instant::now);
                    if self.has_header
                        && let Some(headers) = message.headers()
                    {
                        black_box(headers.iter().find(|header| header.key == TRACEPARENT.0));
                    }
                    black_box(message.payload());
                    consumer.store_offset_from_message(&message)?;
                }
                let took = first.map_or(Duration::ZERO, |first| first.elapsed());
                consumer.pause(&all)?;
                Ok(took)
            }
            Receiver::Traced(consumer) => {
                consumer.inner().resume(&all)?;
                let mut first = None;
                for _ in 0..messages {
                    let message = consumer.recv().await?;
                    first.get_or_insert_with(Instant::now);
                    let work = message.process();
                    black_box(message.message().payload());
                    work.succeed();
                    consumer.store_offset(&message)?;
                }
                let took = first.map_or(Duration::ZERO, |first| first.elapsed());
                consumer.inner().pause(&all)?;
                Ok(took)
            }
        }
    }
}
