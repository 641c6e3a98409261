//! Settlements in RabbitMQ's words.

use crate::kit::*;
use expect_test::expect;
use hopscope_lapin::{Settle, ack_multiple};
use hopscope_sdk::Failure;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};

#[tokio::test]
async fn a_message_is_sent_refused_redelivered_and_acknowledged() {
    let bench = Bench::new("retry").await;
    bench.topology(arguments([("x-queue-type", text("quorum"))])).await;
    assert!(bench.publish(properties()).await.is_ack());

    let mut consumer = bench.consume(bench.queue("work")).await;
    let first = next(&mut consumer).await;
    assert_eq!(first.message().data, b"{\"n\":1}", "the payload is untouched");
    let headers = first.message().properties.headers().as_ref().expect("headers").inner();
    assert_eq!(headers["raw"], AMQPValue::LongString(b"\xff\x00".to_vec().into()), "so are other headers");
    let failed = first.process().fail(Failure::new("card-declined", "no cover"));
    let again = BasicNackOptions { requeue: true, ..Default::default() };
    assert!(first.nack(failed, again).await.expect("nack"));

    let second = next(&mut consumer).await;
    assert!(second.ack(second.process().succeed(), Default::default()).await.expect("ack"));
    assert!(
        !second.ack(second.process().succeed(), Default::default()).await.expect("twice"),
        "lapin's word"
    );

    let name = bench.name.clone();
    check(
        &bench.finish(&["work"]).await,
        &name,
        &expect![[r#"
        publish <test>:pay (producer) parent: - links: []
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.system = rabbitmq
        consume <test>:pay:<test>.work (client) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 1
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = consume
          messaging.operation.type = receive
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = false
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          error.type = card-declined
          hopscope.attempt = 1
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = false
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
          Error { description: "no cover" }
        nack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.attempt = 1
          hopscope.confirmed = false
          hopscope.disposition = retry
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.id = pay-1
          messaging.operation.name = nack
          messaging.operation.type = settle
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        consume <test>:pay:<test>.work (client) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = consume
          messaging.operation.type = receive
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = true
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.disposition = accept
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = true
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.confirmed = false
          hopscope.disposition = accept
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.id = pay-1
          messaging.operation.name = ack
          messaging.operation.type = settle
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.disposition = accept
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = true
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          error.type = already-settled
          hopscope.attempt = 2
          hopscope.disposition = accept
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.id = pay-1
          messaging.operation.name = ack
          messaging.operation.type = settle
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
          Error { description: "the delivery was settled before" }
    "#]],
    );
}

const SHORT: [&str; 7] = [
    "error.type",
    "hopscope.attempt",
    "hopscope.disposition",
    "hopscope.outcome",
    "hopscope.outcome.reason",
    "messaging.batch.message_count",
    "messaging.destination.name",
];

#[tokio::test]
async fn one_multiple_ack_is_linked_with_every_message() {
    let bench = Bench::new("multiple").await;
    bench.topology(FieldTable::default()).await;
    for _ in 0..3 {
        bench.publish(properties()).await;
    }
    let mut consumer = bench.consume(bench.queue("work")).await;
    let messages = [next(&mut consumer).await, next(&mut consumer).await, next(&mut consumer).await];
    let declared = messages.iter().map(|message| message.process().succeed()).collect();
    assert!(ack_multiple(&messages, declared).await.expect("ack"));
    drop(consumer);

    let (name, queue) = (bench.name.clone(), bench.queue("work"));
    bench.raw().basic_recover(BasicRecoverOptions { requeue: true }).await.expect("recover");
    assert_eq!(bench.ready(&queue).await.0, 0, "the broker has nothing left to give again");
    let spans = bench.finish(&["work"]).await;
    check_only(
        &spans[spans.len() - 1..],
        &name,
        &SHORT,
        &expect![[r#"
        ack <test>:pay:<test>.work (client) parent: elsewhere links: [elsewhere, elsewhere, elsewhere]
          hopscope.attempt = 1
          hopscope.disposition = accept
          messaging.batch.message_count = 3
          messaging.destination.name = <test>:pay:<test>.work
          link hopscope.keys=["order-1"] messaging.message.body.size=7 messaging.message.id=pay-1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link hopscope.keys=["order-1"] messaging.message.body.size=7 messaging.message.id=pay-1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
          link hopscope.keys=["order-1"] messaging.message.body.size=7 messaging.message.id=pay-1 messaging.rabbitmq.consumer_tag=worker messaging.rabbitmq.message.delivery_tag=* messaging.rabbitmq.message.redelivered=false
    "#]],
    );
}

#[tokio::test]
async fn each_word_of_the_broker_says_what_is_asked() {
    let bench = Bench::new("words").await;
    bench.topology(FieldTable::default()).await;
    bench.publish(properties()).await;
    let mut consumer = bench.consume(bench.queue("work")).await;
    let failure = || Failure::new("busy", "");
    let first = next(&mut consumer).await;
    first
        .reject(first.process().fail(failure()), BasicRejectOptions { requeue: true })
        .await
        .expect("reject");
    let second = next(&mut consumer).await;
    assert_eq!(second.delivery().attempt(), None, "a classic queue does not count");
    let dropped = BasicNackOptions { requeue: false, multiple: false };
    second.nack(second.process().fail(failure()), dropped).await.expect("nack");

    let (name, queue) = (bench.name.clone(), bench.queue("work"));
    assert_eq!(bench.ready(&queue).await.0, 0);
    let spans = bench.finish(&["work"]).await;
    check_only(
        &spans[2..],
        &name,
        &SHORT,
        &expect![[r#"
        process <test>:pay:<test>.work (consumer) parent: elsewhere links: [elsewhere]
          error.type = busy
          hopscope.attempt = 1
          messaging.destination.name = <test>:pay:<test>.work
          Error { description: "" }
        reject <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [elsewhere]
          hopscope.attempt = 1
          hopscope.disposition = retry
          messaging.destination.name = <test>:pay:<test>.work
        consume <test>:pay:<test>.work (client) parent: elsewhere links: [elsewhere]
          messaging.destination.name = <test>:pay:<test>.work
        process <test>:pay:<test>.work (consumer) parent: elsewhere links: [elsewhere]
          error.type = busy
          messaging.destination.name = <test>:pay:<test>.work
          Error { description: "" }
        nack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [elsewhere]
          hopscope.disposition = reject
          messaging.destination.name = <test>:pay:<test>.work
    "#]],
    );
}

#[tokio::test]
async fn work_that_is_spawned_cancelled_or_panics_says_so() {
    let bench = Bench::new("dropped").await;
    bench.topology(FieldTable::default()).await;
    for _ in 0..4 {
        bench.publish(properties()).await;
    }
    let mut consumer = bench.consume(bench.queue("work")).await;
    // Spawned to the end.
    let message = next(&mut consumer).await;
    let spawned = tokio::spawn(async move {
        let work = message.process();
        work.run(tokio::task::yield_now()).await;
        message.ack(work.succeed(), BasicAckOptions::default()).await
    });
    assert!(spawned.await.expect("no panic").expect("ack"));
    // Aborted.
    let message = next(&mut consumer).await;
    let aborted = tokio::spawn(async move {
        let _work = message.process();
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    aborted.abort();
    assert!(aborted.await.expect_err("aborted").is_cancelled());
    // Lost in a `select!`.
    let message = next(&mut consumer).await;
    tokio::select! {
        biased;
        () = async { let _work = message.process(); std::future::pending::<()>().await } => {}
        () = tokio::task::yield_now() => {}
    }
    // A panic.
    let message = next(&mut consumer).await;
    let panicked = tokio::spawn(async move {
        let work = message.process();
        work.run(async { panic!("no cover") }).await
    });
    assert!(panicked.await.expect_err("panicked").is_panic());

    let name = bench.name.clone();
    let spans = bench.finish(&["work"]).await;
    let processed: Vec<_> = of(&spans, "process").into_iter().cloned().collect();
    check_only(
        &processed,
        &name,
        &SHORT,
        &expect![[r#"
        process <test>:pay:<test>.work (consumer) parent: elsewhere links: [elsewhere]
          hopscope.attempt = 1
          hopscope.disposition = accept
          messaging.destination.name = <test>:pay:<test>.work
        process <test>:pay:<test>.work (consumer) parent: elsewhere links: [elsewhere]
          hopscope.attempt = 1
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
          messaging.destination.name = <test>:pay:<test>.work
        process <test>:pay:<test>.work (consumer) parent: elsewhere links: [elsewhere]
          hopscope.attempt = 1
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
          messaging.destination.name = <test>:pay:<test>.work
        process <test>:pay:<test>.work (consumer) parent: elsewhere links: [elsewhere]
          error.type = panic
          hopscope.attempt = 1
          messaging.destination.name = <test>:pay:<test>.work
          Error { description: "no cover" }
    "#]],
    );
}
