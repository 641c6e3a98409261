//! The orders that come together: sent in one call, handled in one.

use super::MS;
use super::Order;
use super::attributes::{operation, place, text};
use super::spans::{Flow, Under};
use crate::Kind;
use crate::otlp::AnyValue;
use hopscope_model::SpanContext;

/// The one of them that analytics cannot count.
const UNCOUNTED: u32 = 2;

impl Flow {
    /// Several orders in one request, sent in one call: a context for each, and one send of all. Answers the contexts.
    pub(super) fn batch(&mut self, orders: &[Order]) -> Vec<SpanContext> {
        let Some(first) = orders.first() else { return Vec::new() };
        let (trace, t) = (self.trace(), first.start_ns);
        let attributes = vec![("http.request.method", text("POST")), ("url.path", text("/orders/batch"))];
        let under = Under::Root(trace);
        let request = self.span("checkout", Kind::Server, "POST /orders/batch", under, t, 6 * MS, attributes);
        let create = |order: &Order| {
            let mut attributes = operation("kafka", "create", "create");
            attributes.push(("messaging.destination.name", text("orders")));
            attributes.push(("messaging.kafka.message.key", text(&*order.key)));
            attributes.push(("messaging.message.body.size", AnyValue::Int(1_234)));
            let (under, at) = (Under::Span(request), t + 2 * MS);
            self.span("checkout", Kind::Producer, "create orders", under, at, MS / 20, attributes)
        };
        let contexts: Vec<SpanContext> = orders.iter().map(create).collect();
        let count = orders.len() as i64;
        let mut attributes = operation("kafka", "send", "send");
        attributes.extend([
            ("messaging.destination.name", text("orders")),
            ("messaging.batch.message_count", AnyValue::Int(count)),
            ("hopscope.batch.body_size", AnyValue::Int(1_234 * count)),
        ]);
        let (under, at) = (Under::Span(request), t + 2 * MS + MS / 4);
        self.span("checkout", Kind::Client, "send orders", under, at, 2 * MS, attributes);
        let places = orders.iter().zip(&contexts);
        self.link("checkout", places.map(|(order, context)| (*context, place(order))).collect());
        contexts
    }

    /// All of them in one handler, which cannot count the third: it alone goes to the dead letters.
    pub(super) fn analytics(&mut self, orders: &[Order], sent: &[SpanContext], at: i64) {
        if orders.is_empty() {
            return;
        }
        let mut attributes = operation("kafka", "process", "process");
        attributes.extend([
            ("messaging.destination.name", text("orders")),
            ("messaging.consumer.group.name", text("analytics")),
            ("messaging.batch.message_count", AnyValue::Int(orders.len() as i64)),
        ]);
        let under = Under::Root(self.trace());
        let handled = self.span("analytics", Kind::Consumer, "process orders", under, at, 4 * MS, attributes);
        let links = orders.iter().zip(sent).map(|(order, sent)| {
            let mut attributes = place(order);
            match order.index {
                UNCOUNTED => attributes.push(("error.type", text("no_amount"))),
                _ => attributes.push(("hopscope.disposition", text("accept"))),
            }
            (*sent, attributes)
        });
        self.link("analytics", links.collect());
        if let (Some(order), Some(sent)) = (orders.get(UNCOUNTED as usize), sent.get(UNCOUNTED as usize)) {
            self.uncounted(order, *sent, handled, at + 2 * MS);
        }
    }

    fn uncounted(&mut self, order: &Order, sent: SpanContext, handled: SpanContext, at: i64) {
        let lies = |kind, name| {
            let mut attributes = operation("kafka", kind, name);
            attributes.extend([
                ("messaging.destination.name", text("orders.dead")),
                ("messaging.destination.partition.id", text("0")),
                ("messaging.kafka.offset", AnyValue::Int(0)),
                ("messaging.kafka.message.key", text(&*order.key)),
                ("hopscope.copied_from.kind", text("dead_letter")),
                ("hopscope.copied_from.destination", text("orders")),
                ("hopscope.copied_from.lane", text("0")),
                ("hopscope.copied_from.position", AnyValue::Int(i64::from(order.index))),
                ("hopscope.copied_from.group", text("analytics")),
                ("hopscope.copied_from.attempts", AnyValue::Int(1)),
                ("hopscope.copied_from.reason", text(format!("{} has no amount", order.key))),
                ("hopscope.copied_from.error_type", text("no_amount")),
            ]);
            attributes
        };
        let under = Under::Handler(handled, sent);
        let copy =
            self.span("analytics", Kind::Producer, "send orders.dead", under, at, MS, lies("send", "send"));
        let mut attributes = lies("process", "process");
        attributes.push(("messaging.consumer.group.name", text("support")));
        attributes.push(("hopscope.disposition", text("accept")));
        let under = Under::Both(copy);
        self.span("support", Kind::Consumer, "process orders.dead", under, at + 6 * MS, 3 * MS, attributes);
    }
}
