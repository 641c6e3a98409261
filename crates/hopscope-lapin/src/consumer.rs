//! [`TracedConsumer`]: lapin's stream of deliveries, each with what is known about it.

use crate::carrier::{ReadHeaders, integer};
use crate::channel::{Settings, text};
use crate::death::{Death, death};
use futures::Stream;
use hopscope_sdk::opentelemetry::KeyValue;
use hopscope_sdk::{Delivery, Details, Place, Traced};
use lapin::types::{AMQPValue, FieldTable};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A [`lapin::Consumer`] as a stream of traced deliveries. A receive is recorded when the stream gives a delivery
/// out, not when lapin prefetched it.
#[derive(Clone, Debug)]
pub struct TracedConsumer {
    consumer: lapin::Consumer,
    settings: Arc<Settings>,
}

impl TracedConsumer {
    pub(crate) fn new(consumer: lapin::Consumer, settings: Arc<Settings>) -> Self {
        Self { consumer, settings }
    }

    /// lapin's consumer, untraced: its tag and queue.
    pub fn inner(&self) -> &lapin::Consumer {
        &self.consumer
    }
}

impl Stream for TracedConsumer {
    type Item = lapin::Result<Traced<lapin::message::Delivery>>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(Pin::new(&mut self.consumer).poll_next(task));
        Poll::Ready(next.map(|delivery| {
            delivery.map(|message| {
                let (queue, tag) = (self.consumer.queue(), self.consumer.tag());
                let delivery = receive(&self.settings, "consume", queue.as_str(), tag.as_str(), &message);
                Traced::new(message, delivery)
            })
        }))
    }
}

/// Records that this message was handed over.
pub(crate) fn receive(
    settings: &Settings,
    operation: &'static str,
    queue: &str,
    consumer_tag: &str,
    message: &lapin::message::Delivery,
) -> Delivery {
    let headers = message.properties.headers().as_ref();
    let place = Place::RabbitMq {
        exchange: message.exchange.as_str(),
        routing_key: message.routing_key.as_str(),
        queue,
        stream_offset: number(headers, "x-stream-offset"),
    };
    let death = death(headers, queue);
    let message_id = text(message.properties.message_id());
    let keys = settings.keys(headers);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let attributes = attributes(message, consumer_tag, death.as_ref());
    let details = Details {
        server: settings.server(),
        message_id,
        correlation_id: text(message.properties.correlation_id()),
        keys: &keys,
        attempt: attempt(headers, message.redelivered, death.as_ref()),
        body_bytes: u64::try_from(message.data.len()).ok(),
        broker_time_ns: broker_time_ns(headers),
        copied_from: death.as_ref().map(|death| death.copied_from(message_id)),
        attributes: &attributes,
        ..Details::default()
    };
    settings.telemetry.receive(operation, place, &details, &ReadHeaders(headers))
}

fn attributes(
    message: &lapin::message::Delivery,
    consumer_tag: &str,
    death: Option<&Death<'_>>,
) -> Vec<KeyValue> {
    let tag = i64::try_from(message.delivery_tag).unwrap_or(i64::MAX);
    let mut attributes = vec![
        KeyValue::new("messaging.rabbitmq.message.delivery_tag", tag),
        KeyValue::new("messaging.rabbitmq.message.redelivered", message.redelivered),
    ];
    if !consumer_tag.is_empty() {
        attributes.push(KeyValue::new("messaging.rabbitmq.consumer_tag", consumer_tag.to_owned()));
    }
    if let Some(count) = death.and_then(|death| death.count) {
        attributes.push(KeyValue::new("messaging.rabbitmq.death.count", i64::from(count)));
    }
    attributes
}

/// Which delivery this is, where the broker's own count tells: quorum queues count earlier ones, RabbitMQ 4.3 as
/// `x-acquired-count` (requeues and lost connections), before as `x-delivery-count`; a retry loop counts its
/// rounds in `x-death`. A classic queue says "redelivered" without a number: the attempt is not known then.
fn attempt(headers: Option<&FieldTable>, redelivered: bool, death: Option<&Death<'_>>) -> Option<u32> {
    let earlier = number(headers, "x-acquired-count").or_else(|| number(headers, "x-delivery-count"));
    let rounds = death.filter(|death| death.is_loop).map_or(Some(0), |death| death.count)?;
    let earlier = match earlier {
        Some(count) => u32::try_from(count).ok()?,
        None if redelivered => return None,
        None => 0,
    };
    earlier.checked_add(rounds)?.checked_add(1)
}

/// When the broker got it, where its timestamp interceptor is on: `timestamp_in_ms`. The `timestamp` property is
/// the application's, in whole seconds, and says nothing about the broker.
fn broker_time_ns(headers: Option<&FieldTable>) -> Option<i64> {
    number(headers, "timestamp_in_ms")?.checked_mul(1_000_000)
}

fn number(headers: Option<&FieldTable>, name: &str) -> Option<i64> {
    match headers?.inner().get(name)? {
        AMQPValue::Timestamp(time) => i64::try_from(*time).ok(),
        other => integer(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, i64)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in pairs {
            table.insert((*name).into(), AMQPValue::LongLongInt(*value));
        }
        table
    }

    #[test]
    fn attempts_are_the_brokers_own_count() {
        let round = |count| Death { queue: "work", exchange: "", reason: "rejected", count, is_loop: true };
        let dead = Death { is_loop: false, ..round(Some(3)) };
        for (pairs, redelivered, death, attempt_is) in [
            (&[][..], false, None, Some(1)),
            (&[], true, None, None),
            (&[("x-delivery-count", 0)], false, None, Some(1)),
            (&[("x-delivery-count", 2)], true, None, Some(3)),
            (&[("x-acquired-count", 3), ("x-delivery-count", 1)], true, None, Some(4)),
            (&[], false, Some(dead), Some(1)),
            (&[], false, Some(round(Some(2))), Some(3)),
            (&[("x-delivery-count", 1)], true, Some(round(Some(2))), Some(4)),
            (&[], false, Some(round(None)), None),
            (&[("x-delivery-count", -1)], true, None, None),
            (&[("x-delivery-count", i64::MAX)], true, None, None),
        ] {
            let got = attempt(Some(&headers(pairs)), redelivered, death.as_ref());
            assert_eq!(got, attempt_is, "{pairs:?} redelivered={redelivered} {death:?}");
        }
    }
}
