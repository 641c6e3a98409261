//! Dead letters of all four brokers in: somebody looks at them. One is sent back.

use crate::names::{Names, ORDER_HEADER};
use crate::order::{Order, Refusal};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::{Result, anyhow};
use async_nats::jetstream::consumer::PullConsumer;
use hopscope_async_nats::TracedJetStream;
use hopscope_lapin::TracedChannel;
use hopscope_rdkafka::TracedConsumer;
use hopscope_sdk::opentelemetry::Context;
use lapin::message::Delivery;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rocketmq_model::common::message::message_ext::MessageExt;
use std::sync::Arc;

pub(crate) async fn run(common: &Common, stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    tokio::try_join!(
        kafka(common, &names, stop.clone()),
        rabbitmq(common, &names, stop.clone()),
        nats(common, &names, stop.clone()),
        rocketmq(common, &names, stop),
    )?;
    Ok(())
}

async fn kafka(common: &Common, names: &Names, mut stop: Stop) -> Result<()> {
    let consumer = TracedConsumer::from_config(&common.brokers.kafka("support", &names.support))?;
    consumer.inner().subscribe(&[&names.orders_dead])?;
    let handler = |letter: hopscope_rdkafka::Received| async move {
        read(letter.message().payload().unwrap_or_default())
    };
    consumer.run(Default::default(), handler, async { stop.requested().await }).await?;
    Ok(())
}

/// The card was unblocked meanwhile: the payment goes back to where it was given up.
async fn rabbitmq(common: &Common, names: &Names, mut stop: Stop) -> Result<()> {
    let (connection, channel) = common.brokers.rabbitmq().await?;
    let channel = TracedChannel::new(channel).with_key_headers([ORDER_HEADER]);
    let (queue, options) = (names.payments_dead.as_str().into(), BasicConsumeOptions::default());
    let letters = channel.basic_consume(queue, "support".into(), options, FieldTable::default()).await?;
    report::ready("support", "");
    let back = channel.clone();
    let handler = move |letter: Arc<hopscope_lapin::Traced<Delivery>>| {
        let channel = back.clone();
        async move {
            let order = Order::from_body(&letter.message().data)?;
            channel.redrive(&letter).await.map_err(|error| Refusal::new("not_sent_back", error))?;
            let (id, context) = (order.payment_id(), Context::current());
            report::handled("support", &order.order, &id, "dead letter sent back", &context);
            Ok::<_, Refusal>(())
        }
    };
    letters.run(Default::default(), handler, async { stop.requested().await }).await?;
    // The channel is still there: one that is being closed already would be an error.
    connection.close(200, "done".into()).await?;
    drop(channel);
    Ok(())
}

async fn nats(common: &Common, names: &Names, mut stop: Stop) -> Result<()> {
    let jetstream = TracedJetStream::new(async_nats::jetstream::new(common.brokers.nats("support").await?));
    let stream = jetstream.inner().get_stream(&names.stream_dead).await?;
    let consumer: Result<PullConsumer, _> = stream.get_consumer(&names.support).await;
    let consumer = consumer.map_err(|error| anyhow!("no consumer {}: {error}", names.support))?;
    let letters = jetstream.messages(&consumer).await?;
    let handler = |letter: hopscope_async_nats::Received| async move { read(&letter.message().payload) };
    letters.run(Default::default(), handler, async { stop.requested().await }).await?;
    Ok(())
}

async fn rocketmq(common: &Common, names: &Names, mut stop: Stop) -> Result<()> {
    let rocketmq = common.brokers.rocketmq()?;
    let mut letters = hopscope_rocketmq::TracedConsumer::new(rocketmq.consumer(&names.support));
    letters.inner_mut().subscribe(names.notifications_dead.as_str(), "*").await?;
    let handler = async |letter: &hopscope_rocketmq::Traced<&MessageExt>| {
        read(&letter.message().body().unwrap_or_default())
    };
    letters.run(Default::default(), handler, stop.requested()).await?;
    rocketmq.close().await;
    Ok(())
}

/// Somebody has looked at it, and that was it.
fn read(body: &[u8]) -> Result<(), Refusal> {
    let order = Order::from_body(body)?;
    report::ended("support", &order.order, "", "dead letter read", &Context::current());
    Ok(())
}
