//! [`AmqpSink`]: trace data as messages on a queue.

use hopscope_sdk::setup::{MESSAGE_BYTES_MAX, SinkFuture, TRACE_TOPIC, TopicError, TopicSink};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind};
use tokio::sync::Mutex;

/// Trace data as messages on a queue, `hopscope.trace` unless [`to_queue`](Self::to_queue) or
/// [`to_exchange`](Self::to_exchange) says otherwise. The server reads it with `receive_amqp`.
///
/// ```no_run
/// use hopscope_lapin::{AmqpSink, lapin::ConnectionProperties};
/// use hopscope_sdk::setup::{Export, Setup};
/// # fn example() -> Result<(), hopscope_sdk::setup::Error> {
/// let sink = AmqpSink::new("amqp://rabbit:5672/%2f", ConnectionProperties::default());
/// let telemetry =
///     Setup { service: "payment".into(), export: Export::topic(sink), ..Setup::default() }.init()?;
/// # Ok(()) }
/// ```
///
/// It has a connection of its own, made at the first message and again when it is lost: RabbitMQ blocks connections that
/// publish when it runs short of memory, and the application's is not to be one of them. A message is persistent, and
/// delivered when the broker has confirmed it. One that no queue gets is returned, and sent again: somebody may bind
/// one. What RabbitMQ finds too long is sent in shorter ones.
pub struct AmqpSink {
    uri: String,
    properties: ConnectionProperties,
    exchange: ShortString,
    routing_key: ShortString,
    /// While a message is on its way it is not here: whatever ends that early, the next one has a connection of its own.
    open: Mutex<Option<Open>>,
}

struct Open {
    /// Its channel lives as long as it does.
    connection: Connection,
    channel: Channel,
}

impl AmqpSink {
    /// To the broker at that address. Nothing is connected yet.
    pub fn new(uri: impl Into<String>, properties: ConnectionProperties) -> Self {
        Self {
            uri: uri.into(),
            properties,
            exchange: ShortString::default(),
            routing_key: TRACE_TOPIC.into(),
            open: Mutex::default(),
        }
    }

    /// The same, to that queue by the default exchange. Where there is none it is made, durable; one that exists is taken
    /// as it is, whatever its kind.
    #[must_use]
    pub fn to_queue(self, queue: impl Into<ShortString>) -> Self {
        Self { exchange: ShortString::default(), routing_key: queue.into(), ..self }
    }

    /// The same, to that exchange with that routing key. Nothing is made.
    #[must_use]
    pub fn to_exchange(self, exchange: impl Into<ShortString>, routing_key: impl Into<ShortString>) -> Self {
        Self { exchange: exchange.into(), routing_key: routing_key.into(), ..self }
    }

    async fn open(&self) -> lapin::Result<Open> {
        let connection = Connection::connect(&self.uri, self.properties.clone()).await?;
        if self.exchange.as_str().is_empty() {
            self.declare(&connection).await?;
        }
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Open { connection, channel })
    }

    async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        for (passive, durable) in [(true, false), (false, true)] {
            // The broker closes a channel on which something was asked for that is not there.
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions { passive, durable, ..QueueDeclareOptions::default() };
            let queue = self.routing_key.clone();
            match channel.queue_declare(queue, options, FieldTable::default()).await {
                Ok(_) => return channel.close(200, ShortString::default()).await,
                Err(error) if durable => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Open {
    async fn publish(
        &self,
        sink: &AmqpSink,
        body: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<Confirmation> {
        let (exchange, routing_key) = (sink.exchange.clone(), sink.routing_key.clone());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.channel.basic_publish(exchange, routing_key, options, body, properties).await?.await
    }
}

impl TopicSink for AmqpSink {
    fn send<'a>(&'a self, body: Vec<u8>, headers: &'a [(&'a str, &'a str)]) -> SinkFuture<'a> {
        Box::pin(async move {
            let mut place = self.open.lock().await;
            let open = match place.take() {
                Some(open) if open.connection.status().connected() => open,
                _ => self.open().await?,
            };
            match open.publish(self, &body, properties(headers)).await {
                Ok(Confirmation::Ack(None)) => {
                    *place = Some(open);
                    Ok(())
                }
                Ok(answer) => {
                    *place = Some(open);
                    Err(TopicError::Later(not_taken(&answer).into()))
                }
                // The channel is closed. This is all that a publish is told of its own size.
                Err(error) if is_precondition_failed(&error) => Err(TopicError::TooLarge(error.into())),
                Err(error) => Err(TopicError::Later(error.into())),
            }
        })
    }

    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }
}

/// AMQP has properties for the first two.
fn properties(headers: &[(&str, &str)]) -> BasicProperties {
    let (mut properties, mut table) =
        (BasicProperties::default().with_delivery_mode(PERSISTENT), FieldTable::default());
    for (name, value) in headers {
        properties = match *name {
            "content-type" => properties.with_content_type((*value).into()),
            "content-encoding" => properties.with_content_encoding((*value).into()),
            _ => {
                table.insert((*name).into(), AMQPValue::LongString((*value).into()));
                properties
            }
        };
    }
    properties.with_headers(table)
}

/// It is written to disk on a queue that is durable.
const PERSISTENT: u8 = 2;

fn not_taken(answer: &Confirmation) -> String {
    match answer {
        Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message)) => {
            format!("returned, reason={} {}", message.reply_code, message.reply_text)
        }
        Confirmation::Nack(None) => "refused by the queue".to_owned(),
        Confirmation::Ack(None) | Confirmation::NotRequested => "not confirmed".to_owned(),
    }
}

fn is_precondition_failed(error: &lapin::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ProtocolError(error)
            if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
    )
}

impl std::fmt::Debug for AmqpSink {
    /// Without the address: a password may be in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (exchange, routing_key) = (self.exchange.as_str(), self.routing_key.as_str());
        f.debug_struct("AmqpSink")
            .field("exchange", &exchange)
            .field("routing_key", &routing_key)
            .finish_non_exhaustive()
    }
}
