//! Kafka `orders` in, RabbitMQ `payments` out: several orders side by side, those of one key in their order. A bank that
//! does not answer is asked again at once, and then later, by way of a retry topic.

use crate::names::{CAPTURED, Names, ORDER_HEADER};
use crate::order::{Order, Refusal, Trouble};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::Result;
use hopscope_lapin::TracedChannel;
use hopscope_rdkafka::{DeadLetter, Options, Received, RetryTopic, TracedConsumer, TracedProducer};
use hopscope_sdk::Retry;
use hopscope_sdk::opentelemetry::Context;
use hopscope_sdk::work::Order as WorkOrder;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

struct Payment {
    channel: TracedChannel,
    names: Names,
    /// Orders that the bank was asked about.
    asked: Mutex<HashSet<String>>,
}

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let (connection, channel) = common.brokers.rabbitmq().await?;
    let channel = TracedChannel::new(channel).with_key_headers([ORDER_HEADER]);
    let consumer = TracedConsumer::from_config(&common.brokers.kafka("payment", &names.payment))?;
    let copies = TracedProducer::from_config(&common.brokers.kafka("payment", ""))?;
    consumer.inner().subscribe(&[&names.orders, &names.orders_retry])?;
    report::ready("payment", "");
    let later = Retry::times(3).fixed(Duration::from_millis(500));
    let options = Options {
        workers_max: 4,
        order: WorkOrder::ByKey,
        in_place: Retry::times(2).fixed(Duration::from_millis(50)),
        retry: Some(RetryTopic::to(copies.clone(), names.orders_retry.as_str(), later)),
        dead_letter: Some(DeadLetter::to(copies, names.orders_dead.as_str())),
        ..Options::default()
    };
    let payment = Arc::new(Payment { channel: channel.clone(), names, asked: Mutex::default() });
    let handler = move |order| {
        let payment = Arc::clone(&payment);
        async move { payment.handle(order).await }
    };
    consumer.run(options, handler, async { stop.requested().await }).await?;
    // The channel is still there: one that is being closed already would be an error.
    connection.close(200, "done".into()).await?;
    drop(channel);
    Ok(())
}

impl Payment {
    async fn handle(&self, received: Received) -> Result<(), Refusal> {
        let order = Order::from_body(received.message().payload().unwrap_or_default())?;
        let is_copy = received.message().topic() != self.names.orders;
        if order.meets(Trouble::BankAway) && !is_copy {
            return Err(Refusal::new("bank_away", "the bank is closed for maintenance"));
        }
        if order.meets(Trouble::BankBusy) && self.asks_first(&order) {
            return Err(Refusal::new("bank_busy", "no answer within 2 s"));
        }
        let captured = self.capture(&order).await;
        captured.map_err(|error| Refusal::new("payment_failed", error))?;
        let (id, context) = (order.payment_id(), Context::current());
        report::handled("payment", &order.order, &id, "payment captured", &context);
        Ok(())
    }

    /// Whether the bank was not asked about it before.
    fn asks_first(&self, order: &Order) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(order.order.clone())
    }

    async fn capture(&self, order: &Order) -> Result<()> {
        let mut headers = FieldTable::default();
        headers.insert(ORDER_HEADER.into(), AMQPValue::LongString(order.order.as_str().into()));
        let properties = BasicProperties::default()
            .with_message_id(order.payment_id().into())
            .with_headers(headers)
            .with_delivery_mode(2);
        let exchange = self.names.payments.as_str().into();
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let body = order.to_body();
        let publish = self.channel.basic_publish(exchange, CAPTURED.into(), mandatory, &body, properties);
        let confirmation = publish.await?.await?;
        anyhow::ensure!(confirmation.is_ack(), "RabbitMQ refused the payment");
        Ok(())
    }
}
