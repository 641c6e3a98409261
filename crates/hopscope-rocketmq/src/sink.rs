//! [`RocketMqSink`]: trace data as messages on a topic.

use crate::RocketMqHeaders;
use hopscope_sdk::CarrierMut;
use hopscope_sdk::setup::{MESSAGE_BYTES_MAX, SinkFuture, TopicError, TopicSink};
use rocketmq_client_rust::{ClientError, DefaultMQProducer, SendStatus};
use rocketmq_model::common::message::message_single::Message;
use std::sync::Arc;

/// Trace data as messages on a topic, `hopscope-trace` unless [`to`](Self::to) says otherwise.
///
/// ```no_run
/// use hopscope_rocketmq::RocketMqSink;
/// use hopscope_sdk::setup::{Export, Setup};
/// # fn example(producer: rocketmq_client_rust::DefaultMQProducer) -> Result<(), hopscope_sdk::setup::Error> {
/// let export = Export::topic(RocketMqSink::new(producer));
/// let telemetry = Setup { service: "mailer".into(), export, ..Setup::default() }.init()?;
/// # Ok(()) }
/// ```
///
/// A message is delivered when the broker says `SEND_OK`, or `SLAVE_NOT_AVAILABLE`: then it is stored, and would be stored
/// once more at every further try. What is too long is sent in shorter ones; anything else is sent again.
pub struct RocketMqSink {
    producer: Arc<DefaultMQProducer>,
    topic: String,
}

/// RocketMQ allows no dot in the name of a topic.
const TRACE_TOPIC: &str = "hopscope-trace";

impl RocketMqSink {
    /// By a producer that is started, and may be the application's own; its runtime must live as long as the export.
    pub fn new(producer: impl Into<Arc<DefaultMQProducer>>) -> Self {
        Self { producer: producer.into(), topic: TRACE_TOPIC.to_owned() }
    }

    /// The same, to that topic.
    #[must_use]
    pub fn to(self, topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..self }
    }

    /// What the client itself lets through.
    fn client_bytes_max(&self) -> usize {
        usize::try_from(self.producer.max_message_size()).unwrap_or(usize::MAX)
    }
}

impl TopicSink for RocketMqSink {
    fn send<'a>(&'a self, body: Vec<u8>, headers: &'a [(&'a str, &'a str)]) -> SinkFuture<'a> {
        Box::pin(async move {
            // The client refuses it with an error that it has for much else too.
            let (bytes, bytes_max) = (body.len(), self.client_bytes_max());
            if bytes > bytes_max {
                let why = format!("too long for the producer, bytes={bytes}, bytes_max={bytes_max}");
                return Err(TopicError::TooLarge(why.into()));
            }
            let mut message = Message::builder().topic(self.topic.as_str()).body(body).build_unchecked();
            headers.iter().for_each(|(name, value)| RocketMqHeaders(&mut message).set(name, value));
            let answer = self.producer.send(message).await.map_err(refused)?;
            match answer.map(|answer| answer.send_status) {
                Some(SendStatus::SendOk | SendStatus::SlaveNotAvailable) => Ok(()),
                Some(status) => Err(TopicError::Later(format!("not yet safe, status={status:?}").into())),
                None => Err(TopicError::Later("no answer".into())),
            }
        })
    }

    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX.min(self.client_bytes_max())
    }
}

/// `MESSAGE_ILLEGAL` of the broker: longer than its `maxMessageSize`.
const MESSAGE_ILLEGAL: i32 = 13;

fn refused(error: ClientError) -> TopicError {
    match error.broker_response_code() {
        Some(MESSAGE_ILLEGAL) => TopicError::TooLarge(error.into()),
        _ => TopicError::Later(error.into()),
    }
}

impl std::fmt::Debug for RocketMqSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocketMqSink").field("topic", &self.topic).finish_non_exhaustive()
    }
}
