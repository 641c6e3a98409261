//! JetStream `SHIPMENTS` in, RocketMQ `notifications` out. One shipment is not acknowledged at first.

use crate::names::Names;
use crate::order::{Order, Trouble};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::{Context as _, Result, anyhow};
use async_nats::jetstream::consumer::PullConsumer;
use hopscope_async_nats::{Received, TracedJetStream};
use hopscope_rocketmq::TracedProducer;
use hopscope_sdk::Failure;
use hopscope_sdk::opentelemetry::KeyValue;
use rocketmq_model::common::message::message_single::Message;
use std::time::Duration;

/// How long JetStream waits before it gives a shipment again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let rocketmq = common.brokers.rocketmq()?;
    let mut producer = TracedProducer::new(rocketmq.producer(&names.shipping));
    producer.inner_mut().start().await?;
    let jetstream = TracedJetStream::new(common.brokers.jetstream("shipping").await?);
    let consumer: PullConsumer = jetstream
        .inner()
        .get_stream(&names.stream)
        .await?
        .get_consumer(&names.shipping)
        .await
        .map_err(|error| anyhow!("no consumer {}: {error}", names.shipping))?;
    let mut messages = jetstream.messages(&consumer).await?;
    report::ready("shipping", "");
    loop {
        let received = tokio::select! {
            message = messages.next() => message.context("JetStream ended the stream of messages")??,
            () = stop.requested() => break,
        };
        handle(&producer, &names, received).await.map_err(|error| anyhow!("cannot settle: {error}"))?;
    }
    producer.inner_mut().shutdown().await;
    rocketmq.close().await;
    Ok(())
}

async fn handle(
    producer: &TracedProducer,
    names: &Names,
    received: Received,
) -> Result<(), async_nats::Error> {
    let attempt = received.message().info().map_or(1, |info| info.delivered);
    let work = received.process();
    let order = match Order::from_body(&work.message().payload) {
        Ok(order) => order,
        Err(error) => return work.term(Failure::new("not_an_order", error)).await,
    };
    work.processing().set_attribute(KeyValue::new("hopscope.keys", order.order.clone()));
    if order.meets(Trouble::Nak) && attempt == 1 {
        return work.nak(Failure::new("carrier_timeout", "no answer within 2 s"), Some(AGAIN_AFTER)).await;
    }
    let context = work.context().clone();
    match work.run(notify(producer, names, &order)).await {
        Ok(id) => {
            work.ack().await?;
            report::handled("shipping", &order.order, &id, "customer is told", &context);
            Ok(())
        }
        Err(error) => work.nak(Failure::new("notification_failed", error), Some(AGAIN_AFTER)).await,
    }
}

/// Answers RocketMQ's own id of the message.
async fn notify(producer: &TracedProducer, names: &Names, order: &Order) -> Result<String> {
    let (topic, body) = (names.notifications.as_str(), order.to_body());
    let message = Message::builder().topic(topic).tags("mail").key(&order.order).body(body).build()?;
    let result = producer.send(message).await?.context("RocketMQ gave no result")?;
    Ok(result.msg_id.map(|id| id.to_string()).unwrap_or_default())
}
