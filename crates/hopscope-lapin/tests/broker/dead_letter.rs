//! Dead letters: written by the broker and by us, read, and sent back.

use crate::kit::*;
use expect_test::expect;
use hopscope_lapin::{DeadLetter, Settle};
use hopscope_sdk::dead_letter::{Families, Family};
use hopscope_sdk::{Disposition, Failure, Outcome};
use lapin::options::*;
use lapin::types::FieldTable;

#[tokio::test]
async fn a_rejected_message_is_a_copy_in_the_dead_letter_queue() {
    let bench = Bench::new("dead").await;
    let dead = bench.queue("dead");
    bench.topology(to_default_exchange(&dead)).await;
    bench.declare(&dead, FieldTable::default()).await;
    bench.publish(properties()).await;

    let mut consumer = bench.consume(bench.queue("work")).await;
    let first = next(&mut consumer).await;
    let failed = first.process().fail(Failure::new("unknown-currency", ""));
    first.reject(failed, BasicRejectOptions { requeue: false }).await.expect("reject");

    let copy = bench.get(&dead).await;
    copy.ack(copy.process().succeed(), Default::default()).await.expect("ack");

    let name = bench.name.clone();
    let spans = bench.finish(&["work", "dead"]).await;
    let of_copy: Vec<_> = spans.into_iter().skip_while(|span| !span.name.starts_with("get")).collect();
    check(
        &of_copy,
        &name,
        &expect![[r#"
            get <test>.dead (client) parent: elsewhere links: [elsewhere]
              hopscope.attempt = 1
              hopscope.copied_from.destination = <test>
              hopscope.copied_from.group = <test>.work
              hopscope.copied_from.kind = dead_letter
              hopscope.copied_from.message_id = pay-1
              hopscope.copied_from.reason = rejected
              hopscope.keys = ["order-1"]
              messaging.destination.name = <test>.dead
              messaging.message.body.size = 7
              messaging.message.id = pay-1
              messaging.operation.name = get
              messaging.operation.type = receive
              messaging.rabbitmq.destination.routing_key = <test>.dead
              messaging.rabbitmq.exchange = amq.default
              messaging.rabbitmq.message.delivery_tag = *
              messaging.rabbitmq.message.redelivered = false
              messaging.rabbitmq.queue = <test>.dead
              messaging.system = rabbitmq
            process <test>.dead (consumer) parent: elsewhere links: [elsewhere]
              hopscope.attempt = 1
              hopscope.copied_from.destination = <test>
              hopscope.copied_from.group = <test>.work
              hopscope.copied_from.kind = dead_letter
              hopscope.copied_from.message_id = pay-1
              hopscope.copied_from.reason = rejected
              hopscope.disposition = accept
              hopscope.keys = ["order-1"]
              messaging.destination.name = <test>.dead
              messaging.message.body.size = 7
              messaging.message.id = pay-1
              messaging.operation.name = process
              messaging.operation.type = process
              messaging.rabbitmq.destination.routing_key = <test>.dead
              messaging.rabbitmq.exchange = amq.default
              messaging.rabbitmq.message.delivery_tag = *
              messaging.rabbitmq.message.redelivered = false
              messaging.rabbitmq.queue = <test>.dead
              messaging.system = rabbitmq
            ack <test>.dead (client) parent: process <test>.dead links: [elsewhere]
              hopscope.attempt = 1
              hopscope.confirmed = false
              hopscope.disposition = accept
              messaging.destination.name = <test>.dead
              messaging.message.id = pay-1
              messaging.operation.name = ack
              messaging.operation.type = settle
              messaging.rabbitmq.destination.routing_key = <test>.dead
              messaging.rabbitmq.exchange = amq.default
              messaging.rabbitmq.queue = <test>.dead
              messaging.system = rabbitmq
        "#]],
    );
}

#[tokio::test]
async fn a_dead_letter_of_ours_says_why_and_goes_back() {
    let bench = Bench::new("letter").await;
    bench.topology(quorum()).await;
    bench.declare(&bench.queue("dead"), FieldTable::default()).await;
    let headers = arguments([
        ("order", text("order-1")),
        ("CC", lapin::types::AMQPValue::FieldArray(vec![text(bench.queue("elsewhere").as_str())].into())),
    ]);
    let properties = lapin::BasicProperties::default()
        .with_message_id("pay-1".into())
        .with_content_type("application/json".into())
        .with_expiration("600000".into())
        .with_headers(headers);
    bench.publish(properties).await;

    let mut consumer = bench.consume(bench.queue("work")).await;
    let first = next(&mut consumer).await;
    let work = first.process();
    let failure = Failure::new("Declined", "no cover");
    let letters = DeadLetter::to_queue(bench.channel.clone(), bench.queue("dead"))
        .with_families(Families::ours().with(Family::SpringAmqp));
    in_time(letters.publish(&first, &work, &failure)).await.expect("the broker takes it");
    let declared = work.declare(Outcome::Failed(failure), Some(Disposition::Reject));
    first.ack_as_declared(declared).await.expect("ack");

    let dead = bench.get(&bench.queue("dead")).await;
    let properties = &dead.message().properties;
    assert_eq!(properties.content_type().as_ref().expect("kept").as_str(), "application/json");
    assert_eq!(*properties.expiration(), None, "a dead letter does not expire as the message did");
    let headers = properties.headers().as_ref().expect("headers").inner().clone();
    assert!(headers.contains_key("x-original-exchange") && !headers.contains_key("CC"), "{headers:?}");
    let work = dead.process();
    work.run(bench.channel.redrive(&dead)).await.expect("it says where it came from");
    dead.ack(work.succeed(), BasicAckOptions::default()).await.expect("ack");

    let back = next(&mut consumer).await;
    assert_eq!(payload(&back), "{\"n\":1}");
    let headers = back.message().properties.headers().as_ref().expect("headers").inner();
    assert!(headers.keys().all(|key| !key.as_str().contains("dead-letter")), "{headers:?}");
    assert_eq!(headers["hopscope-redrive-count"], text("1"));
    assert_eq!(headers["order"], text("order-1"));
    back.ack(back.process().succeed(), BasicAckOptions::default()).await.expect("ack");

    let name = bench.name.clone();
    let spans = bench.finish(&["work", "dead"]).await;
    let attributes = [
        "error.type",
        "hopscope.attempt",
        "hopscope.copied_from.attempts",
        "hopscope.copied_from.destination",
        "hopscope.copied_from.error_type",
        "hopscope.copied_from.group",
        "hopscope.copied_from.kind",
        "hopscope.copied_from.message_id",
        "hopscope.copied_from.reason",
        "hopscope.disposition",
    ];
    check_only(
        &spans,
        &name,
        &attributes,
        &expect![[r#"
        publish <test>:pay (producer) parent: - links: []
        consume <test>:pay:<test>.work (client) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 1
        publish <test>.dead (producer) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.copied_from.attempts = 1
          hopscope.copied_from.destination = <test>
          hopscope.copied_from.error_type = Declined
          hopscope.copied_from.group = <test>.work
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.message_id = pay-1
          hopscope.copied_from.reason = no cover
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          error.type = Declined
          hopscope.attempt = 1
          hopscope.disposition = reject
          Error { description: "no cover" }
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.attempt = 1
          hopscope.disposition = reject
        get <test>.dead (client) parent: publish <test>.dead links: [publish <test>.dead]
          hopscope.attempt = 1
          hopscope.copied_from.attempts = 1
          hopscope.copied_from.destination = <test>
          hopscope.copied_from.error_type = Declined
          hopscope.copied_from.group = <test>.work
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.message_id = pay-1
          hopscope.copied_from.reason = no cover
        publish <test>.work (producer) parent: process <test>.dead links: [publish <test>.dead]
          hopscope.copied_from.destination = amq.default
          hopscope.copied_from.group = <test>.dead
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.message_id = pay-1
        process <test>.dead (consumer) parent: publish <test>.dead links: [publish <test>.dead]
          hopscope.attempt = 1
          hopscope.copied_from.attempts = 1
          hopscope.copied_from.destination = <test>
          hopscope.copied_from.error_type = Declined
          hopscope.copied_from.group = <test>.work
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.message_id = pay-1
          hopscope.copied_from.reason = no cover
          hopscope.disposition = accept
        ack <test>.dead (client) parent: process <test>.dead links: [publish <test>.dead]
          hopscope.attempt = 1
          hopscope.disposition = accept
        consume <test>.work (client) parent: publish <test>.work links: [publish <test>.work]
          hopscope.attempt = 1
          hopscope.copied_from.destination = amq.default
          hopscope.copied_from.group = <test>.dead
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.message_id = pay-1
        process <test>.work (consumer) parent: publish <test>.work links: [publish <test>.work]
          hopscope.attempt = 1
          hopscope.copied_from.destination = amq.default
          hopscope.copied_from.group = <test>.dead
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.message_id = pay-1
          hopscope.disposition = accept
        ack <test>.work (client) parent: process <test>.work links: [publish <test>.work]
          hopscope.attempt = 1
          hopscope.disposition = accept
    "#]],
    );
    let first = of(&spans, "process")[0];
    let event = first.events.iter().find(|event| event.name == "hopscope.copied").expect("an event");
    assert!(event.attributes.iter().any(|set| set.value.as_str().ends_with(".dead")), "{event:?}");
}

#[tokio::test]
async fn a_copy_that_nobody_takes_is_an_error() {
    let bench = Bench::new("nobody").await;
    bench.topology(FieldTable::default()).await;
    bench.publish(properties()).await;
    let message = bench.get(&bench.queue("work")).await;
    let work = message.process();
    let failure = Failure::new("Declined", "");
    let letters = DeadLetter::to_queue(bench.channel.clone(), bench.queue("missing"));
    let error = in_time(letters.publish(&message, &work, &failure)).await.expect_err("no such queue");
    assert_eq!(error.failure().kind(), "NO_ROUTE");
    let missing = DeadLetter::new(bench.another().await, bench.queue("missing"));
    let error = in_time(missing.publish(&message, &work, &failure)).await.expect_err("no such exchange");
    assert_eq!(error.failure().kind(), "NOT_FOUND");
    let error = bench.channel.redrive(&message).await.expect_err("no dead letter");
    assert_eq!(error.failure().kind(), "no-origin");
    message.reject(work.fail(failure), BasicRejectOptions { requeue: true }).await.expect("reject");
    bench.until_ready(&bench.queue("work"), 1).await;
    bench.finish(&["work"]).await;
}

/// RabbitMQ's own dead letter goes back to the queue that gave it up, and not to all that are bound to the exchange.
#[tokio::test]
async fn a_dead_letter_of_the_brokers_goes_back() {
    let bench = Bench::new("own").await;
    let dead = bench.queue("dead");
    bench.topology(to_default_exchange(&dead)).await;
    bench.declare(&dead, FieldTable::default()).await;
    bench.declare(&bench.queue("other"), FieldTable::default()).await;
    bench.bind(&bench.queue("other"), "pay").await;
    bench.publish(properties()).await;
    let first = bench.get(&bench.queue("work")).await;
    let failed = first.process().fail(Failure::new("busy", ""));
    first.reject(failed, BasicRejectOptions { requeue: false }).await.expect("reject");

    let letter = bench.get(&dead).await;
    in_time(bench.channel.redrive(&letter)).await.expect("x-death says where it came from");
    letter.ack(letter.process().succeed(), BasicAckOptions::default()).await.expect("ack");
    let back = bench.get(&bench.queue("work")).await;
    let headers = back.message().properties.headers().as_ref().expect("headers").inner();
    assert!(headers.keys().all(|key| !key.as_str().contains("death")), "{headers:?}");
    assert_eq!(bench.ready(&bench.queue("other")).await.0, 1, "it has had its own");
    let kind = back.delivery().with_details(|details| details.copied_from.map(|from| from.kind));
    assert_eq!(kind, Some(hopscope_sdk::CopyKind::Redrive));
    bench.finish(&["work", "dead", "other"]).await;
}

/// As Spring AMQP's `RepublishMessageRecoverer` writes it.
#[tokio::test]
async fn spring_amqp_wrote_it() {
    let bench = Bench::new("spring").await;
    bench.topology(FieldTable::default()).await;
    let headers = arguments([
        ("x-original-exchange", text("payments")),
        ("x-original-routingKey", text("card")),
        ("x-exception-message", text("no cover")),
        ("x-exception-stacktrace", text("java.lang.IllegalStateException: no cover")),
    ]);
    bench.publish(lapin::BasicProperties::default().with_headers(headers)).await;
    let letter = bench.get(&bench.queue("work")).await;
    letter.delivery().with_details(|details| {
        let from = details.copied_from.expect("a dead letter");
        assert_eq!(from.kind, hopscope_sdk::CopyKind::DeadLetter);
        assert_eq!((from.destination, from.reason), ("payments", "no cover"));
    });
    bench.finish(&["work"]).await;
}
