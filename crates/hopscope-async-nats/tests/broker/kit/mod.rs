//! What the tests of this crate have in common: a stream of their own on a real NATS server.

pub mod proxy;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, Stream};
use expect_test::Expect;
use hopscope_async_nats::{Received, TracedJetStream, TracedMessages};
use hopscope_sdk::kit::{self, Recorder};
use opentelemetry_sdk::trace::SpanData;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// Longest wait for what must come.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// What differs from run to run.
pub const MASKED: &[&str] = &["server.port", "hopscope.broker_time"];

pub struct Bench {
    pub recorder: Recorder,
    pub client: async_nats::Client,
    pub jetstream: TracedJetStream,
    /// The stream's name; its subjects are `{name}.>`.
    pub stream: String,
}

impl Bench {
    pub async fn new() -> Self {
        Self::at(&kit::broker("HOPSCOPE_TEST_NATS")).await
    }

    pub async fn at(address: &str) -> Self {
        let client = async_nats::connect(address).await.expect("a server that answers");
        let recorder = Recorder::default();
        let jetstream = async_nats::jetstream::new(client.clone());
        let jetstream = TracedJetStream::new(jetstream).with_telemetry(recorder.telemetry());
        Self { recorder, client, jetstream, stream: kit::unique("SHIPMENTS") }
    }

    /// Makes the stream.
    pub async fn stream(&self) -> Stream {
        self.stream_of(&self.stream, format!("{}.>", self.stream)).await
    }

    pub async fn stream_of(&self, name: &str, subjects: String) -> Stream {
        let config =
            stream::Config { name: name.to_owned(), subjects: vec![subjects], ..stream::Config::default() };
        self.jetstream.inner().create_stream(config).await.expect("a new stream")
    }

    /// Makes the stream and a consumer of it.
    pub async fn pull(&self, config: pull::Config) -> PullConsumer {
        let config = pull::Config { durable_name: Some("packing".into()), ..config };
        self.stream().await.create_consumer(config).await.expect("a new consumer")
    }

    pub async fn consumer(&self, ack_policy: AckPolicy) -> TracedMessages<pull::Stream> {
        let consumer = self.pull(pull::Config { ack_policy, ..pull::Config::default() }).await;
        self.jetstream.messages(&consumer).await.expect("messages")
    }

    pub fn subject(&self) -> String {
        format!("{}.new", self.stream)
    }

    pub async fn publish(&self) {
        self.publish_as("s-1").await;
    }

    pub async fn publish_as(&self, id: &str) {
        let message = PublishMessage::build().payload("{}".into()).message_id(id);
        let ack = self.jetstream.send_publish(self.subject(), message).await.expect("sent");
        ack.await.expect("stored");
    }

    /// Publishes that many, `0` and on as payload, to subjects `a` and `b` in turn, without a trace of them.
    pub async fn fill(&self, messages: usize) {
        for number in 0..messages {
            let subject = format!("{}.{}", self.stream, ["a", "b"][number % 2]);
            let ack = self.jetstream.inner().publish(subject, number.to_string().into()).await.expect("sent");
            ack.await.expect("stored");
        }
    }

    /// How many messages are with consumers, and how many were never given to one.
    pub async fn state_of(&self, consumer: &mut PullConsumer) -> (usize, u64) {
        let info = consumer.info().await.expect("a server that answers");
        (info.num_ack_pending, info.num_pending)
    }

    /// Waits until it is so.
    pub async fn until(&self, is_so: impl AsyncFn() -> bool) {
        in_time(async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    pub fn check(&self, expected: Expect) {
        expected.assert_eq(&self.recorder.text(MASKED, &[(&self.stream, "SHIPMENTS")]));
    }

    /// Every span, and of what is on it only these attributes, and links and errors.
    pub fn check_only(&self, attributes: &[&str], expected: Expect) {
        expected.assert_eq(&self.only(attributes));
    }

    pub fn only(&self, attributes: &[&str]) -> String {
        let text = self.recorder.text(MASKED, &[(&self.stream, "SHIPMENTS")]);
        let is_shown = |line: &&str| match line.trim_start().split_once(" = ") {
            Some((key, _)) if line.starts_with("  ") => attributes.contains(&key),
            _ => true,
        };
        text.lines().filter(is_shown).map(|line| format!("{line}\n")).collect()
    }

    /// As [`only`](Self::only), of spans of that operation alone: what goes on beside each other ends in no order.
    pub fn only_of(&self, operation: &str, attributes: &[&str]) -> String {
        let mut is_shown = false;
        let text = self.only(attributes);
        let shown = text.lines().filter(|line| {
            if !line.starts_with(' ') {
                is_shown = line.split(' ').next() == Some(operation);
            }
            is_shown
        });
        shown.map(|line| format!("{line}\n")).collect()
    }

    /// The spans of that operation (`process`).
    pub fn of(&self, operation: &str) -> Vec<SpanData> {
        let mut spans = self.recorder.finished();
        spans.retain(|span| span.name.split(' ').next() == Some(operation));
        spans
    }
}

pub fn attribute(span: &SpanData, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}

pub fn payload(message: &Received) -> String {
    String::from_utf8_lossy(&message.message().payload).into_owned()
}

/// Fails where it takes too long.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("the server answers in time")
}

pub async fn next(messages: &mut TracedMessages<pull::Stream>) -> Received {
    in_time(messages.next()).await.expect("a message").expect("a message")
}

/// What handlers saw, in their order, and a way to wait for it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<(Mutex<Vec<String>>, Notify)>);

impl Seen {
    pub fn note(&self, what: impl Into<String>) -> usize {
        let mut seen = self.0.0.lock().expect("no panic under it");
        seen.push(what.into());
        self.0.1.notify_waiters();
        seen.len()
    }

    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().expect("no panic under it").clone()
    }

    /// Waits until there are that many.
    pub async fn until(&self, count: usize) {
        in_time(async {
            loop {
                let told = self.0.1.notified();
                tokio::pin!(told);
                told.as_mut().enable();
                if self.all().len() >= count {
                    return;
                }
                told.await;
            }
        })
        .await;
    }
}
