//! Transactions: all of it or nothing, and every message says which, on a real Kafka.

use crate::kit::{Bench, TIMEOUT, in_time};
use expect_test::expect;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const SHOWN: [&str; 6] = [
    "error.type",
    "messaging.kafka.offset",
    "messaging.kafka.transaction.outcome",
    "hopscope.outcome",
    "hopscope.outcome.reason",
    "hopscope.progress.next",
];

async fn transactional() -> (Bench, hopscope_rdkafka::TracedProducer) {
    let mut bench = Bench::new(&[]).await;
    let id = hopscope_sdk::kit::unique("shop");
    bench.config.set("transactional.id", id).set("isolation.level", "read_committed");
    let producer = bench.producer();
    in_time(producer.init_transactions(TIMEOUT)).await.expect("a coordinator");
    bench.config.remove("transactional.id");
    (bench, producer)
}

fn record<'a>(bench: &'a Bench, payload: &'a str) -> FutureRecord<'a, str, str> {
    FutureRecord::to(&bench.topic).payload(payload)
}

#[tokio::test]
async fn a_send_ends_with_its_transaction_and_not_before() {
    let (bench, producer) = transactional().await;
    let aborted = producer.begin_transaction().expect("begun");
    in_time(aborted.send(record(&bench, "never"), TIMEOUT)).await.expect("in the log");
    assert_eq!(bench.count("send"), 0, "it lies in the log, and nobody may read it");
    in_time(aborted.abort(TIMEOUT)).await.expect("aborted");
    let committed = producer.begin_transaction().expect("begun");
    for payload in ["1", "2"] {
        in_time(committed.send(record(&bench, payload), TIMEOUT)).await.expect("in the log");
    }
    in_time(committed.commit(TIMEOUT)).await.expect("committed");
    bench.check_only(
        &SHOWN,
        expect![[r#"
        send orders (producer) parent: - links: []
          error.type = TRANSACTION_ABORTED
          messaging.kafka.offset = 0
          messaging.kafka.transaction.outcome = aborted
          Error { description: "the transaction was aborted" }
        send orders (producer) parent: - links: []
          messaging.kafka.offset = 2
          messaging.kafka.transaction.outcome = committed
        send orders (producer) parent: - links: []
          messaging.kafka.offset = 3
          messaging.kafka.transaction.outcome = committed
    "#]],
    );
    let events: Vec<_> = bench.recorder.finished()[0].events.iter().map(|event| event.name.clone()).collect();
    assert_eq!(events, ["hopscope.stored"]);
    let consumer = bench.consumer();
    let first = in_time(consumer.recv()).await.expect("a message");
    assert_eq!(first.message().payload(), Some(b"1".as_slice()), "what was aborted is not delivered");
}

#[tokio::test]
async fn offsets_are_committed_with_the_transaction() {
    let (bench, producer) = transactional().await;
    bench.fill(0, 1).await;
    let consumer = bench.consumer();
    let message = in_time(consumer.recv()).await.expect("the message");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&bench.topic, 0, Offset::Offset(1)).expect("valid");
    for commit in [false, true] {
        let transaction = producer.begin_transaction().expect("begun");
        in_time(transaction.send(record(&bench, "out"), TIMEOUT)).await.expect("in the log");
        in_time(transaction.send_offsets(&consumer, offsets.clone(), TIMEOUT)).await.expect("sent");
        if commit {
            in_time(transaction.commit(TIMEOUT)).await.expect("committed");
        } else {
            in_time(transaction.abort(TIMEOUT)).await.expect("aborted");
            assert_eq!(bench.committed(&bench.topic, 0).await, None);
        }
    }
    drop(message);
    consumer.inner().unsubscribe();
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(1));
    bench.check_only(
        &SHOWN,
        expect![[r#"
        poll orders (client) parent: - links: []
          messaging.kafka.offset = 0
        send orders (producer) parent: - links: []
          error.type = TRANSACTION_ABORTED
          messaging.kafka.offset = 1
          messaging.kafka.transaction.outcome = aborted
          Error { description: "the transaction was aborted" }
        commit orders (client) parent: - links: []
          error.type = TRANSACTION_ABORTED
          hopscope.progress.next = 1
          Error { description: "the transaction was aborted" }
        send orders (producer) parent: - links: []
          messaging.kafka.offset = 3
          messaging.kafka.transaction.outcome = committed
        commit orders (client) parent: - links: []
          hopscope.progress.next = 1
    "#]],
    );
}

#[tokio::test]
async fn a_transaction_that_nobody_ends_is_unknown() {
    let (bench, producer) = transactional().await;
    let transaction = producer.begin_transaction().expect("begun");
    in_time(transaction.send(record(&bench, "?"), TIMEOUT)).await.expect("in the log");
    drop(transaction);
    bench.check_only(
        &SHOWN,
        expect![[r#"
        send orders (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = transaction left open
          messaging.kafka.offset = 0
    "#]],
    );
}
