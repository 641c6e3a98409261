//! What the tests share: a client of its own for each, names of its own, and what to look for in spans.

use expect_test::Expect;
use hopscope_rocketmq::{Options, TracedConsumer, TracedProducer};
use hopscope_sdk::kit::{self, Recorder};
use opentelemetry_sdk::trace::SpanData;
use rocketmq_client_rust::{
    ClientConfig, ClientRuntime, ClientRuntimeConfig, DefaultMQProducer, DefaultMQPushConsumer,
    TelemetryHandle,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_single::Message;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longest wait for anything that the broker does: its first retry comes after 10 s.
pub const WAIT: Duration = Duration::from_secs(60);

/// What differs from run to run.
pub const MASKED: &[&str] = &[
    "server.port",
    "hopscope.broker_time",
    "hopscope.origin_time",
    "messaging.message.id",
    "messaging.rocketmq.offset_message_id",
    "messaging.rocketmq.queue.id",
    "messaging.rocketmq.queue.offset",
    "hopscope.copied_from.message_id",
];

pub struct Bench {
    pub recorder: Recorder,
    pub config: ClientConfig,
    pub runtime: Arc<ClientRuntime>,
    owner: RuntimeOwner,
    /// Topic and consumer group of this test alone.
    pub topic: String,
    pub group: String,
}

impl Bench {
    pub fn new() -> Self {
        let config = ClientConfig {
            namesrv_addr: Some(kit::broker("HOPSCOPE_TEST_ROCKETMQ").into()),
            vip_channel_enabled: false,
            poll_name_server_interval: 10_000,
            ..ClientConfig::default()
        };
        let owner = RuntimeOwner::plan(RuntimeConfig::default()).expect("a plan").build().expect("a runtime");
        let runtime = ClientRuntime::try_new(
            owner.root_context().component("client"),
            ClientRuntimeConfig::default(),
            TelemetryHandle::noop(),
        );
        let runtime = runtime.expect("a client runtime");
        let (topic, group) = (kit::unique("notify"), kit::unique("mailer"));
        Self { recorder: Recorder::default(), config, runtime, owner, topic, group }
    }

    pub async fn producer(&self) -> TracedProducer {
        let producer = DefaultMQProducer::builder(self.runtime.clone())
            .client_config(self.config.clone())
            .producer_group(kit::unique("producer"))
            // The client's three seconds are short on a busy machine.
            .send_msg_timeout(10_000)
            .build();
        let mut producer = TracedProducer::new(producer).with_telemetry(self.recorder.telemetry());
        producer.inner_mut().start().await.expect("start");
        producer
    }

    pub fn message(&self) -> Message {
        let topic = self.topic.as_str();
        Message::builder().topic(topic).tags("mail").key("order-1").body_slice(b"{}").build_unchecked()
    }

    pub async fn consumer(&self, topic: &str, group: &str) -> TracedConsumer {
        let consumer = DefaultMQPushConsumer::builder(self.runtime.clone())
            .client_config(self.config.clone())
            .consumer_group(group)
            .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
            .max_reconsume_times(1)
            .build();
        let mut consumer = TracedConsumer::new(consumer).with_telemetry(self.recorder.telemetry());
        consumer.inner_mut().subscribe(topic, "*").await.expect("subscribe");
        consumer
    }

    pub fn check(&self, spans: &[SpanData], expected: &Expect) {
        let names = [(self.topic.as_str(), "notify"), (self.group.as_str(), "mailer")];
        expected.assert_eq(&kit::spans(spans, MASKED, &names));
    }

    /// An orderly shutdown would wait half a minute for the producers that the test still holds.
    pub fn close(self) {
        self.owner.shutdown_background();
    }
}

pub fn told() -> (UnboundedSender<u32>, UnboundedReceiver<u32>) {
    unbounded_channel()
}

pub async fn next(calls: &mut UnboundedReceiver<u32>) -> u32 {
    tokio::time::timeout(WAIT, calls.recv()).await.expect("a call in time").expect("a listener")
}

/// The time to stop, where one message is all there is.
pub async fn called_once(calls: &mut UnboundedReceiver<u32>) {
    next(calls).await;
}

pub fn attribute(span: &SpanData, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}

/// The spans whose names begin so, in the order of their ends.
pub fn named<'a>(spans: &'a [SpanData], begin: &str) -> Vec<&'a SpanData> {
    spans.iter().filter(|span| span.name.starts_with(begin)).collect()
}

/// One attribute of each.
pub fn all(spans: &[&SpanData], name: &str) -> Vec<String> {
    spans.iter().map(|span| attribute(span, name)).collect()
}

/// The body, as text.
pub fn body(message: &MessageExt) -> String {
    message.body().map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default()
}

/// Retries soon; the levels are those that the test broker is set to.
pub fn options() -> Options {
    Options {
        delay_levels: [1, 2, 3, 5].map(Duration::from_secs).to_vec(),
        drain: Duration::from_secs(5),
        ..Options::default()
    }
}
