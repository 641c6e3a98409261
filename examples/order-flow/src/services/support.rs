//! RabbitMQ's dead letters in: somebody looks at them.

use crate::names::{Names, ORDER_HEADER};
use crate::order::Order;
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::{Context as _, Result};
use futures::StreamExt;
use hopscope_lapin::{Settle, TracedChannel};
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::FieldTable;

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let (connection, channel) = common.brokers.rabbitmq().await?;
    let channel = TracedChannel::new(channel).with_key_headers([ORDER_HEADER]);
    let (queue, options) = (names.payments_dead.as_str().into(), BasicConsumeOptions::default());
    let mut consumer = channel.basic_consume(queue, "support".into(), options, FieldTable::default()).await?;
    report::ready("support", "");
    loop {
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery.context("RabbitMQ cancelled the consumer")??,
            () = stop.requested() => break,
        };
        let work = delivery.process();
        let context = work.context().clone();
        delivery.ack(work.succeed(), BasicAckOptions::default()).await?;
        if let Ok(order) = Order::from_body(&delivery.message().data) {
            report::handled("support", &order.order, &order.payment_id(), "dead letter read", &context);
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}
