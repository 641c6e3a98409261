//! What the services say of an order, per broker: `docs/attributes.md`.

use super::Order;
use crate::otlp::AnyValue;

pub(super) type Attributes = Vec<(&'static str, AnyValue)>;

pub(super) fn text(value: impl Into<String>) -> AnyValue {
    AnyValue::Text(value.into())
}

pub(super) fn operation(system: &'static str, kind: &'static str, name: &'static str) -> Attributes {
    vec![
        ("messaging.system", text(system)),
        ("messaging.operation.type", text(kind)),
        ("messaging.operation.name", text(name)),
    ]
}

pub(super) fn keys(order: &Order) -> (&'static str, AnyValue) {
    ("hopscope.keys", AnyValue::Texts(vec![order.key.clone()]))
}

/// Where it lies on Kafka.
pub(super) fn place(order: &Order) -> Attributes {
    vec![
        ("messaging.destination.partition.id", text("0")),
        ("messaging.kafka.offset", AnyValue::Int(i64::from(order.index))),
        ("messaging.kafka.message.key", text(&*order.key)),
    ]
}

pub(super) fn kafka(order: &Order, kind: &'static str, name: &'static str) -> Attributes {
    let mut attributes = operation("kafka", kind, name);
    attributes.extend([
        ("messaging.destination.name", text("orders")),
        ("server.address", text("127.0.0.1")),
        ("server.port", AnyValue::Int(9092)),
    ]);
    attributes.extend(place(order));
    attributes
}

pub(super) fn rabbit(order: &Order, kind: &'static str, name: &'static str, consumer: bool) -> Attributes {
    let mut attributes = operation("rabbitmq", kind, name);
    let joined = if consumer { "payments:payment.captured:fulfilment" } else { "payments:payment.captured" };
    attributes.extend([
        ("messaging.destination.name", text(joined)),
        ("messaging.rabbitmq.exchange", text("payments")),
        ("messaging.rabbitmq.destination.routing_key", text("payment.captured")),
        ("messaging.message.id", text(format!("{}-payment", order.key))),
        ("messaging.message.conversation_id", text(&*order.key)),
        keys(order),
    ]);
    if consumer {
        attributes.push(("messaging.rabbitmq.queue", text("fulfilment")));
        attributes
            .push(("messaging.rabbitmq.message.delivery_tag", AnyValue::Int(i64::from(order.index) + 1)));
    }
    attributes
}

pub(super) fn jetstream(order: &Order, kind: &'static str, name: &'static str) -> Attributes {
    let mut attributes = operation("nats", kind, name);
    attributes.extend([
        ("messaging.destination.name", text("shipments.created")),
        ("messaging.nats.stream", text("SHIPMENTS")),
        ("messaging.nats.sequence", AnyValue::Int(i64::from(order.index) + 1)),
        ("messaging.message.id", text(format!("{}-shipment", order.key))),
        keys(order),
    ]);
    attributes
}

pub(super) fn rocket(
    order: &Order,
    kind: &'static str,
    name: &'static str,
    topic: &'static str,
) -> Attributes {
    let mut attributes = operation("rocketmq", kind, name);
    let retry = topic != "notifications";
    attributes.extend([
        ("messaging.destination.name", text(topic)),
        ("messaging.rocketmq.broker.name", text("broker-a")),
        ("messaging.rocketmq.queue.id", AnyValue::Int(0)),
        ("messaging.rocketmq.queue.offset", AnyValue::Int(i64::from(order.index))),
        ("messaging.rocketmq.message.type", text("normal")),
        ("messaging.message.id", text(rocket_id(order))),
        ("messaging.rocketmq.message.keys", AnyValue::Texts(vec![order.key.clone()])),
    ]);
    if retry {
        attributes.push(("messaging.rocketmq.logical_topic", text("notifications")));
    }
    attributes
}

/// In the shape of a UNIQ_KEY: address, process, class loader, time and counter in 32 hexadecimal digits.
pub(super) fn rocket_id(order: &Order) -> String {
    format!("7F0000013AA430946E0968612E2{:05X}", order.index)
}
