//! Publishing.

use crate::kit::{Bench, in_time};
use async_nats::jetstream::message::PublishMessage;
use expect_test::expect;
use std::future::IntoFuture;

#[tokio::test]
async fn a_publish_that_no_stream_takes_fails() {
    let bench = Bench::new().await;
    let ack = bench.jetstream.publish(bench.subject(), "{}".into()).await.expect("sent");
    in_time(ack.into_future()).await.expect_err("no stream");
    bench.check(expect![[r#"
        publish SHIPMENTS.new (producer) parent: - links: []
          error.type = StreamNotFound
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
          Error { description: "no stream found for given subject" }
    "#]]);
}

#[tokio::test]
async fn of_a_batch_each_message_says_how_it_ended() {
    let bench = Bench::new().await;
    bench.stream().await;
    let message = |id: &str| PublishMessage::build().payload("{}".into()).message_id(id);
    let twice = (bench.subject(), message("a"));
    let nowhere = (format!("{}-nobody", bench.stream), message("b"));
    let acks =
        in_time(bench.jetstream.publish_batch([(bench.subject(), message("a")), twice, nowhere])).await;
    let stored: Vec<_> =
        acks.iter().map(|ack| ack.as_ref().ok().map(|ack| (ack.sequence, ack.duplicate))).collect();
    assert_eq!(stored, [Some((1, false)), Some((1, true)), None]);
    bench.check_only(
        &["messaging.batch.message_count", "messaging.message.id"],
        expect![[r#"
            create SHIPMENTS.new (producer) parent: - links: []
              messaging.message.id = a
            create SHIPMENTS.new (producer) parent: - links: []
              messaging.message.id = a
            create SHIPMENTS-nobody (producer) parent: - links: []
              messaging.message.id = b
            publish (client) parent: - links: [create SHIPMENTS.new, create SHIPMENTS.new, create SHIPMENTS-nobody]
              messaging.batch.message_count = 3
              link messaging.destination.name=SHIPMENTS.new messaging.message.body.size=2 messaging.message.id=a messaging.nats.sequence=1 messaging.nats.stream=SHIPMENTS
              link messaging.destination.name=SHIPMENTS.new messaging.message.body.size=2 messaging.message.id=a messaging.nats.duplicate=true messaging.nats.sequence=1 messaging.nats.stream=SHIPMENTS
              link error.type=StreamNotFound messaging.destination.name=SHIPMENTS-nobody messaging.message.body.size=2 messaging.message.id=b
        "#]],
    );
    let spans = bench.recorder.finished();
    assert_eq!(spans.iter().filter(|span| span.name.starts_with("create ")).count(), 3);
}

#[tokio::test]
async fn an_acknowledgement_that_nobody_waits_for_is_unconfirmed() {
    let bench = Bench::new().await;
    bench.stream().await;
    bench.jetstream.publish(bench.subject(), "{}".into()).await.expect("sent").forget();
    drop(bench.jetstream.publish(bench.subject(), "{}".into()).await.expect("sent"));
    bench.check_only(
        &["hopscope.outcome", "hopscope.outcome.reason"],
        expect![[r#"
        publish SHIPMENTS.new (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = unconfirmed
        publish SHIPMENTS.new (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
    "#]],
    );
}

#[tokio::test]
async fn a_batch_without_messages_is_nothing() {
    let bench = Bench::new().await;
    let none: [(&str, PublishMessage); 0] = [];
    assert!(bench.jetstream.publish_batch(none).await.is_empty());
    assert!(bench.recorder.finished().is_empty());
}
