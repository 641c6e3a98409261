//! What the tests of this crate have in common: an exchange and queues of their own on a real RabbitMQ, whose address
//! is in `HOPSCOPE_TEST_AMQP`.

pub mod proxy;

use expect_test::Expect;
use futures::StreamExt;
use hopscope_lapin::{Traced, TracedChannel, TracedConsumer};
use hopscope_sdk::kit::{self, Recorder};
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use opentelemetry_sdk::trace::SpanData;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// Longest wait for anything that the broker does.
pub const WAIT: Duration = Duration::from_secs(30);

/// What differs from run to run.
pub const MASKED: [&str; 2] = ["messaging.rabbitmq.message.delivery_tag", "hopscope.retry.delay_ms"];

pub struct Bench {
    pub recorder: Recorder,
    pub connection: Connection,
    pub channel: TracedChannel,
    /// Exchange of this test alone, and the beginning of its queues' names.
    pub name: String,
}

impl Bench {
    pub async fn new(test: &str) -> Self {
        Self::at(&kit::broker("HOPSCOPE_TEST_AMQP"), test).await
    }

    pub async fn at(address: &str, test: &str) -> Self {
        let recorder = Recorder::default();
        let connection =
            Connection::connect(address, ConnectionProperties::default()).await.expect("connect");
        let channel = connection.create_channel().await.expect("channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirm_select");
        let name = kit::unique(test);
        let channel =
            TracedChannel::new(channel).with_telemetry(recorder.telemetry()).with_key_headers(["order"]);
        Self { recorder, connection, channel, name }
    }

    pub fn raw(&self) -> &Channel {
        self.channel.inner()
    }

    /// Another channel, without confirms.
    pub async fn another(&self) -> TracedChannel {
        let channel = self.connection.create_channel().await.expect("channel");
        TracedChannel::new(channel).with_telemetry(self.recorder.telemetry())
    }

    /// The exchange and a work queue, bound under the key `pay`.
    pub async fn topology(&self, arguments: FieldTable) {
        let exchange = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
        self.raw()
            .exchange_declare(self.exchange(), ExchangeKind::Topic, exchange, FieldTable::default())
            .await
            .expect("exchange");
        self.declare(&self.queue("work"), arguments).await;
        self.bind(&self.queue("work"), "pay").await;
    }

    pub async fn bind(&self, queue: &ShortString, key: &str) {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let bind = self.raw().queue_bind(queue.clone(), self.exchange(), key.into(), options, arguments);
        bind.await.expect("bind");
    }

    pub async fn declare(&self, queue: &ShortString, arguments: FieldTable) {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.raw().queue_declare(queue.clone(), durable, arguments).await.expect("queue");
    }

    pub fn exchange(&self) -> ShortString {
        self.name.as_str().into()
    }

    pub fn queue(&self, which: &str) -> ShortString {
        format!("{}.{which}", self.name).into()
    }

    pub async fn publish(&self, properties: BasicProperties) -> lapin::Confirmation {
        let options = BasicPublishOptions::default();
        let publish =
            self.channel.basic_publish(self.exchange(), "pay".into(), options, b"{\"n\":1}", properties);
        publish.await.expect("publish").await.expect("confirm")
    }

    /// Publishes that many, `0` and on as payload.
    pub async fn fill(&self, messages: usize) {
        for number in 0..messages {
            let (options, payload) = (BasicPublishOptions::default(), number.to_string());
            let publish = self.channel.basic_publish(
                self.exchange(),
                "pay".into(),
                options,
                payload.as_bytes(),
                BasicProperties::default(),
            );
            publish.await.expect("publish").await.expect("confirm");
        }
    }

    pub async fn consume(&self, queue: ShortString) -> TracedConsumer {
        self.channel
            .basic_consume(queue, "worker".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .expect("consume")
    }

    /// Gets until there is one.
    pub async fn get(&self, queue: &ShortString) -> Traced<BasicGetMessage> {
        in_time(async {
            loop {
                let got = self.channel.basic_get(queue.clone(), BasicGetOptions::default()).await;
                match got.expect("get") {
                    Some(message) => break message,
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await
    }

    /// How many messages lie in the queue, ready, and how many consumers it has.
    pub async fn ready(&self, queue: &ShortString) -> (u32, u32) {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = self.raw().queue_declare(queue.clone(), passive, FieldTable::default()).await;
        let queue = declared.expect("a queue");
        (queue.message_count(), queue.consumer_count())
    }

    /// Waits until that many are ready.
    pub async fn until_ready(&self, queue: &ShortString, messages: u32) {
        in_time(async {
            while self.ready(queue).await.0 != messages {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Deletes the queues and says which spans there were, in order of their end.
    pub async fn finish(self, queues: &[&str]) -> Vec<SpanData> {
        for queue in queues {
            self.raw().queue_delete(self.queue(queue), QueueDeleteOptions::default()).await.expect("delete");
        }
        self.connection.close(200, "".into()).await.expect("close");
        self.recorder.finished()
    }
}

pub async fn next(consumer: &mut TracedConsumer) -> Traced<Delivery> {
    in_time(consumer.next()).await.expect("an open consumer").expect("a delivery")
}

/// Fails where it takes too long.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, future).await.expect("in time")
}

/// Every span with all that is on it.
pub fn check(spans: &[SpanData], name: &str, expected: &Expect) {
    expected.assert_eq(&kit::spans(spans, &MASKED, &[(name, "<test>")]));
}

/// Every span, and of what is on it only these attributes, and links and errors.
pub fn check_only(spans: &[SpanData], name: &str, attributes: &[&str], expected: &Expect) {
    let text = kit::spans(spans, &MASKED, &[(name, "<test>")]);
    let is_shown = |line: &&str| match line.trim_start().split_once(" = ") {
        Some((key, _)) if line.starts_with("  ") => attributes.contains(&key),
        _ => true,
    };
    let shown: String = text.lines().filter(is_shown).map(|line| format!("{line}\n")).collect();
    expected.assert_eq(&shown);
}

/// The spans of that operation (`process`).
pub fn of<'s>(spans: &'s [SpanData], operation: &str) -> Vec<&'s SpanData> {
    spans.iter().filter(|span| span.name.split(' ').next() == Some(operation)).collect()
}

pub fn attribute(span: &SpanData, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}

pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub fn arguments<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), value);
    }
    table
}

pub fn quorum() -> FieldTable {
    arguments([("x-queue-type", text("quorum"))])
}

pub fn properties() -> BasicProperties {
    let raw = AMQPValue::LongString(b"\xff\x00".to_vec().into());
    let headers = arguments([("order", text("order-1")), ("raw", raw)]);
    BasicProperties::default().with_message_id("pay-1".into()).with_headers(headers)
}

pub fn to_default_exchange(queue: &ShortString) -> FieldTable {
    arguments([("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(queue.as_str()))])
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

pub fn payload(message: &Traced<Delivery>) -> String {
    String::from_utf8_lossy(&message.message().data).into_owned()
}
