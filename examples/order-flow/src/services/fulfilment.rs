//! RabbitMQ `payments` in, JetStream `SHIPMENTS` out; before, it asks the warehouse. What the warehouse cannot do now
//! comes again by RabbitMQ; what will never do is a dead letter.

use crate::names::{Names, ORDER_HEADER};
use crate::order::{Order, Refusal, Trouble};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::Result;
use async_nats::jetstream::message::PublishMessage;
use hopscope_async_nats::{TracedClient, TracedJetStream};
use hopscope_lapin::{DeadLetter, Options, Traced, TracedChannel};
use hopscope_sdk::opentelemetry::Context;
use hopscope_sdk::{CopyKind, Retry};
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use std::sync::Arc;
use std::time::Duration;

struct Fulfilment {
    warehouse: TracedClient,
    jetstream: TracedJetStream,
    names: Names,
}

pub(crate) async fn run(common: &Common, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let nats = common.brokers.nats("fulfilment").await?;
    let jetstream = TracedJetStream::new(async_nats::jetstream::new(nats.clone()));
    let (connection, channel) = common.brokers.rabbitmq().await?;
    channel.basic_qos(8, BasicQosOptions::default()).await?;
    let channel = TracedChannel::new(channel).with_key_headers([ORDER_HEADER]);
    let letters = TracedChannel::new(connection.create_channel().await?).with_key_headers([ORDER_HEADER]);
    let (queue, consume) = (names.fulfilment.as_str().into(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue, "fulfilment".into(), consume, FieldTable::default()).await?;
    report::ready("fulfilment", "");
    let options = Options {
        workers_max: 4,
        retry: Retry::times(3)
            .fixed(Duration::from_millis(200))
            .only_if(|failure| failure.kind() != CARD_BLOCKED),
        dead_letter: Some(DeadLetter::new(letters.clone(), names.payments_dlx.as_str())),
        ..Options::default()
    };
    let fulfilment = Arc::new(Fulfilment { warehouse: TracedClient::new(nats), jetstream, names });
    let handler = move |payment: Arc<Traced<Delivery>>| {
        let fulfilment = Arc::clone(&fulfilment);
        async move { fulfilment.handle(&payment).await }
    };
    consumer.run(options, handler, async { stop.requested().await }).await?;
    // Both channels are still there: one that is being closed already would be an error.
    connection.close(200, "done".into()).await?;
    drop((channel, letters));
    Ok(())
}

/// What is not tried again.
const CARD_BLOCKED: &str = "card_blocked";

impl Fulfilment {
    async fn handle(&self, payment: &Traced<Delivery>) -> Result<(), Refusal> {
        let order = Order::from_body(&payment.message().data)?;
        let copied = payment.delivery().with_details(|details| details.copied_from.map(|from| from.kind));
        if order.meets(Trouble::CardBlocked) && copied != Some(CopyKind::Redrive) {
            return Err(Refusal::new(CARD_BLOCKED, "the bank has blocked the card"));
        }
        if order.meets(Trouble::WarehouseBusy) && payment.delivery().attempt() == Some(1) {
            return Err(Refusal::new("warehouse_unavailable", "no answer within 2 s"));
        }
        self.reserve(&order).await.map_err(|error| Refusal::new("not_reserved", error))?;
        self.ship(&order).await.map_err(|error| Refusal::new("shipment_failed", error))?;
        let (id, context) = (order.shipment_id(), Context::current());
        report::handled("fulfilment", &order.order, &id, "shipment created", &context);
        Ok(())
    }

    /// Asks the warehouse and waits for its answer.
    async fn reserve(&self, order: &Order) -> Result<()> {
        let reply = self.warehouse.request(self.names.reserve.clone(), order.to_body().into()).await?;
        reply.process().succeed();
        Ok(())
    }

    async fn ship(&self, order: &Order) -> Result<()> {
        let body = order.to_body().into();
        let message = PublishMessage::build().payload(body).message_id(order.shipment_id());
        let subject = self.names.shipment(order.carrier());
        self.jetstream.send_publish(subject, message).await?.await?;
        Ok(())
    }
}
