//! JetStream's answers to a delivery, recorded.

use crate::Received;
use async_nats::client::PublishError;
use async_nats::jetstream::{AckKind, Message};
use async_nats::{Error, RequestError};
use hopscope_sdk::opentelemetry::KeyValue;
use hopscope_sdk::{Declared, Disposition, Failure, Settling};

/// Longest reason that is given with a `+TERM`, bytes.
const REASON_BYTES_MAX: usize = 256;

impl Received {
    /// Any answer, with the [`Declared`] outcome of its handler. The settle span ends when it is sent: the server does not
    /// confirm it (`hopscope.confirmed = false`). With `AckPolicy::All` an acknowledgement also carries
    /// `hopscope.progress.next`.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn settle(&self, declared: Declared, kind: AckKind) -> Result<(), Error> {
        let settling = self.begin(declared, kind);
        finish(settling, self.message().ack_with(kind).await, Settling::sent)
    }

    /// `+ACK`, and waits until the server has confirmed it.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn double_ack(&self, declared: Declared) -> Result<(), Error> {
        let settling = self.begin(declared, AckKind::Ack);
        finish(settling, confirmed_ack(self.message()).await, Settling::confirm)
    }

    /// `+TERM` with a reason: the server puts it into its advisory `MSG_TERMINATED`.
    ///
    /// # Errors
    /// The client's; it is in the settle span too.
    pub async fn term(&self, declared: Declared, reason: &str) -> Result<(), Error> {
        let settling = self.begin(declared, AckKind::Term);
        finish(settling, term_with(self.message(), reason).await, Settling::sent)
    }

    fn begin(&self, declared: Declared, kind: AckKind) -> Settling {
        let (operation, disposition) = of(kind);
        let settling = declared.settle_as(operation, disposition);
        if let AckKind::Nak(Some(delay)) = kind
            && let Ok(delay_ms) = i64::try_from(delay.as_millis())
        {
            settling.set_attribute(KeyValue::new("messaging.nats.nak_delay_ms", delay_ms));
        }
        match self.next_after() {
            Some(next) if disposition == Disposition::Accept => settling.up_to(next),
            _ => settling,
        }
    }
}

/// What it is called, and what it asks.
pub(crate) fn of(kind: AckKind) -> (&'static str, Disposition) {
    match kind {
        AckKind::Ack | AckKind::Next => ("ack", Disposition::Accept),
        AckKind::Nak(_) => ("nak", Disposition::Retry),
        AckKind::Term => ("term", Disposition::Reject),
        // Asks for more time, and so for the message to stay with this consumer.
        AckKind::Progress => ("progress", Disposition::Retry),
    }
}

/// For people who read advisories: one line.
pub(crate) fn reason(failure: &Failure) -> String {
    format!("{}: {}", failure.kind(), failure.message())
}

fn finish(settling: Settling, result: Result<(), Error>, done: impl FnOnce(Settling)) -> Result<(), Error> {
    match &result {
        Ok(()) => done(settling),
        Err(error) => settling.fail(failure(error)),
    }
    result
}

/// The client's own double ack takes any answer for a confirmation, also "no responders": that the consumer is gone.
/// A request tells the two apart.
async fn confirmed_ack(message: &Message) -> Result<(), Error> {
    let Some(reply) = message.reply.clone() else { return message.double_ack().await };
    message.context.client().request(reply, AckKind::Ack.into()).await?;
    Ok(())
}

/// The client has no word for a reason yet.
async fn term_with(message: &Message, reason: &str) -> Result<(), Error> {
    let Some(reply) = message.reply.clone() else { return message.ack_with(AckKind::Term).await };
    let cut = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let body = format!("+TERM {}", cut.replace(char::is_control, " "));
    message.context.client().publish(reply, body.trim_end().to_owned().into()).await?;
    Ok(())
}

/// The kind of the client's error, where it has one.
fn failure(error: &Error) -> Failure {
    let kind = if let Some(error) = error.downcast_ref::<RequestError>() {
        format!("{:?}", error.kind())
    } else if let Some(error) = error.downcast_ref::<PublishError>() {
        format!("{:?}", error.kind())
    } else {
        "_OTHER".to_owned()
    };
    Failure::new(kind, error)
}
