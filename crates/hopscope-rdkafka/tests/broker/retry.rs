//! Retries in place and through a retry topic, on a real Kafka.

use crate::kit::{Bench, Counter, in_time, payload};
use expect_test::expect;
use hopscope_rdkafka::{DeadLetter, GivenUp, Options, Received, RetryTopic, TracedProducer};
use hopscope_sdk::Retry;
use hopscope_sdk::work::Order;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use std::io::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn options() -> Options {
    Options { commit_every: Duration::from_millis(50), order: Order::ByLane, ..Options::default() }
}

#[tokio::test]
async fn in_place_until_it_works() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 1).await;
    let (tries, done) = (Arc::new(AtomicU32::new(0)), Counter::new());
    let counted = done.clone();
    let handler = move |_: Received| {
        let (number, done) = (tries.fetch_add(1, Ordering::Relaxed), counted.clone());
        async move {
            if number < 2 {
                return Err(Error::other("busy"));
            }
            done.add();
            Ok(())
        }
    };
    let options = Options { in_place: Retry::times(3).fixed(Duration::from_millis(5)), ..options() };
    in_time(bench.consumer().run(options, handler, done.reaches(1))).await.expect("a clean end");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(1));
    let shown = ["hopscope.retry.count", "hopscope.disposition", "error.type"];
    expect![[r#"
        process orders (consumer) parent: - links: []
          hopscope.disposition = accept
          hopscope.retry.count = 2
    "#]]
    .assert_eq(&bench.only_of(&["process"], &shown));
    let spans = bench.recorder.finished();
    let process = spans.iter().find(|span| span.name.starts_with("process")).expect("the span");
    let events: Vec<_> = process
        .events
        .iter()
        .map(|event| format!("{} {:?}", event.name, event.attributes[0].value))
        .collect();
    assert_eq!(events, ["hopscope.retry I64(1)", "hopscope.retry I64(2)"]);
}

/// A dead-letter topic, and a retry topic where wanted.
async fn with_copies(bench: &Bench, retry: Option<Retry>) -> Options {
    let (retry_topic, dead) =
        (RetryTopic::name(&bench.topic, "payment"), DeadLetter::name(&bench.topic, "payment"));
    bench.make(&retry_topic, 1, &[]).await;
    bench.make(&dead, 1, &[]).await;
    let producer = bench.producer();
    Options {
        retry: retry.map(|retry| RetryTopic::to(producer.clone(), &retry_topic, retry)),
        dead_letter: Some(DeadLetter::to(producer, &dead)),
        ..options()
    }
}

#[tokio::test]
async fn through_a_retry_topic_and_then_it_is_given_up() {
    let bench = Bench::new(&[]).await;
    let delay = Duration::from_millis(700);
    let options = with_copies(&bench, Some(Retry::times(3).fixed(delay))).await;
    bench.send(OwnedHeaders::new().insert(Header { key: "app", value: Some("1") })).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let handler = move |message: Received| {
        let (attempt, key) = (message.delivery().attempt(), message.message().key().map(<[u8]>::to_vec));
        assert_eq!((payload(&message), key.as_deref()), ("{}", Some(b"4711".as_slice())));
        noted.lock().expect("no panic").push((attempt, Instant::now()));
        async { Err::<(), _>(Error::other("no cover")) }
    };
    let (retry_topic, dead) =
        (RetryTopic::name(&bench.topic, "payment"), DeadLetter::name(&bench.topic, "payment"));
    let consumer = bench.consumer_of(&[&bench.topic, &retry_topic]);
    let dead_letters = bench.reader(&dead);
    let stop = async {
        let dead = in_time(dead_letters.recv()).await.expect("a dead letter");
        let from = dead.delivery().with_details(|details| {
            let from = details.copied_from.expect("a copy");
            (from.destination.to_owned(), from.position, from.attempts, from.reason.to_owned())
        });
        assert_eq!(from, (retry_topic.clone(), Some(1), Some(3), "no cover".to_owned()));
        let headers = dead.message().headers().expect("headers");
        let names: Vec<_> = headers.iter().map(|header| header.key.to_owned()).collect();
        assert!(names.contains(&"app".to_owned()), "the application's own stay: {names:?}");
        assert!(
            !names.iter().any(|name| name.starts_with("retry_topic") || name.starts_with("hopscope-retry")),
            "{names:?}"
        );
    };
    in_time(consumer.run(options, handler, stop)).await.expect("a clean end");
    let seen = seen.lock().expect("no panic").clone();
    let attempts: Vec<_> = seen.iter().map(|(attempt, _)| *attempt).collect();
    assert_eq!(attempts, [None, Some(2), Some(3)]);
    assert!(seen.windows(2).all(|two| two[1].1 - two[0].1 >= delay.mul_f64(0.99)), "not before it is due");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(1));
    assert_eq!(bench.committed(&retry_topic, 0).await, Some(2));
    let shown = [
        "error.type",
        "hopscope.attempt",
        "hopscope.disposition",
        "hopscope.copied_from.kind",
        "hopscope.copied_from.destination",
        "hopscope.copied_from.position",
        "hopscope.copied_from.attempts",
    ];
    expect![[r#"
        send orders (producer) parent: - links: []
        send orders.retry.payment (producer) parent: process orders links: [send orders]
          hopscope.copied_from.attempts = 1
          hopscope.copied_from.destination = orders
          hopscope.copied_from.kind = retry
          hopscope.copied_from.position = 0
        process orders (consumer) parent: send orders links: [send orders]
          error.type = std::io::error::Error
          hopscope.disposition = retry
          Error { description: "no cover" }
        send orders.retry.payment (producer) parent: process orders.retry.payment links: [send orders.retry.payment]
          hopscope.copied_from.attempts = 2
          hopscope.copied_from.destination = orders.retry.payment
          hopscope.copied_from.kind = retry
          hopscope.copied_from.position = 0
        process orders.retry.payment (consumer) parent: send orders.retry.payment links: [send orders.retry.payment]
          error.type = std::io::error::Error
          hopscope.attempt = 2
          hopscope.copied_from.attempts = 1
          hopscope.copied_from.destination = orders
          hopscope.copied_from.kind = retry
          hopscope.copied_from.position = 0
          hopscope.disposition = retry
          Error { description: "no cover" }
        send orders.dlt.payment (producer) parent: process orders.retry.payment links: [send orders.retry.payment]
          hopscope.copied_from.attempts = 3
          hopscope.copied_from.destination = orders.retry.payment
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.position = 1
        process orders.retry.payment (consumer) parent: send orders.retry.payment links: [send orders.retry.payment]
          error.type = std::io::error::Error
          hopscope.attempt = 3
          hopscope.copied_from.attempts = 2
          hopscope.copied_from.destination = orders.retry.payment
          hopscope.copied_from.kind = retry
          hopscope.copied_from.position = 0
          hopscope.disposition = reject
          Error { description: "no cover" }
    "#]].assert_eq(&bench.only_of(&["send", "process"], &shown));
}

#[tokio::test]
async fn a_copy_that_cannot_be_sent_leaves_the_message_where_it_is() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 1).await;
    let mut config = bench.config.clone();
    config.set("message.max.bytes", "1000");
    let producer = TracedProducer::from_config_with(&config, bench.recorder.telemetry()).expect("valid");
    let large = "x".repeat(2000);
    let record = FutureRecord::<str, str>::to(&bench.topic).payload(&large);
    in_time(bench.producer().send(record, crate::kit::TIMEOUT)).await.expect("delivered");
    let handler = |message: Received| async move {
        if payload(&message).len() > 10 { Err(Error::other("too much")) } else { Ok(()) }
    };
    let options = Options { dead_letter: Some(DeadLetter::to(producer, &bench.topic)), ..options() };
    let error = in_time(bench.consumer().run(options, handler, std::future::pending())).await;
    let error = error.expect_err("not copied");
    assert!(matches!(error, hopscope_rdkafka::RunError::NotCopied(ref at, _) if at.offset == 1), "{error}");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(1));
}

#[tokio::test]
async fn attempts_that_spring_counted_are_read() {
    let bench = Bench::new(&[]).await;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "kafka_original-topic", value: Some(&b"orders-elsewhere"[..]) })
        .insert(Header { key: "retry_topic-attempts", value: Some(&[0_u8, 0, 0, 3][..]) });
    bench.send(headers).await;
    let consumer = bench.consumer();
    let message = in_time(consumer.recv()).await.expect("the message");
    assert_eq!(message.delivery().attempt(), Some(3));
}

/// Which failures are worth another try, and after which delay, each noted.
#[tokio::test]
async fn only_some_failures_are_tried_again_and_each_delay_is_told() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 2).await;
    let (tries, done) = (Arc::new(Mutex::new(Vec::new())), Counter::new());
    let (noted, counted) = (Arc::clone(&tries), done.clone());
    let handler = move |message: Received| {
        let number = payload(&message).to_owned();
        let mut tries = noted.lock().expect("no panic");
        tries.push(number.clone());
        let of_this = tries.iter().filter(|other| **other == number).count();
        drop(tries);
        let done = counted.clone();
        async move {
            match number.as_str() {
                "0" if of_this < 4 => Err(Error::other("busy")),
                "0" => Ok(()),
                _ => {
                    done.add();
                    Err(Error::other("invalid"))
                }
            }
        }
    };
    let (first, delay_max) = (Duration::from_millis(2), Duration::from_millis(10));
    let in_place = Retry::times(9)
        .exponential(first, 3.0, delay_max)
        .without_jitter()
        .only_if(|failure| failure.message() != "invalid");
    let options = Options { in_place, given_up: GivenUp::Skip, ..options() };
    in_time(bench.consumer().run(options, handler, done.reaches(1))).await.expect("a clean end");
    assert_eq!(*tries.lock().expect("no panic"), ["0", "0", "0", "0", "1"]);
    let spans = bench.recorder.finished();
    let retries: Vec<_> = spans
        .iter()
        .flat_map(|span| span.events.iter())
        .map(|event| {
            let of = |key: &str| event.attributes.iter().find(|set| set.key.as_str() == key);
            ["hopscope.attempt", "hopscope.retry.delay_ms", "error.type"]
                .map(|key| of(key).map(|set| set.value.to_string()).unwrap_or_default())
                .join(" ")
        })
        .collect();
    let kind = "std::io::error::Error";
    assert_eq!(retries, [format!("1 2 {kind}"), format!("2 6 {kind}"), format!("3 10 {kind}")]);
}
