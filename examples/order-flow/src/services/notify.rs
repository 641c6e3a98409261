//! RocketMQ `notifications` in. One notification is asked for again, later.

use crate::names::Names;
use crate::order::{Order, Trouble};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::Result;
use hopscope_rocketmq::{Traced, TracedConsumer};
use hopscope_sdk::opentelemetry::Context;
use rocketmq_client_rust::{ClientError, ClientResult, ConsumeConcurrentlyStatus, DefaultMQPushConsumer};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::message_ext::MessageExt;

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let rocketmq = common.brokers.rocketmq()?;
    let consumer = DefaultMQPushConsumer::builder(rocketmq.runtime.clone())
        .client_config(rocketmq.config.clone())
        .consumer_group(names.notify.as_str())
        .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
        .build();
    let mut consumer = TracedConsumer::new(consumer);
    consumer.inner_mut().subscribe(names.notifications.as_str(), "*").await?;
    consumer.listen_concurrently(|message, _| handle(message));
    consumer.inner_mut().start().await?;
    report::ready("notify", "");
    stop.requested().await;
    consumer.inner_mut().shutdown().await;
    rocketmq.close().await;
    Ok(())
}

fn handle(traced: &Traced<&MessageExt>) -> ClientResult<ConsumeConcurrentlyStatus> {
    let message = traced.message();
    let body = message.body().unwrap_or_default();
    let order = Order::from_body(&body).map_err(|error| ClientError::illegal_argument(error.to_string()))?;
    if order.meets(Trouble::ReconsumeLater) && message.reconsume_times() == 0 {
        return Ok(ConsumeConcurrentlyStatus::ReconsumeLater);
    }
    report::handled("notify", &order.order, "", "mail sent", &Context::current());
    Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
}
