//! Against a real Kafka: `cargo xtask test` starts one.

use expect_test::{Expect, expect};
use hopscope_rdkafka::{TracedConsumer, TracedProducer};
use hopscope_sdk::kit::{self, Recorder};
use hopscope_sdk::opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// What differs from run to run.
const MASKED: &[&str] =
    &["server.port", "hopscope.broker_time", "hopscope.origin_time", "messaging.kafka.cluster.id"];

struct Bench {
    recorder: Recorder,
    topic: String,
    config: ClientConfig,
}

impl Bench {
    async fn new(topic_config: &[(&str, &str)]) -> Self {
        let topic = kit::unique("orders");
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", kit::broker("HOPSCOPE_TEST_KAFKA"))
            .set("client.id", "bench")
            .set("group.id", kit::unique("payment"))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false");
        let admin: AdminClient<_> = config.create().expect("a valid configuration");
        let new = NewTopic {
            config: topic_config.to_vec(),
            ..NewTopic::new(&topic, 1, TopicReplication::Fixed(1))
        };
        let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("a broker that answers");
        made.into_iter().for_each(|topic| drop(topic.expect("a new topic")));
        Self { recorder: Recorder::default(), topic, config }
    }

    fn producer(&self) -> TracedProducer {
        TracedProducer::from_config(&self.config)
            .expect("a valid configuration")
            .with_telemetry(self.recorder.telemetry())
    }

    fn consumer(&self) -> TracedConsumer {
        let consumer = TracedConsumer::from_config_with(&self.config, self.recorder.telemetry());
        let consumer = consumer.expect("a valid configuration");
        consumer.inner().subscribe(&[&self.topic]).expect("a valid topic");
        consumer
    }

    async fn send(&self, headers: OwnedHeaders) {
        let record = FutureRecord::to(&self.topic).key("4711").payload("{}").headers(headers);
        self.producer().send(record, TIMEOUT).await.expect("delivered");
    }

    fn check(&self, expected: Expect) {
        let group = self.config.get("group.id").expect("set above");
        expected.assert_eq(&self.recorder.text(MASKED, &[(&self.topic, "orders"), (group, "payment")]));
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("the broker answers in time")
}

#[tokio::test]
async fn one_message_from_send_to_commit() {
    let bench = Bench::new(&[("message.timestamp.type", "LogAppendTime")]).await;
    bench.send(OwnedHeaders::new()).await;
    let consumer = bench.consumer();
    let message = in_time(consumer.recv()).await.expect("the message");
    assert_eq!(message.message().payload(), Some(b"{}".as_slice()));
    message.process().succeed();
    in_time(consumer.commit_message(&message)).await.expect("committed");
    bench.check(expect![[r#"
        send orders (producer) parent: - links: []
          hopscope.broker_time = *
          messaging.client.id = bench
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        poll orders (client) parent: send orders links: [send orders]
          hopscope.broker_time = *
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        process orders (consumer) parent: send orders links: [send orders]
          hopscope.broker_time = *
          hopscope.disposition = accept
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        commit orders (client) parent: - links: []
          hopscope.progress.next = 1
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.operation.name = commit
          messaging.operation.type = settle
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
    "#]]);
    let broker_times = |name: &str| {
        let spans = bench.recorder.finished();
        let span = spans.iter().find(|span| span.name.starts_with(name)).expect("the span").clone();
        span.attributes
            .into_iter()
            .find(|set| set.key.as_str() == "hopscope.broker_time")
            .map(|set| set.value)
    };
    assert!(
        broker_times("send").is_some_and(|sent| Some(sent) == broker_times("poll")),
        "one record, one time"
    );
}

#[tokio::test]
async fn a_failed_handler_and_what_it_sent() {
    let bench = Bench::new(&[]).await;
    bench.send(OwnedHeaders::new()).await;
    let consumer = bench.consumer();
    let producer = bench.producer();
    let message = in_time(consumer.recv()).await.expect("the message");
    let work = message.process();
    let sent = work.run(producer.send(FutureRecord::<str, str>::to(&bench.topic), TIMEOUT));
    in_time(sent).await.expect("delivered");
    work.fail(&std::fmt::Error);
    bench.check(expect![[r#"
        send orders (producer) parent: - links: []
          messaging.client.id = bench
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        poll orders (client) parent: send orders links: [send orders]
          hopscope.origin_time = *
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        send orders (producer) parent: process orders links: []
          messaging.client.id = bench
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.tombstone = true
          messaging.kafka.offset = 1
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        process orders (consumer) parent: send orders links: [send orders]
          error.type = core::fmt::Error
          hopscope.origin_time = *
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
          Error { description: "an error occurred when formatting an argument" }
    "#]]);
}

#[tokio::test]
async fn a_send_that_fails_has_kafkas_error() {
    let mut bench = Bench::new(&[]).await;
    bench.topic = kit::unique("never-made");
    bench.config.set("message.timeout.ms", "10000").set("topic.metadata.propagation.max.ms", "500");
    let record = FutureRecord::to(&bench.topic).key(&[0xff_u8][..]).payload("{}");
    let (error, _) = in_time(bench.producer().send(record, TIMEOUT)).await.expect_err("no such topic");
    assert!(error.to_string().contains("Unknown topic"), "{error}");
    // Whether the cluster is known yet when a new client sends is a matter of luck.
    let text = bench.recorder.text(MASKED, &[(&bench.topic, "orders")]);
    let text = text.replace("  messaging.kafka.cluster.id = *\n", "");
    expect![[r#"
        send orders (producer) parent: - links: []
          error.type = UNKNOWN_TOPIC_OR_PARTITION
          messaging.client.id = bench
          messaging.destination.name = orders
          messaging.message.body.size = 2
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
          Error { description: "Message production error: UnknownTopicOrPartition (Broker: Unknown topic or partition)" }
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn a_send_without_waiting_ends_at_its_report_or_unknown() {
    let bench = Bench::new(&[]).await;
    let producer = bench.producer();
    let record = || FutureRecord::<str, str>::to(&bench.topic);
    let delivery = producer.send_result(record()).expect("queued");
    in_time(delivery).await.expect("delivered");
    drop(producer.send_result(record()).expect("queued"));
    let told = bench.recorder.text(MASKED, &[]);
    let told: Vec<_> =
        told.lines().filter(|line| line.contains("offset") || line.contains("outcome")).collect();
    assert_eq!(
        told,
        [
            "  messaging.kafka.offset = 0",
            "  hopscope.outcome = unknown",
            "  hopscope.outcome.reason = dropped"
        ]
    );
}

#[tokio::test]
async fn a_commit_that_fails_is_seen() {
    let bench = Bench::new(&[]).await;
    let consumer = bench.consumer();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&bench.topic, 99, Offset::Offset(5)).expect("a valid offset");
    in_time(consumer.commit(offsets)).await.expect_err("no such partition");
    let text = bench.recorder.text(MASKED, &[]);
    assert!(text.starts_with("commit ") && text.contains("\n  error.type = "), "{text}");
}

#[tokio::test]
async fn commits_that_the_client_makes_by_itself_are_seen() {
    let mut bench = Bench::new(&[]).await;
    bench
        .config
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "100")
        .set("enable.auto.offset.store", "false");
    bench.send(OwnedHeaders::new()).await;
    let consumer = bench.consumer();
    {
        let message = in_time(consumer.recv()).await.expect("the message");
        message.process().succeed();
        consumer.store_offset(&message).expect("assigned");
    }
    let committed = || bench.recorder.finished().iter().any(|span| span.name.starts_with("commit"));
    // The client hands its events out while somebody receives.
    in_time(async {
        while !committed() {
            let _ = tokio::time::timeout(Duration::from_millis(50), consumer.recv()).await;
        }
    })
    .await;
    bench.check(expect![[r#"
        send orders (producer) parent: - links: []
          messaging.client.id = bench
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        poll orders (client) parent: send orders links: [send orders]
          hopscope.origin_time = *
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        process orders (consumer) parent: send orders links: [send orders]
          hopscope.disposition = accept
          hopscope.origin_time = *
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 0
          messaging.message.body.size = 2
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
        commit orders (client) parent: - links: []
          hopscope.progress.next = 1
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.operation.name = commit
          messaging.operation.type = settle
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
    "#]]);
}

#[tokio::test]
async fn foreign_and_broken_headers_are_told_and_nothing_is_lost() {
    let bench = Bench::new(&[]).await;
    let foreign: rdkafka::producer::FutureProducer = bench.config.create().expect("a valid configuration");
    let headers = OwnedHeaders::new()
        .insert(Header { key: "app", value: Some(&[0xff_u8, 0x00][..]) })
        .insert(Header { key: "traceparent", value: None::<&[u8]> })
        .insert(Header { key: "b3", value: Some("0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1") });
    let record = FutureRecord::<str, str>::to(&bench.topic).headers(headers);
    foreign.send(record, TIMEOUT).await.expect("delivered");
    let consumer = bench.consumer();
    let message = in_time(consumer.recv()).await.expect("the message");
    assert_eq!(message.message().headers().map(rdkafka::message::Headers::count), Some(3));
    bench.check(expect![[r#"
        poll orders (client) parent: elsewhere links: [elsewhere]
          hopscope.context.problems = ["header traceparent is null"]
          hopscope.origin_time = *
          messaging.client.id = bench
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.cluster.id = *
          messaging.kafka.message.tombstone = true
          messaging.kafka.offset = 0
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
          server.address = 127.0.0.1
          server.port = *
    "#]]);
}

#[tokio::test]
async fn an_old_context_in_the_headers_is_replaced_and_the_rest_is_kept() {
    let bench = Bench::new(&[]).await;
    let span = bench.recorder.provider().tracer("app").start("request");
    let context = hopscope_sdk::opentelemetry::Context::current_with_span(span);
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "Traceparent",
            value: Some("00-11111111111111111111111111111111-2222222222222222-01"),
        })
        .insert(Header { key: "app", value: Some(&[0xff_u8, 0x00][..]) });
    hopscope_sdk::opentelemetry::trace::FutureExt::with_context(bench.send(headers), context.clone()).await;
    let consumer = bench.consumer();
    let message = in_time(consumer.recv()).await.expect("the message");
    let origin = message.delivery().origin().context.clone().expect("a context");
    assert_eq!(origin.trace_id(), context.span().span_context().trace_id());
    let headers = message.message().headers().expect("headers");
    let keys: Vec<_> = rdkafka::message::Headers::iter(headers).map(|header| header.key).collect();
    assert_eq!(keys, ["app", "traceparent"]);
}
