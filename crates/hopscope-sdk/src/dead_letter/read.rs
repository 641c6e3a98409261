//! Which message a copy was made of, whoever says so.

use super::families::{self, FOREIGN, Names, Numbers, OURS};
use super::{Family, Original, TEXT_BYTES_MAX};
use crate::{CopyKind, Format, Formats, Headers, carrier};
use opentelemetry::trace::SpanContext;

/// What the headers of a message found in `destination` (topic, stream; on RabbitMQ the queue) say of the message it
/// is a copy of; `None`: they say nothing.
///
/// Where several families say something, the one that must be newest counts: a RocketMQ copy lies in a topic that only
/// its broker writes to; ours is next, because [`mark`](super::mark) writes it anew each time; then those of others;
/// last a redrive of ours, because [`redrive`](super::redrive) removes all the others: what is there was written later.
/// Of a header that occurs twice the last counts. RabbitMQ's `x-death` is a table, and for the adapter to read.
///
/// Never panics, whatever the bytes: text is cut at [`TEXT_BYTES_MAX`] and made valid, a number that is none is not
/// known.
pub fn read(destination: &str, headers: &dyn Headers) -> Option<Original> {
    let [dead_letter, retry, redrive] = &OURS;
    let original = rocketmq(destination, headers)
        .or_else(|| family(dead_letter, headers))
        .or_else(|| family(retry, headers))
        .or_else(|| FOREIGN.iter().find_map(|names| foreign(names, destination, headers)))
        .or_else(|| rabbitmq(headers))
        .or_else(|| family(redrive, headers))?;
    Some(Original { redrives: redrives(headers), ..original })
}

/// How often it was sent back.
pub(super) fn redrives(headers: &dyn Headers) -> u32 {
    count(headers, families::REDRIVE_COUNT).unwrap_or_default()
}

/// When the first attempt failed, as an earlier copy of ours says.
pub(super) fn first_failed_ns(headers: &dyn Headers) -> Option<i64> {
    OURS.iter().find_map(|names| number(headers, names.first_failed_at, Numbers::Text, 8))
}

fn family(names: &Names, headers: &dyn Headers) -> Option<Original> {
    Some(Original {
        family: names.family,
        destination: text(headers, names.destination).filter(|destination| !destination.is_empty())?,
        address: text(headers, names.address).unwrap_or_default(),
        broker: text(headers, names.broker).unwrap_or_default(),
        partition: number(headers, names.partition, names.numbers, 4)
            .and_then(|number| i32::try_from(number).ok()),
        position: number(headers, names.position, names.numbers, 8),
        message_id: text(headers, names.message_id).unwrap_or_default(),
        group: text(headers, names.group).unwrap_or_default(),
        attempts: number(headers, names.attempts, names.numbers, 4)
            .and_then(|count| u32::try_from(count).ok()),
        reason: text(headers, names.reason).unwrap_or_default(),
        error_type: text(headers, names.error_type).unwrap_or_default(),
        first_failed_ns: number(headers, names.first_failed_at, names.numbers, 8),
        context: context(names, headers),
        ..Original::new(names.kind)
    })
}

/// Out of a `traceparent`.
fn context(names: &Names, headers: &dyn Headers) -> Option<SpanContext> {
    let formats = Formats { read: vec![Format::W3c], ..Formats::none() };
    carrier::extract(&formats, &Traceparent(text(headers, names.context)?)).context
}

struct Traceparent(String);

impl Headers for Traceparent {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        visit(b"traceparent", Some(self.0.as_bytes()));
    }
}

fn foreign(names: &Names, destination: &str, headers: &dyn Headers) -> Option<Original> {
    let mut original = family(names, headers).or_else(|| republished(names, headers))?;
    match names.family {
        Family::Spring if names.kind == CopyKind::Retry => {
            // It counts the attempt to come: one more than were made.
            let to_come = number(headers, families::SPRING_RETRY_ATTEMPTS, Numbers::Binary, 4);
            original.attempts = to_come.and_then(|number| u32::try_from(number - 1).ok());
            // The same headers are on the dead letter at the end: only its topic's name tells (`-dlt`, with more behind
            // where there are several).
            let lower = destination.to_ascii_lowercase();
            if to_come.is_none() || lower.contains("-dlt") || lower.contains(".dlt") {
                original.kind = CopyKind::DeadLetter;
            }
        }
        Family::Connect if !original.group.is_empty() => original.group.insert_str(0, "connect-"),
        _ => {}
    }
    Some(original)
}

/// Spring AMQP names the default exchange by nothing.
fn republished(names: &Names, headers: &dyn Headers) -> Option<Original> {
    if names.family != Family::SpringAmqp {
        return None;
    }
    text(headers, names.destination)?;
    Some(Original {
        family: names.family,
        destination: families::RABBITMQ_DEFAULT_EXCHANGE.to_owned(),
        address: text(headers, names.address).unwrap_or_default(),
        reason: text(headers, names.reason).unwrap_or_default(),
        ..Original::new(names.kind)
    })
}

/// The queue counts as the group, as everywhere on RabbitMQ.
fn rabbitmq(headers: &dyn Headers) -> Option<Original> {
    families::RABBITMQ.iter().find_map(|[exchange, queue, reason]| {
        let queue = text(headers, queue).filter(|queue| !queue.is_empty())?;
        let exchange = text(headers, exchange).filter(|exchange| !exchange.is_empty());
        Some(Original {
            family: Family::RabbitMq,
            destination: exchange.unwrap_or_else(|| families::RABBITMQ_DEFAULT_EXCHANGE.to_owned()),
            group: queue,
            reason: text(headers, reason).unwrap_or_default(),
            ..Original::new(CopyKind::DeadLetter)
        })
    })
}

fn rocketmq(destination: &str, headers: &dyn Headers) -> Option<Original> {
    let retry = destination.strip_prefix(families::ROCKETMQ_RETRY_PREFIX);
    let (kind, group) = match retry {
        Some(group) => (CopyKind::Retry, group),
        None => (CopyKind::DeadLetter, destination.strip_prefix(families::ROCKETMQ_DEAD_LETTER_PREFIX)?),
    };
    Some(Original {
        family: Family::RocketMq,
        destination: text(headers, families::ROCKETMQ_TOPIC).unwrap_or_default(),
        message_id: text(headers, families::ROCKETMQ_MESSAGE_ID).unwrap_or_default(),
        group: group.to_owned(),
        attempts: count(headers, families::ROCKETMQ_RECONSUMED),
        ..Original::new(kind)
    })
}

fn count(headers: &dyn Headers, name: &str) -> Option<u32> {
    number(headers, name, Numbers::Text, 4).and_then(|count| u32::try_from(count).ok())
}

fn text(headers: &dyn Headers, name: &str) -> Option<String> {
    last(headers, name, |value| {
        let value = &value[..value.len().min(TEXT_BYTES_MAX)];
        // A character that the cut went through is cut off whole.
        let text = match std::str::from_utf8(value) {
            Err(error) if error.error_len().is_none() => {
                String::from_utf8_lossy(&value[..error.valid_up_to()])
            }
            _ => String::from_utf8_lossy(value),
        };
        Some(text.into_owned())
    })
}

/// A whole number in decimal text or, where the family writes it so, in that many big-endian bytes. Digits are text,
/// whatever their number: as bytes they would be a partition or an offset that no topic has.
fn number(headers: &dyn Headers, name: &str, numbers: Numbers, bytes: usize) -> Option<i64> {
    last(headers, name, |value| {
        let decimal = || std::str::from_utf8(value).ok()?.trim().parse().ok();
        let binary = || match (numbers, value.len()) {
            (Numbers::Binary, 4) if bytes == 4 => Some(i32::from_be_bytes(value.try_into().ok()?).into()),
            (Numbers::Binary, 8) if bytes == 8 => Some(i64::from_be_bytes(value.try_into().ok()?)),
            // Spring before 2.8.4 counted the attempts of retry topics in one byte.
            (Numbers::Binary, 1) if bytes == 4 => Some(i64::from(*value.first()?)),
            _ => None,
        };
        decimal().or_else(binary).filter(|number| *number >= 0)
    })
}

/// What the last value of that header that means something means.
fn last<T>(headers: &dyn Headers, name: &str, meaning: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    if name.is_empty() {
        return None;
    }
    let mut found = None;
    headers.get_all(name, &mut |value| {
        if let Some(meant) = value.and_then(&meaning) {
            found = Some(meant);
        }
    });
    found
}
