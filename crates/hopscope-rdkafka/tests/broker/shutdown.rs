//! What is at work when a run ends, or when its partition goes, on a real Kafka.

use crate::kit::{Bench, Counter, in_time};
use hopscope_rdkafka::{Options, Received};
use rdkafka::consumer::Consumer;
use std::collections::BTreeSet;
use std::io::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

fn outcomes(bench: &Bench, reason: &str) -> usize {
    let line = format!("  hopscope.outcome.reason = {reason}\n");
    bench.only(&["hopscope.outcome.reason"]).matches(&line).count()
}

#[tokio::test]
async fn what_is_at_work_is_finished_and_what_waits_comes_again() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 10).await;
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Counter::new());
    let (held, counted) = (Arc::clone(&gate), begun.clone());
    let handler = move |_: Received| {
        let (gate, begun) = (Arc::clone(&held), counted.clone());
        async move {
            begun.add();
            drop(gate.acquire().await);
            Ok::<_, Error>(())
        }
    };
    let stop = async {
        begun.reaches(1).await;
        while bench.count("poll") < 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // It stops now, and the handler ends after that.
        gate.add_permits(1);
    };
    let options = Options { workers_max: 1, ..Options::default() };
    let consumer = bench.consumer();
    in_time(consumer.run(options, handler, stop)).await.expect("a clean end");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(1));
    assert_eq!(outcomes(&bench, "shutdown"), 9);
    drop(consumer);
    let again = bench.consumer();
    let next = in_time(again.recv()).await.expect("a message");
    assert_eq!(rdkafka::message::Message::offset(next.message()), 1);
}

#[tokio::test]
async fn a_handler_that_does_not_end_is_stopped_at_the_deadline() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 1).await;
    let begun = Counter::new();
    let counted = begun.clone();
    let handler = move |_: Received| {
        counted.add();
        std::future::pending::<Result<(), Error>>()
    };
    let options = Options { drain: Duration::from_millis(100), ..Options::default() };
    in_time(bench.consumer().run(options, handler, begun.reaches(1))).await.expect("a clean end");
    assert_eq!((outcomes(&bench, "dropped"), bench.committed(&bench.topic, 0).await), (1, None));
}

#[tokio::test]
async fn a_batch_that_does_not_end_comes_again() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 2).await;
    let begun = Counter::new();
    let counted = begun.clone();
    let handler = move |_: Vec<Received>| {
        counted.add();
        std::future::pending::<hopscope_sdk::work::BatchOutcome>()
    };
    let options = Options {
        batch_max: 2,
        batch_wait: Duration::from_secs(5),
        order: hopscope_sdk::work::Order::ByLane,
        drain: Duration::from_millis(100),
        ..Options::default()
    };
    let consumer = bench.consumer();
    in_time(consumer.run_batches(options, handler, begun.reaches(1))).await.expect("a clean end");
    assert_eq!((outcomes(&bench, "dropped"), bench.committed(&bench.topic, 0).await), (2, None));
    drop(consumer);
    let again = bench.consumer();
    let next = in_time(again.recv()).await.expect("a message");
    assert_eq!(rdkafka::message::Message::offset(next.message()), 0);
}

#[tokio::test]
async fn unfinished_messages_of_a_partition_that_goes_are_another_consumers() {
    a_second_consumer_comes("cooperative-sticky", 4).await;
}

#[tokio::test]
async fn an_eager_rebalance_takes_all_partitions_away_and_gives_one_back() {
    a_second_consumer_comes("range", 8).await;
}

async fn a_second_consumer_comes(strategy: &str, revoked: usize) {
    let mut bench = Bench::with_partitions(2, &[]).await;
    bench.config.set("partition.assignment.strategy", strategy);
    bench.fill(0, 5).await;
    bench.fill(1, 5).await;
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Counter::new());
    let (held, counted) = (Arc::clone(&gate), begun.clone());
    let slow = move |_: Received| {
        let (gate, begun) = (Arc::clone(&held), counted.clone());
        async move {
            begun.add();
            gate.acquire().await.expect("open").forget();
            Ok::<_, Error>(())
        }
    };
    let (seen, second_done) = (Arc::new(Mutex::new(BTreeSet::new())), Counter::new());
    let (noted, counted) = (Arc::clone(&seen), second_done.clone());
    let quick = move |message: Received| {
        let message = message.message();
        let at = (rdkafka::message::Message::partition(message), rdkafka::message::Message::offset(message));
        noted.lock().expect("no panic").insert(at);
        counted.add();
        async { Ok::<_, Error>(()) }
    };
    let options = Options { commit_every: Duration::from_millis(50), ..Options::default() };
    let (first, second) = (bench.consumer(), bench.consumer());
    second.inner().unsubscribe();
    let stop_first = async {
        begun.reaches(2).await;
        // One message of each partition is at work, and one of each is finished before the second comes.
        gate.add_permits(2);
        begun.reaches(4).await;
        second.inner().subscribe(&[&bench.topic]).expect("a valid topic");
        in_time(second.run(options.clone(), quick, second_done.reaches(4))).await.expect("a clean end");
        gate.add_permits(100);
    };
    in_time(first.run(options.clone(), slow, stop_first)).await.expect("a clean end");
    let seen = seen.lock().expect("no panic").clone();
    let partition = seen.first().expect("a message").0;
    let expected: BTreeSet<_> = (1..5).map(|offset| (partition, offset)).collect();
    assert_eq!(seen, expected, "all of one partition, but for what the first had finished and committed");
    assert_eq!(outcomes(&bench, "partition revoked"), revoked);
}
