//! Dead letters: written for every reader, read whoever wrote them, sent back, on a real Kafka.

use crate::kit::{Bench, TIMEOUT, in_time};
use expect_test::expect;
use hopscope_rdkafka::DeadLetter;
use hopscope_sdk::Failure;
use hopscope_sdk::dead_letter::{Families, Family};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};

const SHOWN: [&str; 8] = [
    "error.type",
    "hopscope.copied_from.kind",
    "hopscope.copied_from.destination",
    "hopscope.copied_from.lane",
    "hopscope.copied_from.position",
    "hopscope.copied_from.group",
    "hopscope.copied_from.attempts",
    "hopscope.copied_from.reason",
];

/// Header names and values: text as it is, bytes as numbers.
fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, String)> {
    let headers = message.headers().expect("headers").iter().map(|header| {
        let value = header.value.expect("a value");
        let text = std::str::from_utf8(value).ok().filter(|text| !text.contains(char::is_control));
        (header.key.to_owned(), text.map_or_else(|| format!("{value:?}"), str::to_owned))
    });
    headers.collect()
}

#[tokio::test]
async fn written_with_our_headers_and_springs_and_sent_back_with_its_chain() {
    let bench = Bench::new(&[]).await;
    let dead_topic = DeadLetter::name(&bench.topic, "payment");
    bench.make(&dead_topic, 1, &[]).await;
    bench.send(OwnedHeaders::new().insert(Header { key: "app", value: Some(&[0xff_u8, 0][..]) })).await;
    let consumer = bench.consumer();
    let message = in_time(consumer.recv()).await.expect("the message").map(|message| message.detach());
    let dead_letter = DeadLetter::to(bench.producer(), &dead_topic)
        .with_families(Families::usual("kafka").with(Family::Connect));
    let work = message.process();
    let failure = Failure::new("Declined", "no cover");
    let (stored, original) =
        in_time(work.run(dead_letter.send(&message, 5, &failure))).await.expect("stored");
    assert_eq!(stored.offset, 0);
    original.note(&work, &dead_topic);
    work.fail(failure);

    let dead_letters = bench.reader(&dead_topic);
    let dead = in_time(dead_letters.recv()).await.expect("the dead letter");
    let mut written = headers(dead.message());
    let differs = ["traceparent", "hopscope-dead-letter-context", "hopscope-dead-letter-first-failed-at"];
    written.retain(|(name, _)| !differs.contains(&name.as_str()));
    let text: Vec<_> = written.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    let text = text.concat().replace(&bench.topic, "orders").replace(bench.group(), "payment");
    expect![[r#"
        app = [255, 0]
        hopscope-dead-letter-destination = orders
        hopscope-dead-letter-partition = 0
        hopscope-dead-letter-position = 0
        hopscope-dead-letter-group = payment
        hopscope-dead-letter-attempts = 5
        hopscope-dead-letter-reason = no cover
        hopscope-dead-letter-error-type = Declined
        kafka_dlt-original-topic = orders
        kafka_dlt-original-partition = [0, 0, 0, 0]
        kafka_dlt-original-offset = [0, 0, 0, 0, 0, 0, 0, 0]
        kafka_dlt-original-consumer-group = payment
        kafka_deliveryAttempt = [0, 0, 0, 5]
        kafka_dlt-exception-message = no cover
        kafka_dlt-exception-fqcn = Declined
        __connect.errors.topic = orders
        __connect.errors.partition = 0
        __connect.errors.offset = 0
        __connect.errors.exception.message = no cover
        __connect.errors.exception.class.name = Declined
    "#]]
    .assert_eq(&text);

    let dead = dead.map(|message| message.detach());
    let work = dead.process();
    in_time(work.run(bench.producer().redrive(&dead, None, TIMEOUT))).await.expect("stored");
    work.succeed();
    let back = in_time(consumer.recv()).await.expect("the message again");
    assert_eq!((back.message().offset(), back.message().payload()), (1, Some(b"{}".as_slice())));
    let names: Vec<_> = headers(back.message()).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"app".to_owned()) && names.contains(&"hopscope-redrive-count".to_owned()));
    assert!(!names.iter().any(|name| name.contains("dead-letter") || name.contains("dlt")), "{names:?}");
    bench.check_only(
        &SHOWN,
        expect![[r#"
        send orders (producer) parent: - links: []
        poll orders (client) parent: send orders links: [send orders]
        send orders.dlt.payment (producer) parent: process orders links: [send orders]
          hopscope.copied_from.attempts = 5
          hopscope.copied_from.destination = orders
          hopscope.copied_from.group = payment
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.lane = 0
          hopscope.copied_from.position = 0
          hopscope.copied_from.reason = no cover
        process orders (consumer) parent: send orders links: [send orders]
          error.type = Declined
          Error { description: "no cover" }
        poll orders.dlt.payment (client) parent: send orders.dlt.payment links: [send orders.dlt.payment]
          hopscope.copied_from.attempts = 5
          hopscope.copied_from.destination = orders
          hopscope.copied_from.group = payment
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.lane = 0
          hopscope.copied_from.position = 0
          hopscope.copied_from.reason = no cover
        send orders (producer) parent: process orders.dlt.payment links: [send orders.dlt.payment]
          hopscope.copied_from.destination = orders.dlt.payment
          hopscope.copied_from.group = audit-payment
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.lane = 0
          hopscope.copied_from.position = 0
        process orders.dlt.payment (consumer) parent: send orders.dlt.payment links: [send orders.dlt.payment]
          hopscope.copied_from.attempts = 5
          hopscope.copied_from.destination = orders
          hopscope.copied_from.group = payment
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.lane = 0
          hopscope.copied_from.position = 0
          hopscope.copied_from.reason = no cover
        poll orders (client) parent: send orders links: [send orders]
          hopscope.copied_from.destination = orders.dlt.payment
          hopscope.copied_from.group = audit-payment
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.lane = 0
          hopscope.copied_from.position = 0
    "#]],
    );
    let spans = bench.recorder.finished();
    let noted = spans.iter().flat_map(|span| span.events.iter()).map(|event| event.name.as_ref());
    assert_eq!(noted.collect::<Vec<_>>(), ["hopscope.copied"]);
}

/// What a foreign program wrote, and what is told of it.
async fn read(pairs: &[(&str, &[u8])]) -> String {
    let bench = Bench::new(&[]).await;
    let headers = pairs.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(*value) })
    });
    bench.send(headers).await;
    let consumer = bench.consumer();
    in_time(consumer.recv()).await.expect("the message");
    let told = bench.only(&SHOWN);
    told.lines().filter(|line| line.starts_with("  ")).map(|line| format!("{}\n", line.trim())).collect()
}

#[tokio::test]
async fn spring_wrote_it() {
    let told = read(&[
        ("kafka_dlt-original-topic", b"payments"),
        ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
        ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 18, 103]),
        ("kafka_dlt-original-consumer-group", b"billing"),
        ("kafka_dlt-exception-message", b"Listener failed"),
    ]);
    expect![[r#"
          hopscope.copied_from.destination = payments
          hopscope.copied_from.group = billing
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.lane = 3
          hopscope.copied_from.position = 4711
          hopscope.copied_from.reason = Listener failed
    "#]]
    .assert_eq(&told.await);
}

#[tokio::test]
async fn connect_wrote_it() {
    let told = read(&[
        ("__connect.errors.topic", b"payments"),
        ("__connect.errors.partition", b"2"),
        ("__connect.errors.offset", b"42"),
        ("__connect.errors.connector.name", b"sink"),
        ("__connect.errors.exception.message", b"no JSON"),
    ]);
    expect![[r#"
          hopscope.copied_from.destination = payments
          hopscope.copied_from.group = connect-sink
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.lane = 2
          hopscope.copied_from.position = 42
          hopscope.copied_from.reason = no JSON
    "#]]
    .assert_eq(&told.await);
}

#[tokio::test]
async fn smallrye_wrote_it() {
    let told = read(&[
        ("dead-letter-topic", b"payments"),
        ("dead-letter-partition", b"1"),
        ("dead-letter-offset", b"7"),
        ("dead-letter-reason", b"broken"),
    ]);
    expect![[r#"
          hopscope.copied_from.destination = payments
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.lane = 1
          hopscope.copied_from.position = 7
          hopscope.copied_from.reason = broken
    "#]]
    .assert_eq(&told.await);
}
