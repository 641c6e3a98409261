//! Tries in place, and through the server.

use crate::kit::{Bench, Seen, attribute, in_time, payload};
use async_nats::jetstream::consumer::pull;
use expect_test::expect;
use hopscope_async_nats::{Options, Received};
use hopscope_sdk::{Failure, Retry};
use std::io::Error;
use std::time::Duration;

#[tokio::test]
async fn a_failure_comes_again_with_the_servers_own_count_and_then_is_terminated() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    let mut terminated = bench
        .client
        .subscribe(format!("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{}.packing", bench.stream))
        .await
        .expect("subscribed");
    bench.publish().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let handler = move |message: Received| {
        noted.note(message.delivery().attempt().expect("counted").to_string());
        async { Err::<(), _>(Error::other("no truck")) }
    };
    let options = Options { retry: Retry::times(3).fixed(Duration::from_millis(50)), ..Options::default() };
    let stop = async {
        let advisory = in_time(futures::StreamExt::next(&mut terminated)).await.expect("an advisory");
        let advisory = String::from_utf8_lossy(&advisory.payload).into_owned();
        assert!(advisory.contains("std::io::error::Error: no truck"), "the reason is told: {advisory}");
    };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run(options, handler, stop)).await.expect("a clean end");
    assert_eq!(seen.all(), ["1", "2", "3"]);
    bench.check_only(
        &["hopscope.attempt", "hopscope.disposition", "messaging.nats.nak_delay_ms"],
        expect![[r#"
            publish SHIPMENTS.new (producer) parent: - links: []
            receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 1
            process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 1
              hopscope.disposition = retry
              Error { description: "no truck" }
            nak SHIPMENTS.new (client) parent: process SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 1
              hopscope.disposition = retry
              messaging.nats.nak_delay_ms = 50
            receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 2
            process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 2
              hopscope.disposition = retry
              Error { description: "no truck" }
            nak SHIPMENTS.new (client) parent: process SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 2
              hopscope.disposition = retry
              messaging.nats.nak_delay_ms = 50
            receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 3
            process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 3
              hopscope.disposition = reject
              Error { description: "no truck" }
            term SHIPMENTS.new (client) parent: process SHIPMENTS.new links: [publish SHIPMENTS.new]
              hopscope.attempt = 3
              hopscope.disposition = reject
        "#]],
    );
}

#[tokio::test]
async fn tries_in_place_are_one_delivery_and_a_panic_is_a_failure() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    bench.publish().await;
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |message: Received| {
        let times = noted.note(payload(&message));
        async move {
            assert!(times != 2, "the second try panics");
            if times == 1 { Err(Error::other("busy")) } else { Ok(()) }
        }
    };
    let options = Options { in_place: Retry::times(3), retry: Retry::times(2), ..Options::default() };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run(options, handler, async move { told.until(3).await })).await.expect("a clean end");
    let processes = bench.of("process");
    let told: Vec<_> = processes
        .iter()
        .map(|span| {
            ["hopscope.attempt", "hopscope.retry.count", "error.type"].map(|key| attribute(span, key))
        })
        .collect();
    assert_eq!(told, [["1", "1", "panic"], ["2", "", ""]]);
}

#[tokio::test]
async fn a_handler_that_takes_longer_than_the_ack_wait_keeps_its_message() {
    let bench = Bench::new().await;
    let config = pull::Config { ack_wait: Duration::from_millis(500), ..pull::Config::default() };
    let mut consumer = bench.pull(config).await;
    bench.publish().await;
    let done = Seen::default();
    let (noted, told) = (done.clone(), done.clone());
    let handler = move |_: Received| {
        let noted = noted.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            noted.note("done");
            Ok::<_, Error>(())
        }
    };
    let options =
        Options { progress_every: Some(Duration::from_millis(100)), double_ack: true, ..Options::default() };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run(options, handler, async move { told.until(1).await })).await.expect("a clean end");
    assert_eq!(bench.state_of(&mut consumer).await, (0, 0));
    assert_eq!((bench.of("process").len(), bench.of("ack").len()), (1, 1), "it came once");
}

/// Which failures are worth another try, and after which delay, each noted.
#[tokio::test]
async fn only_some_failures_are_tried_again_and_each_delay_is_told() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    bench.fill(2).await;
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |message: Received| {
        let number = payload(&message);
        let times = noted.note(number.clone());
        async move {
            match number.as_str() {
                "0" if times < 4 => Err(Error::other("busy")),
                "0" => Ok(()),
                _ => Err(Error::other("invalid")),
            }
        }
    };
    let (first, delay_max) = (Duration::from_millis(2), Duration::from_millis(10));
    let worth_it = |failure: &Failure| failure.message() != "invalid";
    let in_place = Retry::times(9).exponential(first, 3.0, delay_max).without_jitter().only_if(worth_it);
    let retry = Retry::times(9).only_if(worth_it);
    let options = Options { in_place, retry, workers_max: 1, ..Options::default() };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run(options, handler, async move { told.until(5).await })).await.expect("a clean end");
    assert_eq!(seen.all(), ["0", "0", "0", "0", "1"]);
    let processes = bench.of("process");
    let dispositions: Vec<_> = processes.iter().map(|span| attribute(span, "hopscope.disposition")).collect();
    assert_eq!(dispositions, ["accept", "reject"]);
    let retries: Vec<_> = processes
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
