//! Sends of every kind, on a real Kafka.

use crate::kit::{Bench, MASKED, TIMEOUT, in_time};
use expect_test::expect;
use hopscope_rdkafka::{TracedBaseProducer, TracedThreadedProducer};
use hopscope_sdk::kit::unique;
use hopscope_sdk::opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use rdkafka::client::ClientContext;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, FutureRecord, Producer, ProducerContext};
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn a_send_that_fails_has_kafkas_error() {
    let mut bench = Bench::new(&[]).await;
    bench.topic = unique("never-made");
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

#[tokio::test]
async fn a_batch_is_one_span_and_each_record_has_a_context_of_its_own() {
    let mut bench = Bench::new(&[]).await;
    bench.config.set("message.max.bytes", "2000");
    let large = "x".repeat(4000);
    let record = |payload| FutureRecord::to(&bench.topic).key("4711").payload(payload);
    let records = vec![record("1"), record(&large), record("333")];
    let results = in_time(bench.producer().send_batch(records, TIMEOUT)).await;
    let offsets: Vec<_> =
        results.iter().map(|result| result.as_ref().ok().map(|stored| stored.offset)).collect();
    assert_eq!(offsets, [Some(0), None, Some(1)]);
    bench.check_only(
        &["messaging.batch.message_count", "hopscope.batch.body_size", "error.type", "messaging.message.body.size"],
        expect![[r#"
            create orders (producer) parent: - links: []
              messaging.message.body.size = 1
            create orders (producer) parent: - links: []
              messaging.message.body.size = 4000
            create orders (producer) parent: - links: []
              messaging.message.body.size = 3
            send orders (client) parent: - links: [create orders, create orders, create orders]
              hopscope.batch.body_size = 4004
              messaging.batch.message_count = 3
              link messaging.destination.partition.id=0 messaging.kafka.message.key=4711 messaging.kafka.offset=0 messaging.message.body.size=1
              link error.type=MESSAGE_SIZE_TOO_LARGE messaging.kafka.message.key=4711 messaging.message.body.size=4000
              link messaging.destination.partition.id=0 messaging.kafka.message.key=4711 messaging.kafka.offset=1 messaging.message.body.size=3
        "#]],
    );
    let consumer = bench.consumer();
    let spans = bench.recorder.finished();
    for index in [0, 2] {
        let message = in_time(consumer.recv()).await.expect("the message");
        let origin = message.delivery().origin().context.clone().expect("a context");
        assert_eq!(origin.span_id(), spans[index].span_context.span_id(), "that of its own create span");
    }
}

#[tokio::test]
async fn a_batch_of_nothing_says_nothing() {
    let bench = Bench::new(&[]).await;
    assert!(bench.producer().send_batch::<str, str, _>(Vec::new(), TIMEOUT).await.is_empty());
    assert_eq!(bench.recorder.finished().len(), 0);
}

#[tokio::test]
async fn a_record_that_nobody_looks_after_is_unconfirmed() {
    let bench = Bench::new(&[]).await;
    let producer = bench.producer();
    producer.send_and_forget(FutureRecord::to(&bench.topic).key("4711").payload("{}")).expect("queued");
    let outcome = ["hopscope.outcome", "hopscope.outcome.reason"];
    bench.check_only(
        &outcome,
        expect![[r#"
        send orders (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = unconfirmed
    "#]],
    );
    let consumer = bench.consumer();
    in_time(consumer.recv()).await.expect("it is delivered all the same");
}

#[tokio::test]
async fn a_broker_that_is_not_asked_to_answer_confirms_nothing() {
    let mut bench = Bench::new(&[]).await;
    bench.config.set("acks", "0");
    bench.send(OwnedHeaders::new()).await;
    bench.check_only(
        &["hopscope.outcome", "messaging.kafka.offset"],
        expect![[r#"
        send orders (producer) parent: - links: []
          hopscope.outcome = unknown
    "#]],
    );
}

/// A context as an application has it: notes what it is given.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<(usize, bool)>>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        self.0.lock().expect("no panic").push((number, result.is_ok()));
    }
}

#[tokio::test]
async fn reports_to_a_producer_context_end_the_span_and_keep_the_opaque_value() {
    let bench = Bench::new(&[("message.timestamp.type", "LogAppendTime")]).await;
    let reports = Reports::default();
    let producer =
        TracedThreadedProducer::from_config_with(&bench.config, reports.clone(), bench.recorder.telemetry());
    let producer = producer.expect("a valid configuration");
    let record = BaseRecord::with_opaque_to(&bench.topic, 42).key("4711").payload("{}");
    producer.send(record).expect("queued");
    producer.inner().flush(TIMEOUT).expect("delivered");
    assert_eq!(*reports.0.lock().expect("no panic"), [(42, true)]);
    let shown = ["messaging.kafka.offset", "messaging.destination.partition.id", "hopscope.broker_time"];
    bench.check_only(
        &shown,
        expect![[r#"
        send orders (producer) parent: - links: []
          hopscope.broker_time = *
          messaging.destination.partition.id = 0
          messaging.kafka.offset = 0
    "#]],
    );
}

#[tokio::test]
async fn a_polled_producer_gives_back_what_it_does_not_take() {
    let mut bench = Bench::new(&[]).await;
    bench.config.set("message.max.bytes", "2000");
    let producer =
        TracedBaseProducer::from_config_with(&bench.config, Reports::default(), bench.recorder.telemetry());
    let producer = producer.expect("a valid configuration");
    let large = "x".repeat(4000);
    let record = BaseRecord::<str, str, usize>::with_opaque_to(&bench.topic, 42).payload(&large);
    let (_, mut record) = producer.send(record).expect_err("too large");
    assert_eq!(record.delivery_opaque, 42, "the application's own");
    record.payload = Some("small");
    producer.send(record).expect("queued");
    in_time(async {
        while bench.count("send") < 2 {
            producer.poll(std::time::Duration::from_millis(10));
            tokio::task::yield_now().await;
        }
    })
    .await;
    bench.check_only(&["error.type", "messaging.kafka.offset"], expect![[r#"
        send orders (producer) parent: - links: []
          error.type = MESSAGE_SIZE_TOO_LARGE
          Error { description: "Message production error: MessageSizeTooLarge (Broker: Message size too large)" }
        send orders (producer) parent: - links: []
          messaging.kafka.offset = 0
    "#]]);
}
