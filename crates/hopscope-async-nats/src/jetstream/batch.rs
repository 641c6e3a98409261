//! Several messages at once.

use super::{TracedJetStream, stored};
use crate::NatsHeaders;
use crate::client::{as_server, failure, template};
use crate::headers::message_id;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::{OutboundMessage, PublishMessage};
use async_nats::jetstream::publish::PublishAck;
use async_nats::subject::ToSubject;
use futures::future::join_all;
use hopscope_sdk::{Body, Details, Place, SendingBatch};

impl TracedJetStream {
    /// Publishes all of these, and waits for every acknowledgement: one answer a message, in their order. They are on
    /// their way together; the client bounds how many.
    ///
    /// One span for the batch, linked to one `create` span a message, whose context the message carries. A message that
    /// is refused is named by its link, and does the others no harm.
    pub async fn publish_batch<S: ToSubject>(
        &self,
        messages: impl IntoIterator<Item = (S, PublishMessage)>,
    ) -> Vec<Result<PublishAck, PublishError>> {
        let messages: Vec<_> =
            messages.into_iter().map(|(subject, message)| message.outbound_message(subject)).collect();
        let Some(first) = messages.first() else { return Vec::new() };
        let is_one = messages.iter().all(|message| message.subject == first.subject);
        let subject = if is_one { first.subject.clone() } else { "".into() };
        let place = Place::JetStream { subject: &subject, stream: "", sequence: None };
        let details = Details {
            server: as_server(self.server.as_ref()),
            template: template(&subject),
            ..Details::default()
        };
        let mut sending = self.telemetry.send_batch("publish", place, &details);
        let subjects: Vec<_> = messages.iter().map(|message| message.subject.clone()).collect();
        let messages: Vec<_> =
            messages.into_iter().map(|message| self.create(&mut sending, message)).collect();
        let answers = join_all(
            messages
                .into_iter()
                .map(async |(subject, message)| self.inner().send_publish(subject, message).await?.await),
        );
        let answers = answers.await;
        for (number, (answer, subject)) in answers.iter().zip(&subjects).enumerate() {
            match answer {
                Ok(ack) => {
                    stored(subject, ack, |place, details| sending.confirm(number, place, details));
                }
                Err(error) => sending.fail(number, failure(&error.kind(), error)),
            }
        }
        sending.end();
        answers
    }

    fn create(
        &self,
        sending: &mut SendingBatch,
        message: OutboundMessage,
    ) -> (async_nats::Subject, PublishMessage) {
        let OutboundMessage { subject, payload, headers } = message;
        let mut headers = headers.unwrap_or_default();
        let id = message_id(Some(&headers)).to_owned();
        let details = Details {
            server: as_server(self.server.as_ref()),
            message_id: &id,
            body_bytes: Some(payload.len() as u64),
            body: Body(&payload),
            template: template(&subject),
            ..Details::default()
        };
        let place = Place::JetStream { subject: &subject, stream: "", sequence: None };
        sending.create(place, &details, &mut NatsHeaders(&mut headers));
        (subject, PublishMessage::build().payload(payload).headers(headers))
    }
}
