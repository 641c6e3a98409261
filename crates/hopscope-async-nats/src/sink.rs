//! [`NatsSink`]: trace data as messages on a subject.

use async_nats::connection::State;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, HeaderMap, client};
use hopscope_sdk::setup::{MESSAGE_BYTES_MAX, SinkFuture, TRACE_TOPIC, TopicError, TopicSink};
use std::error::Error;

/// Trace data as messages on a subject, `hopscope.trace` unless [`to`](Self::to) says otherwise. The server reads it with
/// `receive_nats`.
///
/// ```no_run
/// use hopscope_async_nats::NatsSink;
/// use hopscope_sdk::setup::{Export, Setup};
/// # fn example(client: async_nats::Client) -> Result<(), hopscope_sdk::setup::Error> {
/// let export = Export::topic(NatsSink::jetstream(async_nats::jetstream::new(client)));
/// let telemetry = Setup { service: "packing".into(), export, ..Setup::default() }.init()?;
/// # Ok(()) }
/// ```
///
/// What the server finds too long is sent in shorter ones; anything else is sent again. The connection is the client's:
/// it comes back by itself.
#[derive(Debug)]
pub struct NatsSink {
    target: Target,
    subject: String,
}

#[derive(Debug)]
enum Target {
    JetStream(jetstream::Context),
    Core(Client),
}

impl NatsSink {
    /// Into the stream that has the subject, which must exist. A message is delivered at the acknowledgement.
    pub fn jetstream(jetstream: jetstream::Context) -> Self {
        Self { target: Target::JetStream(jetstream), subject: TRACE_TOPIC.to_owned() }
    }

    /// On core NATS: at most once. A message is delivered when it has left for the server, because nobody acknowledges
    /// it; what goes on a connection that is about to break, or has no subscriber, is lost and not counted.
    pub fn core(client: Client) -> Self {
        Self { target: Target::Core(client), subject: TRACE_TOPIC.to_owned() }
    }

    /// The same, on that subject.
    #[must_use]
    pub fn to(self, subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..self }
    }

    fn client(&self) -> Client {
        match &self.target {
            Target::JetStream(jetstream) => jetstream.client(),
            Target::Core(client) => client.clone(),
        }
    }
}

/// What the headers take, about; they count as part of the message.
const AROUND_BYTES: usize = 1024;

impl TopicSink for NatsSink {
    fn send<'a>(&'a self, body: Vec<u8>, headers: &'a [(&'a str, &'a str)]) -> SinkFuture<'a> {
        Box::pin(async move {
            // The client would keep it for when the connection is back, beside the export that keeps it already.
            if self.client().connection_state() != State::Connected {
                return Err(TopicError::Later("not connected".into()));
            }
            let mut map = HeaderMap::new();
            headers.iter().for_each(|(name, value)| map.insert(*name, *value));
            let subject = self.subject.clone();
            match &self.target {
                Target::JetStream(jetstream) => {
                    let sent = jetstream.publish_with_headers(subject, map, body.into()).await;
                    sent.map_err(refused)?.await.map_err(refused)?;
                }
                Target::Core(client) => {
                    client.publish_with_headers(subject, map, body.into()).await.map_err(unsendable)?;
                    client.flush().await?;
                }
            }
            Ok(())
        })
    }

    fn message_bytes_max(&self) -> usize {
        let limit = self.client().try_server_info().map_or(usize::MAX, |info| info.max_payload);
        MESSAGE_BYTES_MAX.min(limit.saturating_sub(AROUND_BYTES))
    }
}

fn refused(error: PublishError) -> TopicError {
    let of_server = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    let is_too_long = error.kind() == PublishErrorKind::MaxPayloadExceeded
        || of_server.is_some_and(|error| error.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
    if is_too_long { TopicError::TooLarge(error.into()) } else { TopicError::Later(error.into()) }
}

fn unsendable(error: client::PublishError) -> TopicError {
    match error.kind() {
        client::PublishErrorKind::MaxPayloadExceeded => TopicError::TooLarge(error.into()),
        client::PublishErrorKind::InvalidSubject => TopicError::Never(error.into()),
        client::PublishErrorKind::Send => TopicError::Later(error.into()),
    }
}
