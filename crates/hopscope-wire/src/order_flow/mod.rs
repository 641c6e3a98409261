//! The order flow: one business day in miniature, as the spans that its five services would send.
//!
//! Checkout over HTTP, five orders in one batch → Kafka `orders` (groups `payment`, which tries in place, and `analytics`,
//! which handles the batch, dead-letters one of it, and stays behind) → RabbitMQ `payments` (refused and redelivered;
//! dead-lettered) → NATS JetStream `SHIPMENTS` (nak and retry) → RocketMQ
//! `notifications` (reconsume later). The last order meets every trouble but the dead letter, and waits in a
//! queue for minutes. The demo, the screenshots and tests play it; `examples/order-flow` plays the same on real
//! brokers. Pure: the same arguments give the same spans.

mod attributes;
mod batch;
mod counts;
mod spans;

pub use counts::order_flow_metrics;

use crate::Kind;
use crate::otlp::{AnyValue, ResourceData};
use attributes::{Attributes, jetstream, kafka, rabbit, rocket, rocket_id, text};
use hopscope_model::{SpanContext, TraceId};
use spans::{Flow, Under};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// One order a second, and the last one waits this long for fulfilment.
const LONG_WAIT_NS: i64 = 12 * 60 * SECOND;
/// So many orders come in one batch.
const BATCH: u32 = 5;
/// Number of the first order.
const FIRST_ORDER: u32 = 4_700;

/// What was played.
#[derive(Clone, Debug)]
pub struct OrderFlow {
    /// The spans by service.
    pub resources: Vec<ResourceData>,
    /// Business key of the last order: the one to look at.
    pub key: String,
    /// Its trace.
    pub trace: TraceId,
    /// Its position on partition 0 of `orders`.
    pub offset: i64,
    /// Its `Nats-Msg-Id`.
    pub nats_message_id: String,
    /// When the last event ended, ns since the epoch.
    pub end_ns: i64,
}

/// How long the flow of that many orders takes, in ns: begin it so long ago and it ends now.
pub fn duration_ns(orders: u32) -> i64 {
    i64::from(orders) * SECOND + LONG_WAIT_NS + 10 * SECOND
}

/// Plays `orders` orders (at least 1) from `start_ns` on; `seed` makes the ids.
pub fn order_flow(start_ns: i64, orders: u32, seed: u64) -> OrderFlow {
    let orders = orders.max(1);
    let mut flow = Flow { resources: Vec::new(), ids: seed };
    let mut last = None;
    // The first ones come together; analytics reads those and then only says that it is still there.
    let together = BATCH.min(orders - 1);
    let order = |index: u32| Order {
        index,
        key: format!("order-{}", FIRST_ORDER + index),
        highlight: index + 1 == orders,
        start_ns: start_ns + i64::from(index.saturating_sub(together.saturating_sub(1))) * SECOND,
    };
    let batch: Vec<Order> = (0..together).map(order).collect();
    let sent = flow.batch(&batch);
    for (order, sent) in batch.iter().zip(&sent) {
        flow.from_payment_on(order, *sent);
    }
    flow.analytics(&batch, &sent, start_ns + 9 * MS);
    for order in (together..orders).map(order) {
        last = Some((flow.order(&order), order));
    }
    let stands_at = i64::from(together);
    let end_ns = start_ns + duration_ns(orders);
    for at in [start_ns + i64::from(orders) * SECOND / 2, end_ns - SECOND] {
        flow.commit("analytics", stands_at, at);
    }
    let (trace, order) = last.expect("there is at least one order");
    OrderFlow {
        resources: flow.resources,
        trace,
        offset: i64::from(order.index),
        nats_message_id: format!("{}-shipment", order.key),
        key: order.key,
        end_ns,
    }
}

/// What a broker gives to a handler, as often as it does.
struct Delivered<'o> {
    service: &'static str,
    destination: &'static str,
    /// Attributes of a kind of operation and its name.
    attributes: Box<dyn Fn(&'static str, &'static str) -> Attributes + 'o>,
    common: Attributes,
    /// The receiving operation.
    receive: &'static str,
    sent: SpanContext,
    /// From the receipt to the handler, and from its end to the broker's answer.
    wait: i64,
    settled: i64,
}

/// How an attempt failed, and what was asked for.
#[derive(Clone, Copy)]
struct Failed {
    reason: &'static str,
    disposition: &'static str,
    settle: &'static str,
}

/// It did not.
const DONE: Failed = Failed { reason: "", disposition: "accept", settle: "ack" };

fn again(reason: &'static str, settle: &'static str) -> Failed {
    Failed { reason, disposition: "retry", settle }
}

impl<'o> Delivered<'o> {
    fn payment(order: &'o Order, sent: SpanContext) -> Self {
        Self {
            service: "fulfilment",
            destination: "payments:payment.captured:fulfilment",
            attributes: Box::new(|kind, name| rabbit(order, kind, name, true)),
            common: Attributes::new(),
            receive: "deliver",
            sent,
            wait: MS,
            settled: MS / 4,
        }
    }

    fn shipment(order: &'o Order, sent: SpanContext, stored: i64) -> Self {
        Self {
            service: "shipping",
            destination: "shipments.created",
            attributes: Box::new(|kind, name| jetstream(order, kind, name)),
            common: vec![
                ("messaging.consumer.group.name", text("shipping")),
                ("hopscope.broker_time", AnyValue::Int(stored)),
            ],
            receive: "fetch",
            sent,
            wait: MS / 2,
            settled: MS / 3,
        }
    }
}

struct Order {
    index: u32,
    key: String,
    highlight: bool,
    start_ns: i64,
}

impl Order {
    /// Every tenth order, from `at` on, has this trouble.
    fn every_tenth(&self, at: u32) -> bool {
        self.index % 10 == at
    }
}

impl Flow {
    fn order(&mut self, order: &Order) -> TraceId {
        let trace = self.trace();
        let t = order.start_ns;
        let request = self.span(
            "checkout",
            Kind::Server,
            "POST /orders",
            Under::Root(trace),
            t,
            6 * MS,
            vec![("http.request.method", text("POST")), ("url.path", text("/orders"))],
        );
        let orders = self.kafka_send(order, request, t + 2 * MS);
        self.from_payment_on(order, orders);
        trace
    }

    fn from_payment_on(&mut self, order: &Order, orders: SpanContext) {
        let t = order.start_ns;
        let paid = self.payment(order, orders, t + 5 * MS);
        let refused = order.highlight || order.every_tenth(3);
        let wait = if order.highlight { LONG_WAIT_NS } else { 30 * MS };
        if order.every_tenth(7) && !order.highlight {
            return self.dead_letter(order, paid, t + 50 * MS + wait);
        }
        let (shipment, at) = self.fulfilment(order, paid, t + 50 * MS + wait, refused);
        let (notification, at) = self.shipping(order, shipment, at, order.highlight || order.every_tenth(5));
        self.notify(order, notification, at, order.highlight || order.every_tenth(9));
    }

    fn kafka_send(&mut self, order: &Order, request: SpanContext, at: i64) -> SpanContext {
        let mut attributes = kafka(order, "send", "send");
        attributes.push(("messaging.message.body.size", AnyValue::Int(1_234)));
        self.span("checkout", Kind::Producer, "send orders", Under::Span(request), at, 2 * MS, attributes)
    }

    fn payment(&mut self, order: &Order, orders: SpanContext, at: i64) -> SpanContext {
        let group = ("messaging.consumer.group.name", text("payment"));
        let times = [("hopscope.broker_time", AnyValue::Int(at - 2 * MS))];
        let mut attributes = kafka(order, "receive", "poll");
        attributes.push(group.clone());
        attributes.extend(times.clone());
        self.span("payment", Kind::Client, "poll orders", Under::Link(orders), at, MS / 5, attributes);
        let mut attributes = kafka(order, "process", "process");
        attributes.push(group);
        attributes.push(("hopscope.disposition", text("accept")));
        attributes.extend(times);
        let process = self.span(
            "payment",
            Kind::Consumer,
            "process orders",
            Under::Both(orders),
            at + MS,
            40 * MS,
            attributes,
        );
        if order.highlight || order.every_tenth(1) {
            self.retry_in_place("payment", at + 12 * MS, 10, "bank_busy");
        }
        let mut attributes = rabbit(order, "send", "publish", false);
        attributes.push(("messaging.message.body.size", AnyValue::Int(412)));
        let paid = self.span(
            "payment",
            Kind::Producer,
            "publish payments:payment.captured",
            Under::Span(process),
            at + 36 * MS,
            3 * MS,
            attributes,
        );
        self.commit("payment", i64::from(order.index) + 1, at + 42 * MS);
        paid
    }

    /// One cumulative commit: one event for the lane, no link.
    fn commit(&mut self, group: &'static str, next: i64, at: i64) {
        let trace = self.trace();
        let attributes = vec![
            ("messaging.system", text("kafka")),
            ("messaging.operation.type", text("settle")),
            ("messaging.operation.name", text("commit")),
            ("messaging.destination.name", text("orders")),
            ("messaging.destination.partition.id", text("0")),
            ("messaging.consumer.group.name", text(group)),
            ("hopscope.progress.next", AnyValue::Int(next)),
        ];
        self.span(group, Kind::Client, "commit orders", Under::Root(trace), at, MS, attributes);
    }

    /// RabbitMQ `payments`: handled at `at`; where `refused`, given back once and redelivered. Answers the
    /// shipment that was sent and when.
    fn fulfilment(&mut self, order: &Order, paid: SpanContext, at: i64, refused: bool) -> (SpanContext, i64) {
        let mut at = at;
        let payment = Delivered::payment(order, paid);
        if refused {
            self.attempt(&payment, at, 1, 25 * MS, Some(again("warehouse_unavailable", "nack")));
            at += 400 * MS;
        }
        let process = self.attempt(&payment, at, if refused { 2 } else { 1 }, 62 * MS, None);
        let mut attributes = jetstream(order, "send", "publish");
        attributes.push(("messaging.message.body.size", AnyValue::Int(288)));
        attributes.push(("messaging.nats.duplicate", AnyValue::Bool(false)));
        let shipment = self.span(
            "fulfilment",
            Kind::Producer,
            "publish shipments.created",
            Under::Span(process),
            at + 58 * MS,
            2 * MS,
            attributes,
        );
        (shipment, at + 62 * MS)
    }

    /// One delivery to a handler: received, processed, settled. Answers the processing.
    fn attempt(
        &mut self,
        of: &Delivered<'_>,
        at: i64,
        number: i64,
        took: i64,
        failed: Option<Failed>,
    ) -> SpanContext {
        let Failed { disposition, settle, .. } = failed.unwrap_or(DONE);
        let name = |operation: &str| format!("{operation} {}", of.destination);
        let count = ("hopscope.attempt", AnyValue::Int(number));
        let common = |kind, operation| {
            let mut attributes = (of.attributes)(kind, operation);
            attributes.extend(of.common.iter().cloned().chain([count.clone()]));
            attributes
        };
        let received = common("receive", of.receive);
        let under = Under::Link(of.sent);
        self.span(of.service, Kind::Client, &name(of.receive), under, at, MS / 10, received);
        let mut attributes = common("process", "process");
        attributes.push(("hopscope.disposition", text(disposition)));
        let (under, begun) = (Under::Both(of.sent), at + of.wait);
        let process = self.span(of.service, Kind::Consumer, &name("process"), under, begun, took, attributes);
        if let Some(Failed { reason, .. }) = failed {
            self.fail(of.service, reason);
        }
        let mut attributes = common("settle", settle);
        attributes.push(("hopscope.disposition", text(disposition)));
        let (under, ended) = (Under::Handler(process, of.sent), begun + took);
        self.span(of.service, Kind::Client, &name(settle), under, ended, of.settled, attributes);
        process
    }

    /// The payment is refused for good: fulfilment puts a copy into `payments.dead`, where support reads it.
    fn dead_letter(&mut self, order: &Order, paid: SpanContext, at: i64) {
        let blocked = Failed { reason: "card_blocked", disposition: "reject", settle: "ack" };
        self.attempt(&Delivered::payment(order, paid), at, 1, 18 * MS, Some(blocked));
        let mut attributes = rabbit(order, "process", "process", true);
        attributes.retain(|(key, _)| {
            !matches!(
                *key,
                "messaging.rabbitmq.exchange" | "messaging.rabbitmq.queue" | "messaging.destination.name"
            )
        });
        attributes.extend([
            ("messaging.rabbitmq.exchange", text("payments.dlx")),
            ("messaging.rabbitmq.queue", text("payments.dead")),
            ("messaging.destination.name", text("payments.dlx:payment.captured:payments.dead")),
            ("hopscope.attempt", AnyValue::Int(1)),
            ("hopscope.disposition", text("accept")),
            ("hopscope.copied_from.kind", text("dead_letter")),
            ("hopscope.copied_from.destination", text("payments")),
            ("hopscope.copied_from.group", text("fulfilment")),
            ("hopscope.copied_from.message_id", text(format!("{}-payment", order.key))),
            ("hopscope.copied_from.attempts", AnyValue::Int(1)),
            ("hopscope.copied_from.reason", text("the bank has blocked the card")),
            ("hopscope.copied_from.error_type", text("card_blocked")),
        ]);
        self.span(
            "support",
            Kind::Consumer,
            "process payments.dlx:payment.captured:payments.dead",
            Under::Both(paid),
            at + 30 * MS,
            5 * MS,
            attributes,
        );
    }

    /// JetStream `SHIPMENTS`; where `refused`, nak and a second delivery. Answers the notification and when.
    fn shipping(
        &mut self,
        order: &Order,
        shipment: SpanContext,
        at: i64,
        refused: bool,
    ) -> (SpanContext, i64) {
        let delivered = Delivered::shipment(order, shipment, at);
        let mut at = at + 3 * MS;
        if refused {
            self.attempt(&delivered, at, 1, 15 * MS, Some(again("carrier_timeout", "nak")));
            at += 1_000 * MS;
        }
        let process = self.attempt(&delivered, at, if refused { 2 } else { 1 }, 35 * MS, None);
        let mut attributes = rocket(order, "send", "send", "notifications");
        attributes.push(("messaging.message.body.size", AnyValue::Int(96)));
        let notification = self.span(
            "shipping",
            Kind::Producer,
            "send notifications",
            Under::Span(process),
            at + 31 * MS,
            3 * MS,
            attributes,
        );
        (notification, at + 35 * MS)
    }

    /// RocketMQ `notifications`; where `refused`, reconsume later through the group's retry topic.
    fn notify(&mut self, order: &Order, notification: SpanContext, at: i64, refused: bool) {
        let at = at + 2 * MS;
        if refused {
            self.rocket_attempt(order, notification, at, 1, "notifications", Some("smtp_greylisted"));
            self.rocket_attempt(order, notification, at + 3 * SECOND, 2, "%RETRY%notify", None);
        } else {
            self.rocket_attempt(order, notification, at, 1, "notifications", None);
        }
    }

    fn rocket_attempt(
        &mut self,
        order: &Order,
        notification: SpanContext,
        at: i64,
        attempt: i64,
        topic: &'static str,
        failure: Option<&'static str>,
    ) {
        let disposition = if failure.is_some() { "retry" } else { "accept" };
        let mut attributes = rocket(order, "process", "consume", topic);
        attributes.extend([
            ("messaging.consumer.group.name", text("notify")),
            ("hopscope.attempt", AnyValue::Int(attempt)),
            ("hopscope.broker_time", AnyValue::Int(at - MS)),
            ("hopscope.disposition", text(disposition)),
        ]);
        if attempt > 1 {
            attributes.extend([
                ("hopscope.copied_from.kind", text("retry")),
                ("hopscope.copied_from.destination", text("notifications")),
                ("hopscope.copied_from.group", text("notify")),
                ("hopscope.copied_from.message_id", text(rocket_id(order))),
                ("hopscope.copied_from.attempts", AnyValue::Int(attempt - 1)),
            ]);
        }
        let name = format!("consume {topic}");
        self.span("notify", Kind::Consumer, &name, Under::Both(notification), at, 20 * MS, attributes);
        if let Some(reason) = failure {
            self.fail("notify", reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{DecodeLimits, decode_protobuf, encode_request};
    use hopscope_model::{Stage, Tenant};

    #[test]
    fn the_same_arguments_play_the_same_flow_and_all_of_it_decodes() {
        let bytes = encode_request(&order_flow(0, 12, 7).resources);
        assert_eq!(bytes, encode_request(&order_flow(0, 12, 7).resources));
        assert_ne!(bytes, encode_request(&order_flow(0, 12, 8).resources));
        let decoded =
            decode_protobuf(&bytes, &Tenant::default(), 1, &DecodeLimits::default()).expect("decodes");
        assert_eq!(decoded.spans as usize + 2 * 4, decoded.batch.len(), "one event a span, five of a batch");
        let sends = |system: &str| {
            let of = decoded
                .batch
                .events()
                .filter(|event| event.stage() == Stage::Send && event.system() == system);
            of.count()
        };
        // Of twelve orders one is dead-lettered before it is shipped; the copy of another is a send too.
        assert_eq!([sends("kafka"), sends("rabbitmq"), sends("nats"), sends("rocketmq")], [13, 12, 11, 11]);
    }
}
