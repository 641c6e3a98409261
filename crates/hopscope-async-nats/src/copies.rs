//! Copies of messages that failed: [`DeadLetter`], [`TracedJetStream::redrive`].

use crate::{NatsHeaders, Received, TracedJetStream, advisory};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::subject::ToSubject;
use async_nats::{HeaderMap, Subject};
use hopscope_sdk::dead_letter::{self, Edit, Families, Original};
use hopscope_sdk::{CarrierMut, CopiedFrom, CopyKind, Failure, Place};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives up a message by publishing a copy of it to a subject: payload and headers as they are, and headers that say
/// which message it was and why it is there ([`hopscope_sdk::dead_letter`]).
///
/// A copy has none of the original's `Nats-*` headers: they are orders to the server (duplicates, expectations, time to
/// live, roll-up) that were meant for one publish. Its own `Nats-Msg-Id` names the original's place and the consumer, so
/// that a message that is given up twice, because the first time nobody heard of it, is stored once.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    jetstream: TracedJetStream,
    subject: Subject,
    families: Families,
}

impl DeadLetter {
    /// Copies go to that subject. A stream must take it, best another one than the original's.
    pub fn to(jetstream: TracedJetStream, subject: impl ToSubject) -> Self {
        Self { jetstream, subject: subject.to_subject(), families: Families::usual("nats") }
    }

    /// A usual name for it: `dlt.packing.shipments.new`. The subject comes last: whatever begins with it would be taken by
    /// the stream of `shipments.>` too.
    pub fn name(subject: &str, consumer: &str) -> String {
        format!("dlt.{consumer}.{subject}")
    }

    /// Whose headers are written; ours alone unless chosen otherwise.
    #[must_use]
    pub fn with_families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// The subject.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Publishes the copy, as a child of the current span, and waits until it is stored. `attempts`: how many were made.
    /// Then declare the message as failed, and [`term`](Received::term) it.
    ///
    /// # Errors
    /// The client's: there is no copy, and the message must not be settled.
    pub async fn send(
        &self,
        message: &Received,
        attempts: u32,
        failure: &Failure,
    ) -> Result<(PublishAck, Original), PublishError> {
        let delivery = message.delivery();
        let original =
            delivery.with_details(|details| Original::dead_letter(delivery.place(), details, failure));
        let original = Original {
            attempts: Some(attempts),
            context: delivery.origin().context.clone(),
            first_failed_ns: now_ns(),
            ..original
        };
        let mut headers = message.message().headers.clone().unwrap_or_default();
        let edit = dead_letter::mark(&original, &self.families, &NatsHeaders(&headers));
        let group = &original.group;
        prepare(&mut headers, &edit, copy_id(delivery.place(), group));
        let copy = publish_message(message, headers);
        let ack = self.jetstream.send_copy(self.subject.clone(), copy, Some(original.copied_from())).await?;
        Ok((ack.await?, original))
    }
}

impl TracedJetStream {
    /// Publishes a dead letter back to where its message was published, whoever wrote it: without the headers that make
    /// it a dead letter, with those that say out of which one it came and how often. `to` where its headers do not
    /// say, or somewhere else is wanted.
    ///
    /// Its `Nats-Msg-Id` names the dead letter's place: the stream would take the original's for a duplicate of what
    /// failed, and one dead letter that is sent back twice in its window is stored once.
    ///
    /// Of an advisory of the server ([`MAX_DELIVERIES` and `MSG_TERMINATED`](crate#what-the-server-itself-gives-up)) it is the
    /// message that the advisory names, fetched from its stream, which all consumers of that stream get again.
    ///
    /// # Errors
    /// The client's; `PublishErrorKind::Other` where nobody says where to, or the message is gone.
    pub async fn redrive(&self, message: &Received, to: Option<&str>) -> Result<PublishAck, PublishError> {
        let of_advisory = advisory::original(&message.message().subject, &message.message().payload);
        if let Some(original) = of_advisory {
            return self.publish_again(message, original, to).await;
        }
        let delivery = message.delivery();
        let mut headers = message.message().headers.clone().unwrap_or_default();
        let back = delivery
            .with_details(|details| dead_letter::redrive(delivery.place(), details, &NatsHeaders(&headers)));
        let known = back.to.as_ref().map(subject_of);
        let Some(to) = to.or(known).filter(|subject| !subject.is_empty()).map(Subject::from) else {
            let hint = "the headers do not say where the message was published";
            return Err(PublishError::with_source(PublishErrorKind::Other, hint));
        };
        prepare(&mut headers, &back.edit, copy_id(delivery.place(), ""));
        let copy = publish_message(message, headers);
        // How often the reader of the dead letters was given this one says nothing of the message.
        let of = CopiedFrom { attempts: None, ..delivery.as_original(CopyKind::Redrive) };
        self.send_copy(to, copy, Some(of)).await?.await
    }

    /// The message that an advisory names.
    async fn publish_again(
        &self,
        advisory: &Received,
        original: Original,
        to: Option<&str>,
    ) -> Result<PublishAck, PublishError> {
        let gone = |error: async_nats::Error| PublishError::with_source(PublishErrorKind::Other, error);
        let sequence =
            original.position.and_then(|position| u64::try_from(position).ok()).unwrap_or_default();
        let stream = self.inner().get_stream_no_info(&original.destination).await;
        let stored = stream.map_err(|error| gone(error.into()))?.get_raw_message(sequence).await;
        let stored = stored.map_err(|error| gone(error.into()))?;
        let delivery = advisory.delivery();
        let mut headers = stored.headers;
        let edit = delivery
            .with_details(|details| dead_letter::redrive(delivery.place(), details, &NatsHeaders(&headers)))
            .edit;
        let context = self.telemetry.formats().extract(&NatsHeaders(&headers)).context;
        prepare(&mut headers, &edit, copy_id(delivery.place(), ""));
        let copy = PublishMessage::build().payload(stored.payload).headers(headers);
        let of = CopiedFrom {
            attempts: None,
            context: context.as_ref(),
            ..delivery.as_original(CopyKind::Redrive)
        };
        let to = to.map_or(stored.subject, Subject::from);
        self.send_copy(to, copy, Some(of)).await?.await
    }
}

/// The message that this one is a copy of, as its headers say.
pub(crate) fn original(subject: &str, headers: Option<&HeaderMap>) -> Option<Original> {
    let headers = headers.filter(|headers| may_be_a_copy(headers));
    headers.and_then(|headers| dead_letter::read(subject, &NatsHeaders(headers)))
}

/// The tables of eight families are asked only where a header looks like one of theirs.
fn may_be_a_copy(headers: &HeaderMap) -> bool {
    let begins = |name: &str, prefix: &str| {
        name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    headers.iter().any(|(name, _)| COPY_PREFIXES.iter().any(|prefix| begins(name.as_ref(), prefix)))
}

/// Of the families that anybody may have bridged to NATS.
const COPY_PREFIXES: [&str; 7] =
    ["hopscope-", "kafka_", "retry_topic-", "__connect.errors.", "dead-letter-", "__krafka.dlq.", "x-"];

/// A stream is known by its name, its messages by their subjects.
fn subject_of(original: &Original) -> &str {
    if original.address.is_empty() { &original.destination } else { &original.address }
}

fn prepare(headers: &mut HeaderMap, edit: &Edit, id: Option<String>) {
    let mut headers = NatsHeaders(headers);
    headers.remove(&|name| {
        name.get(..ORDERS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(ORDERS.as_bytes()))
    });
    edit.apply(&mut headers);
    if let Some(id) = id {
        CarrierMut::set(&mut headers, "Nats-Msg-Id", &id);
    }
}

/// How the server's own headers begin.
const ORDERS: &str = "Nats-";

/// `SHIPMENTS:4711:packing`.
fn copy_id(place: Place<'_>, group: &str) -> Option<String> {
    let Place::JetStream { stream, sequence: Some(sequence), .. } = place else { return None };
    let separator = if group.is_empty() { "" } else { ":" };
    Some(format!("{stream}:{sequence}{separator}{group}"))
}

fn publish_message(message: &Received, headers: HeaderMap) -> PublishMessage {
    PublishMessage::build().payload(message.message().payload.clone()).headers(headers)
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a message first failed is told in wall-clock time, across processes"
)]
fn now_ns() -> Option<i64> {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}
