//! RocketMQ `notifications` in. What the mail server does not take now is asked for again, later; what it never takes
//! goes to RocketMQ's own dead letters.

use crate::names::Names;
use crate::order::{Order, Refusal, Trouble};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::Result;
use hopscope_rocketmq::{Options, Traced, TracedConsumer};
use hopscope_sdk::Retry;
use hopscope_sdk::opentelemetry::Context;
use rocketmq_model::common::message::message_ext::MessageExt;
use std::time::Duration;

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let rocketmq = common.brokers.rocketmq()?;
    let mut consumer = TracedConsumer::new(rocketmq.consumer(&names.notify));
    consumer.inner_mut().subscribe(names.notifications.as_str(), "*").await?;
    report::ready("notify", "");
    let retry = Retry::times(2).fixed(Duration::from_secs(1));
    let options = Options { workers_max: Some(4), retry, ..Options::default() };
    consumer.run(options, async |message: &Traced<&MessageExt>| handle(message), stop.requested()).await?;
    rocketmq.close().await;
    Ok(())
}

fn handle(notification: &Traced<&MessageExt>) -> Result<(), Refusal> {
    let order = Order::from_body(&notification.message().body().unwrap_or_default())?;
    if order.meets(Trouble::MailBusy) && notification.delivery().attempt() == Some(1) {
        return Err(Refusal::new("smtp_greylisted", "451 try again later"));
    }
    if order.meets(Trouble::MailRefused) {
        return Err(Refusal::new("smtp_refused", "550 no such user"));
    }
    report::ended("notify", &order.order, "", "mail sent", &Context::current());
    Ok(())
}
