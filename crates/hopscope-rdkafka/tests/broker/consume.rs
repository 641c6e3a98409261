//! Messages received in every way, on a real Kafka.

use crate::kit::{Bench, TIMEOUT, in_time};
use expect_test::expect;
use rdkafka::consumer::Consumer;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use std::time::Duration;

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
async fn a_consumer_that_is_polled() {
    let bench = Bench::new(&[]).await;
    bench.send(OwnedHeaders::new()).await;
    let consumer = bench.base_consumer();
    assert!(consumer.poll(Duration::ZERO).is_none(), "and an empty poll is no step");
    // The client comes back early where it has served a callback.
    let message = std::iter::repeat_with(|| consumer.poll(TIMEOUT)).take(50).flatten().next();
    let message = message.expect("in time").expect("the message");
    message.process().succeed();
    consumer.commit_message(&message).expect("committed");
    bench.check_only(
        &["messaging.kafka.offset", "hopscope.progress.next"],
        expect![[r#"
        send orders (producer) parent: - links: []
          messaging.kafka.offset = 0
        poll orders (client) parent: send orders links: [send orders]
          messaging.kafka.offset = 0
        process orders (consumer) parent: send orders links: [send orders]
          messaging.kafka.offset = 0
        commit orders (client) parent: - links: []
          hopscope.progress.next = 1
    "#]],
    );
}

#[tokio::test]
async fn a_partition_by_itself() {
    let bench = Bench::with_partitions(2, &[]).await;
    let consumer = bench.consumer();
    consumer.inner().unsubscribe();
    let mut both = rdkafka::TopicPartitionList::new();
    both.add_partition(&bench.topic, 0);
    both.add_partition(&bench.topic, 1);
    consumer.inner().assign(&both).expect("assigned");
    let queue = consumer.split_partition_queue(&bench.topic, 1).expect("the partition");
    bench.fill(0, 1).await;
    bench.fill(1, 2).await;
    let partitions = async {
        let (main, first) = tokio::join!(consumer.recv(), queue.recv());
        let second = queue.recv().await;
        [main, first, second].map(|message| message.expect("a message").message().partition())
    };
    assert_eq!(in_time(partitions).await, [0, 1, 1]);
    assert_eq!(bench.count("poll"), 3);
}
