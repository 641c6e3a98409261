//! Offsets stored and committed, on a real Kafka.

use crate::kit::{Bench, MASKED, in_time};
use expect_test::expect;
use rdkafka::message::OwnedHeaders;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

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
