//! Retries: in place, by requeue, by the queue's own dead-letter exchange, by waiting queues.

use crate::kit::*;
use hopscope_lapin::{Again, DeadLetter, DelayQueues, Options, Settle};
use hopscope_sdk::{Failure, Retry};
use lapin::options::*;
use lapin::types::AMQPValue;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_retry_loop_counts_its_rounds() {
    let bench = Bench::new("loop").await;
    let wait = bench.queue("wait");
    bench.topology(to_default_exchange(&wait)).await;
    let back = arguments([
        ("x-message-ttl", AMQPValue::LongInt(50)),
        ("x-dead-letter-exchange", text(&bench.name)),
        ("x-dead-letter-routing-key", text("pay")),
    ]);
    bench.declare(&wait, back).await;
    bench.publish(properties()).await;

    let mut consumer = bench.consume(bench.queue("work")).await;
    for _ in 0..2 {
        let message = next(&mut consumer).await;
        let failed = message.process().fail(Failure::new("busy", ""));
        message.reject(failed, BasicRejectOptions { requeue: false }).await.expect("reject");
    }
    let third = next(&mut consumer).await;
    third.ack(third.process().succeed(), Default::default()).await.expect("ack");

    let spans = bench.finish(&["work", "wait"]).await;
    let received: Vec<_> = spans.iter().filter(|span| span.name.starts_with("consume")).collect();
    let all = |name: &str| received.iter().map(|span| attribute(span, name)).collect::<Vec<_>>();
    assert_eq!(all("hopscope.attempt"), ["1", "2", "3"]);
    assert_eq!(all("hopscope.copied_from.kind"), ["", "retry", "retry"]);
    assert_eq!(all("hopscope.copied_from.attempts"), ["", "1", "2"]);
    assert_eq!(all("hopscope.copied_from.reason"), ["", "rejected", "rejected"]);
}

/// Fails that often, then succeeds and stops.
async fn run(bench: &Bench, options: Options, failures: usize) -> Vec<String> {
    let (seen, done) = (Seen::default(), Arc::new(tokio::sync::Notify::new()));
    let consumer = bench.consume(bench.queue("work")).await;
    let handler = {
        let (seen, done) = (seen.clone(), Arc::clone(&done));
        move |message: Arc<hopscope_lapin::Traced<lapin::message::Delivery>>| {
            let (seen, done) = (seen.clone(), Arc::clone(&done));
            async move {
                let attempt = message.delivery().attempt();
                if seen.note(format!("{attempt:?}")) <= failures {
                    return Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
                }
                done.notify_one();
                Ok(())
            }
        }
    };
    in_time(consumer.run(options, handler, done.notified())).await.expect("an open channel");
    seen.all()
}

const KIND: &str = "std::io::error::Error";

#[tokio::test]
async fn in_place_each_attempt_is_an_event() {
    let bench = Bench::new("place").await;
    bench.topology(quorum()).await;
    bench.publish(properties()).await;
    let options = Options { in_place: Retry::times(3).fixed(Duration::from_millis(1)), ..Options::default() };
    assert_eq!(run(&bench, options, 2).await, ["Some(1)", "Some(1)", "Some(1)"]);
    let spans = bench.finish(&["work"]).await;
    let [process] = of(&spans, "process")[..] else { panic!("one message, one process") };
    assert_eq!(attribute(process, "hopscope.retry.count"), "2");
    let events: Vec<_> = process.events.iter().map(|event| event.name.as_ref()).collect();
    assert_eq!(events, ["hopscope.retry", "hopscope.retry"]);
    assert_eq!(attribute(of(&spans, "ack")[0], "hopscope.disposition"), "accept");
}

#[tokio::test]
async fn a_quorum_queue_counts_what_is_requeued() {
    let bench = Bench::new("requeue").await;
    bench.topology(quorum()).await;
    bench.publish(properties()).await;
    let options = Options { retry: Retry::times(5), ..Options::default() };
    assert_eq!(run(&bench, options, 2).await, ["Some(1)", "Some(2)", "Some(3)"]);
    let spans = bench.finish(&["work"]).await;
    let processes = of(&spans, "process");
    let all = |name: &str| processes.iter().map(|span| attribute(span, name)).collect::<Vec<_>>();
    assert_eq!(all("error.type"), [KIND, KIND, ""]);
    assert_eq!(all("hopscope.disposition"), ["retry", "retry", "accept"]);
    assert!(processes[0].events.iter().any(|event| event.name == "hopscope.retry"));
}

#[tokio::test]
async fn waiting_queues_count_on_a_classic_queue_too() {
    let bench = Bench::new("delay").await;
    bench.topology(Default::default()).await;
    bench.publish(properties()).await;
    let again = Again::Delay(DelayQueues::new(bench.another().await));
    let retry = Retry::times(5).fixed(Duration::from_millis(50));
    let options = Options { retry, again, ..Options::default() };
    assert_eq!(run(&bench, options, 2).await, ["Some(1)", "Some(2)", "Some(3)"]);
    let spans = bench.finish(&["work", "work.retry.50"]).await;
    let received = of(&spans, "consume");
    let all = |name: &str| received.iter().map(|span| attribute(span, name)).collect::<Vec<_>>();
    assert_eq!(all("hopscope.copied_from.kind"), ["", "retry", "retry"]);
    assert_eq!(all("hopscope.copied_from.attempts"), ["", "1", "2"]);
    assert_eq!(all("hopscope.copied_from.error_type"), ["", KIND, KIND]);
    let dispositions: Vec<_> =
        of(&spans, "ack").into_iter().map(|span| attribute(span, "hopscope.disposition")).collect();
    assert_eq!(dispositions, ["retry", "retry", "accept"]);
}

#[tokio::test]
async fn the_queues_own_exchange_counts_rounds_until_it_is_given_up() {
    let bench = Bench::new("rounds").await;
    let wait = bench.queue("wait");
    bench.topology(to_default_exchange(&wait)).await;
    let back = arguments([
        ("x-message-ttl", AMQPValue::LongInt(20)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(bench.queue("work").as_str())),
    ]);
    bench.declare(&wait, back).await;
    bench.declare(&bench.queue("dead"), Default::default()).await;
    bench.publish(properties()).await;
    let options = Options {
        retry: Retry::times(3),
        again: Again::DeadLetterExchange,
        dead_letter: Some(DeadLetter::to_queue(bench.another().await, bench.queue("dead"))),
        ..Options::default()
    };
    let (seen, consumer) = (Seen::default(), bench.consume(bench.queue("work")).await);
    let handler = {
        let seen = seen.clone();
        move |message: Arc<hopscope_lapin::Traced<lapin::message::Delivery>>| {
            seen.note(format!("{:?}", message.delivery().attempt()));
            async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut)) }
        }
    };
    let letter = bench.queue("dead");
    let arrived = async { bench.until_ready(&letter, 1).await };
    in_time(consumer.run(options, handler, arrived)).await.expect("an open channel");
    assert_eq!(seen.all(), ["Some(1)", "Some(2)", "Some(3)"]);
    let letter = bench.get(&letter).await;
    letter.delivery().with_details(|details| {
        let from = details.copied_from.expect("a dead letter");
        assert_eq!((from.attempts, from.error_type), (Some(3), KIND));
        assert!(from.group.ends_with(".work"));
    });
    let spans = bench.finish(&["work", "wait", "dead"]).await;
    let processes = of(&spans, "process");
    let dispositions: Vec<_> = processes.iter().map(|span| attribute(span, "hopscope.disposition")).collect();
    assert_eq!(dispositions, ["retry", "retry", "reject"]);
}

/// Which failures are worth another try, and after which delay, each noted.
#[tokio::test]
async fn only_some_failures_are_tried_again_and_each_delay_is_told() {
    let bench = Bench::new("policy").await;
    bench.topology(quorum()).await;
    bench.fill(2).await;
    let seen = Seen::default();
    let handler = {
        let seen = seen.clone();
        move |message: Arc<hopscope_lapin::Traced<lapin::message::Delivery>>| {
            let number = payload(&message);
            let times = seen.note(number.clone());
            async move {
                match number.as_str() {
                    "0" if times < 4 => Err(std::io::Error::other("busy")),
                    "0" => Ok(()),
                    _ => Err(std::io::Error::other("invalid")),
                }
            }
        }
    };
    let (first, delay_max) = (Duration::from_millis(2), Duration::from_millis(10));
    let worth_it = |failure: &Failure| failure.message() != "invalid";
    let in_place = Retry::times(9).exponential(first, 3.0, delay_max).without_jitter().only_if(worth_it);
    let retry = Retry::times(9).only_if(worth_it);
    let options = Options { in_place, retry, workers_max: 1, ..Options::default() };
    let (consumer, stop) = (bench.consume(bench.queue("work")).await, seen.clone());
    in_time(consumer.run(options, handler, async move { stop.until(5).await })).await.expect("open");
    assert_eq!(seen.all(), ["0", "0", "0", "0", "1"]);
    let spans = bench.finish(&["work"]).await;
    let processes = of(&spans, "process");
    let dispositions: Vec<_> = processes.iter().map(|span| attribute(span, "hopscope.disposition")).collect();
    assert_eq!(dispositions, ["accept", "reject"]);
    let retries: Vec<_> = processes.iter().flat_map(|span| span.events.iter()).map(retry_told).collect();
    assert_eq!(retries, [format!("1 2 {KIND}"), format!("2 6 {KIND}"), format!("3 10 {KIND}")]);
}

fn retry_told(event: &hopscope_sdk::opentelemetry::trace::Event) -> String {
    let of = |key: &str| event.attributes.iter().find(|set| set.key.as_str() == key);
    ["hopscope.attempt", "hopscope.retry.delay_ms", "error.type"]
        .map(|key| of(key).map(|set| set.value.to_string()).unwrap_or_default())
        .join(" ")
}
