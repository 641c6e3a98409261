//! Makes topics, exchanges, queues and streams; deletes them first where a run wants fresh ones.

use crate::Common;
use crate::names::{CAPTURED, Names};
use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::HashMap;
use std::time::Duration;

/// Longest wait for a deleted topic to be gone.
const GONE_MAX: Duration = Duration::from_secs(30);
/// How often to look whether it is.
const GONE_POLL: Duration = Duration::from_millis(200);

/// Makes everything that is not there yet. With `fresh`, topics, queues and streams are deleted before, and their
/// positions start again; RocketMQ's are kept (its clients cannot delete them).
pub(crate) async fn make(common: &Common, names: &Names, fresh: bool) -> Result<()> {
    kafka(common, names, fresh).await.context("cannot make Kafka's topics")?;
    rabbitmq(common, names, fresh).await.context("cannot make RabbitMQ's queues")?;
    nats(common, names, fresh).await.context("cannot make NATS's streams")?;
    rocketmq(common, names).await.context("cannot make RocketMQ's topics")
}

/// How many orders were ever placed on the topic.
pub(crate) async fn orders_so_far(common: &Common, names: &Names) -> Result<u32> {
    let consumer: BaseConsumer = common.brokers.kafka("order-flow", "").create()?;
    let topic = names.orders.clone();
    let watermarks =
        tokio::task::spawn_blocking(move || consumer.fetch_watermarks(&topic, 0, GONE_MAX)).await?;
    let (_, end) = watermarks.context("cannot ask Kafka for the end of the topic")?;
    Ok(u32::try_from(end).unwrap_or_default())
}

async fn kafka(common: &Common, names: &Names, fresh: bool) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = common.brokers.kafka("order-flow", "").create()?;
    let options = AdminOptions::new();
    let topics = [&names.orders, &names.orders_retry, &names.orders_dead];
    if fresh {
        for deleted in admin.delete_topics(&topics.map(String::as_str), &options).await? {
            match deleted {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => bail!("topic={topic} code={code}"),
            }
        }
    }
    for topic in topics {
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime");
        let made = async {
            let mut poll = tokio::time::interval(GONE_POLL);
            loop {
                poll.tick().await;
                match admin.create_topics([&new], &options).await?.pop() {
                    Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) if fresh => continue,
                    Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => return Ok(()),
                    Some(Err((topic, code))) => bail!("topic={topic} code={code}"),
                    None => bail!("no answer"),
                }
            }
        };
        tokio::time::timeout(GONE_MAX, made).await.context("the old topic is still there")??;
    }
    Ok(())
}

async fn rabbitmq(common: &Common, names: &Names, fresh: bool) -> Result<()> {
    let (connection, channel) = common.brokers.rabbitmq().await?;
    if fresh {
        for queue in [&names.fulfilment, &names.payments_dead] {
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        }
    }
    for (exchange, kind) in
        [(&names.payments, ExchangeKind::Topic), (&names.payments_dlx, ExchangeKind::Fanout)]
    {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel.exchange_declare(exchange.as_str().into(), kind, durable, FieldTable::default()).await?;
    }
    let text = |value: &str| AMQPValue::LongString(value.into());
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), text("quorum"));
    let mut work = quorum.clone();
    work.insert("x-dead-letter-exchange".into(), text(&names.payments_dlx));
    for (queue, arguments, exchange) in
        [(&names.fulfilment, work, &names.payments), (&names.payments_dead, quorum, &names.payments_dlx)]
    {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.as_str().into(), durable, arguments).await?;
        let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
        channel
            .queue_bind(queue, exchange, CAPTURED.into(), QueueBindOptions::default(), FieldTable::default())
            .await?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn nats(common: &Common, names: &Names, fresh: bool) -> Result<()> {
    let jetstream = async_nats::jetstream::new(common.brokers.nats("order-flow").await?);
    for (name, subjects, consumer) in [
        (&names.stream, names.shipment("*"), &names.shipping),
        (&names.stream_dead, names.shipments_dead.clone(), &names.support),
    ] {
        if fresh && jetstream.get_stream(name).await.is_ok() {
            jetstream.delete_stream(name).await?;
        }
        let config =
            stream::Config { name: name.clone(), subjects: vec![subjects], ..stream::Config::default() };
        let stream = jetstream.get_or_create_stream(config).await?;
        let config = pull::Config {
            durable_name: Some(consumer.clone()),
            ack_policy: AckPolicy::Explicit,
            ..pull::Config::default()
        };
        stream.get_or_create_consumer(consumer, config).await?;
    }
    Ok(())
}

async fn rocketmq(common: &Common, names: &Names) -> Result<()> {
    let rocketmq = common.brokers.rocketmq()?;
    let mut producer = rocketmq.producer(&format!("{}-topology", names.notify));
    producer.start().await?;
    // The broker makes the topic of dead letters with the first one: who subscribes before would look for it in vain,
    // and again only half a minute later.
    let mut made = Ok(());
    for topic in [&names.notifications, &names.notifications_dead] {
        // The first argument names the topic whose brokers are to hold the new one: RocketMQ's default for new topics.
        made = made.and(producer.create_topic("TBW102", topic, 1, HashMap::new()).await);
    }
    producer.shutdown().await;
    rocketmq.close().await;
    Ok(made?)
}
