//! Consuming: pull, push, ordered, batches, and handlers side by side.

use crate::kit::{Bench, Seen, attribute, in_time, next, payload};
use async_nats::jetstream::consumer::{AckPolicy, PushConsumer, pull, push};
use async_nats::jetstream::message::PublishMessage;
use hopscope_async_nats::{Options, Received, RunError};
use hopscope_sdk::work::{BatchOutcome, Order};
use hopscope_sdk::{Failure, Retry};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

#[tokio::test]
async fn one_pull_is_one_receive_and_an_empty_one_is_none() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    let wait = Duration::from_millis(100);
    let none = in_time(bench.jetstream.receive_batch(&consumer, 5, wait)).await.expect("a pull");
    assert!(none.is_empty() && bench.recorder.finished().is_empty());
    bench.publish().await;
    bench.fill(2).await;
    let batch = in_time(bench.jetstream.receive_batch(&consumer, 3, Duration::from_secs(10))).await;
    assert_eq!(batch.expect("a pull").iter().map(payload).collect::<Vec<_>>(), ["{}", "0", "1"]);
    let fetches = bench.of("fetch");
    let received: usize = fetches
        .iter()
        .map(|span| attribute(span, "messaging.batch.message_count").parse::<usize>().unwrap_or(1))
        .sum();
    assert_eq!(received, 3, "{fetches:?}");
    let publish = bench.of("publish").swap_remove(0);
    let linked =
        |id| fetches.iter().flat_map(|span| span.links.iter()).any(|l| l.span_context.span_id() == id);
    assert!(linked(publish.span_context.span_id()));
}

#[tokio::test]
async fn a_push_consumer_is_run_and_an_ordered_one_wants_no_answer() {
    let bench = Bench::new().await;
    let stream = bench.stream().await;
    let config = push::Config {
        deliver_subject: bench.client.new_inbox(),
        durable_name: Some("packing".into()),
        ..push::Config::default()
    };
    let consumer: PushConsumer = stream.create_consumer(config).await.expect("a new consumer");
    let messages = bench.jetstream.push_messages(&consumer).await.expect("messages");
    bench.publish().await;
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |message: Received| {
        noted.note(payload(&message));
        async { Ok::<_, Infallible>(()) }
    };
    in_time(messages.run(Options::default(), handler, async move { told.until(1).await }))
        .await
        .expect("a clean end");
    assert_eq!(bench.of("ack").len(), 1);

    let ordered = stream.create_consumer(pull::OrderedConfig::default()).await.expect("a new consumer");
    let mut messages = bench.jetstream.ordered_messages(ordered).await.expect("messages");
    let message = in_time(messages.next()).await.expect("a message").expect("a message");
    message.process().finish(hopscope_sdk::Outcome::Ok);
    assert_eq!((bench.of("process").len(), bench.of("ack").len()), (2, 1));
}

#[tokio::test]
async fn handlers_side_by_side_are_bounded_and_the_rest_waits_at_the_server() {
    let bench = Bench::new().await;
    let config = pull::Config { max_ack_pending: 5, ..pull::Config::default() };
    let mut consumer = bench.pull(config).await;
    bench.fill(20).await;
    let (seen, done, gate) = (Seen::default(), Seen::default(), Arc::new(Semaphore::new(0)));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (seen, done, gate) = (seen.clone(), done.clone(), Arc::clone(&gate));
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        move |message: Received| {
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
    let options = Options { workers_max: 3, double_ack: true, ..Options::default() };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    let stop = done.clone();
    let run = tokio::spawn(messages.run(options, handler, async move { stop.until(20).await }));
    seen.until(3).await;
    in_time(async { while bench.state_of(&mut consumer).await != (5, 15) {} }).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    gate.add_permits(20);
    in_time(run).await.expect("no panic").expect("a clean end");
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(bench.state_of(&mut consumer).await, (0, 0), "all settled");
    assert_eq!((bench.of("process").len(), bench.of("ack").len()), (20, 20));
}

#[tokio::test]
async fn messages_of_one_subject_run_one_after_another() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    bench.fill(6).await;
    let (seen, done, gate) = (Seen::default(), Seen::default(), Arc::new(Semaphore::new(0)));
    let handler = {
        let (seen, done, gate) = (seen.clone(), done.clone(), Arc::clone(&gate));
        move |message: Received| {
            let (seen, done, gate) = (seen.clone(), done.clone(), Arc::clone(&gate));
            async move {
                seen.note(payload(&message));
                if payload(&message) == "0" {
                    gate.acquire().await.expect("open").forget();
                }
                done.note(payload(&message));
                Ok::<_, Infallible>(())
            }
        }
    };
    let options = Options { workers_max: 2, order: Order::ByKey, ..Options::default() };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    let stop = done.clone();
    let run = tokio::spawn(messages.run(options, handler, async move { stop.until(6).await }));
    seen.until(2).await;
    assert_eq!(seen.all(), ["0", "1"]);
    gate.add_permits(1);
    in_time(run).await.expect("no panic").expect("a clean end");
    let of = |subject: usize| -> Vec<String> {
        done.all().into_iter().filter(|n| n.parse::<usize>().expect("a number") % 2 == subject).collect()
    };
    assert_eq!(
        (of(0), of(1)),
        (["0", "2", "4"].map(String::from).to_vec(), ["1", "3", "5"].map(String::from).to_vec())
    );
}

#[tokio::test]
async fn of_a_batch_only_what_failed_comes_again() {
    let bench = Bench::new().await;
    let mut consumer = bench.pull(pull::Config::default()).await;
    bench.fill(4).await;
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |batch: Vec<Received>| {
        let each =
            batch.iter().map(|m| format!("{}/{}", payload(m), m.delivery().attempt().expect("counted")));
        noted.note(each.collect::<Vec<_>>().join(" "));
        let is_first = batch.len() == 4;
        async move {
            if is_first {
                BatchOutcome::Partly(vec![(2, Failure::new("Busy", "no cover"))])
            } else {
                BatchOutcome::Ok
            }
        }
    };
    let options = Options {
        batch_max: 4,
        batch_wait: Duration::from_secs(1),
        retry: Retry::times(3),
        ..Options::default()
    };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run_batches(options, handler, async move { told.until(2).await }))
        .await
        .expect("a clean end");
    assert_eq!(seen.all(), ["0/1 1/1 2/1 3/1", "2/2"]);
    in_time(async { while bench.state_of(&mut consumer).await != (0, 0) {} }).await;
    assert_eq!((bench.of("ack").len(), bench.of("nak").len()), (4, 1));
}

#[tokio::test]
async fn a_cumulative_consumer_is_not_run_side_by_side() {
    let bench = Bench::new().await;
    let messages = bench.consumer(AckPolicy::All).await;
    let ended =
        messages.run(Options::default(), async |_| Ok::<_, Infallible>(()), std::future::pending()).await;
    assert!(matches!(ended, Err(RunError::Cumulative)));
}

/// A span holds 128 links: a larger batch becomes several, and none is lost.
#[tokio::test]
async fn every_message_of_a_large_batch_is_linked() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    let messages = (0..300).map(|_| (bench.subject(), PublishMessage::build().payload("{}".into())));
    let stored = in_time(bench.jetstream.publish_batch(messages)).await;
    assert!(stored.iter().all(Result::is_ok));
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |batch: Vec<Received>| {
        for message in &batch {
            noted.note(payload(message));
        }
        async { BatchOutcome::Ok }
    };
    let options = Options { batch_max: 300, batch_wait: Duration::from_secs(5), ..Options::default() };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run_batches(options, handler, async move { told.until(300).await }))
        .await
        .expect("a clean end");
    let works = bench.of("process");
    assert!(works.len() < 100, "batches; spans={}", works.len());
    assert!(works.iter().all(|span| span.links.len() <= 128 && span.links.dropped_count == 0));
    let linked: HashSet<_> =
        works.iter().flat_map(|span| span.links.iter()).map(|link| link.span_context.span_id()).collect();
    let created: HashSet<_> = bench.of("create").iter().map(|span| span.span_context.span_id()).collect();
    assert_eq!(created.len(), 300);
    assert_eq!(linked, created);
}

#[tokio::test]
async fn a_batch_that_fails_or_panics_comes_again_as_a_whole() {
    let bench = Bench::new().await;
    let mut consumer = bench.pull(pull::Config::default()).await;
    bench.fill(2).await;
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |batch: Vec<Received>| {
        let attempts = batch.iter().map(|message| message.delivery().attempt().expect("counted").to_string());
        let times = noted.note(attempts.collect::<Vec<_>>().join(" "));
        async move {
            match times {
                1 => BatchOutcome::Failed(Failure::new("Busy", "no truck")),
                2 => panic!("no truck"),
                _ => BatchOutcome::Ok,
            }
        }
    };
    let options = Options {
        batch_max: 2,
        batch_wait: Duration::from_secs(5),
        retry: Retry::times(5),
        ..Options::default()
    };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run_batches(options, handler, async move { told.until(3).await }))
        .await
        .expect("a clean end");
    assert_eq!(seen.all(), ["1 1", "2 2", "3 3"]);
    in_time(async { while bench.state_of(&mut consumer).await != (0, 0) {} }).await;
    let errors: Vec<_> = bench.of("process").iter().map(|span| attribute(span, "error.type")).collect();
    // Without contexts, a span for each message.
    assert_eq!(errors, ["Busy", "Busy", "panic", "panic", "", ""]);
}

#[tokio::test]
async fn a_batch_that_a_stop_does_not_wait_for_comes_again() {
    let bench = Bench::new().await;
    // Longer than the test may take: nothing comes again that was not given back.
    let config = pull::Config { ack_wait: Duration::from_secs(300), ..pull::Config::default() };
    let consumer = bench.pull(config).await;
    bench.fill(2).await;
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |batch: Vec<Received>| {
        noted.note(batch.len().to_string());
        std::future::pending::<BatchOutcome>()
    };
    let options = Options {
        batch_max: 2,
        batch_wait: Duration::from_secs(5),
        drain: Duration::from_millis(50),
        ..Options::default()
    };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run_batches(options, handler, async move { told.until(1).await }))
        .await
        .expect("a clean end");
    let mut messages = bench.jetstream.messages(&consumer).await.expect("messages");
    let again = [next(&mut messages).await, next(&mut messages).await];
    assert_eq!(again.map(|message| message.delivery().attempt()), [Some(2), Some(2)]);
}
