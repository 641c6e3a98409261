//! Batches received by one call, on a real Kafka.

use crate::kit::{Bench, Counter, TIMEOUT, in_time};
use expect_test::expect;
use hopscope_rdkafka::{Options, Received};
use hopscope_sdk::work::{BatchOutcome, Order};
use hopscope_sdk::{Failure, ProcessingBatch};
use rdkafka::message::Message;
use rdkafka::producer::FutureRecord;
use std::collections::HashSet;
use std::time::Duration;

#[tokio::test]
async fn one_receive_and_one_process_for_all_and_one_of_them_fails() {
    let bench = Bench::new(&[]).await;
    let producer = bench.producer();
    for payload in ["1", "2", "3"] {
        let record = FutureRecord::<str, str>::to(&bench.topic).payload(payload);
        in_time(producer.send(record, TIMEOUT)).await.expect("delivered");
    }
    let consumer = bench.consumer();
    let messages = in_time(consumer.recv_batch(3, TIMEOUT)).await.expect("messages");
    let payloads: Vec<_> = messages.iter().filter_map(|message| message.message().payload()).collect();
    assert_eq!(payloads, [b"1", b"2", b"3"]);
    let deliveries = messages.iter().map(|message| message.delivery().clone()).collect();
    let mut work = ProcessingBatch::start(deliveries).expect("some");
    work.fail_one(2, Failure::new("Invalid", "no amount"));
    work.succeed();
    in_time(consumer.commit_message(&messages[1])).await.expect("committed");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(2), "the failed one comes again");
    let shown = ["messaging.batch.message_count", "error.type", "hopscope.progress.next"];
    bench.check_only(&shown, expect![[r#"
        send orders (producer) parent: - links: []
        send orders (producer) parent: - links: []
        send orders (producer) parent: - links: []
        poll orders (client) parent: - links: [send orders, send orders, send orders]
          messaging.batch.message_count = 3
          link hopscope.origin_time=* messaging.kafka.offset=0 messaging.message.body.size=1
          link hopscope.origin_time=* messaging.kafka.offset=1 messaging.message.body.size=1
          link hopscope.origin_time=* messaging.kafka.offset=2 messaging.message.body.size=1
        process orders (consumer) parent: - links: [send orders, send orders, send orders]
          messaging.batch.message_count = 3
          link hopscope.origin_time=* messaging.kafka.offset=0 messaging.message.body.size=1
          link hopscope.origin_time=* messaging.kafka.offset=1 messaging.message.body.size=1
          link error.type=Invalid hopscope.origin_time=* messaging.kafka.offset=2 messaging.message.body.size=1
        commit orders (client) parent: - links: []
          hopscope.progress.next = 2
    "#]]);
}

#[tokio::test]
async fn a_batch_does_not_wait_for_what_does_not_come() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 2).await;
    let consumer = bench.consumer();
    let messages = in_time(consumer.recv_batch(500, Duration::from_millis(500))).await.expect("messages");
    assert_eq!(messages.len(), 2);
    // One for each message: without a context there is nothing that one span for all could link to.
    assert_eq!(bench.count("poll"), 2);
}

#[tokio::test]
async fn a_polled_batch() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 5).await;
    let consumer = bench.base_consumer();
    let messages = consumer.poll_batch(4, TIMEOUT).expect("messages");
    assert_eq!(messages.len(), 4);
    let rest = consumer.poll_batch(4, Duration::from_secs(1)).expect("messages");
    assert_eq!(rest.iter().map(|message| message.message().offset()).collect::<Vec<_>>(), [4]);
}

/// A span holds 128 links: a larger batch becomes several, and none is lost.
#[tokio::test]
async fn every_message_of_a_large_batch_is_linked() {
    let bench = Bench::new(&[]).await;
    let producer = bench.producer();
    let records = (0..300).map(|_| FutureRecord::to(&bench.topic).key("4711").payload("{}"));
    let sent = in_time(producer.send_batch(records.collect(), TIMEOUT)).await;
    assert!(sent.iter().all(Result::is_ok));
    let seen = Counter::new();
    let counted = seen.clone();
    let handler = move |messages: Vec<Received>| {
        messages.iter().for_each(|_| counted.add());
        async { BatchOutcome::Ok }
    };
    let options = Options {
        batch_max: 300,
        batch_wait: Duration::from_secs(5),
        order: Order::ByLane,
        waiting_max: 300,
        ..Options::default()
    };
    in_time(bench.consumer().run_batches(options, handler, seen.reaches(300))).await.expect("a clean end");
    let spans = bench.recorder.finished();
    let works: Vec<_> = spans.iter().filter(|span| span.name.starts_with("process")).collect();
    assert!(works.len() < 100, "batches; spans={}", works.len());
    assert!(works.iter().all(|span| span.links.len() <= 128 && span.links.dropped_count == 0));
    let linked: HashSet<_> =
        works.iter().flat_map(|span| span.links.iter()).map(|link| link.span_context.span_id()).collect();
    let created: HashSet<_> = spans
        .iter()
        .filter(|span| span.name.starts_with("create"))
        .map(|span| span.span_context.span_id())
        .collect();
    assert_eq!(created.len(), 300);
    assert_eq!(linked, created);
}
