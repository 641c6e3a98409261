//! The words of JetStream for a message that was worked on.

use crate::kit::{Bench, MASKED, in_time, next};
use async_nats::jetstream::consumer::AckPolicy;
use expect_test::expect;
use hopscope_sdk::Failure;
use std::time::Duration;

#[tokio::test]
async fn one_message_that_fails_once_is_retried_and_confirmed() {
    let bench = Bench::new().await;
    let mut messages = bench.consumer(AckPolicy::Explicit).await;
    bench.publish().await;
    let work = next(&mut messages).await.process();
    assert_eq!(work.message().payload.as_ref(), b"{}");
    let failure = Failure::new("OUT_OF_STOCK", "no such sku");
    work.nak(failure, Some(Duration::from_millis(10))).await.expect("sent");
    next(&mut messages).await.process().double_ack().await.expect("confirmed");
    bench.check(expect![[r#"
        publish SHIPMENTS.new (producer) parent: - links: []
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.broker_time = *
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.consumer_sequence = 1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = receive
          messaging.operation.type = receive
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          error.type = OUT_OF_STOCK
          hopscope.attempt = 1
          hopscope.broker_time = *
          hopscope.disposition = retry
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.consumer_sequence = 1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
          Error { description: "no such sku" }
        nak SHIPMENTS.new (client) parent: process SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.confirmed = false
          hopscope.disposition = retry
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.id = s-1
          messaging.nats.nak_delay_ms = 10
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = nak
          messaging.operation.type = settle
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 2
          hopscope.broker_time = *
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.consumer_sequence = 2
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = receive
          messaging.operation.type = receive
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 2
          hopscope.broker_time = *
          hopscope.disposition = accept
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.consumer_sequence = 2
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        ack SHIPMENTS.new (client) parent: process SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 2
          hopscope.disposition = accept
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.id = s-1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = ack
          messaging.operation.type = settle
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
    "#]]);
    let stored_at = |span: usize| {
        let span = bench.recorder.finished().swap_remove(span);
        span.attributes
            .into_iter()
            .find(|set| set.key.as_str() == "hopscope.broker_time")
            .map(|set| set.value)
    };
    assert!(stored_at(1).is_some_and(|first| Some(first) == stored_at(4)), "one stored copy, one time");
}

#[tokio::test]
async fn acks_that_are_sent_say_that_nobody_confirmed_them() {
    let bench = Bench::new().await;
    let mut messages = bench.consumer(AckPolicy::Explicit).await;
    bench.publish().await;
    let work = next(&mut messages).await.process();
    work.progress().await.expect("sent");
    work.run(async { bench.publish().await }).await;
    work.ack().await.expect("sent");
    bench.check(expect![[r#"
        publish SHIPMENTS.new (producer) parent: - links: []
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.broker_time = *
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.consumer_sequence = 1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = receive
          messaging.operation.type = receive
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        publish SHIPMENTS.new (producer) parent: process SHIPMENTS.new links: []
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.duplicate = true
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.broker_time = *
          hopscope.disposition = accept
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.consumer_sequence = 1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        ack SHIPMENTS.new (client) parent: process SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.confirmed = false
          hopscope.disposition = accept
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.id = s-1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = ack
          messaging.operation.type = settle
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
    "#]]);
}

#[tokio::test]
async fn a_message_that_is_given_up() {
    let bench = Bench::new().await;
    let mut messages = bench.consumer(AckPolicy::Explicit).await;
    bench.publish().await;
    next(&mut messages).await.process().term(&std::fmt::Error).await.expect("sent");
    let text = bench.recorder.text(MASKED, &[(&bench.stream, "SHIPMENTS")]);
    let (_, process) = text.split_once("process").expect("a process span");
    expect![[r#"
         SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          error.type = core::fmt::Error
          hopscope.attempt = 1
          hopscope.broker_time = *
          hopscope.disposition = reject
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.message.id = s-1
          messaging.nats.consumer_sequence = 1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
          Error { description: "an error occurred when formatting an argument" }
        term SHIPMENTS.new (client) parent: process SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.confirmed = false
          hopscope.disposition = reject
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.id = s-1
          messaging.nats.sequence = 1
          messaging.nats.stream = SHIPMENTS
          messaging.operation.name = term
          messaging.operation.type = settle
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
    "#]]
    .assert_eq(process);
}

#[tokio::test]
async fn a_settlement_that_reaches_nobody_is_seen() {
    let bench = Bench::new().await;
    let mut messages = bench.consumer(AckPolicy::Explicit).await;
    bench.publish().await;
    let work = next(&mut messages).await.process();
    bench.jetstream.inner().delete_stream(&bench.stream).await.expect("deleted");
    in_time(work.double_ack()).await.expect_err("the consumer is gone");
    let text = bench.recorder.text(MASKED, &[]);
    let (_, settle) = text.rsplit_once("\nack ").expect("a settle span");
    assert!(settle.contains("  error.type = NoResponders\n"), "{settle}");
}

#[tokio::test]
async fn a_cumulative_ack_is_progress() {
    let bench = Bench::new().await;
    let mut messages = bench.consumer(AckPolicy::All).await;
    bench.publish().await;
    next(&mut messages).await.process().ack().await.expect("sent");
    let text = bench.recorder.text(MASKED, &[]);
    assert!(text.contains("  hopscope.progress.next = 2\n"), "{text}");
}
