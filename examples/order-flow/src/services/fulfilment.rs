//! RabbitMQ `payments` in, JetStream `SHIPMENTS` out. One order is given back once, one is rejected for good.

use crate::names::{Names, ORDER_HEADER};
use crate::order::{Order, Trouble};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::{Context as _, Result};
use async_nats::jetstream::message::PublishMessage;
use futures::StreamExt;
use hopscope_async_nats::TracedJetStream;
use hopscope_lapin::{Settle, Traced, TracedChannel};
use hopscope_sdk::Failure;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
};
use lapin::types::FieldTable;

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let jetstream = TracedJetStream::new(common.brokers.jetstream("fulfilment").await?);
    let (connection, channel) = common.brokers.rabbitmq().await?;
    channel.basic_qos(8, BasicQosOptions::default()).await?;
    let channel = TracedChannel::new(channel).with_key_headers([ORDER_HEADER]);
    let options = BasicConsumeOptions::default();
    let queue = names.fulfilment.as_str().into();
    let mut consumer =
        channel.basic_consume(queue, "fulfilment".into(), options, FieldTable::default()).await?;
    report::ready("fulfilment", "");
    loop {
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery.context("RabbitMQ cancelled the consumer")??,
            () = stop.requested() => break,
        };
        handle(&jetstream, &names, &delivery).await?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn handle(jetstream: &TracedJetStream, names: &Names, delivery: &Traced<Delivery>) -> Result<()> {
    let work = delivery.process();
    let order = match Order::from_body(&delivery.message().data) {
        Ok(order) => order,
        Err(error) => {
            let declared = work.fail(Failure::new("not_an_order", error));
            delivery.reject(declared, BasicRejectOptions { requeue: false }).await?;
            return Ok(());
        }
    };
    if order.meets(Trouble::DeadLettered) {
        let declared = work.fail(Failure::new("card_blocked", "the bank has blocked the card"));
        delivery.reject(declared, BasicRejectOptions { requeue: false }).await?;
        return Ok(());
    }
    if order.meets(Trouble::Refused) && !delivery.message().redelivered {
        let declared = work.fail(Failure::new("warehouse_unavailable", "no answer within 2 s"));
        delivery.nack(declared, BasicNackOptions { requeue: true, ..Default::default() }).await?;
        return Ok(());
    }
    let context = work.context().clone();
    match work.run(ship(jetstream, names, &order)).await {
        Ok(()) => {
            delivery.ack(work.succeed(), BasicAckOptions::default()).await?;
            report::handled("fulfilment", &order.order, &order.shipment_id(), "shipment created", &context);
        }
        Err(error) => {
            let declared = work.fail(Failure::new("shipment_failed", error));
            delivery.nack(declared, BasicNackOptions { requeue: true, ..Default::default() }).await?;
        }
    }
    Ok(())
}

async fn ship(jetstream: &TracedJetStream, names: &Names, order: &Order) -> Result<()> {
    let message = PublishMessage::build().payload(order.to_body().into()).message_id(order.shipment_id());
    jetstream.send_publish(names.subject.clone(), message).await?.await?;
    Ok(())
}
