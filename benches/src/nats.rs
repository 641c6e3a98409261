//! async-nats: JetStream, publish acknowledgements and a pull consumer.

use crate::client::{BODY, Client, TRACEPARENT, Tracing, address, unique};
use anyhow::{Context as _, Result};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{self, stream};
use async_trait::async_trait;
use futures::StreamExt as _;
use hopscope_async_nats::TracedJetStream;
use std::hint::black_box;
use std::time::{Duration, Instant};

pub struct Nats {
    name: String,
    has_header: bool,
    jetstream: Side,
    consumer: PullConsumer,
}

enum Side {
    Raw(jetstream::Context),
    Traced(TracedJetStream),
}

impl Nats {
    pub async fn open(tracing: Tracing<'_>) -> Result<Self> {
        let client = async_nats::connect(address("HOPSCOPE_TEST_NATS")?).await?;
        let jetstream = jetstream::new(client);
        let name = unique("bench");
        let config = stream::Config {
            name: name.clone(),
            subjects: vec![name.clone()],
            storage: stream::StorageType::Memory,
            retention: stream::RetentionPolicy::WorkQueue,
            // What only sends does not fill the memory of the server.
            max_messages: 100_000,
            ..stream::Config::default()
        };
        let stream = jetstream.create_stream(config).await?;
        let config = pull::Config {
            durable_name: Some(name.clone()),
            max_ack_pending: 10_000,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await?;
        let jetstream = match tracing {
            Tracing::None | Tracing::Header => Side::Raw(jetstream),
            Tracing::Full(telemetry) => {
                Side::Traced(TracedJetStream::new(jetstream).with_telemetry(telemetry.clone()))
            }
        };
        Ok(Self { name, has_header: tracing.has_header(), jetstream, consumer })
    }
}

#[async_trait(?Send)]
impl Client for Nats {
    async fn send(&self) -> Result<()> {
        let subject = self.name.clone();
        match &self.jetstream {
            Side::Raw(jetstream) if self.has_header => {
                let mut headers = HeaderMap::new();
                headers.insert(TRACEPARENT.0, TRACEPARENT.1);
                let sent = jetstream.publish_with_headers(subject, headers, BODY[..].into());
                sent.await?.await.map(drop)?;
            }
            Side::Raw(jetstream) => jetstream.publish(subject, BODY[..].into()).await?.await.map(drop)?,
            Side::Traced(jetstream) => jetstream.publish(subject, BODY[..].into()).await?.await.map(drop)?,
        }
        Ok(())
    }

    async fn consume(&mut self, messages: usize) -> Result<Duration> {
        let mut first = None;
        match &self.jetstream {
            Side::Raw(_) => {
                let mut stream = self.consumer.messages().await?;
                for _ in 0..messages {
                    let message = stream.next().await.context("the stream has ended")??;
                    first.get_or_insert_with(Instant::now);
                    if self.has_header {
                        black_box(message.headers.as_ref().and_then(|headers| headers.get(TRACEPARENT.0)));
                    }
                    black_box(&message.payload);
                    message.ack().await.map_err(anyhow::Error::from_boxed)?;
                }
            }
            Side::Traced(jetstream) => {
                let mut stream = jetstream.messages(&self.consumer).await?;
                for _ in 0..messages {
                    let message = stream.next().await.context("the stream has ended")??;
                    first.get_or_insert_with(Instant::now);
                    let work = message.process();
                    black_box(&work.message().payload);
                    work.ack().await.map_err(anyhow::Error::from_boxed)?;
                }
            }
        }
        Ok(first.map_or(Duration::ZERO, |first| first.elapsed()))
    }

    async fn close(self: Box<Self>) {
        let jetstream = match &self.jetstream {
            Side::Raw(jetstream) => jetstream,
            Side::Traced(jetstream) => jetstream.inner(),
        };
        let _ = jetstream.delete_stream(&self.name).await;
    }
}
