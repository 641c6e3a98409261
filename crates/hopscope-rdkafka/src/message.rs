//! What is told about a record: on its way out, and when it was received.

use crate::client::Client;
use crate::{KafkaHeaders, ReadHeaders, raw};
use hopscope_sdk::{
    Attribute, Body, CopyKind, Delivery, Details, Place, Sending, Telemetry, Value, dead_letter,
};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::future_producer::{Delivery as Stored, OwnedDeliveryResult};

/// A record on its way out.
pub(crate) struct Outgoing<'a> {
    pub topic: &'a str,
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

impl<'a> Outgoing<'a> {
    pub fn place(&self) -> Place<'a> {
        Place::Kafka { topic: self.topic, partition: self.partition, offset: None }
    }

    /// Hands over what is known of it.
    pub fn with_details<R>(&self, client: &Client, tell: impl FnOnce(&Details<'_>) -> R) -> R {
        let tombstone = tombstone(self.payload);
        tell(&Details {
            // A configuration may be shared with a consumer; a sender has no group.
            group: "",
            attributes: tombstone.as_slice(),
            key: key_text(self.key),
            body_bytes: self.payload.map(|payload| payload.len() as u64),
            body: Body(self.payload.unwrap_or_default()),
            ..client.details()
        })
    }

    /// Starts to send it, with the context in its headers.
    pub fn start(
        &self,
        telemetry: &Telemetry,
        client: &Client,
        headers: &mut Option<OwnedHeaders>,
    ) -> Sending {
        let sending = self.with_details(client, |details| telemetry.send(SEND, self.place(), details));
        sending.inject(&mut KafkaHeaders(headers.get_or_insert_default()));
        sending
    }
}

/// The client's own word for it.
pub(crate) const SEND: &str = "send";

/// Where a record lies, as its delivery report says; its topic is known from before. None: the broker was not asked to
/// answer (`acks=0`).
pub(crate) fn stored_at(partition: i32, offset: i64) -> Option<Place<'static>> {
    (offset >= 0).then_some(Place::Kafka { topic: "", partition: Some(partition), offset: Some(offset) })
}

/// What a delivery report adds to what is known.
pub(crate) fn report_details(client: &Client, timestamp: Timestamp) -> Details<'_> {
    let (broker_time_ns, _) = times_ns(timestamp);
    // The first record of a client goes out before the cluster is known.
    Details { broker_time_ns, cluster: client.details().cluster, ..Details::default() }
}

/// Ends a send with its delivery report.
pub(crate) fn finish(sending: Sending, client: &Client, result: &OwnedDeliveryResult) {
    match result {
        Ok(stored) => finish_stored(sending, client, stored),
        Err((error, _)) => sending.fail(crate::client::failure(error)),
    }
}

pub(crate) fn finish_stored(sending: Sending, client: &Client, stored: &Stored) {
    match stored_at(stored.partition, stored.offset) {
        Some(place) => sending.confirm(place, &report_details(client, stored.timestamp)),
        None => sending.unconfirmed(),
    }
}

/// What is known about a message that was received. `operation`: with a receive of its own, under that name.
pub(crate) fn delivery(
    telemetry: &Telemetry,
    client: &Client,
    message: &BorrowedMessage<'_>,
    operation: Option<&'static str>,
) -> Delivery {
    let headers = ReadHeaders(message.headers());
    // The tables of eight families are asked only where a header looks like one of theirs.
    let original = message
        .headers()
        .filter(|headers| may_be_a_copy(headers))
        .and_then(|_| dead_letter::read(message.topic(), &headers));
    let attempt = original.as_ref().filter(|original| original.kind == CopyKind::Retry);
    let (broker_time_ns, origin_time_ns) = times_ns(message.timestamp());
    let tombstone = tombstone(message.payload());
    let details = Details {
        attributes: tombstone.as_slice(),
        key: key_text(message.key()),
        body_bytes: message.payload().map(|payload| payload.len() as u64),
        body: Body(message.payload().unwrap_or_default()),
        attempt: attempt.and_then(|retry| retry.attempts).map(|made| made.saturating_add(1)),
        broker_time_ns,
        origin_time_ns,
        copied_from: original.as_ref().map(dead_letter::Original::copied_from),
        ..client.details()
    };
    let place = Place::Kafka {
        topic: message.topic(),
        partition: Some(message.partition()),
        offset: Some(message.offset()),
    };
    match operation {
        Some(operation) => telemetry.receive(operation, place, &details, &headers),
        None => telemetry.delivered(place, &details, &headers),
    }
}

/// Whether a header's name begins as those of a dead letter, retry or redrive do.
fn may_be_a_copy(headers: &BorrowedHeaders) -> bool {
    raw::iter(headers).any(|(name, _)| {
        let name = name.to_bytes();
        COPY_PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
        })
    })
}

/// Of the families that write to Kafka.
const COPY_PREFIXES: [&str; 6] =
    ["hopscope-", "kafka_", "retry_topic-", "__connect.errors.", "dead-letter-", "__krafka.dlq."];

/// Broker time and origin time of a record's timestamp, nanoseconds.
fn times_ns(timestamp: Timestamp) -> (Option<i64>, Option<i64>) {
    let ns = |ms: i64| ms.checked_mul(1_000_000);
    match timestamp {
        Timestamp::NotAvailable => (None, None),
        Timestamp::CreateTime(ms) => (None, ns(ms)),
        Timestamp::LogAppendTime(ms) => (ns(ms), None),
    }
}

/// A key that is text. Bytes have no canonical text form, and then the conventions want none.
fn key_text(key: Option<&[u8]>) -> &str {
    key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
}

/// A record without a payload says that its key is deleted. Written only where it is so.
fn tombstone(payload: Option<&[u8]>) -> Option<Attribute<'static>> {
    payload.is_none().then_some(("messaging.kafka.message.tombstone", Value::Bool(true)))
}
