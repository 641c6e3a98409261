//! Trace data on NATS: streams of JetStream, at least once, and subjects of core NATS, which keep nothing.
//!
//! A message of a stream is acknowledged when the store has it and terminated when it never will; while the store is
//! busy the server is told that work goes on. On a subject there is nobody to tell: what does not fit is lost, and
//! counted as far as the client sees it.

use super::Receiver;
use super::otlp::Limits;
use super::topic::{self, Backoff, GOODBYE_MAX, IN_FLIGHT_MAX, LAG_EVERY, Reader, Said, Verdict};
use crate::config::{Config, NatsSource, Start, without_password};
use crate::ingest::Sink;
use crate::{Error, ErrorKind};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, AckKind};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, ServerAddr, Subscriber};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A message without a word for so long is delivered again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages of a subject that wait in the client.
const SUBJECT_MESSAGES_MAX: usize = 4_096;

/// The receiver.
pub struct Nats {
    name: String,
    metrics: Sink,
    servers: Vec<ServerAddr>,
    source: NatsSource,
    limits: Limits,
}

impl Nats {
    /// One for each source of the configuration; `metrics` makes the entrance of its metrics. No server is asked yet.
    pub fn all(config: &Config, metrics: &mut dyn FnMut(&str) -> Sink) -> Result<Vec<Self>, Error> {
        let sources = topic::named("nats", &config.receive_nats, |source| source.name.as_deref());
        sources.map(|(name, source)| Self::new(metrics(&name), name, source, Limits::new(config))).collect()
    }

    fn new(metrics: Sink, name: String, source: &NatsSource, limits: Limits) -> Result<Self, Error> {
        let address = |text: &str| {
            text.trim().parse().map_err(|_| {
                let shown = without_password(text);
                Error::new(ErrorKind::Usage, format!("wrong value setting=receive_nats server={shown}"))
                    .with_hint("it looks like nats://user:password@host:4222, with special characters as %XX")
            })
        };
        let servers = source.servers.split(',').map(address).collect::<Result<_, _>>()?;
        Ok(Self { name, metrics, servers, source: source.clone(), limits })
    }

    async fn client(&self, reader: &Arc<Reader>) -> Result<Client, Lost> {
        let told = Arc::clone(reader);
        let keeps = self.source.stream.is_some();
        let mut options = ConnectOptions::new()
            .name("hopscope")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .subscription_capacity(SUBJECT_MESSAGES_MAX)
            .event_callback(move |event| {
                tell(&told, keeps, &event);
                std::future::ready(())
            });
        if let Some(file) = &self.source.credentials {
            options = options.credentials_file(file).await?;
        }
        if let Some(file) = &self.source.tls_ca {
            options = options.add_root_certificates(file.into());
        }
        if let (Some(cert), Some(key)) = (&self.source.tls_cert, &self.source.tls_key) {
            options = options.add_client_certificate(cert.into(), key.into());
        }
        Ok(options.connect(self.servers.as_slice()).await?)
    }

    /// The client is made once and comes back by itself after a connection was lost.
    async fn open(&self, client: &mut Option<Client>, reader: &Arc<Reader>) -> Result<Opened, Lost> {
        let client = match client {
            Some(client) => client,
            None => client.insert(self.client(reader).await?),
        };
        Ok(match &self.source.stream {
            Some(stream) => Opened::Stream(Box::new(self.consumer(stream, client).await?)),
            None => {
                let (subject, group) = (self.source.subject.clone(), self.source.group.clone());
                Opened::Subject(client.queue_subscribe(subject, group).await?)
            }
        })
    }

    async fn consumer(&self, name: &str, client: &Client) -> Result<PullConsumer, Lost> {
        let stream = jetstream::new(client.clone()).get_stream(name).await?;
        let config = pull::Config {
            durable_name: Some(self.source.group.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: 4 * IN_FLIGHT_MAX as i64,
            filter_subject: self.source.subject.clone(),
            deliver_policy: match self.source.start {
                Start::Earliest => DeliverPolicy::All,
                Start::Latest => DeliverPolicy::New,
            },
            ..pull::Config::default()
        };
        Ok(stream.get_or_create_consumer(&self.source.group, config).await?)
    }

    async fn read_stream(&self, mut consumer: PullConsumer, reader: &Reader) -> Result<(), Lost> {
        let mut messages = consumer.stream().max_messages_per_batch(IN_FLIGHT_MAX).messages().await?;
        reader.connected();
        let mut under_way = FuturesUnordered::new();
        let mut lag = tokio::time::interval(LAG_EVERY);
        loop {
            tokio::select! {
                () = reader.stopped() => break,
                Some(settled) = under_way.next(), if !under_way.is_empty() => settled?,
                message = messages.next(), if under_way.len() < IN_FLIGHT_MAX => match message {
                    Some(message) => {
                        let message = message?;
                        // The client came back by itself, if the connection was lost.
                        reader.connected();
                        under_way.push(settle(reader, message));
                    }
                    None => return Err(Lost("the subscription ended".to_owned())),
                },
                _ = lag.tick() => {
                    reader.lag(consumer.info().await?.num_pending);
                    reader.connected();
                }
            }
        }
        // What was fetched ahead need not wait until its time is over.
        while let Some(Some(Ok(message))) = messages.next().now_or_never() {
            message.ack_with(AckKind::Nak(None)).await?;
        }
        while let Some(settled) = under_way.next().await {
            settled?;
        }
        Ok(())
    }

    async fn read_subject(&self, mut messages: Subscriber, reader: &Reader) -> Result<(), Lost> {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = reader.stopped() => break,
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                message = messages.next(), if under_way.len() < IN_FLIGHT_MAX => match message {
                    Some(message) => under_way.push(take_unkept(reader, message)),
                    None => return Err(Lost("the subscription ended".to_owned())),
                },
            }
        }
        // Nobody keeps what has been delivered already.
        let rest = async {
            if messages.drain().await.is_ok() {
                while let Some(message) = messages.next().await {
                    take_unkept(reader, message).await;
                }
            }
            while under_way.next().await.is_some() {}
        };
        if tokio::time::timeout(GOODBYE_MAX, rest).await.is_err() {
            reader.lost("stopped", "messages of a subject did not arrive before the server stopped");
        }
        Ok(())
    }
}

impl Receiver for Nats {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self, sink: Sink, stop: CancellationToken) {
        let reader = Arc::new(Reader::new(sink, self.metrics.clone(), self.limits, stop));
        let mut pause = Backoff::default();
        let mut client = None;
        loop {
            let Some(opened) = reader.unless_stopped(self.open(&mut client, &reader)).await else { return };
            if opened.is_ok() {
                pause = Backoff::default();
            }
            let read = match opened {
                Ok(Opened::Stream(consumer)) => self.read_stream(*consumer, &reader).await,
                Ok(Opened::Subject(messages)) => self.read_subject(messages, &reader).await,
                Err(lost) => Err(lost),
            };
            let Err(lost) = read else { break };
            reader.disconnected(&lost.0);
            if !reader.waited(pause.longer()).await {
                break;
            }
        }
        // Acknowledgements have left only when the client is flushed. One that is lost costs a second reading.
        if let Some(client) = client {
            let _ = tokio::time::timeout(GOODBYE_MAX, client.flush()).await;
        }
    }
}

/// What a source reads from.
enum Opened {
    Stream(Box<PullConsumer>),
    Subject(Subscriber),
}

/// What the client tells about its connection. Where a stream is read, being connected is not yet reading.
fn tell(reader: &Reader, keeps: bool, event: &Event) {
    match event {
        Event::Connected if !keeps => reader.connected(),
        Event::Disconnected | Event::ServerError(_) | Event::ClientError(_) => {
            reader.disconnected(&event.to_string());
        }
        Event::SlowConsumer(_) => {
            reader
                .lost("overrun", "messages of a subject came faster than they could be stored, and are lost");
        }
        // Nobody but we ourselves closes it, at the end.
        Event::Connected | Event::LameDuckMode | Event::Draining | Event::Closed => {}
    }
}

fn said(headers: Option<&HeaderMap>) -> Said<'_> {
    let mut said = Said::default();
    for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
        if let Some(value) = values.last() {
            said.header(name.as_ref(), value.as_str().as_bytes());
        }
    }
    said
}

async fn settle(reader: &Reader, message: jetstream::Message) -> Result<(), Lost> {
    let place = match message.info() {
        Ok(info) => format!("{}/{}", info.stream, info.stream_sequence),
        Err(_) => message.subject.to_string(),
    };
    let taking = reader.take(said(message.headers.as_ref()), &message.payload, &place);
    let mut taking = std::pin::pin!(taking);
    let verdict = loop {
        match tokio::time::timeout(ACK_WAIT / 3, &mut taking).await {
            Ok(verdict) => break verdict,
            Err(_) => message.ack_with(AckKind::Progress).await?,
        }
    };
    message
        .ack_with(match verdict {
            Verdict::Taken => AckKind::Ack,
            Verdict::Skipped => AckKind::Term,
            Verdict::Kept => AckKind::Nak(None),
        })
        .await?;
    Ok(())
}

async fn take_unkept(reader: &Reader, message: async_nats::Message) {
    let verdict = reader.take(said(message.headers.as_ref()), &message.payload, &message.subject).await;
    if verdict == Verdict::Kept {
        reader.lost("stopped", "a message of a subject was not stored before the server stopped");
    }
}

/// Why a session ended.
struct Lost(String);

impl<E: std::fmt::Display> From<E> for Lost {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
