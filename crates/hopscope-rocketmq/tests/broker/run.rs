//! `run`: retries in place and through the broker, order, panics.

use crate::kit::{Bench, all, attribute, body, called_once, named, next, options, told};
use hopscope_rocketmq::{Options, Traced};
use hopscope_sdk::work::Order;
use hopscope_sdk::{Failure, Retry};
use rocketmq_model::common::message::message_queue::MessageQueue;
use rocketmq_model::common::message::message_single::Message;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_tried_in_place_then_through_the_broker() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let times = AtomicU32::new(0);
    let handler = async move |_: &Traced<&_>| {
        let time = times.fetch_add(1, Ordering::SeqCst);
        let _ = calls.send(time);
        match time {
            0 | 1 => Err(std::io::Error::other("busy")),
            2 => panic!("no template"),
            _ => Ok(()),
        }
    };
    let handling = Options {
        in_place: Retry::times(2),
        retry: Retry::times(5).fixed(Duration::from_millis(500)),
        ..options()
    };
    let stop = async { while next(&mut called).await < 3 {} };
    consumer.run(handling, handler, stop).await.expect("started");

    let spans = bench.recorder.finished();
    let processed = named(&spans, "process");
    assert_eq!(all(&processed, "hopscope.attempt"), ["1", "2", "3"], "the broker counts");
    assert_eq!(all(&processed, "error.type"), ["std::io::error::Error", "panic", ""]);
    assert_eq!(all(&processed, "hopscope.retry.count"), ["1", "", ""], "in place, once");
    assert_eq!(all(&processed, "hopscope.disposition"), ["retry", "retry", "accept"]);
    let retries: Vec<_> = processed
        .iter()
        .map(|span| span.events.iter().filter(|event| event.name == "hopscope.retry").count())
        .collect();
    assert_eq!(retries, [2, 1, 0], "each retry is an event, whichever way");
    let back = named(&spans, "send_message_back");
    assert_eq!(all(&back, "messaging.rocketmq.message.delay_time_level"), ["1", "1"]);
    assert_eq!(named(&spans, "success").len(), 1);
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_order_a_queue_waits_for_a_retry_and_goes_on_after_a_dead_letter() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    let queue = MessageQueue::from_parts(bench.topic.as_str(), "broker-a", 0);
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    for text in ["bad", "good"] {
        let message =
            Message::builder().topic(bench.topic.as_str()).body_slice(text.as_bytes()).build_unchecked();
        producer.send_to_queue(message, queue.clone()).await.expect("sent");
    }
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let handler = async move |message: &Traced<&_>| match body(message.message()).as_str() {
        "bad" => Err(std::io::Error::other("no template")),
        "good" => {
            let _ = calls.send(1);
            Ok(())
        }
        _ => Ok(()),
    };
    let handling = Options {
        order: Order::ByLane,
        retry: Retry::times(2).fixed(Duration::from_millis(100)),
        ..options()
    };
    consumer.run(handling, handler, called_once(&mut called)).await.expect("started");

    let spans = bench.recorder.finished();
    let processed: Vec<_> = named(&spans, "process")
        .into_iter()
        .filter(|span| attribute(span, "messaging.message.body.size") != "2")
        .collect();
    assert_eq!(all(&processed, "hopscope.attempt"), ["1", "2", "1"], "the good one waited for the bad one");
    assert_eq!(all(&processed, "hopscope.disposition"), ["retry", "reject", "accept"]);
    let settled = spans.iter().filter(|span| {
        attribute(span, "messaging.operation.type") == "settle"
            && processed.iter().any(|work| work.span_context.span_id() == span.parent_span_id)
    });
    let settled: Vec<_> = settled.map(|span| attribute(span, "messaging.operation.name")).collect();
    assert_eq!(settled, ["suspend", "send_message_back", "success"]);
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_work_side_by_side_but_not_more_than_allowed() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    for _ in 0..8 {
        producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    }
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let at_work = AtomicU32::new(0);
    // The first two meet here, so they must be at work together.
    let both = tokio::sync::Barrier::new(2);
    let handler = async move |_: &Traced<&_>| {
        let now = at_work.fetch_add(1, Ordering::SeqCst) + 1;
        both.wait().await;
        at_work.fetch_sub(1, Ordering::SeqCst);
        let _ = calls.send(now);
        Ok::<(), std::fmt::Error>(())
    };
    let stop = async {
        for _ in 0..8 {
            assert!(next(&mut called).await <= 2, "more than two at work");
        }
    };
    consumer.run(Options { workers_max: Some(2), ..options() }, handler, stop).await.expect("started");
    let spans = bench.recorder.finished();
    assert_eq!(named(&spans, "success").len(), 8);
    bench.close();
}

/// Which failures are worth another try, and after which delay, each noted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_some_failures_are_tried_again_and_each_delay_is_told() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let times = AtomicU32::new(0);
    let handler = async move |_: &Traced<&_>| {
        let time = times.fetch_add(1, Ordering::SeqCst);
        let _ = calls.send(time);
        Err::<(), _>(std::io::Error::other(if time < 3 { "busy" } else { "invalid" }))
    };
    let (first, delay_max) = (Duration::from_millis(2), Duration::from_millis(10));
    let worth_it = |failure: &Failure| failure.message() != "invalid";
    let in_place = Retry::times(9).exponential(first, 3.0, delay_max).without_jitter().only_if(worth_it);
    let handling = Options { in_place, retry: Retry::times(9).only_if(worth_it), ..options() };
    let stop = async { while next(&mut called).await < 3 {} };
    consumer.run(handling, handler, stop).await.expect("started");

    let spans = bench.recorder.finished();
    let [process] = named(&spans, "process")[..] else { panic!("one delivery") };
    assert_eq!(attribute(process, "hopscope.disposition"), "reject", "given up at once");
    let retries: Vec<_> = process
        .events
        .iter()
        .filter(|event| event.name == "hopscope.retry")
        .map(|event| {
            let of = |key: &str| event.attributes.iter().find(|set| set.key.as_str() == key);
            ["hopscope.attempt", "hopscope.retry.delay_ms", "error.type"]
                .map(|key| of(key).map(|set| set.value.to_string()).unwrap_or_default())
                .join(" ")
        })
        .collect();
    let kind = "std::io::error::Error";
    assert_eq!(retries, [format!("1 2 {kind}"), format!("2 6 {kind}"), format!("3 10 {kind}")]);
    bench.close();
}
