//! What the tests of this crate have in common: a topic and a group of their own on a real Kafka.

pub mod proxy;

use expect_test::Expect;
use hopscope_rdkafka::{Received, TracedBaseConsumer, TracedConsumer, TracedProducer};
use hopscope_sdk::kit::{self, Recorder};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longest wait for what must come.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// What differs from run to run.
pub const MASKED: &[&str] =
    &["server.port", "hopscope.broker_time", "hopscope.origin_time", "messaging.kafka.cluster.id"];

/// A topic, a group, and the spans of this test.
pub struct Bench {
    pub recorder: Recorder,
    pub topic: String,
    pub config: ClientConfig,
}

impl Bench {
    /// With one partition.
    pub async fn new(topic_config: &[(&str, &str)]) -> Self {
        Self::with_partitions(1, topic_config).await
    }

    pub async fn with_partitions(partitions: i32, topic_config: &[(&str, &str)]) -> Self {
        let topic = kit::unique("orders");
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kit::broker("HOPSCOPE_TEST_KAFKA"))
            .set("client.id", "bench")
            .set("group.id", kit::unique("payment"))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false");
        let bench = Self { recorder: Recorder::default(), topic, config };
        bench.make(&bench.topic, partitions, topic_config).await;
        bench
    }

    /// Makes a topic.
    pub async fn make(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        let admin: AdminClient<_> = self.config.create().expect("a valid configuration");
        let new = NewTopic {
            config: config.to_vec(),
            ..NewTopic::new(topic, partitions, TopicReplication::Fixed(1))
        };
        let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("a broker that answers");
        made.into_iter().for_each(|topic| drop(topic.expect("a new topic")));
    }

    pub fn group(&self) -> &str {
        self.config.get("group.id").expect("set above")
    }

    pub fn producer(&self) -> TracedProducer {
        TracedProducer::from_config_with(&self.config, self.recorder.telemetry())
            .expect("a valid configuration")
    }

    pub fn consumer(&self) -> TracedConsumer {
        self.consumer_of(&[&self.topic])
    }

    pub fn consumer_of(&self, topics: &[&str]) -> TracedConsumer {
        let consumer = TracedConsumer::from_config_with(&self.config, self.recorder.telemetry());
        let consumer = consumer.expect("a valid configuration");
        consumer.inner().subscribe(topics).expect("valid topics");
        consumer
    }

    /// In a group of its own.
    pub fn reader(&self, topic: &str) -> TracedConsumer {
        let mut config = self.config.clone();
        config.set("group.id", format!("audit-{}", self.group()));
        let consumer = TracedConsumer::from_config_with(&config, self.recorder.telemetry());
        let consumer = consumer.expect("a valid configuration");
        consumer.inner().subscribe(&[topic]).expect("a valid topic");
        consumer
    }

    pub fn base_consumer(&self) -> TracedBaseConsumer {
        let consumer = TracedBaseConsumer::from_config_with(&self.config, self.recorder.telemetry());
        let consumer = consumer.expect("a valid configuration");
        consumer.inner().subscribe(&[&self.topic]).expect("a valid topic");
        consumer
    }

    pub async fn send(&self, headers: OwnedHeaders) {
        let record = FutureRecord::to(&self.topic).key("4711").payload("{}").headers(headers);
        self.producer().send(record, TIMEOUT).await.expect("delivered");
    }

    /// Sends that many, `0` and on as payload, to that partition, without a trace of them.
    pub async fn fill(&self, partition: i32, messages: usize) {
        let producer: rdkafka::producer::FutureProducer = self.config.create().expect("valid");
        let payloads: Vec<_> = (0..messages).map(|n| n.to_string()).collect();
        let sent: Vec<_> = payloads
            .iter()
            .map(|payload| {
                let record = FutureRecord::<str, str>::to(&self.topic).partition(partition).payload(payload);
                producer.send_result(record).expect("queued")
            })
            .collect();
        for sent in sent {
            in_time(sent).await.expect("the producer lives").expect("delivered");
        }
    }

    /// What the broker holds as committed of that partition.
    pub async fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        let (config, topic) = (self.config.clone(), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().expect("a valid configuration");
            let mut of = TopicPartitionList::new();
            of.add_partition(&topic, partition);
            let committed = consumer.committed_offsets(of, TIMEOUT).expect("a broker that answers");
            match committed.find_partition(&topic, partition).expect("asked for").offset() {
                Offset::Offset(next) => Some(next),
                _ => None,
            }
        });
        asked.await.expect("no panic")
    }

    /// Every span with all that is on it.
    pub fn check(&self, expected: Expect) {
        let names = [(self.topic.as_str(), "orders"), (self.group(), "payment")];
        expected.assert_eq(&self.recorder.text(MASKED, &names));
    }

    /// Every span, and of what is on it only these attributes, and links and errors.
    pub fn check_only(&self, attributes: &[&str], expected: Expect) {
        expected.assert_eq(&self.only(attributes));
    }

    pub fn only(&self, attributes: &[&str]) -> String {
        let names = [(self.topic.as_str(), "orders"), (self.group(), "payment")];
        // Whether the cluster is known when a new client sends is a matter of luck.
        let text = self.recorder.text(MASKED, &names).replace(" messaging.kafka.cluster.id=*", "");
        let is_shown = |line: &&str| match line.trim_start().split_once(" = ") {
            Some((key, _)) if line.starts_with("  ") => attributes.contains(&key),
            _ => true,
        };
        text.lines().filter(is_shown).map(|line| format!("{line}\n")).collect()
    }

    /// As [`only`](Self::only), of spans of these names alone (`process` and such): what goes on beside each other ends in
    /// no order.
    pub fn only_of(&self, operations: &[&str], attributes: &[&str]) -> String {
        let mut is_shown = false;
        let text = self.only(attributes);
        let shown = text.lines().filter(|line| {
            if !line.starts_with(' ') {
                is_shown = line.split(' ').next().is_some_and(|operation| operations.contains(&operation));
            }
            is_shown
        });
        shown.map(|line| format!("{line}\n")).collect()
    }

    /// How many spans of that name there are, `process` and such.
    pub fn count(&self, operation: &str) -> usize {
        self.recorder.finished().iter().filter(|span| span.name.split(' ').next() == Some(operation)).count()
    }
}

/// A handler that counts, and a stop when it has counted enough.
#[derive(Clone)]
pub struct Counter(Arc<watch::Sender<usize>>);

impl Counter {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub fn add(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    pub async fn reaches(&self, count: usize) {
        let reached = self.0.subscribe().wait_for(|now| *now >= count).await.map(drop);
        reached.expect("the sender is here");
    }
}

pub fn payload(message: &Received) -> &str {
    std::str::from_utf8(message.message().payload().expect("a payload")).expect("text")
}

/// Fails where it takes too long.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("the broker answers in time")
}
