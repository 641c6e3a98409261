//! What is known about a message that was received.

use crate::carrier::{ReadHeaders, integer};
use crate::channel::{Settings, text};
use crate::death::original;
use crate::publish::template;
use hopscope_sdk::dead_letter::Original;
use hopscope_sdk::{Attribute, Body, CopyKind, Delivery, Details, Place, Value};
use lapin::types::{AMQPValue, FieldTable};

/// Records that this message was handed over.
pub(crate) fn receive(
    settings: &Settings,
    operation: &'static str,
    queue: &str,
    consumer_tag: &str,
    message: &lapin::message::Delivery,
) -> Delivery {
    describe(settings, queue, consumer_tag, message, |place, details, headers| {
        settings.telemetry.receive(operation, place, details, headers)
    })
}

/// The same without a record of its own: it came with others.
pub(crate) fn delivered(
    settings: &Settings,
    queue: &str,
    consumer_tag: &str,
    message: &lapin::message::Delivery,
) -> Delivery {
    describe(settings, queue, consumer_tag, message, |place, details, headers| {
        settings.telemetry.delivered(place, details, headers)
    })
}

fn describe<R>(
    settings: &Settings,
    queue: &str,
    consumer_tag: &str,
    message: &lapin::message::Delivery,
    look: impl FnOnce(Place<'_>, &Details<'_>, &ReadHeaders<'_>) -> R,
) -> R {
    let headers = message.properties.headers().as_ref();
    let place = Place::RabbitMq {
        exchange: message.exchange.as_str(),
        routing_key: message.routing_key.as_str(),
        queue,
        stream_offset: number(headers, "x-stream-offset"),
    };
    let message_id = text(message.properties.message_id());
    let copied = original(headers, queue, message_id);
    let keys = settings.keys(headers);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let tag = i64::try_from(message.delivery_tag).unwrap_or(i64::MAX);
    let attributes: [Attribute<'_>; 3] = [
        ("messaging.rabbitmq.message.delivery_tag", Value::Int(tag)),
        ("messaging.rabbitmq.message.redelivered", Value::Bool(message.redelivered)),
        ("messaging.rabbitmq.consumer_tag", Value::Text(consumer_tag)),
    ];
    let attributes = if consumer_tag.is_empty() { &attributes[..2] } else { &attributes[..] };
    let details = Details {
        server: settings.server(),
        message_id,
        correlation_id: text(message.properties.correlation_id()),
        keys: &keys,
        attempt: attempt(headers, message.redelivered, copied.as_ref()),
        body_bytes: u64::try_from(message.data.len()).ok(),
        body: Body(&message.data),
        broker_time_ns: broker_time_ns(headers),
        copied_from: copied.as_ref().map(Original::copied_from),
        attributes,
        template: template(message.routing_key.as_str()),
        ..Details::default()
    };
    look(place, &details, &ReadHeaders(headers))
}

/// Which delivery this is, where the broker's own count tells: quorum queues count earlier ones, RabbitMQ 4.3 as
/// `x-acquired-count` (requeues and lost connections), before as `x-delivery-count`; the rounds of a retry loop are in
/// `x-death`, or in our headers where we made the copies. A classic queue says "redelivered" without a number: the
/// attempt is not known then.
fn attempt(headers: Option<&FieldTable>, redelivered: bool, copied: Option<&Original>) -> Option<u32> {
    let earlier = number(headers, "x-acquired-count").or_else(|| number(headers, "x-delivery-count"));
    let retry = copied.filter(|copied| copied.kind == CopyKind::Retry);
    let rounds = retry.map_or(Some(0), |retry| retry.attempts)?;
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
        let round = |attempts| Original { attempts, ..Original::new(CopyKind::Retry) };
        let dead = Original { attempts: Some(3), ..Original::new(CopyKind::DeadLetter) };
        for (pairs, redelivered, copied, attempt_is) in [
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
            let got = attempt(Some(&headers(pairs)), redelivered, copied.as_ref());
            assert_eq!(got, attempt_is, "{pairs:?} redelivered={redelivered} {copied:?}");
        }
    }
}
