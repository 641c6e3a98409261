//! Publishing: confirms, returns, batches, fire and forget, transactions.

use crate::kit::*;
use expect_test::expect;
use hopscope_lapin::{Publish, Settle, TracedChannel};
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation};

#[tokio::test]
async fn what_the_broker_returns_or_does_not_confirm_is_no_success() {
    let bench = Bench::new("return").await;
    bench.topology(FieldTable::default()).await;
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let none = BasicProperties::default;
    let publish = bench.channel.basic_publish(bench.exchange(), "nowhere".into(), mandatory, b"", none());
    let confirmation = publish.await.expect("publish").await.expect("confirm");
    assert_eq!(confirmation.take_message().expect("the application sees it too").reply_code, 312);

    let unconfirmed = bench.connection.create_channel().await.expect("channel");
    let unconfirmed = TracedChannel::new(unconfirmed).with_telemetry(bench.recorder.telemetry());
    let publish = unconfirmed.basic_publish(bench.exchange(), "pay".into(), Default::default(), b"", none());
    publish.await.expect("publish").await.expect("no answer is an answer");

    let publish =
        bench.channel.basic_publish(bench.exchange(), "pay".into(), Default::default(), b"", none());
    drop(publish.await.expect("publish"));

    let name = bench.name.clone();
    check(
        &bench.finish(&["work"]).await,
        &name,
        &expect![[r#"
        publish <test>:nowhere (producer) parent: - links: []
          error.type = NO_ROUTE
          messaging.destination.name = <test>:nowhere
          messaging.message.body.size = 0
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.rabbitmq.destination.routing_key = nowhere
          messaging.rabbitmq.exchange = <test>
          messaging.system = rabbitmq
          Error { description: "returned by the broker, exchange=<test> routing_key=nowhere reply=312 NO_ROUTE" }
        publish <test>:pay (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = unconfirmed
          messaging.destination.name = <test>:pay
          messaging.message.body.size = 0
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.system = rabbitmq
        publish <test>:pay (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
          messaging.destination.name = <test>:pay
          messaging.message.body.size = 0
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.system = rabbitmq
    "#]],
    );
}

const SHORT: [&str; 8] = [
    "error.type",
    "hopscope.batch.body_size",
    "hopscope.outcome",
    "hopscope.outcome.reason",
    "messaging.batch.message_count",
    "messaging.destination.name",
    "messaging.rabbitmq.transaction.outcome",
    "hopscope.disposition",
];

#[tokio::test]
async fn a_batch_says_of_each_message_how_it_ended() {
    let bench = Bench::new("batch").await;
    bench.topology(FieldTable::default()).await;
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let message = |key: &str, payload| Publish {
        exchange: bench.exchange(),
        routing_key: key.into(),
        options: mandatory,
        payload,
        properties: BasicProperties::default(),
    };
    let messages = vec![message("pay", b"1"), message("nowhere", b"22"), message("pay", b"333")];
    let answers = in_time(bench.channel.publish_batch(messages)).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Confirmation::Ack(_)))));
    assert_eq!(bench.ready(&bench.queue("work")).await.0, 2, "the others are unharmed");
    assert!(bench.channel.publish_batch(Vec::new()).await.is_empty());

    let name = bench.name.clone();
    check_only(
        &bench.finish(&["work"]).await,
        &name,
        &SHORT,
        &expect![[r#"
        create <test>:pay (producer) parent: - links: []
          messaging.destination.name = <test>:pay
        create <test>:nowhere (producer) parent: - links: []
          messaging.destination.name = <test>:nowhere
        create <test>:pay (producer) parent: - links: []
          messaging.destination.name = <test>:pay
        publish <test> (client) parent: - links: [create <test>:pay, create <test>:nowhere, create <test>:pay]
          hopscope.batch.body_size = 6
          messaging.batch.message_count = 3
          messaging.destination.name = <test>
          link messaging.destination.name=<test>:pay messaging.message.body.size=1 messaging.rabbitmq.destination.routing_key=pay
          link error.type=NO_ROUTE messaging.destination.name=<test>:nowhere messaging.message.body.size=2 messaging.rabbitmq.destination.routing_key=nowhere
          link messaging.destination.name=<test>:pay messaging.message.body.size=3 messaging.rabbitmq.destination.routing_key=pay
    "#]],
    );
}

#[tokio::test]
async fn of_many_on_their_way_each_is_told_of_its_own_return() {
    let bench = Bench::new("returns").await;
    bench.topology(FieldTable::default()).await;
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let key = |number: usize| if number % 7 == 3 { "nowhere" } else { "pay" };
    let mut confirms = Vec::new();
    for number in 0..200 {
        let properties = BasicProperties::default().with_message_id(number.to_string().into());
        let publish =
            bench.channel.basic_publish(bench.exchange(), key(number).into(), mandatory, b"", properties);
        confirms.push(publish.await.expect("publish"));
    }
    // The newest first: lapin gives a return to any of those that one confirm answers.
    for confirm in confirms.into_iter().rev() {
        assert!(in_time(confirm).await.expect("confirm").is_ack());
    }
    let messages: Vec<_> = (0..200)
        .map(|number| Publish {
            exchange: bench.exchange(),
            routing_key: key(number).into(),
            options: mandatory,
            payload: b"",
            properties: BasicProperties::default().with_message_id(format!("batch-{number}").into()),
        })
        .collect();
    in_time(bench.channel.publish_batch(messages)).await;

    let spans = bench.finish(&["work"]).await;
    let batches = spans.iter().filter(|span| !span.links.is_empty());
    let links = batches.flat_map(|span| span.links.iter()).map(|link| {
        let of = |name: &str| {
            let found = link.attributes.iter().find(|set| set.key.as_str() == name);
            found.map(|set| set.value.to_string()).unwrap_or_default()
        };
        (of("messaging.message.id"), of("error.type"))
    });
    let links: Vec<_> = links.collect();
    assert_eq!(links.len(), 200, "more than one span has room for");
    for (id, error) in links {
        let number: usize = id.strip_prefix("batch-").expect("an id").parse().expect("a number");
        assert_eq!(error, if number % 7 == 3 { "NO_ROUTE" } else { "" }, "{id}");
    }
    let single: Vec<_> = spans.iter().filter(|span| span.links.is_empty()).collect();
    let single: Vec<_> = single.into_iter().filter(|span| span.name.starts_with("publish")).collect();
    assert_eq!(single.len(), 200);
    for span in single {
        let number: usize = attribute(span, "messaging.message.id").parse().expect("a number");
        // A return that came with the confirm of one that was asked for later is known too late for a success.
        let error = attribute(span, "error.type");
        assert!(error.is_empty() || number % 7 == 3, "{number} was not returned, error={error}");
    }
}

#[tokio::test]
async fn a_transaction_tells_its_end_on_every_message_of_it() {
    let bench = Bench::new("transaction").await;
    bench.topology(FieldTable::default()).await;
    let channel = bench.another().await;
    let publish = |key: &'static str| {
        (bench.exchange(), key.into(), BasicPublishOptions::default(), b"1", BasicProperties::default())
    };
    let transaction = channel.transaction().await.expect("tx.select");
    let (exchange, key, options, payload, properties) = publish("pay");
    transaction.basic_publish(exchange, key, options, payload, properties).await.expect("publish");
    assert_eq!(bench.ready(&bench.queue("work")).await.0, 0, "no queue has it before the commit");
    transaction.commit().await.expect("commit");
    assert_eq!(bench.ready(&bench.queue("work")).await.0, 1);

    let got = channel.basic_get(bench.queue("work"), BasicGetOptions::default()).await.expect("get");
    let got = got.expect("committed");
    let transaction = channel.transaction().await.expect("tx.select");
    let (exchange, key, options, payload, properties) = publish("pay");
    transaction.basic_publish(exchange, key, options, payload, properties).await.expect("publish");
    transaction.ack(&got, got.process().succeed(), BasicAckOptions::default()).await.expect("ack");
    transaction.rollback().await.expect("rollback");
    assert_eq!(bench.ready(&bench.queue("work")).await.0, 0, "rolled back: neither sent nor given back");
    let failed = got.process().fail(&std::fmt::Error);
    let again = BasicNackOptions { requeue: true, ..Default::default() };
    assert!(got.nack(failed, again).await.expect("nack"), "it is not settled yet");
    channel.inner().tx_commit().await.expect("commit");
    bench.until_ready(&bench.queue("work"), 1).await;

    let transaction = channel.transaction().await.expect("tx.select");
    let (exchange, key, options, payload, properties) = publish("pay");
    transaction.basic_publish(exchange, key, options, payload, properties).await.expect("publish");
    drop(transaction);

    let name = bench.name.clone();
    check_only(
        &bench.finish(&["work"]).await,
        &name,
        &SHORT,
        &expect![[r#"
        publish <test>:pay (producer) parent: - links: []
          messaging.destination.name = <test>:pay
          messaging.rabbitmq.transaction.outcome = committed
        get <test>:pay:<test>.work (client) parent: publish <test>:pay links: [publish <test>:pay]
          messaging.destination.name = <test>:pay:<test>.work
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.disposition = accept
          messaging.destination.name = <test>:pay:<test>.work
        publish <test>:pay (producer) parent: - links: []
          error.type = TRANSACTION_ROLLED_BACK
          messaging.destination.name = <test>:pay
          messaging.rabbitmq.transaction.outcome = rolled_back
          Error { description: "the transaction was rolled back" }
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          error.type = TRANSACTION_ROLLED_BACK
          hopscope.disposition = accept
          messaging.destination.name = <test>:pay:<test>.work
          Error { description: "the transaction was rolled back" }
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          error.type = core::fmt::Error
          messaging.destination.name = <test>:pay:<test>.work
          Error { description: "an error occurred when formatting an argument" }
        nack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.disposition = retry
          messaging.destination.name = <test>:pay:<test>.work
        publish <test>:pay (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = transaction left open
          messaging.destination.name = <test>:pay
    "#]],
    );
}
