//! JetStream `SHIPMENTS` in, RocketMQ `notifications` out: carriers side by side, each with one parcel at a time. A busy
//! carrier is asked again by way of JetStream; a parcel that nobody can bring is a dead letter.

use crate::names::Names;
use crate::order::{Order, Refusal, Trouble};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::{Context as _, Result, anyhow};
use async_nats::jetstream::consumer::PullConsumer;
use hopscope_async_nats::{DeadLetter, Options, Received, TracedJetStream};
use hopscope_rocketmq::TracedProducer;
use hopscope_sdk::Retry;
use hopscope_sdk::opentelemetry::trace::TraceContextExt;
use hopscope_sdk::opentelemetry::{Context, KeyValue};
use hopscope_sdk::work::Order as WorkOrder;
use rocketmq_model::common::message::message_single::Message;
use std::sync::Arc;
use std::time::Duration;

/// How long JetStream waits before it gives a shipment again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
/// How long a carrier takes for a parcel.
const HAND_OVER: Duration = Duration::from_millis(20);

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let rocketmq = common.brokers.rocketmq()?;
    let mut producer = TracedProducer::new(rocketmq.producer(&names.shipping));
    producer.inner_mut().start().await?;
    let producer = Arc::new(producer);
    let nats = common.brokers.nats("shipping").await?;
    let jetstream = TracedJetStream::new(async_nats::jetstream::new(nats));
    let consumer: PullConsumer = jetstream
        .inner()
        .get_stream(&names.stream)
        .await?
        .get_consumer(&names.shipping)
        .await
        .map_err(|error| anyhow!("no consumer {}: {error}", names.shipping))?;
    let messages = jetstream.messages(&consumer).await?;
    report::ready("shipping", "");
    let options = Options {
        workers_max: 4,
        // A carrier is a subject.
        order: WorkOrder::ByKey,
        retry: Retry::times(2).fixed(AGAIN_AFTER),
        dead_letter: Some(DeadLetter::to(jetstream, names.shipments_dead.clone())),
        double_ack: true,
        ..Options::default()
    };
    let (sender, topic) = (Arc::clone(&producer), names.notifications.clone());
    let handler = move |shipment: Received| {
        let (sender, topic) = (Arc::clone(&sender), topic.clone());
        async move { handle(&sender, &topic, &shipment).await }
    };
    messages.run(options, handler, async { stop.requested().await }).await?;
    // Nobody else holds it: the handlers have ended.
    if let Some(mut producer) = Arc::into_inner(producer) {
        producer.inner_mut().shutdown().await;
    }
    rocketmq.close().await;
    Ok(())
}

async fn handle(producer: &TracedProducer, topic: &str, shipment: &Received) -> Result<(), Refusal> {
    let order = Order::from_body(&shipment.message().payload)?;
    let context = Context::current();
    context.span().set_attribute(KeyValue::new("hopscope.keys", order.order.clone()));
    if order.meets(Trouble::CarrierBusy) && shipment.delivery().attempt() == Some(1) {
        return Err(Refusal::new("carrier_timeout", "no answer within 2 s"));
    }
    if order.meets(Trouble::NoAddress) {
        return Err(Refusal::new("no_such_address", "the carrier does not know the address"));
    }
    tokio::time::sleep(HAND_OVER).await;
    let told = notify(producer, topic, &order).await;
    let id = told.map_err(|error| Refusal::new("notification_failed", error))?;
    report::handled("shipping", &order.order, &id, "customer is told", &context);
    Ok(())
}

/// Answers RocketMQ's own id of the message.
async fn notify(producer: &TracedProducer, topic: &str, order: &Order) -> Result<String> {
    let message =
        Message::builder().topic(topic).tags("mail").key(&order.order).body(order.to_body()).build()?;
    let result = producer.send(message).await?.context("RocketMQ gave no result")?;
    Ok(result.msg_id.map(|id| id.to_string()).unwrap_or_default())
}
