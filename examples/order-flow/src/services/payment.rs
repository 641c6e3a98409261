//! Kafka `orders` in, RabbitMQ `payments` out.

use crate::names::{CAPTURED, Names, ORDER_HEADER};
use crate::order::Order;
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::Result;
use hopscope_lapin::TracedChannel;
use hopscope_rdkafka::TracedConsumer;
use hopscope_sdk::Failure;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let (connection, channel) = common.brokers.rabbitmq().await?;
    let channel = TracedChannel::new(channel).with_key_headers([ORDER_HEADER]);
    let consumer = TracedConsumer::from_config(&common.brokers.kafka("payment", &names.payment))?;
    consumer.inner().subscribe(&[&names.orders])?;
    report::ready("payment", "");
    loop {
        let message = tokio::select! {
            message = consumer.recv() => message?,
            () = stop.requested() => break,
        };
        let work = message.process();
        let order = Order::from_body(message.message().payload().unwrap_or_default());
        let captured = match &order {
            Ok(order) => work.run(capture(&channel, &names, order)).await,
            Err(error) => Err(anyhow::anyhow!("not an order: {error}")),
        };
        let context = work.context().clone();
        match captured {
            Ok(()) => drop(work.succeed()),
            Err(error) => drop(work.fail(Failure::new("payment_failed", error))),
        }
        consumer.commit_message(&message).await?;
        if let Ok(order) = order {
            report::handled("payment", &order.order, &order.payment_id(), "payment captured", &context);
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn capture(channel: &TracedChannel, names: &Names, order: &Order) -> Result<()> {
    let mut headers = FieldTable::default();
    headers.insert(ORDER_HEADER.into(), AMQPValue::LongString(order.order.as_str().into()));
    let properties = BasicProperties::default()
        .with_message_id(order.payment_id().into())
        .with_headers(headers)
        .with_delivery_mode(2);
    let exchange = names.payments.as_str().into();
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let body = order.to_body();
    let confirm = channel.basic_publish(exchange, CAPTURED.into(), mandatory, &body, properties).await?;
    let confirmation = confirm.await?;
    anyhow::ensure!(confirmation.is_ack(), "RabbitMQ refused the payment");
    Ok(())
}
