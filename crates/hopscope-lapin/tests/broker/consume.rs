//! Consuming: pull, push, streams, batches, and handlers side by side.

use crate::kit::*;
use expect_test::expect;
use hopscope_lapin::{Options, Publish, Traced};
use hopscope_sdk::work::{BatchOutcome, Order};
use hopscope_sdk::{Failure, Retry};
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

#[tokio::test]
async fn a_stream_gives_its_offsets() {
    let bench = Bench::new("stream").await;
    bench.topology(arguments([("x-queue-type", text("stream"))])).await;
    bench.fill(3).await;
    bench.raw().basic_qos(10, BasicQosOptions::default()).await.expect("qos");
    let options = BasicConsumeOptions::default();
    let from_second = arguments([("x-stream-offset", AMQPValue::LongLongInt(1))]);
    let consume = bench.channel.basic_consume(bench.queue("work"), "worker".into(), options, from_second);
    let mut consumer = consume.await.expect("consume");
    for _ in 0..2 {
        next(&mut consumer).await;
    }
    let spans = bench.finish(&["work"]).await;
    let offsets: Vec<_> = of(&spans, "consume")
        .into_iter()
        .map(|span| attribute(span, "messaging.rabbitmq.stream.offset"))
        .collect();
    assert_eq!(offsets, ["1", "2"]);
}

#[tokio::test]
async fn a_get_of_an_empty_queue_is_no_receive() {
    let bench = Bench::new("empty").await;
    bench.topology(FieldTable::default()).await;
    let got = bench.channel.basic_get(bench.queue("work"), BasicGetOptions::default()).await;
    assert!(got.expect("get").is_none());
    assert!(bench.finish(&["work"]).await.is_empty());
}

#[tokio::test]
async fn handlers_side_by_side_are_bounded_and_the_rest_waits_at_the_broker() {
    let bench = Bench::new("workers").await;
    bench.topology(FieldTable::default()).await;
    bench.fill(20).await;
    bench.raw().basic_qos(5, BasicQosOptions::default()).await.expect("qos");
    let consumer = bench.consume(bench.queue("work")).await;
    let (seen, done, gate) = (Seen::default(), Seen::default(), Arc::new(Semaphore::new(0)));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (seen, done, gate) = (seen.clone(), done.clone(), Arc::clone(&gate));
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        move |message: Arc<Traced<Delivery>>| {
            let (seen, done, gate) = (seen.clone(), done.clone(), Arc::clone(&gate));
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                seen.note(payload(&message));
                gate.acquire().await.expect("open").forget();
                running.fetch_sub(1, Ordering::SeqCst);
                done.note(payload(&message));
                Ok::<_, Infallible>(())
            }
        }
    };
    let options = Options { workers_max: 3, ..Options::default() };
    let stop = done.clone();
    let run = tokio::spawn(consumer.run(options, handler, async move { stop.until(20).await }));
    seen.until(3).await;
    // Three at work, two more on the way to them, fifteen with the broker, for whoever else consumes.
    bench.until_ready(&bench.queue("work"), 15).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    gate.add_permits(20);
    in_time(run).await.expect("no panic").expect("an open channel");
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(bench.ready(&bench.queue("work")).await, (0, 0), "all settled, nobody consumes");
    let spans = bench.finish(&["work"]).await;
    assert_eq!((of(&spans, "process").len(), of(&spans, "ack").len()), (20, 20));
}

#[tokio::test]
async fn messages_of_one_key_run_one_after_another() {
    let bench = Bench::new("keys").await;
    bench.topology(FieldTable::default()).await;
    for number in 0..12 {
        let headers = arguments([("order", text(&format!("order-{}", number % 3)))]);
        let properties = lapin::BasicProperties::default().with_headers(headers);
        let payload = number.to_string();
        let options = BasicPublishOptions::default();
        let publish = bench.raw().basic_publish(
            bench.exchange(),
            "pay".into(),
            options,
            payload.as_bytes(),
            properties,
        );
        publish.await.expect("publish").await.expect("confirm");
    }
    bench.raw().basic_qos(12, BasicQosOptions::default()).await.expect("qos");
    let (consumer, done) = (bench.consume(bench.queue("work")).await, Seen::default());
    let handler = {
        let done = done.clone();
        move |message: Arc<Traced<Delivery>>| {
            let done = done.clone();
            async move {
                let number: u64 = payload(&message).parse().expect("a number");
                // The earlier ones take longer: without order the later ones would overtake them.
                tokio::time::sleep(Duration::from_millis(5 * (12 - number))).await;
                done.note(payload(&message));
                Ok::<_, Infallible>(())
            }
        }
    };
    let options = Options { workers_max: 12, order: Order::ByKey, ..Options::default() };
    let stop = done.clone();
    in_time(consumer.run(options, handler, async move { stop.until(12).await })).await.expect("open");
    let done: Vec<u64> = done.all().iter().map(|number| number.parse().expect("a number")).collect();
    for key in 0..3 {
        let of_key: Vec<_> = done.iter().copied().filter(|number| number % 3 == key).collect();
        assert!(of_key.is_sorted(), "{done:?}");
    }
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn of_a_batch_only_what_failed_comes_again() {
    let bench = Bench::new("batches").await;
    bench.topology(quorum()).await;
    bench.fill(4).await;
    bench.raw().basic_qos(10, BasicQosOptions::default()).await.expect("qos");
    let (consumer, seen) = (bench.consume(bench.queue("work")).await, Seen::default());
    let handler = {
        let seen = seen.clone();
        move |batch: Arc<[Traced<Delivery>]>| {
            let seen = seen.clone();
            async move {
                let all: Vec<_> = batch.iter().map(payload).collect();
                if seen.note(all.join(" ")) == 1 {
                    BatchOutcome::Partly(vec![(1, Failure::new("busy", "later"))])
                } else {
                    BatchOutcome::Ok
                }
            }
        }
    };
    let options = Options {
        batch_max: 4,
        batch_wait: Duration::from_secs(2),
        retry: Retry::times(3),
        ..Options::default()
    };
    let stop = seen.clone();
    in_time(consumer.run_batches(options, handler, async move { stop.until(2).await })).await.expect("open");
    assert_eq!(seen.all(), ["0 1 2 3", "1"]);
    assert_eq!(bench.ready(&bench.queue("work")).await, (0, 0));
    let name = bench.name.clone();
    let spans = bench.finish(&["work"]).await;
    let attributes = [
        "error.type",
        "hopscope.attempt",
        "hopscope.disposition",
        "messaging.batch.message_count",
        "messaging.destination.name",
    ];
    check_only(
        &spans,
        &name,
        &attributes,
        &expect![[r#"
        publish <test>:pay (producer) parent: - links: []
          messaging.destination.name = <test>:pay
        publish <test>:pay (producer) parent: - links: []
          messaging.destination.name = <test>:pay
        publish <test>:pay (producer) parent: - links: []
          messaging.destination.name = <test>:pay
        publish <test>:pay (producer) parent: - links: []
          messaging.destination.name = <test>:pay
        consume <test>:pay:<test>.work (client) parent: - links: [publish <test>:pay, publish <test>:pay, publish <test>:pay, publish <test>:pay]
          hopscope.attempt = 1
          messaging.batch.message_count = 4
          messaging.destination.name = <test>:pay:<test>.work
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
        process <test>:pay:<test>.work (consumer) parent: - links: [publish <test>:pay, publish <test>:pay, publish <test>:pay, publish <test>:pay]
          hopscope.attempt = 1
          messaging.batch.message_count = 4
          messaging.destination.name = <test>:pay:<test>.work
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link error.type=busy messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
        nack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.attempt = 1
          hopscope.disposition = retry
          messaging.destination.name = <test>:pay:<test>.work
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay, publish <test>:pay, publish <test>:pay]
          hopscope.attempt = 1
          hopscope.disposition = accept
          messaging.batch.message_count = 3
          messaging.destination.name = <test>:pay:<test>.work
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
        consume <test>:pay:<test>.work (client) parent: - links: [publish <test>:pay]
          hopscope.attempt = 2
          messaging.batch.message_count = 1
          messaging.destination.name = <test>:pay:<test>.work
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=true
        process <test>:pay:<test>.work (consumer) parent: - links: [publish <test>:pay]
          hopscope.attempt = 2
          messaging.batch.message_count = 1
          messaging.destination.name = <test>:pay:<test>.work
          link messaging.message.body.size=1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=true
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.disposition = accept
          messaging.destination.name = <test>:pay:<test>.work
    "#]],
    );
}

#[tokio::test]
async fn a_batch_that_fails_or_panics_comes_again_as_a_whole() {
    let bench = Bench::new("whole").await;
    bench.topology(quorum()).await;
    bench.fill(2).await;
    let (consumer, seen) = (bench.consume(bench.queue("work")).await, Seen::default());
    let handler = {
        let seen = seen.clone();
        move |batch: Arc<[Traced<Delivery>]>| {
            let seen = seen.clone();
            async move {
                let attempts: Vec<_> =
                    batch.iter().map(|message| format!("{:?}", message.delivery().attempt())).collect();
                match seen.note(attempts.join(" ")) {
                    1 => BatchOutcome::Failed(Failure::new("busy", "")),
                    2 => panic!("no cover"),
                    _ => BatchOutcome::Ok,
                }
            }
        }
    };
    let retry = Retry::times(5);
    let options = Options { batch_max: 2, batch_wait: Duration::from_secs(5), retry, ..Options::default() };
    let stop = seen.clone();
    in_time(consumer.run_batches(options, handler, async move { stop.until(3).await })).await.expect("open");
    assert_eq!(seen.all(), ["Some(1) Some(1)", "Some(2) Some(2)", "Some(3) Some(3)"]);
    let spans = bench.finish(&["work"]).await;
    let errors: Vec<_> =
        of(&spans, "process").into_iter().map(|span| attribute(span, "error.type")).collect();
    assert_eq!(errors[..2], ["busy", "panic"]);
}

/// A span holds 128 links: a larger batch becomes several, and none is lost.
#[tokio::test]
async fn every_message_of_a_large_batch_is_linked() {
    let bench = Bench::new("large").await;
    bench.topology(FieldTable::default()).await;
    let messages = (0..300).map(|_| Publish {
        exchange: bench.exchange(),
        routing_key: "pay".into(),
        options: BasicPublishOptions::default(),
        payload: b"{}",
        properties: lapin::BasicProperties::default(),
    });
    in_time(bench.channel.publish_batch(messages.collect())).await;
    bench.raw().basic_qos(300, BasicQosOptions::default()).await.expect("qos");
    let (consumer, seen) = (bench.consume(bench.queue("work")).await, Seen::default());
    let handler = {
        let seen = seen.clone();
        move |batch: Arc<[Traced<Delivery>]>| {
            for message in batch.iter() {
                seen.note(payload(message));
            }
            async { BatchOutcome::Ok }
        }
    };
    let options = Options { batch_max: 300, batch_wait: Duration::from_secs(5), ..Options::default() };
    let stop = seen.clone();
    in_time(consumer.run_batches(options, handler, async move { stop.until(300).await }))
        .await
        .expect("open");
    let spans = bench.finish(&["work"]).await;
    let works = of(&spans, "process");
    assert!(works.len() < 100, "batches; spans={}", works.len());
    assert!(works.iter().all(|span| span.links.len() <= 128 && span.links.dropped_count == 0));
    let linked: HashSet<_> =
        works.iter().flat_map(|span| span.links.iter()).map(|link| link.span_context.span_id()).collect();
    let created: HashSet<_> = of(&spans, "create").iter().map(|span| span.span_context.span_id()).collect();
    assert_eq!(created.len(), 300);
    assert_eq!(linked, created);
}
